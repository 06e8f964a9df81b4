"""SDI-12: what is asked, and what the answers say.  Pure: bytes in, the next step out.

    aM!  -> atttn      in ttt seconds n values are ready; the sensor says `a` (service request) if sooner
    aD0! -> a+v+v…     as many values as fit; D1, D2 … bring the rest
    aC!  -> atttnn     the same without service request, so that others can be asked meanwhile
    aMC!, aCC!         the same, each D answer with a CRC

Source: SDI-12 Specification 1.4 (2021), 4.4 (commands), 4.4.12 (CRC).  May import: own room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgeagent.wire.registers import Scale, Value

__all__ = ["Ask", "Done", "Failed", "Measurement", "Session", "Wait", "crc"]

_MOST_D = 10
_RETRIES = 2
_ANSWER_S = 1.0  # a sensor answers within 15 ms; the rest is for adapters and radio links
_SPARE_S = 0.5
_READY = re.compile(rb"(\d{3})(\d{1,2})")
_NUMBERS = re.compile(rb"[+-]\d{1,7}(?:\.\d{0,7})?|[+-]\.\d{1,7}")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is asked of a sensor, and which of its values is what.

    Attributes:
        command: M, M1 … C9.
        crc: ask for checked answers.
        places: quantity -> index of its value.
        fields: quantity -> its scale.
        error: index of the value by which the sensor says that it failed; None: it has none.
        error_ok: what that value is when all is well.
    """

    command: str
    crc: bool
    places: Mapping[str, int]
    fields: Mapping[str, Scale]
    error: int | None = None
    error_ok: float = 0.0

    def read(self, values: list[float]) -> dict[str, Value]:
        """The values of one measurement -> quantities."""
        if self.error is not None and (len(values) <= self.error or values[self.error] != self.error_ok):
            why = f"error-{values[self.error]:g}" if len(values) > self.error else "no-status"
            return {name: Value(None, why) for name in self.fields}
        return {
            name: self.fields[name].apply(values[at]) if at < len(values) else Value(None, "empty")
            for name, at in self.places.items()
        }


class Ask(NamedTuple):
    """Send this (after a break) and wait so long for a line."""

    data: bytes
    timeout_s: float


class Wait(NamedTuple):
    """Wait so long, or until a line comes."""

    seconds: float


class Done(NamedTuple):
    """The values, as they are on the wire."""

    values: list[float]


class Failed(NamedTuple):
    """No values, and why: silent, wrong-address, crc, no-match, nothing, too-few."""

    reason: str


Step = Ask | Wait | Done | Failed


def crc(data: bytes) -> bytes:
    """The three characters that follow a checked answer."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return bytes((0x40 | value >> 12, 0x40 | value >> 6 & 0x3F, 0x40 | value & 0x3F))


class Session:
    """One measurement of one sensor; `begin`, then `line` or `silence` until Done or Failed."""

    def __init__(self, address: str, measurement: Measurement) -> None:
        self._address = address.encode("ascii")
        self._asked = measurement
        self._state = "start"
        self._values: list[float] = []
        self._expected = 0
        self._number = 0
        self._tries = 0

    def begin(self) -> Step:
        """Start the measurement."""
        kind, number = self._asked.command[0], self._asked.command[1:]
        command = f"{kind}{'C' if self._asked.crc else ''}{number}!".encode("ascii")
        return Ask(self._address + command, _ANSWER_S)

    def line(self, line: bytes) -> Step:
        """A line came, without its end."""
        if not line.startswith(self._address):
            return self._again("wrong-address")
        said = line[len(self._address) :]
        if self._state == "start":
            return self._ready(said)
        if self._state == "waiting":
            # the service request; a number behind the address would be somebody else's answer
            return self._data() if not said else Wait(_SPARE_S)
        return self._more(line, said)

    def silence(self) -> Step:
        """Nothing came in time.  A lost service request is no fault: the time is over, so ask."""
        return self._data() if self._state == "waiting" else self._again("silent")

    def _ready(self, said: bytes) -> Step:
        found = _READY.fullmatch(said)
        if found is None:
            return self._again("no-match")
        seconds, self._expected = int(found[1]), int(found[2])
        if not self._expected:
            return Failed("nothing")
        self._tries = 0
        self._state = "waiting"
        return self._data() if seconds == 0 else Wait(seconds + _SPARE_S)

    def _data(self) -> Step:
        self._state = "data"
        return Ask(self._address + f"D{self._number}!".encode("ascii"), _ANSWER_S)

    def _more(self, line: bytes, said: bytes) -> Step:
        if self._asked.crc:
            if len(said) < 3 or crc(line[:-3]) != line[-3:]:  # noqa: PLR2004  the length of a CRC
                return self._again("crc")
            said = said[:-3]
        numbers = _NUMBERS.findall(said)
        if b"".join(numbers) != said:
            return self._again("no-match")
        if not numbers:
            return Failed("nothing") if not self._values else Failed("too-few")
        self._values += [float(n) for n in numbers]
        self._tries = 0
        if len(self._values) >= self._expected:
            return Done(self._values)
        self._number += 1
        return self._data() if self._number < _MOST_D else Failed("too-few")

    def _again(self, why: str) -> Step:
        """The same question once more; asking for data does not start a new measurement, so it is safe."""
        self._tries += 1
        if self._tries > _RETRIES:
            return Failed(why)
        return self._data() if self._state == "data" else self.begin()
