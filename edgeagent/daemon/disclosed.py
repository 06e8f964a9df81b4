"""What left in the last day, by field: counted when a receiver acknowledged it, for `edgeagent privacy audit`.

In memory only, by hour; a restart begins anew, and the answer says since when it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from edgeagent.reading import Kind, Reading
from edgeagent.wire.raw_ids import RawIds

__all__ = ["Disclosed", "Left"]

_HOUR_MS = 3_600_000
_HOURS = 24
_MOST = 500  # combinations of fields in one hour: a profile of somebody's own cannot fill the memory
_OF_PEOPLE = (Kind.TAG, Kind.CROWD, Kind.ALERT)
_Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class Left(msgspec.Struct, frozen=True):
    """So many readings of a kind carried this field.

    Attributes:
        kind: sort of thing.
        field: name of a quantity, or `fact:<name>`.
        readings: how many.
    """

    kind: str
    field: str
    readings: int


class Disclosed:
    """Of one uplink.

    Attributes:
        raw: readings that left with an address or a raw tag id in them; always 0, or something is wrong.
    """

    def __init__(self) -> None:
        self._hours: dict[int, Counter[_Key]] = {}
        self._raw = RawIds()
        self.raw = 0

    def note(self, readings: Iterable[Reading], mono_ms: int) -> None:
        """These were acknowledged."""
        hour = mono_ms // _HOUR_MS
        counted = self._hours.get(hour)
        if counted is None:
            counted = self._hours[hour] = Counter()
            for old in [h for h in self._hours if h <= hour - _HOURS]:
                del self._hours[old]
        for reading in readings:
            key = (reading.kind.value, tuple(reading.quantities), tuple(reading.facts))
            if key in counted or len(counted) < _MOST:
                counted[key] += 1
            if reading.kind in _OF_PEOPLE and self._raw.found(msgspec.json.encode(reading)):
                self.raw += 1

    def last_day(self, mono_ms: int) -> list[Left]:
        """By kind and field."""
        fields: Counter[tuple[str, str]] = Counter()
        for hour, counted in self._hours.items():
            if hour > mono_ms // _HOUR_MS - _HOURS:
                for (kind, quantities, facts), readings in counted.items():
                    for name in (*quantities, *(f"fact:{fact}" for fact in facts)):
                        fields[kind, name] += readings
        return [Left(kind, name, readings) for (kind, name), readings in sorted(fields.items())]
