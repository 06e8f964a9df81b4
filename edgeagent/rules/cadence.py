"""Stage and slope -> how often to measure, and what of a calm river is sent.

The profile of the Japanese crisis gauges (危機管理型水位計): measured at least every ten minutes; above
the level where watching begins (観測開始水位) every 10, 5 or 2 minutes by the class of the river; once
a day a sign of life.

    calm      base_s          nothing calls for more
    watching  by river class  above start_m, or rising faster than watch_rise, or rain above watch_rain
    alarmed   60 s            at `evacuate` or above, or rising three times as fast

Back after `quiet_s` without a reason.  While calm, one reading per `calm_send_s` goes on, if that is
set; a change of quality or alarm level, and everything while watching, always does.

Source: MLIT, 危機管理型水位計の観測基準・仕様 (2018) for the intervals; the thresholds of slope and rain
are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from edgeagent.ports import Pace
from edgeagent.reading import Kind, Moment, Quantity, Reading, ReadingClass

__all__ = ["Cadence", "CadenceConfig"]

_BY_CLASS = {"large": 600.0, "medium": 300.0, "small": 120.0}
_ALARMED_S = 60.0
_ALARMED_LEVELS = ("evacuate", "danger")
_ALARMED_TIMES = 3.0  # 0.1 m in ten minutes is watched, 0.3 m is alarming

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=86_400)]


class CadenceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`cadence = { … }` of a gauge; the source's every_s is the shortest it will measure at.

    Attributes:
        base_s: seconds between measurements of a calm river, at most ten minutes.
        start_m: the level above which it is watched (観測開始水位).
        river: how fast the river is: large rises over a day, small within an hour.
        watch_rise_m_per_10min: a rise at this rate is watched.
        watch_rain_mm_per_h: so is rain at this rate, where the gauge measures rain too.
        quiet_s: how long nothing must call for more before it goes back.
        calm_send_s: while calm, one reading in so many seconds is sent; 0 sends all.
    """

    base_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 600.0
    start_m: Metres | None = None
    river: Literal["large", "medium", "small"] = "small"
    watch_rise_m_per_10min: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.1
    watch_rain_mm_per_h: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 10.0
    quiet_s: Seconds = 3600.0
    calm_send_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0


class Cadence:
    """The rule for one gauge."""

    Config = CadenceConfig
    always = False

    def __init__(self, config: CadenceConfig, source: str) -> None:
        self._source = source
        self._config = config
        self._steps = (config.base_s, min(_BY_CLASS[config.river], config.base_s), min(_ALARMED_S, config.base_s))
        self._step = 0
        self._called_ms = 0  # when something last called for the present step
        self._sent: Reading | None = None

    @property
    def pace(self) -> Pace:
        """How often to measure now."""
        return Pace(every_s=self._steps[self._step])

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading, or nothing while a calm river says nothing new."""
        if reading.kind not in (Kind.WATER, Kind.RAIN) or reading.entity != self._source:
            return (reading,)
        self._heed(self._wanted(reading), reading.at.mono_ms)
        if self._step or self._is_due(reading):
            self._sent = reading
            return (reading,)
        return ()

    def tick(self, now: Moment) -> Iterable[Reading]:
        """Nothing is said, but quiet may have lasted long enough."""
        self._heed(0, now.mono_ms)
        return ()

    def _wanted(self, reading: Reading) -> int:
        level, config = _number(reading, "level"), self._config
        rise = (_number(reading, "rate") or 0.0) / 6
        named = reading.quantities.get("alarm_level")
        if rise >= _ALARMED_TIMES * config.watch_rise_m_per_10min or (named and named.value in _ALARMED_LEVELS):
            return 2
        above = level is not None and config.start_m is not None and level >= config.start_m
        rain = _number(reading, "rain_rate") or 0.0
        return int(above or rise >= config.watch_rise_m_per_10min or rain >= config.watch_rain_mm_per_h)

    def _heed(self, wanted: int, now_ms: int) -> None:
        if wanted >= self._step:
            self._step = wanted
            self._called_ms = now_ms
        elif now_ms - self._called_ms >= self._config.quiet_s * 1000:
            self._step -= 1
            self._called_ms = now_ms

    def _is_due(self, reading: Reading) -> bool:
        last, pause_ms = self._sent, self._config.calm_send_s * 1000
        if not pause_ms or last is None or reading.cls is ReadingClass.ALARM:
            return True
        if last.at.boot_id != reading.at.boot_id or reading.at.mono_ms - last.at.mono_ms >= pause_ms:
            return True
        return any(
            _state(last.quantities.get(n)) != _state(reading.quantities.get(n)) for n in ("level", "alarm_level")
        )


def _number(reading: Reading, name: str) -> float | None:
    found = reading.quantities.get(name)
    if found is None or not found.usable or not isinstance(found.value, int | float):
        return None
    return float(found.value)


def _state(quantity: Quantity | None) -> object:
    if quantity is None or isinstance(quantity.value, str):
        return quantity
    return quantity.quality
