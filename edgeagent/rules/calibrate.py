"""Raw distance or level -> metres above the gauge's zero, and metres above the datum.

    level     = (mount_height - distance × cos tilt) × slope + offset      a gauge that looks down
    level     = level × slope + offset                                     a gauge that gives a level
    elevation = level + zero_point (零点高)

Distance stays in the reading and the constants go into its facts: after a survey the past is
computed again from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, Unit

__all__ = ["Calibrate", "CalibrateConfig"]

_DECIMALS = 4  # a tenth of a millimetre: below every gauge's resolution, and free of 1.2300000000000004

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
    """

    mount_height_m: Metres | None = None
    tilt_deg: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    offset_m: Metres = 0.0
    slope: Annotated[float, msgspec.Meta(ge=-10, le=10)] = 1.0
    datum: str = ""
    zero_point_m: Metres | None = None

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if self.slope == 0:
            yield ConfigError("rules.slope-zero", path="slope")


class Calibrate:
    """The rule for one gauge."""

    Config = CalibrateConfig
    always = False

    def __init__(self, config: CalibrateConfig, source: str) -> None:
        self._source = source
        self._config = config
        self._per_distance = math.cos(math.radians(config.tilt_deg))
        constants = (
            ("h", config.mount_height_m, None),
            ("tilt", config.tilt_deg, 0),
            ("slope", config.slope, 1),
            ("offset", config.offset_m, 0),
            ("zero", config.zero_point_m, None),
        )
        changed = " ".join(f"{name}={value:g}" for name, value, usual in constants if value != usual)
        self._facts = {"calibration": changed} if changed else {}
        if config.datum:
            self._facts["datum"] = config.datum

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading with level and elevation; what is no water reading passes as it is."""
        if reading.kind is not Kind.WATER:
            return (reading,)
        raw, height = reading.quantities.get("distance"), self._config.mount_height_m
        if raw is None or height is None:
            name, raw, height = "level", reading.quantities.get("level"), None
        else:
            name = "distance"
        if raw is None:
            return (reading,)
        quantities, facts = dict(reading.quantities), {**reading.facts, **self._facts}
        level = self._level(raw, height)
        quantities["level"] = level
        if self._config.zero_point_m is not None:
            quantities["elevation"] = _plus(level, self._config.zero_point_m)
        if level.quality is not Quality.GOOD:
            reason = facts.get(f"reason:{name}")
            if reason:
                facts["reason:level"] = reason
        return (msgspec.structs.replace(reading, quantities=quantities, facts=facts),)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  nothing falls due by time
        """Nothing falls due by the mere passing of time."""
        return ()

    def _level(self, raw: Quantity, height: float | None) -> Quantity:
        value = raw.value
        if not isinstance(value, int | float) or not math.isfinite(value):
            return Quantity.missing(Unit.METRE)
        metres = value if height is None else height - value * self._per_distance
        return Quantity(round(metres * self._config.slope + self._config.offset_m, _DECIMALS), Unit.METRE, raw.quality)


def _plus(level: Quantity, zero_point_m: float) -> Quantity:
    if not isinstance(level.value, int | float):
        return Quantity.missing(Unit.METRE)
    return Quantity(round(level.value + zero_point_m, _DECIMALS), Unit.METRE, level.quality)
