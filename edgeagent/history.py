"""PURE  water readings -> the last day of each gauge, minute by minute, in memory.

For a person who looks at the river now: the page on demand and the acceptance report.  It is no
record: what counts is in the outbox and at the city.

- One cell a minute, for 24 h: lowest, mean and highest usable level, the worst quality among them,
  and how many readings of that minute failed or were missing.  A minute without a reading is no
  point at all; a minute with none that can be believed is a point without a number.  Nothing is
  interpolated and a peak is never averaged away.
- It stands before `window` and `deadband`: what those hold back from the SIM card is seen here.
- Cells are kept by the monotonic clock and dated when they are asked for, so a wall clock that is
  set meanwhile moves the whole curve and never tears it.
- It ends with the process.  To keep it would cost a write a minute to the card for ten years, or
  put values of an unknown clock of the last boot beside those of this one; instead every answer
  says since when it looked (`since_ms`), and a picture shows the time before as not watched.

27 kB a gauge.  May import: reading.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

import msgspec

from edgeagent.reading import Kind, Moment, Quality, Reading

__all__ = ["MINUTES", "History", "Level", "Point", "Ring", "Trace"]

MINUTES = 24 * 60
_MINUTE_MS = 60_000
_MOST = 0xFFFF
_HIGHEST_M = 10_000.0  # the range of a threshold; beyond it is no level


class Level(msgspec.Struct, frozen=True):
    """A threshold in metres above gauge zero; `ja`, `en`: what people here call it, "" for the usual name."""

    name: str
    level_m: float
    ja: str = ""
    en: str = ""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One minute of one gauge.

    Attributes:
        at_ms: middle of the minute, UTC epoch milliseconds by the clock at the time of the answer.
        low_m, mean_m, high_m: of the usable levels; None where there was none.
        quality: the worst of the usable ones; without any FAIL, or MISSING where nothing failed either.
        failed, missing: readings of that minute that were refused as wrong, or had no value.
    """

    at_ms: int
    low_m: float | None
    mean_m: float | None
    high_m: float | None
    quality: Quality
    failed: int = 0
    missing: int = 0


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One gauge: its thresholds from the lowest up, its points from the oldest on."""

    source: str
    name: str
    levels: list[Level]
    points: list[Point]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `history`.

    Attributes:
        now_ms: when it was made, UTC epoch milliseconds.
        since_ms: from when on the gauges were watched, at most a day back.
        clock: synced or unsynced: whether these times can be believed.
    """

    now_ms: int
    since_ms: int
    clock: str
    traces: list[Trace]


class Ring:
    """The last day of one gauge; a rule that changes nothing, so it can stand in the row of rules."""

    def __init__(self, source: str, name: str = "", levels: Iterable[Level] = ()) -> None:
        self._source, self._name, self._levels = source, name, list(levels)
        self._low, self._high = array("f", bytes(4 * MINUTES)), array("f", bytes(4 * MINUTES))
        self._mean = array("d", bytes(8 * MINUTES))
        self._usable, self._failed, self._missing = (array("H", bytes(2 * MINUTES)) for _ in range(3))
        self._doubtful = bytearray(MINUTES)
        self._newest: int | None = None  # minutes of the monotonic clock

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """Remember the level; the reading goes on as it is."""
        if reading.kind is Kind.WATER and reading.entity == self._source:
            self._see(reading)
        return (reading,)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  minutes end by themselves
        """Nothing."""
        return ()

    def trace(self, now: Moment) -> Trace:
        """What is remembered of the day before `now`."""
        last = now.mono_ms // _MINUTE_MS
        newest = -1 if self._newest is None else self._newest
        first = max(0, max(last, newest) - MINUTES + 1)
        middle_ms = now.wall_ms - now.mono_ms + _MINUTE_MS // 2
        spoken = map(any, zip(self._usable, self._failed, self._missing, strict=True))
        cells = {cell for cell, spoke in enumerate(spoken) if spoke}
        points = [
            self._point(minute % MINUTES, min(middle_ms + minute * _MINUTE_MS, now.wall_ms))
            for minute in range(first, newest + 1)
            if minute % MINUTES in cells
        ]
        return Trace(source=self._source, name=self._name, levels=self._levels, points=points)

    def _see(self, reading: Reading) -> None:
        minute = reading.at.mono_ms // _MINUTE_MS
        if self._newest is None or minute > self._newest:
            self._forget(minute)
        elif minute <= self._newest - MINUTES:
            return
        cell = minute % MINUTES
        level = reading.quantities.get("level")
        value = level.value if level is not None and level.usable else None
        if level is None or level.value is None:
            self._missing[cell] = min(self._missing[cell] + 1, _MOST)
        elif isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _HIGHEST_M:
            self._add(cell, float(value), doubtful=level.quality is Quality.SUSPECT)
        else:
            self._failed[cell] = min(self._failed[cell] + 1, _MOST)

    def _add(self, cell: int, value: float, *, doubtful: bool) -> None:
        before = self._usable[cell]
        self._low[cell] = min(value, self._low[cell]) if before else value
        self._high[cell] = max(value, self._high[cell]) if before else value
        self._mean[cell] = self._mean[cell] + (value - self._mean[cell]) / (before + 1) if before else value
        self._usable[cell] = min(before + 1, _MOST)
        self._doubtful[cell] |= doubtful

    def _forget(self, minute: int) -> None:
        """Make room for `minute`: what is a day older, and the minutes nobody spoke in, are empty."""
        begin = minute - MINUTES + 1 if self._newest is None else max(self._newest + 1, minute - MINUTES + 1)
        for old in range(begin, minute + 1):
            cell = old % MINUTES
            self._usable[cell] = self._failed[cell] = self._missing[cell] = 0
            self._doubtful[cell] = 0
        self._newest = minute

    def _point(self, cell: int, at_ms: int) -> Point:
        failed, missing = self._failed[cell], self._missing[cell]
        if not self._usable[cell]:
            return Point(at_ms, None, None, None, Quality.FAIL if failed else Quality.MISSING, failed, missing)
        quality = Quality.SUSPECT if self._doubtful[cell] else Quality.GOOD
        low, mean, high = round(self._low[cell], 3), round(self._mean[cell], 3), round(self._high[cell], 3)
        return Point(at_ms, low, mean, high, quality, failed, missing)
