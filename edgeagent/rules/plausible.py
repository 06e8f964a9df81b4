"""Range and rate of change of the water level -> its quality.  Marks, never deletes.

The names follow QARTOD's manual for water level: gross range (fail outside the sensor's span,
suspect outside the operator's), rate of change (suspect only: steep urban rivers rise more than
a metre in ten minutes, and a flood must not be failed away).  A quality is only ever lowered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading

__all__ = ["Plausible", "PlausibleConfig"]

_SHORTEST_MS = 60_000  # waves: a few centimetres within seconds are no rate
_TEN_MINUTES_MS = 600_000
_ORDER = {Quality.GOOD: 0, Quality.SUSPECT: 1, Quality.FAIL: 2, Quality.MISSING: 3}
_MARKED = ("level", "elevation")  # elevation is the level, seen from another zero

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]


class PlausibleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`plausible = { … }` of a gauge; metres above gauge zero.

    Attributes:
        min_m: lowest level that can be (river bed less 0.1 m); lower fails.
        max_m: highest level that can be (the sensor's span); higher fails.
        suspect_min_m: lowest level one would believe unseen; lower is suspect.
        suspect_max_m: the same above (bank top plus 1 m); higher is suspect.
        max_rate_m_per_10min: a faster change is suspect; 0.5 suits a small river.
    """

    min_m: Metres | None = None
    max_m: Metres | None = None
    suspect_min_m: Metres | None = None
    suspect_max_m: Metres | None = None
    max_rate_m_per_10min: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        named = [(name, getattr(self, name)) for name in ("min_m", "suspect_min_m", "suspect_max_m", "max_m")]
        given = [(name, value) for name, value in named if value is not None]
        for (low, least), (high, most) in pairwise(given):
            nothing_between = least == most and "min" in low and "max" in high
            if least > most or nothing_between:
                yield ConfigError("rules.range-order", path=high, got=most, other=low, other_value=least)


class Plausible:
    """The rule for one gauge."""

    Config = PlausibleConfig
    always = False

    def __init__(self, config: PlausibleConfig, source: str) -> None:
        self._source = source
        self._rate = config.max_rate_m_per_10min
        self._fail = _span(config.min_m, config.max_m)
        self._suspect = _span(config.suspect_min_m, config.suspect_max_m)
        self._last: tuple[float, Moment] | None = None

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading, its level marked."""
        level = reading.quantities.get("level") if reading.kind is Kind.WATER else None
        if level is None or not level.usable or not isinstance(level.value, int | float):
            return (reading,)
        quality, reason = self._judge(float(level.value), reading.at)
        if quality is Quality.GOOD:
            return (reading,)
        quantities = dict(reading.quantities)
        for name in _MARKED:
            if name in quantities:
                quantities[name] = _lower(quantities[name], quality)
        return (
            msgspec.structs.replace(reading, quantities=quantities, facts={**reading.facts, "reason:level": reason}),
        )

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  nothing falls due by time
        """Nothing falls due by the mere passing of time."""
        return ()

    def _judge(self, level: float, at: Moment) -> tuple[Quality, str]:
        least, most = self._fail
        if not least <= level <= most:
            return Quality.FAIL, "below-range" if level < least else "above-range"
        fast = self._is_fast(level, at)
        self._last = level, at
        least, most = self._suspect
        if not least <= level <= most:
            return Quality.SUSPECT, "unusually-low" if level < least else "unusually-high"
        return (Quality.SUSPECT, "rate") if fast else (Quality.GOOD, "")

    def _is_fast(self, level: float, at: Moment) -> bool:
        if self._rate is None or self._last is None or self._last[1].boot_id != at.boot_id:
            return False
        before, then = self._last
        elapsed_ms = max(at.mono_ms - then.mono_ms, _SHORTEST_MS)
        return abs(level - before) > self._rate * elapsed_ms / _TEN_MINUTES_MS


def _span(least: float | None, most: float | None) -> tuple[float, float]:
    return -math.inf if least is None else least, math.inf if most is None else most


def _lower(quantity: Quantity, quality: Quality) -> Quantity:
    if _ORDER[quantity.quality] >= _ORDER[quality]:
        return quantity
    return Quantity(quantity.value, quantity.unit, quality)
