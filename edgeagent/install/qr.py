"""A QR code for a short text: byte mode, error correction M, versions 1 to 6 (ISO/IEC 18004:2015).

Up to 106 bytes, which is a link with a claim code; no dependency for that.  Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from edgeagent.errors import Refused

__all__ = ["Matrix", "matrix", "terminal"]

Matrix = list[list[bool]]
# Table 9, level M: (error correction words per block, blocks, data words per block) of versions 1 to 6.
_BLOCKS = ((10, 1, 16), (16, 1, 28), (26, 1, 44), (18, 2, 32), (24, 2, 43), (16, 4, 27))
_MASKS: tuple[Callable[[int, int], bool], ...] = (  # table 10: row, column
    lambda r, c: (r + c) % 2 == 0,
    lambda r, _: r % 2 == 0,
    lambda _, c: c % 3 == 0,
    lambda r, c: (r + c) % 3 == 0,
    lambda r, c: (r // 2 + c // 3) % 2 == 0,
    lambda r, c: r * c % 2 + r * c % 3 == 0,
    lambda r, c: (r * c % 2 + r * c % 3) % 2 == 0,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2 == 0,
)
_FINDER_LIKE = ((1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1))
_EXP, _LOG = [1] * 255, [0] * 256
for _n in range(1, 255):  # GF(256), x^8 + x^4 + x^3 + x^2 + 1
    _EXP[_n] = _EXP[_n - 1] << 1 ^ (0x11D if _EXP[_n - 1] & 0x80 else 0)
    _LOG[_EXP[_n]] = _n


def matrix(text: str) -> Matrix:
    """Rows of modules, True is dark, without the quiet zone.

    Raises:
        Refused: `claim.qr-long`: more than 106 bytes.
    """
    data = text.encode()
    version = next((v for v, (_, blocks, words) in enumerate(_BLOCKS, 1) if len(data) + 2 <= blocks * words), 0)
    if not version:
        raise Refused("claim.qr-long", bytes=len(data))
    bits = [word >> shift & 1 for word in _words(data, version) for shift in range(7, -1, -1)]
    drawn = [_masked(version, bits, mask) for mask in range(8)]
    return min(drawn, key=_penalty)


def terminal(modules: Matrix, *, colour: bool, quiet: int = 2) -> str:
    """As text, two rows of modules in a line.

    Args:
        modules: of `matrix`.
        colour: black on white by escape codes, right on every terminal; without, for one with a dark ground.
        quiet: light modules around it.
    """
    width = len(modules) + 2 * quiet
    light = [[False] * width for _ in range(quiet)]
    rows = [*light, *([False] * quiet + row + [False] * quiet for row in modules), *light]
    rows += [[False] * width] * (len(rows) % 2)
    signs = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}  # upper and lower module, 1 is ink
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        ink = "".join(signs[(u == colour, w == colour)] for u, w in zip(upper, lower, strict=True))
        lines.append(f"\x1b[38;5;16;48;5;231m{ink}\x1b[0m" if colour else ink)
    return "\n".join(lines) + "\n"


def _words(data: bytes, version: int) -> Iterator[int]:
    """Data and error correction, interleaved (7.6)."""
    correction, blocks, size = _BLOCKS[version - 1]
    number = (0b0100 << 8 | len(data)) << 8 * len(data) | int.from_bytes(data, "big")
    whole = (number << 4).to_bytes(len(data) + 2, "big")  # mode, length, bytes, terminator
    whole += (b"\xec\x11" * size * blocks)[: size * blocks - len(whole)]
    parts = [whole[at * size : (at + 1) * size] for at in range(blocks)]
    checks = [_remainder(part, correction) for part in parts]
    for group, length in ((parts, size), (checks, correction)):
        yield from (part[at] for at in range(length) for part in group)


def _remainder(data: bytes, degree: int) -> bytes:
    """Reed-Solomon: the remainder by the generator of that degree (7.5.2)."""
    generator = [1]
    for power in range(degree):
        longer = [*generator, 0]
        for at, factor in enumerate(generator):
            longer[at + 1] ^= _times(factor, _EXP[power])
        generator = longer
    left = [*data, *[0] * degree]
    for at in range(len(data)):
        factor = left[at]
        for step, term in enumerate(generator):
            left[at + step] ^= _times(term, factor)
    return bytes(left[len(data) :])


def _times(a: int, b: int) -> int:
    return _EXP[(_LOG[a] + _LOG[b]) % 255] if a and b else 0


def _masked(version: int, bits: list[int], mask: int) -> Matrix:
    size = 17 + 4 * version
    fixed = _fixed(version, mask)
    waiting = iter(bits)
    modules = [[fixed.get((row, column), False) for column in range(size)] for row in range(size)]
    for row, column in _way(size):
        if (row, column) not in fixed:
            modules[row][column] = bool(next(waiting, 0)) != _MASKS[mask](row, column)
    return modules


def _way(size: int) -> Iterator[tuple[int, int]]:
    """Upwards and downwards in pairs of columns from the right, past the timing column (7.7.3)."""
    upwards = True
    for right in (*range(size - 1, 6, -2), 5, 3, 1):
        for row in range(size - 1, -1, -1) if upwards else range(size):
            yield from ((row, right), (row, right - 1))
        upwards = not upwards


def _fixed(version: int, mask: int) -> dict[tuple[int, int], bool]:
    """Finders with separators, alignment, timing, format (6.3, 7.9)."""
    size = 17 + 4 * version
    fixed = {(6, at): at % 2 == 0 for at in range(size)} | {(at, 6): at % 2 == 0 for at in range(size)}
    squares = [(3, 3, 4), (3, size - 4, 4), (size - 4, 3, 4)]
    if version > 1:
        squares.append((size - 7, size - 7, 2))
    for row, column, reach in squares:
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                ring = max(abs(down), abs(right))
                if 0 <= row + down < size and 0 <= column + right < size:
                    fixed[row + down, column + right] = ring in ((0, 2) if reach == 2 else (0, 1, 3))  # noqa: PLR2004
    told = _format(mask)
    around = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    beside = [(size - 1 - at, 8) for at in range(7)] + [(8, size - 8 + at) for at in range(8)]
    for place in (around, beside):
        fixed |= {at: bool(told >> 14 - n & 1) for n, at in enumerate(place)}
    fixed[size - 8, 8] = True
    return fixed


def _format(mask: int) -> int:
    """15 bits: level M (00), mask, BCH(15, 5), masked (annex C)."""
    rest = mask << 10
    for shift in range(4, -1, -1):
        if rest >> shift + 10 & 1:
            rest ^= 0x537 << shift
    return (mask << 10 | rest) ^ 0x5412


def _penalty(modules: Matrix) -> int:
    """How hard it is to read (7.8.3): runs, blocks, what looks like a finder, too dark or too light."""
    size, found = len(modules), 0
    for lines in (modules, [list(column) for column in zip(*modules, strict=True)]):
        for line in lines:
            run = 1
            for before, now in zip(line, [*line[1:], None], strict=True):
                if before is now:
                    run += 1
                    continue
                found += run - 2 if run >= 5 else 0  # noqa: PLR2004  the standard's N1
                run = 1
            found += 40 * sum(tuple(line[at : at + 11]) in _FINDER_LIKE for at in range(size - 10))
    for upper, lower in itertools.pairwise(modules):
        found += 3 * sum(len({*upper[at : at + 2], *lower[at : at + 2]}) == 1 for at in range(size - 1))
    dark = sum(map(sum, modules)) * 100 / size**2
    return found + 10 * int(abs(dark - 50) / 5)
