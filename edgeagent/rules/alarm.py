"""Water level -> four alarm levels, alerts, and "blind above caution".

Names follow the four thresholds of Japanese river stations: standby (水防団待機), caution (氾濫注意),
evacuate (避難判断), danger (氾濫危険).  They name thresholds of this gauge; they are not warnings
that the Meteorological Agency issues.

    up      `confirm` usable readings in a row at or above a threshold; one is enough where the
            readings before it were already rising faster than `rate_m_per_10min`
    rate    rise per hour over 10 and 30 minutes goes with every reading, and with it, while the water
            rises, the time until it reaches the next threshold at that rate
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
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.ports import Pace
from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.trend import Trend

__all__ = ["Alarm", "AlarmConfig", "Levels"]

NORMAL = "normal"
SEVERITY = {"normal": "informational", "standby": "low", "caution": "medium", "evacuate": "high", "danger": "critical"}
_RESTATE_MS = 600_000
_RATE_EVERY_MS = 10_000  # the trend is a matter of minutes
_RISING_M_PER_H = 0.05  # slower than this is no rise that will reach anything soon
_AGAIN_S = 15.0
_FORESEEN_S = 6 * 3600

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


class LevelNames(msgspec.Struct, frozen=True, kw_only=True):
    """What the thresholds are called; "" for the usual name."""

    standby: str = ""
    caution: str = ""
    evacuate: str = ""
    danger: str = ""


class AlarmConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`alarm = { … }` of a gauge.

    Attributes:
        levels_m: thresholds, ascending.
        hysteresis_m: how far below a threshold the water must fall.
        confirm: readings in a row that raise an alarm.
        clear_after_s: how long the water must stay below.
        blind_after_s: silence above caution that is an alert of its own.
        rate_m_per_10min: after a rise at this rate one reading confirms.
        names_ja, names_en: what people here call a threshold, by its key; absent: the names of MLIT.
    """

    levels_m: Levels
    hysteresis_m: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.05
    confirm: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    clear_after_s: Seconds = 1800.0
    blind_after_s: Annotated[float, msgspec.Meta(ge=1, le=604_800)] = 600.0
    rate_m_per_10min: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.3
    names_ja: LevelNames = LevelNames()
    names_en: LevelNames = LevelNames()


