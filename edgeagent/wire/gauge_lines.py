"""What a gauge says by itself -> quantities: ASCII lines, or short binary frames with a checksum.  Pure.

The first, partial line after opening is dropped: half of `R1234` is `R12` or `234`, both wrong.  A
frame is found by its head and its checksum, wherever it begins.
May import: own room.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeagent.wire.registers import Scale, Value

__all__ = ["CHECKSUMS", "WIDTHS", "FrameFormat", "Frames", "LineFormat", "Lines", "read_line"]

WIDTHS = {"u8": 1, "u16": 2, "i16": 2}

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
        end: the byte that ends a line.
    """

    pattern: re.Pattern[bytes]
    checksum: str
    fields: Mapping[str, Scale]
    end: bytes = b"\n"

    def cutter(self) -> Lines:
        """What cuts a stream into such lines."""
        return Lines(self.end)

    def read(self, piece: bytes) -> dict[str, Value] | str:
        """One line -> its quantities, or why not: no-match or checksum."""
        return read_line(self, piece)


class Frames:
    """Cuts a byte stream into whole frames; bounded whatever arrives.

    A frame counts only with its head and a right checksum; otherwise one byte is passed over.
    """

    def __init__(self, form: FrameFormat) -> None:
        self._form = form
        self._rest = bytearray()
        self.dropped: Counter[str] = Counter()

    @property
    def pending(self) -> bytes:
        """What no frame was found in yet; what a person is shown when none ever is."""
        return bytes(self._rest)

    def restart(self) -> None:
        """The port was reopened."""
        self._rest.clear()

    def feed(self, data: bytes) -> list[bytes]:
        """Whole frames."""
        self._rest += data
        made, at = [], 0
        while len(self._rest) - at >= self._form.size:
            piece = bytes(self._rest[at : at + self._form.size])
            if self._form.proves(piece):
                made.append(piece)
                at += self._form.size
            else:
                self.dropped["noise"] += 1
                at += 1
        del self._rest[:at]
        return made


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What one binary frame of a gauge says; its last byte is the checksum over all before it.

    Attributes:
        head: the bytes every frame begins with.
        size: bytes of a frame.
        checksum: a key of CHECKSUMS.
        places: quantity -> (index of its first byte, a key of WIDTHS; big-endian).
        fields: quantity -> its scale.
    """

    head: bytes
    size: int
    checksum: str
    places: Mapping[str, tuple[int, str]]
    fields: Mapping[str, Scale]

    def cutter(self) -> Frames:
        """What cuts a stream into such frames."""
        return Frames(self)

    def proves(self, piece: bytes) -> bool:
        """Whether these bytes are a frame."""
        check = CHECKSUMS[self.checksum]
        return piece.startswith(self.head) and check is not None and check(piece[:-1]) == piece[-1]

    def read(self, piece: bytes) -> dict[str, Value] | str:
        """One frame -> its quantities, or why not: checksum."""
        if len(piece) != self.size or not self.proves(piece):
            return "checksum"
        values = {}
        for name, (at, kind) in self.places.items():
            raw = int.from_bytes(piece[at : at + WIDTHS[kind]], "big", signed=kind[0] == "i")
            values[name] = self.fields[name].apply(raw)
        return values


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


def _sr50a(body: bytes) -> int:
    return -(sum(b"\x02\r\n\x03") + sum(body)) & 0xFF


def _xor8(body: bytes) -> int:
    value = 0
    for byte in body:
        value ^= byte
    return value


CHECKSUMS: dict[str, Callable[[bytes], int] | None] = {
    "none": None,
    "sum8": _sum8,  # sum of the bytes
    "twos8": _twos8,  # its two's complement
    "sr50a": _sr50a,  # the same, STX, CR, LF and ETX counted too: Campbell SR50A manual 3.8, its example
    "xor8": _xor8,  # NMEA 0183
}
