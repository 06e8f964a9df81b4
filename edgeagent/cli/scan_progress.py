"""One line at the bottom that says what is being tried, on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
from typing import Self

from edgeagent.cli.columns import columns, width

__all__ = ["ProgressLine"]

_BAR = 10


class ProgressLine:
    """Replaces itself on stderr, and is gone when the context ends.

    Args:
        wanted: False keeps quiet: machines, screen readers.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self._wanted = wanted and sys.stderr.isatty()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, what: str, done: float, of: float) -> None:
        """What is going on, and how far it has come."""
        if not self._wanted:
            return
        full = round(min(max(done / of, 0.0), 1.0) * _BAR) if of > 0 else 0
        room = columns() - _BAR - 4
        print(f"\r\x1b[K  {'█' * full}{'·' * (_BAR - full)} {_fit(what, room)}", end="", file=sys.stderr, flush=True)
        self._shown = True

    def clear(self) -> None:
        """Make room for what stays."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def _fit(text: str, room: int) -> str:
    """As much of the end as fits: the end of a port's name is what tells it from the others."""
    if width(text) <= room:
        return text
    while width(text) > room - 1:
        text = text[1:]
    return f"…{text}"
