"""QARTOD's tests of the water level -> its quality.  Marks, never deletes.

    gross_range     fail outside the sensor's span, suspect outside the operator's
    spike           Hampel over five values; confirmed or cleared by the next two, asked for within seconds
    rate_of_change  suspect only: steep urban rivers rise more than a metre in ten minutes, and a flood
                    must not be failed away
    flat_line       range over a rolling window below one step of the gauge: suspect, later fail
    attenuated      the samples of ten bursts in a row do not differ at all
    gap             the value before this one is older than it should be; marks nothing

Names and flags (1 pass, 2 not evaluated, 3 suspect, 4 fail) follow QARTOD's manual for water level 2.1
(2021).  A quality is only ever lowered; every flag that is not pass stands in the fact `qartod`, the
names of those that lowered it in `reason:level`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.ports import Pace
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading
from edgeagent.rules.flat import Flat
from edgeagent.rules.spike import SpikeTest

__all__ = ["Plausible", "PlausibleConfig"]

_SHORTEST_MS = 60_000  # waves: a few centimetres within seconds are no rate
_TEN_MINUTES_MS = 600_000
_ORDER = {Quality.GOOD: 0, Quality.SUSPECT: 1, Quality.FAIL: 2, Quality.MISSING: 3}
_MARKED = ("level", "elevation")  # elevation is the level, seen from another zero

_FLAGS = {Quality.GOOD: 1, Quality.SUSPECT: 3, Quality.FAIL: 4}
_STILL_BURSTS = 10
_FEWEST_SAMPLES = 5

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=604_800)]


class PlausibleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`plausible = { … }` of a gauge; metres above gauge zero.

    Attributes:
        min_m: lowest level that can be (river bed less 0.1 m); lower fails.
        max_m: highest level that can be (the sensor's span); higher fails.
        suspect_min_m: lowest level one would believe unseen; lower is suspect.
        suspect_max_m: the same above (bank top plus 1 m); higher is suspect.
        max_rate_m_per_10min: a faster change is suspect; 0.5 suits a small river.
        spike_m, spike_fail_m: what is further from the median of the last five values than this and
            three (six) times their MAD is a suspected (failed) spike until two more values confirm it.
        flat_m: one step of the gauge; a level that stays within it for flat_suspect_s is suspect.
        flat_suspect_s, flat_fail_s: after so long; it fails only where base_flow_m is given.
        base_flow_m: at or below it, and without rain, a river may well stand still.
        gap_s: longer than this between two values is a gap; absent: never.
        again_s: how soon a wild value is looked at again.
    """

    min_m: Metres | None = None
    max_m: Metres | None = None
    suspect_min_m: Metres | None = None
    suspect_max_m: Metres | None = None
    max_rate_m_per_10min: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None
    spike_m: Positive = 0.05
    spike_fail_m: Positive = 0.20
    flat_m: Positive = 0.001
    flat_suspect_s: Seconds = 10_800.0
    flat_fail_s: Seconds = 86_400.0
    base_flow_m: Metres | None = None
    gap_s: Seconds | None = None
    again_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 15.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        named = [(name, getattr(self, name)) for name in ("min_m", "suspect_min_m", "suspect_max_m", "max_m")]
        given = [(name, value) for name, value in named if value is not None]
        for (low, least), (high, most) in pairwise(given):
            nothing_between = least == most and "min" in low and "max" in high
            if least > most or nothing_between:
                yield ConfigError("rules.range-order", path=high, got=most, other=low, other_value=least)
        for low, high in (("spike_m", "spike_fail_m"), ("flat_suspect_s", "flat_fail_s")):
            if getattr(self, low) > getattr(self, high):
                got, other = getattr(self, high), getattr(self, low)
                yield ConfigError("rules.range-order", path=high, got=got, other=low, other_value=other)


