"""Raw distance or level -> metres above the gauge's zero, and metres above the datum.

    level     = (mount_height - distance × cos tilt) × slope + offset      a gauge that looks down
    level     = level × slope + offset                                     a gauge that gives a level
    level     = ((p - p_air) / (density × g) + sensor_height) × slope + offset   a pressure sensor in the water
    level     = (at_4ma + (mA - 4) / 16 × (at_20ma - at_4ma)) × slope + offset   a gauge with a 4-20 mA output
    elevation = level + zero_point (零点高)

Distance stays in the reading and the constants go into its facts: after a survey the past is
computed again from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, Unit

__all__ = ["Calibrate", "CalibrateConfig"]

_DECIMALS = 4  # a tenth of a millimetre: below every gauge's resolution, and free of 1.2300000000000004

_PASCAL_PER_BAR = 100_000.0
_GRAVITY = 9.798  # m/s², Japan's middle; 9.780 to 9.819 over the world

Metres = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]


class CalibrateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`calibrate = { … }` of a gauge.

    Attributes:
        mount_height_m: sensor above gauge zero; needed where the gauge measures a distance.
        tilt_deg: how far the beam is off the vertical.
        offset_m: added last, from a comparison with the staff gauge.
        slope: scale, 1 unless two comparisons say otherwise.
        datum: name of the reference plane, e.g. T.P., Y.P., A.P., K.P.
        zero_point_m: height of gauge zero above the datum; without it there is no elevation.
        sensor_height_m: a pressure sensor's membrane above gauge zero (below it: negative).
        density_kg_m3: of the water; 1025 in the sea.
        air_bar: the air's pressure, for a sensor of absolute pressure that has no barometer beside it.
        at_4ma_m, at_20ma_m: the level a 4-20 mA gauge means by the ends of its range.
        since: from when these constants hold, as a date; goes with every reading.
        doubt: why these constants may not be the right ones; makes every level suspect.
    """

    mount_height_m: Metres | None = None
    tilt_deg: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    offset_m: Metres = 0.0
    slope: Annotated[float, msgspec.Meta(ge=-10, le=10)] = 1.0
    datum: str = ""
    zero_point_m: Metres | None = None
    sensor_height_m: Metres | None = None
    density_kg_m3: Annotated[float, msgspec.Meta(ge=900, le=1200)] = 999.0
    air_bar: Annotated[float, msgspec.Meta(ge=0, le=1.2)] = 0.0
    at_4ma_m: Metres | None = None
    at_20ma_m: Metres | None = None
    since: str = ""
    doubt: str = ""

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if self.slope == 0:
            yield ConfigError("rules.slope-zero", path="slope")
        if (self.at_4ma_m is None) != (self.at_20ma_m is None):
            missing = "at_4ma_m" if self.at_4ma_m is None else "at_20ma_m"
            yield ConfigError("config.missing", path=missing, expected="m")


class Calibrate:
    """The rule for one gauge."""

    Config = CalibrateConfig
    always = False

    def __init__(self, config: CalibrateConfig, source: str) -> None:
        self._source = source
        self._config = config
        self._metres = self._ways()
        self._per_distance = math.cos(math.radians(config.tilt_deg))
        constants = (
            ("h", config.mount_height_m, None),
            ("tilt", config.tilt_deg, 0),
            ("slope", config.slope, 1),
            ("offset", config.offset_m, 0),
            ("zero", config.zero_point_m, None),
            ("sensor", config.sensor_height_m, None),
            ("air", config.air_bar, 0),
            ("4mA", config.at_4ma_m, None),
            ("20mA", config.at_20ma_m, None),
        )
        changed = " ".join(f"{name}={value:g}" for name, value, usual in constants if value != usual)
        self._facts = {"calibration": changed} if changed else {}
        if config.since and changed:
            self._facts["calibrated"] = config.since
        if config.datum:
            self._facts["datum"] = config.datum

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading with level and elevation; what is no water reading passes as it is."""
        if reading.kind is not Kind.WATER:
            return (reading,)
        name = next((n for n in self._metres if n in reading.quantities), "")
        raw = reading.quantities.get(name)
        if raw is None:
            return (reading,)
        quantities, facts = dict(reading.quantities), {**reading.facts, **self._facts}
        level = self._level(raw, self._metres[name], reading)
        if self._config.doubt and level.quality is Quality.GOOD:
            level = Quantity(level.value, Unit.METRE, Quality.SUSPECT)
            facts["reason:level"] = self._config.doubt
        elif level.quality is not Quality.GOOD:
            reason = facts.get(f"reason:{name}")
            if reason:
                facts["reason:level"] = reason
        quantities["level"] = level
        if self._config.zero_point_m is not None:
            quantities["elevation"] = _plus(level, self._config.zero_point_m)
        return (msgspec.structs.replace(reading, quantities=quantities, facts=facts),)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  nothing falls due by time
        """Nothing falls due by the mere passing of time."""
        return ()

    def _level(self, raw: Quantity, metres: Callable[[float, Reading], float], reading: Reading) -> Quantity:
        value = raw.value
        if not isinstance(value, int | float) or not math.isfinite(value):
            return Quantity.missing(Unit.METRE)
        level = metres(float(value), reading) * self._config.slope + self._config.offset_m
        return Quantity(round(level, _DECIMALS), Unit.METRE, raw.quality)

    def _ways(self) -> dict[str, Callable[[float, Reading], float]]:
        """Quantity -> metres above gauge zero; the first that a reading has is taken."""
        config = self._config
        ways: dict[str, Callable[[float, Reading], float]] = {}
        height, sensor = config.mount_height_m, config.sensor_height_m
        low, high = config.at_4ma_m, config.at_20ma_m
        per_bar = _PASCAL_PER_BAR / (config.density_kg_m3 * _GRAVITY)
        if height is not None:
            ways["distance"] = lambda metres, _: height - metres * self._per_distance
        if sensor is not None:
            ways["pressure"] = lambda bar, reading: (bar - _air(reading, config.air_bar)) * per_bar + sensor
        if low is not None and high is not None:
            ways["current"] = lambda milliampere, _: low + (milliampere - 4) / 16 * (high - low)
        ways["level"] = lambda metres, _: metres
        return ways


def _air(reading: Reading, otherwise: float) -> float:
    measured = reading.quantities.get("air_pressure")
    if measured is not None and measured.usable and isinstance(measured.value, int | float):
        return float(measured.value)
    return otherwise


def _plus(level: Quantity, zero_point_m: float) -> Quantity:
    if not isinstance(level.value, int | float):
        return Quantity.missing(Unit.METRE)
    return Quantity(round(level.value + zero_point_m, _DECIMALS), Unit.METRE, level.quality)
