"""``python -m paft``, and ``torchrun -m paft`` for several processes."""

from paft.cli import main

main()
