"""`python -m separate`: the same as the command `separate`."""

from separate.cli.main import main

if __name__ == "__main__":
    main()
