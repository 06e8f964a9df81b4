"""Text for terminals of any width: East-Asian characters take two columns, colour says nothing alone.

Widths: Unicode Standard Annex 11; `W` and `F` take two columns, `A` (ambiguous: ✓ is neutral, … is ambiguous)
one, as in terminals that are not set to a legacy CJK encoding; combining marks none.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

__all__ = ["colour", "coloured", "columns", "fit", "tell", "width", "wrap"]

_NARROWEST, _WIDEST = 30, 100
_RED, _YELLOW, _GREEN, _DIM = 31, 33, 32, 2
_COLOURS = {"✗": _RED, "!": _YELLOW, "✓": _GREEN, "–": _DIM}
_PARTS = re.compile(r"( · | {2,})")
_BEGIN = re.compile(r"\s*(?:[✓✗!→•·–…] +)?")
# a line may not begin with these (JIS X 4051, the short list)
_NOT_FIRST = "、。，．・:;?!）」』】)]}〉》％%ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"


def columns() -> int:
    """How wide the terminal is."""
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrap(text: str, room: int, first: str = "", rest: str = "", *, whole: bool = False) -> list[str]:
    """Lines of at most `room` columns.

    Args:
        text: a paragraph.  It may be broken at blanks, and between any two characters of Japanese;
            a longer word (a path) is broken where it has to be.
        room: columns of a line, the indent included.
        first: what the first line begins with.
        rest: and the others.
        whole: a word longer than a line is not broken.
    """
    lines, line = [], first
    empty = True
    for piece in _pieces(text):
        if not empty and width(line) + width(piece.rstrip()) > room:
            lines.append(line.rstrip())
            line, empty = rest, True
        if empty:
            piece = piece.lstrip()  # noqa: PLW2901  a line does not begin with a blank
        while not whole and width(line) + width(piece.rstrip()) > room:  # longer than a whole line
            cut = _fits(piece, room - width(line))
            lines.append(line + piece[:cut])
            line, piece = rest, piece[cut:]  # noqa: PLW2901
        line += piece
        empty = empty and not piece
    return [*lines, line.rstrip()]


def fit(text: str, room: int) -> str:
    """Text of many lines with those broken that are too wide; what is broken goes on under its own beginning.

    A word that no line has room for (a path, a hash, a command to copy) stays whole, on a line of its own.
    """
    lines = []
    for line in text.split("\n"):
        if width(line) <= room:
            lines.append(line)
            continue
        begin = _BEGIN.match(line)
        assert begin is not None, "it matches the empty text, too"
        lines += _rows(line[begin.end() :], room, begin[0], " " * min(width(begin[0]), room // 2))
    return "\n".join(lines)


def _rows(text: str, room: int, first: str, rest: str) -> Iterator[str]:
    """Broken between its parts (two blanks, or a dot) before within one."""
    line, begin = "", first
    for part, after in itertools.zip_longest(*[iter(_PARTS.split(text))] * 2, fillvalue=""):
        joint = " ·" if after == " · " else ""
        if line and width(line) + width(part) + width(joint) > room:
            yield line.rstrip()
            line, begin = "", rest
        *whole, last = wrap(part + joint, room, begin, rest, whole=True) if not line else [line + part + joint]
        yield from whole
        line = last + (" " if joint else after)
        if whole:
            begin = rest
    yield line.rstrip()


def tell(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print, as wide as the terminal; a pipe or a file, whose reader has no width, gets its lines whole."""
    out = file or sys.stdout
    known = out.isatty() or os.environ.get("COLUMNS")
    print(fit(text, columns()) if known else text, end=end, file=out, flush=True)


def colour() -> bool:
    """Whether marks may be coloured: a terminal, and nobody said NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(mark: str) -> str:
    """A mark in its colour where colours are wanted; the mark alone says the same."""
    return f"\x1b[{_COLOURS[mark]}m{mark}\x1b[0m" if mark in _COLOURS and colour() else mark


def _pieces(text: str) -> Iterator[str]:
    """What is not broken unless it must be: words with the blank behind them, single wide characters."""
    piece = ""
    for here, after in itertools.pairwise(f"{text} "):
        piece += here
        wide = unicodedata.east_asian_width(here) in "WF"
        next_wide = unicodedata.east_asian_width(after) in "WF"
        if here == " " or ((wide or next_wide) and after not in _NOT_FIRST and after != " " and here not in "「『（("):
            yield piece
            piece = ""
    if piece:
        yield piece


def _fits(text: str, room: int) -> int:
    """How many characters fit; at least one."""
    taken = 0
    for number, char in enumerate(text):
        taken += width(char)
        if taken > room:
            return max(number, 1)
    return len(text)
