"""Many samples -> one value per interval: median, mean, max or sum.

An interval ends on a multiple of `every_s` of the wall clock where the clock is trusted (:00, :10, …),
and of the monotonic clock where it is not; its length is always measured by the monotonic clock.
Level, elevation and rain are combined as `of` says, any other number as the median, and text
and yes/no keep their latest value.

Quality: at least half of the samples good -> computed from those, good.  Fewer -> computed from
all usable ones, suspect; so is a sum of which any part is not good.  None usable -> missing, never
the last value.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, TimeTrust

__all__ = ["Window", "WindowConfig"]

_GRACE_MS = 2_000  # a sample taken before the end may still be on its way when the clock says it is over
_MAIN = frozenset({"level", "elevation", "rain"})
_DECIMALS = 4
_COMBINE: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "max": max,
    "sum": sum,
}


class WindowConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`window = { … }` of a source.

    Attributes:
        every_s: length of an interval.
        of: how its samples become one value.
    """

    every_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 600
    of: Literal["median", "mean", "max", "sum"] = "median"


class Window:
    """The rule for one source; each of its things has intervals of its own."""

    Config = WindowConfig
    always = False

    def __init__(self, config: WindowConfig, source: str) -> None:
        self._source = source
        self._config = config
        self._length_ms = config.every_s * 1000
        self._open: dict[tuple[Kind, str], _Interval] = {}
        self._ends: dict[tuple[Kind, str], int] = {}  # monotonic milliseconds where the last interval ended

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """Nothing, or the interval that this reading shows to be over; alarms pass at once."""
        if reading.cls is ReadingClass.ALARM:
            return (reading,)
        key = reading.kind, reading.entity
        interval = self._open.get(key)
        if interval is not None and not interval.is_over(reading.at):
            interval.samples.append(reading)
            return ()
        done = () if interval is None else (self._close(key),)
        self._open[key] = _Interval(reading, self._length_ms, self._ends.get(key))
        return done

    def tick(self, now: Moment) -> Iterable[Reading]:
        """Intervals whose time is up."""
        return [self._close(key) for key, interval in list(self._open.items()) if interval.is_over(now, _GRACE_MS)]

    def _close(self, key: tuple[Kind, str]) -> Reading:
        interval = self._open.pop(key)
        self._ends[key] = interval.end_ms
        return interval.result(self._config)


class _Interval:
    """The samples of one thing, and when their interval ends.

    Args:
        sample: the first.
        length_ms: from one end to the next.
        begin_ms: where the interval before it ended; None for the first, which begins in the middle.
    """

    def __init__(self, sample: Reading, length_ms: int, begin_ms: int | None) -> None:
        at = sample.at
        self.samples = [sample]
        here = at.wall_ms if at.trust is TimeTrust.SYNCED else at.mono_ms
        left_ms = length_ms - here % length_ms
        self.end_ms = at.mono_ms + left_ms
        self._wall_end_ms = at.wall_ms + left_ms if at.trust is TimeTrust.SYNCED else None
        watched_ms = self.end_ms - (at.mono_ms - sample.span_ms if begin_ms is None else begin_ms)
        self._span_ms = watched_ms if 0 < watched_ms < length_ms else length_ms
        self._boot_id = at.boot_id

    def is_over(self, at: Moment, grace_ms: int = 0) -> bool:
        return at.boot_id != self._boot_id or at.mono_ms >= self.end_ms + grace_ms

    def result(self, config: WindowConfig) -> Reading:
        last = self.samples[-1]
        quantities: dict[str, Quantity] = {}
        facts = {key: value for key, value in last.facts.items() if key != "raw" and not key.startswith("reason:")}
        facts["window"] = f"{config.of} {config.every_s} s"
        facts["n"] = str(len(self.samples))
        for name in {name: None for sample in self.samples for name in sample.quantities}:  # in order, once each
            quantities[name] = self._combine(name, config.of, facts)
        return msgspec.structs.replace(
            last, at=self._end(last.at), quantities=quantities, facts=facts, span_ms=self._span_ms
        )

    def _end(self, last: Moment) -> Moment:
        if self._wall_end_ms is not None:
            return Moment(self._wall_end_ms, self.end_ms, self._boot_id, TimeTrust.SYNCED)
        return Moment(last.wall_ms + self.end_ms - last.mono_ms, self.end_ms, self._boot_id, last.trust)

    def _combine(self, name: str, of: str, facts: dict[str, str]) -> Quantity:
        seen = [sample.quantities[name] for sample in self.samples if name in sample.quantities]
        usable = [quantity for quantity in seen if quantity.usable and _is_finite(quantity.value)]
        if not usable:
            for sample in reversed(self.samples):
                reason = sample.facts.get(f"reason:{name}")
                if reason:
                    facts[f"reason:{name}"] = reason
                    break
            return Quantity.missing(seen[-1].unit)
        latest = usable[-1]
        if isinstance(latest.value, str | bool):
            return latest
        good = [quantity for quantity in usable if quantity.quality is Quality.GOOD]
        summing = of == "sum" and name in _MAIN  # a sum with a part missing is too small
        enough = len(good) == len(seen) if summing else 2 * len(good) >= len(seen)
        values = [q.value for q in (good if enough else usable) if isinstance(q.value, int | float)]
        main = name in _MAIN
        if main:
            facts[f"n_valid:{name}"] = str(len(values))
            facts[f"min:{name}"], facts[f"max:{name}"] = f"{min(values):g}", f"{max(values):g}"
        value = _COMBINE[of if main else "median"](values)
        return Quantity(round(value, _DECIMALS), latest.unit, Quality.GOOD if enough else Quality.SUSPECT)


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