class Alarm:
    """The rule for one gauge."""

    Config = AlarmConfig
    always = False

    def __init__(self, config: AlarmConfig, source: str) -> None:
        self._source = source
        self._confirm = config.confirm
        self._clear_ms = int(config.clear_after_s * 1000)
        self._blind_ms = int(config.blind_after_s * 1000)
        self._fast_m_per_h = config.rate_m_per_10min * 6
        self._levels = [
            _Threshold(name, metres, metres - config.hysteresis_m) for name, metres in config.levels_m.given
        ]
        self._reached = 0  # how many thresholds, from the lowest, are in alarm
        self._before = Trend(600.0, 300.0)  # in less time waves of some centimetres look like a flood

        self._trends = {"rate": Trend(600.0, 300.0), "rate_30min": Trend(1800.0, 900.0)}
        self._rates: dict[str, float] = {}
        self._rates_ms: int | None = None
        self._last_ms: int | None = None  # of the last usable reading
        self._fed_ms: int | None = None  # of the last reading of any quality
        self._gaps: deque[int] = deque(maxlen=3)  # between readings
        self._level: Quantity | None = None
        names = {
            name: {"level_ja": getattr(config.names_ja, name), "level_en": getattr(config.names_en, name)}
            for name, _ in config.levels_m.given
        }
        self._flood = _Alert(source, source, "floodLevel", names)
        self._blind = _Alert(source, f"{source}:blind", "sensorBlind", names)

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
        if value is not None:
            quantities |= self._outlook()
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
    def pace(self) -> Pace:
        """A threshold that was seen once is looked at again soon, not after a whole period."""
        waiting = any(0 < t.above < self._confirm for t in self._levels[self._reached :])
        return Pace(again_s=_AGAIN_S if waiting else None)

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
        self._look_ahead(now, value)
        before = self._reached
        for index, threshold in enumerate(self._levels):
            threshold.count(value, now)
            if index >= self._reached and threshold.above and self._is_confirmed(threshold, now):
                self._reached = index + 1
        while self._reached and self._levels[self._reached - 1].is_clear(now, self._clear_ms):
            self._reached -= 1
        self._before.add(now, value)
        nothing_wrong = unseen and value < self._levels[0].clear_m
        if self._reached != before or nothing_wrong:
            yield self._flood.say(at, active=self._reached > 0, name=self._name, level=level, outlook=self._outlook())
        else:
            self._flood.level, self._flood.outlook = level, self._outlook()

    def _is_confirmed(self, threshold: _Threshold, now_ms: int) -> bool:
        if threshold.above >= self._confirm:
            return True
        rate = self._before.per_hour(now_ms)  # of the readings before this one, which must not vouch for itself
        return rate is not None and rate >= self._fast_m_per_h

    def _look_ahead(self, now_ms: int, value: float) -> None:
        for trend in self._trends.values():
            trend.add(now_ms, value)
        if self._rates_ms is not None and now_ms - self._rates_ms < _RATE_EVERY_MS:
            return
        self._rates_ms = now_ms
        rates = {name: trend.per_hour(now_ms) for name, trend in self._trends.items()}
        self._rates = {name: rate for name, rate in rates.items() if rate is not None}

    def _outlook(self) -> dict[str, Quantity]:
        """Rates of rise, and how long until the next threshold if it goes on like this."""
        made = {name: Quantity(round(rate, 3), Unit.METRE_PER_HOUR) for name, rate in self._rates.items()}
        level = self._level.value if self._level is not None else None
        if self._reached < len(self._levels) and isinstance(level, int | float):
            rate = self._rates.get("rate", self._rates.get("rate_30min", 0.0))
            ahead = self._levels[self._reached]
            if rate >= _RISING_M_PER_H and ahead.metres > level:
                seconds = (ahead.metres - level) / rate * 3600
                if seconds <= _FORESEEN_S:
                    made["next_level"] = Quantity(ahead.name)
                    made["next_level_s"] = Quantity(round(seconds), Unit.SECOND)
        return made


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

    def __init__(self, source: str, entity: str, kind: str, names: Mapping[str, dict[str, str]]) -> None:
        self._source, self._entity, self._kind, self._names = source, entity, kind, names
        self.active = False
        self.level: Quantity | None = None
        self.outlook: Mapping[str, Quantity] = {}
        self._name = NORMAL
        self._said_ms = 0

    def say(
        self,
        at: Moment,
        *,
        active: bool,
        name: str,
        level: Quantity | None = None,
        outlook: Mapping[str, Quantity] | None = None,
    ) -> Reading:
        """The alert as it is now."""
        self.active, self._name, self.level, self._said_ms = active, name, level, at.mono_ms
        self.outlook = outlook or {}
        severity = SEVERITY[name] if active else SEVERITY[NORMAL]
        quantities = {
            "active": Quantity(active),
            "sub_category": Quantity(self._kind),
            "severity": Quantity(severity),
            "level_name": Quantity(name),
        }
        if level is not None:
            quantities["level"] = Quantity(level.value, Unit.METRE, level.quality)
        quantities |= self.outlook
        facts = {key: text for key, text in self._names.get(name, {}).items() if text}
        return Reading(
            source=self._source,
            kind=Kind.ALERT,
            entity=self._entity,
            at=at,
            quantities=quantities,
            cls=ReadingClass.ALARM,
            facts=facts,
        )

    def again(self, now: Moment) -> list[Reading]:
        """The alert once more, when it is active and was last said ten minutes ago."""
        if not self.active or now.mono_ms - self._said_ms < _RESTATE_MS:
            return []
        return [self.say(now, active=True, name=self._name, level=self.level, outlook=self.outlook)]