class Plausible:
    """The rule for one gauge."""

    Config = PlausibleConfig
    always = False

    def __init__(self, config: PlausibleConfig, source: str) -> None:
        self._source = source
        self._config = config
        self._rate = config.max_rate_m_per_10min
        self._fail = _span(config.min_m, config.max_m)
        self._suspect = _span(config.suspect_min_m, config.suspect_max_m)
        self._last: tuple[float, Moment] | None = None
        self._spike = SpikeTest(config.spike_m, config.spike_fail_m)
        self._flat = Flat(config.flat_fail_s)
        self._still = 0
        self._still_at: float | None = None

    @property
    def pace(self) -> Pace:
        """A wild value is looked at again within seconds."""
        return Pace(again_s=self._config.again_s if self._spike.pending else None)

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading, its level marked."""
        level = reading.quantities.get("level") if reading.kind is Kind.WATER else None
        if level is None or not level.usable or not isinstance(level.value, int | float):
            return (reading,)
        flags, reasons = self._judge(float(level.value), reading)
        marking = [flag for name, flag in flags.items() if name != "gap"]  # nothing is wrong with a value behind a gap
        quality = max(marking, key=_ORDER.__getitem__)
        told = " ".join(f"{name}:{_FLAGS[flag]}" for name, flag in flags.items() if flag is not Quality.GOOD)
        if not told:
            return (reading,)
        facts = {**reading.facts, "qartod": told}
        if quality is Quality.GOOD:
            return (msgspec.structs.replace(reading, facts=facts),)
        quantities = dict(reading.quantities)
        for name in _MARKED:
            if name in quantities:
                quantities[name] = _lower(quantities[name], quality)
        facts["reason:level"] = " ".join(reasons)
        return (msgspec.structs.replace(reading, quantities=quantities, facts=facts),)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  nothing falls due by time
        """Nothing falls due by the mere passing of time."""
        return ()

    def _judge(self, level: float, reading: Reading) -> tuple[dict[str, Quality], list[str]]:
        """Flag by test, and what to call those that are not good."""
        at, least, most = reading.at, *self._fail
        if not least <= level <= most:
            return {"gross_range": Quality.FAIL}, ["below-range" if level < least else "above-range"]
        flags, reasons = {"gross_range": Quality.GOOD}, []
        least, most = self._suspect
        if not least <= level <= most:
            flags["gross_range"] = Quality.SUSPECT
            reasons.append("unusually-low" if level < least else "unusually-high")
        if self._is_late(at):
            flags["gap"] = Quality.SUSPECT
        for name, flag in (
            ("spike", _QUALITY[self._spike.judge(level)]),
            ("rate_of_change", Quality.SUSPECT if self._is_fast(level, at) else Quality.GOOD),
            ("flat_line", self._is_flat(level, at)),
            ("attenuated", Quality.SUSPECT if self._is_attenuated(level, reading) else Quality.GOOD),
        ):
            flags[name] = flag
            if flag is not Quality.GOOD:
                reasons.append(_REASONS[name])
        self._last = level, at
        return flags, reasons

    def _is_late(self, at: Moment) -> bool:
        gap_s, last = self._config.gap_s, self._last
        return gap_s is not None and last is not None and at.mono_ms - last[1].mono_ms > gap_s * 1000

    def _is_flat(self, level: float, at: Moment) -> Quality:
        config = self._config
        self._flat.add(at.mono_ms, level)
        if config.base_flow_m is not None and level <= config.base_flow_m:
            return Quality.GOOD
        for seconds, quality in ((config.flat_fail_s, Quality.FAIL), (config.flat_suspect_s, Quality.SUSPECT)):
            moved = self._flat.range_over(at.mono_ms, seconds)
            if moved is not None and moved < config.flat_m:
                return Quality.SUSPECT if config.base_flow_m is None else quality
        return Quality.GOOD

    def _is_attenuated(self, level: float, reading: Reading) -> bool:
        spread, count = reading.quantities.get("mad"), reading.quantities.get("n_valid")
        base = self._config.base_flow_m
        samples = count.value if count is not None and isinstance(count.value, int | float) else 0
        moving = base is not None and level > base
        if not moving or samples < _FEWEST_SAMPLES or spread is None or spread.value != 0:
            self._still = 0
            return False
        self._still = self._still + 1 if level == self._still_at else 1
        self._still_at = level
        return self._still >= _STILL_BURSTS

    def _is_fast(self, level: float, at: Moment) -> bool:
        if self._rate is None or self._last is None or self._last[1].boot_id != at.boot_id:
            return False
        before, then = self._last
        elapsed_ms = max(at.mono_ms - then.mono_ms, _SHORTEST_MS)
        return abs(level - before) > self._rate * elapsed_ms / _TEN_MINUTES_MS


_QUALITY = {"pass": Quality.GOOD, "unknown": Quality.GOOD, "suspect": Quality.SUSPECT, "fail": Quality.FAIL}
_REASONS = {"spike": "spike", "rate_of_change": "rate", "flat_line": "flat-line", "attenuated": "attenuated"}


def _span(least: float | None, most: float | None) -> tuple[float, float]:
    return -math.inf if least is None else least, math.inf if most is None else most


def _lower(quantity: Quantity, quality: Quality) -> Quantity:
    if _ORDER[quantity.quality] >= _ORDER[quality]:
        return quantity
    return Quantity(quantity.value, quantity.unit, quality)
