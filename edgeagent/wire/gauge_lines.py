"""The lines of a gauge that talks by itself -> quantities.  Pure.

The first, partial line after opening is dropped: half of `R1234` is `R12` or `234`, both wrong.
May import: own room.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeagent.wire.registers import Scale, Value

__all__ = ["CHECKSUMS", "LineFormat", "Lines", "read_line"]

_LONGEST_LINE = 256


class Lines:
    """Cuts a byte stream into whole lines; bounded whatever arrives.

    Args:
        end: the byte that ends a line, carriage return for MaxBotix, line feed for NMEA.
    """

    def __init__(self, end: bytes = b"\r") -> None:
        self._end = end
        self._rest = bytearray()
        self._started = False
        self.dropped: Counter[str] = Counter()

    @property
    def pending(self) -> bytes:
        """The line that has not ended yet; what a person is shown when none ever does."""
        return bytes(self._rest)

    def restart(self) -> None:
        """The port was reopened: the next line is partial again."""
        self._rest.clear()
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        """Whole lines, without their ends and surrounding white space; empty ones are left out."""
        self._rest += data
        *whole, rest = self._rest.split(self._end)
        self._rest = rest
        if whole and not self._started:
            self._started = True
            del whole[0]
            self.dropped["partial"] += 1
        if len(rest) > _LONGEST_LINE:  # no line is so long: wrong baud rate, or another device
            self.dropped["overlong"] += 1
            self._rest = bytearray()
            self._started = False
        return [line for line in (bytes(w).strip() for w in whole) if line]


@dataclass(frozen=True, slots=True)
class LineFormat:
    """What one line of a gauge says.

    Attributes:
        pattern: matches a whole line; a named group per quantity, and `body` and `checksum`
            where the line carries one.
        checksum: a key of CHECKSUMS.
        fields: quantity -> its scale.
    """

    pattern: re.Pattern[bytes]
    checksum: str
    fields: Mapping[str, Scale]


def read_line(form: LineFormat, line: bytes) -> dict[str, Value] | str:
    """One line -> its quantities, or why not: no-match or checksum."""
    found = form.pattern.fullmatch(line)
    if found is None:
        return "no-match"
    check = CHECKSUMS[form.checksum]
    if check is not None and check(found["body"]) != int(found["checksum"], 16):
        return "checksum"
    values = {}
    for name, scale in form.fields.items():
        text = found[name]
        try:
            values[name] = Value(None, "empty") if text is None else scale.apply(float(text))
        except ValueError:
            values[name] = Value(None, "not-a-number")
    return values


def _sum8(body: bytes) -> int:
    return sum(body) & 0xFF


def _twos8(body: bytes) -> int:
    return -sum(body) & 0xFF


def _xor8(body: bytes) -> int:
    value = 0
    for byte in body:
        value ^= byte
    return value


CHECKSUMS: dict[str, Callable[[bytes], int] | None] = {
    "none": None,
    "sum8": _sum8,  # sum of the bytes
    "twos8": _twos8,  # its two's complement: Campbell SR50A manual 3.8
    "xor8": _xor8,  # NMEA 0183
}
