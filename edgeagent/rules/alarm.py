"""Water level -> four alarm levels, alerts, and "blind above caution".

Names follow the four thresholds of Japanese river stations: standby (水防団待機), caution (氾濫注意),
evacuate (避難判断), danger (氾濫危険).  They name thresholds of this gauge; they are not warnings
that the Meteorological Agency issues.

    up      `confirm` usable readings in a row at or above a threshold; one is enough where the
            readings before it were already rising faster than `rate_m_per_10min`
    down    usable readings below threshold - hysteresis for `clear_after_s`, each threshold by its
            own clock, and no gap between them that would count as blind
    kept    missing and failed readings never clear anything
    blind   at caution or above, and no usable reading for `blind_after_s`, or for two and a half times
            the usual distance between readings if they come seldom: an alert of its own

The current alert is said again every ten minutes.  Where the first reading shows that nothing is
wrong, that is said once: the city may still hold an alert from before a restart.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, Unit

__all__ = ["Alarm", "AlarmConfig", "Levels"]

NORMAL = "normal"
SEVERITY = {"normal": "informational", "standby": "low", "caution": "medium", "evacuate": "high", "danger": "critical"}
_RESTATE_MS = 600_000
_SLOPE_OVER_MS = 600_000
_SLOPE_FROM = 3  # readings; fewer make no trend
_SLOPE_OF_MOST = 30

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=604_800)]


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds in metres above gauge zero; any of them may be absent."""

    standby: Metres | None = None
    caution: Metres | None = None
    evacuate: Metres | None = None
    danger: Metres | None = None

    @property
    def given(self) -> tuple[tuple[str, float], ...]:
        """(name, metres) of those that are set, from standby up."""
        named = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return tuple((name, metres) for name, metres in named if metres is not None)

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        given = self.given
        if not given:
            yield ConfigError("rules.no-levels", path="")
        for (low, below), (high, above) in pairwise(given):
            if above <= below:
                yield ConfigError("rules.levels-order", path=high, got=above, other=low, other_value=below)


class AlarmConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`alarm = { … }` of a gauge.

    Attributes:
        levels_m: thresholds, ascending.
        hysteresis_m: how far below a threshold the water must fall.
        confirm: readings in a row that raise an alarm.
        clear_after_s: how long the water must stay below.
        blind_after_s: silence above caution that is an alert of its own.
        rate_m_per_10min: a rise at this rate confirms at once; absent: never.
    """

    levels_m: Levels
    hysteresis_m: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.05
    confirm: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    clear_after_s: Seconds = 1800.0
    blind_after_s: Annotated[float, msgspec.Meta(ge=1, le=604_800)] = 600.0
    rate_m_per_10min: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None


class Alarm:
    """The rule for one gauge."""

    Config = AlarmConfig
    always = False

    def __init__(self, config: AlarmConfig, source: str) -> None:
        self._source = source
        self._confirm = config.confirm
        self._clear_ms = int(config.clear_after_s * 1000)
        self._blind_ms = int(config.blind_after_s * 1000)
        self._rate = config.rate_m_per_10min
        self._levels = [
            _Threshold(name, metres, metres - config.hysteresis_m) for name, metres in config.levels_m.given
        ]
        self._reached = 0  # how many thresholds, from the lowest, are in alarm
        self._trend: deque[tuple[int, float]] = deque(maxlen=_SLOPE_OF_MOST)
        self._last_ms: int | None = None  # of the last usable reading
        self._fed_ms: int | None = None  # of the last reading of any quality
        self._gaps: deque[int] = deque(maxlen=3)  # between readings
        self._level: Quantity | None = None
        self._flood = _Alert(source, source, "floodLevel")
        self._blind = _Alert(source, f"{source}:blind", "sensorBlind")

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading with its alarm level, and alerts."""
        if reading.kind is not Kind.WATER or reading.entity != self._source:
            return (reading,)
        level = reading.quantities.get("level")
        alerts: list[Reading] = []
        if self._fed_ms is not None:
            self._gaps.append(reading.at.mono_ms - self._fed_ms)
        self._fed_ms = reading.at.mono_ms
        value = level.value if level is not None and level.usable else None
        if level is not None and isinstance(value, int | float) and math.isfinite(value):
            alerts += self._see(float(value), level, reading.at)
        alerts += self.tick(reading.at)
        quantities = {**reading.quantities, "alarm_level": Quantity(self._name)}
        return (msgspec.structs.replace(reading, quantities=quantities), *alerts)

    def tick(self, now: Moment) -> list[Reading]:
        """The blind alert, and the current alerts once more."""
        alerts: list[Reading] = []
        watching = self._name in ("caution", "evacuate", "danger")
        silent = self._last_ms is not None and now.mono_ms - self._last_ms >= self._patience_ms
        if watching and silent and not self._blind.active:
            alerts.append(self._blind.say(now, active=True, name=self._name))
        alerts += self._flood.again(now)
        alerts += self._blind.again(now)
        return alerts

    @property
    def _patience_ms(self) -> float:
        return max(self._blind_ms, 2.5 * min(self._gaps, default=0))

    @property
    def _name(self) -> str:
        return self._levels[self._reached - 1].name if self._reached else NORMAL

    def _see(self, value: float, level: Quantity, at: Moment) -> Iterator[Reading]:
        now = at.mono_ms
        unseen = self._last_ms is None
        if unseen or now - (self._last_ms or 0) > self._patience_ms:
            for threshold in self._levels:  # nobody knows what the water did meanwhile
                threshold.below_since = None
        self._last_ms, self._level = now, level
        if self._blind.active or unseen:
            yield self._blind.say(at, active=False, name=NORMAL)
        before = self._reached
        for index, threshold in enumerate(self._levels):
            threshold.count(value, now)
            if index >= self._reached and threshold.above and self._is_confirmed(threshold, now):
                self._reached = index + 1
        while self._reached and self._levels[self._reached - 1].is_clear(now, self._clear_ms):
            self._reached -= 1
        self._trend.append((now, value))
        nothing_wrong = unseen and value < self._levels[0].clear_m
        if self._reached != before or nothing_wrong:
            yield self._flood.say(at, active=self._reached > 0, name=self._name, level=level)
        else:
            self._flood.level = level

    def _is_confirmed(self, threshold: _Threshold, now_ms: int) -> bool:
        return threshold.above >= self._confirm or (self._rate is not None and self._slope(now_ms) >= self._rate)

    def _slope(self, now_ms: int) -> float:
        """Metres per ten minutes of the readings before this one, which must not vouch for itself.

        Theil-Sen: the median of all pairs' slopes, so that one wild reading makes no trend.
        """
        recent = [(ms, value) for ms, value in self._trend if now_ms - ms <= _SLOPE_OVER_MS]
        if len(recent) < _SLOPE_FROM:
            return 0.0
        slopes = [(b - a) / (late - early) for (early, a), (late, b) in combinations(recent, 2) if late > early]
        return statistics.median(slopes) * 600_000 if slopes else 0.0


class _Threshold:
    """One threshold and what was seen of it: readings in a row above, time since when below."""

    def __init__(self, name: str, metres: float, clear_m: float) -> None:
        self.name, self.metres, self.clear_m = name, metres, clear_m
        self.above = 0
        self.below_since: int | None = None

    def count(self, value: float, now_ms: int) -> None:
        self.above = self.above + 1 if value >= self.metres else 0
        if value >= self.clear_m:
            self.below_since = None
        elif self.below_since is None:
            self.below_since = now_ms

    def is_clear(self, now_ms: int, after_ms: int) -> bool:
        return self.below_since is not None and now_ms - self.below_since >= after_ms


class _Alert:
    """One alert entity and what was last said of it."""

    def __init__(self, source: str, entity: str, kind: str) -> None:
        self._source, self._entity, self._kind = source, entity, kind
        self.active = False
        self.level: Quantity | None = None
        self._name = NORMAL
        self._said_ms = 0

    def say(self, at: Moment, *, active: bool, name: str, level: Quantity | None = None) -> Reading:
        """The alert as it is now."""
        self.active, self._name, self.level, self._said_ms = active, name, level, at.mono_ms
        severity = SEVERITY[name] if active else SEVERITY[NORMAL]
        quantities = {
            "active": Quantity(active),
            "sub_category": Quantity(self._kind),
            "severity": Quantity(severity),
            "level_name": Quantity(name),
        }
        if level is not None:
            quantities["level"] = Quantity(level.value, Unit.METRE, level.quality)
        return Reading(
            source=self._source,
            kind=Kind.ALERT,
            entity=self._entity,
            at=at,
            quantities=quantities,
            cls=ReadingClass.ALARM,
        )

    def again(self, now: Moment) -> list[Reading]:
        """The alert once more, when it is active and was last said ten minutes ago."""
        if not self.active or now.mono_ms - self._said_ms < _RESTATE_MS:
            return []
        return [self.say(now, active=True, name=self._name, level=self.level)]
