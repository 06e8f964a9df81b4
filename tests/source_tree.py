"""The package's source as syntax trees, for tests that read the code."""

import ast
import functools
import gc
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "edgeagent"


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The tree of one file.

    Python before 3.11.8 fails ("AST constructor recursion depth mismatch", cpython gh-106905) where the collector runs
    within `ast.parse` and something it frees prints a traceback, which parses too.
    """
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def trees(package: Path = PACKAGE) -> list[tuple[Path, ast.Module]]:
    """Every file of the package with its tree."""
    return [(path, parsed(path)) for path in sorted(package.rglob("*.py"))]
