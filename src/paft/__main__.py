"""``python -m paft``, and ``torchrun -m paft`` for several processes."""

from paft.cli.app import main

main()
