"""A running total of rain -> rain since the last reading, and its rate.

Instruments count up and start again at some number, or at 0 after a power cut.  What fell while the
total fell back is not known: that one reading says missing, and counting goes on from there.  More
rain than falls anywhere (`most_mm_per_h`) is a fault of the instrument.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, Unit

__all__ = ["Rain", "RainConfig"]

_HOUR_MS = 3_600_000
_SHORTEST_MS = 60_000  # one tip within a second is 1800 mm/h of nothing


class RainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`rain = { … }` of a gauge that gives `rain_total`.

    Attributes:
        most_mm_per_h: a higher rate fails; the record of Japan is 187 mm in an hour.
    """

    most_mm_per_h: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 300.0


class Rain:
    """The rule for one gauge."""

    Config = RainConfig
    always = True

    def __init__(self, config: RainConfig, source: str) -> None:
        self._source = source
        self._most = config.most_mm_per_h
        self._last: tuple[float, Moment] | None = None

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading with `rain` and `rain_rate`; one without a running total passes as it is."""
        total = reading.quantities.get("rain_total")
        if reading.kind is not Kind.RAIN or total is None:
            return (reading,)
        if not total.usable or not isinstance(total.value, int | float):
            return (
                self._with(reading, Quantity.missing(Unit.MILLIMETRE), None, reading.facts.get("reason:rain_total")),
            )
        last, self._last = self._last, (float(total.value), reading.at)
        if last is None or last[1].boot_id != reading.at.boot_id:
            return (self._with(reading, Quantity.missing(Unit.MILLIMETRE), None, "first-total"),)
        fell = round(float(total.value) - last[0], 4)
        if fell < 0:
            return (self._with(reading, Quantity.missing(Unit.MILLIMETRE), None, "total-fell-back"),)
        elapsed_ms = reading.at.mono_ms - last[1].mono_ms
        rate = fell * _HOUR_MS / max(elapsed_ms, _SHORTEST_MS)
        too_much = rate > self._most
        quality = Quality.FAIL if too_much else total.quality
        made = self._with(
            reading,
            Quantity(fell, Unit.MILLIMETRE, quality),
            Quantity(round(rate, 2), Unit.MILLIMETRE_PER_HOUR, quality),
            "too-much-rain" if too_much else None,
        )
        return (msgspec.structs.replace(made, span_ms=max(elapsed_ms, 0)),)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  nothing falls due by time
        """Nothing falls due by the mere passing of time."""
        return ()

    def _with(self, reading: Reading, rain: Quantity, rate: Quantity | None, reason: str | None) -> Reading:
        quantities = {"rain": rain} | ({} if rate is None else {"rain_rate": rate}) | reading.quantities
        facts = dict(reading.facts) if reason is None else {**reading.facts, "reason:rain": reason}
        return msgspec.structs.replace(reading, quantities=quantities, facts=facts)
