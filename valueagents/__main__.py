"""`python -m valueagents`: the command line of this very Python."""

from valueagents.cli import main

if __name__ == "__main__":
    main()
