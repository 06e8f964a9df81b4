"""`python -m edgeagent` is the same as the console script."""

from edgeagent.cli import main

if __name__ == "__main__":
    main()
