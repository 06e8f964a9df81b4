"""The verbs, for people: typer, one file per group.  May import: everything."""


def main() -> None:
    """Entry point of the console script."""
    raise SystemExit(0)
