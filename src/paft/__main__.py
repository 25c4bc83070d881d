"""``paft``, ``python -m paft``, and ``torchrun -m paft`` for several processes."""


def main() -> None:
    """Run the command line, which takes a moment to import: Ctrl-C is one line then too."""
    try:
        from paft.cli.app import main as run

        run()
    except KeyboardInterrupt:
        import sys

        from paft.errors import STOPPED

        print(f"\n{STOPPED}", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
