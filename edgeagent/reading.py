"""The value that flows through the house: one thing, one moment, named quantities.

A source makes a `Reading`, rules refine it, the outbox keeps it, an uplink turns it into
somebody's JSON.  Nothing here knows NGSI, SQLite or a device.  May import: nothing.
"""

from __future__ import annotations

import enum

import msgspec

__all__ = ["Kind", "Moment", "Quality", "Quantity", "Reading", "ReadingClass", "TimeTrust", "Unit"]


class Unit(enum.StrEnum):
    """UN/CEFACT Recommendation 20 common codes, the ones `unitCode` of NGSI-LD expects."""

    ONE = "C62"
    METRE = "MTR"
    MILLIMETRE = "MMT"
    CELSIUS = "CEL"
    PERCENT = "P1"
    SECOND = "SEC"
    VOLT = "VLT"
    MILLIAMPERE = "4K"
    BAR = "BAR"
    DECIBEL = "2N"
    HERTZ = "HTZ"
    BYTE = "AD"
    PIXEL = "E37"
    METRE_PER_HOUR = "M60"
    MILLIMETRE_PER_HOUR = "H67"
    PER_HOUR = "H10"
    KILOMETRE_PER_HOUR = "KMH"

    @property
    def symbol(self) -> str:
        """What a person reads: `m`, `°C`; empty for a bare number."""
        return _SYMBOLS.get(self, "")


_SYMBOLS = {
    Unit.METRE: "m",
    Unit.MILLIMETRE: "mm",
    Unit.CELSIUS: "°C",
    Unit.PERCENT: "%",
    Unit.SECOND: "s",
    Unit.VOLT: "V",
    Unit.MILLIAMPERE: "mA",
    Unit.BAR: "bar",
    Unit.DECIBEL: "dB",
    Unit.HERTZ: "Hz",
    Unit.BYTE: "B",
    Unit.PIXEL: "px",
    Unit.METRE_PER_HOUR: "m/h",
    Unit.MILLIMETRE_PER_HOUR: "mm/h",
    Unit.PER_HOUR: "/h",
    Unit.KILOMETRE_PER_HOUR: "km/h",
}


class Quality(enum.StrEnum):
    """QARTOD's primary flags by name (1 pass, 3 suspect, 4 fail, 9 missing).

    A value is published as a level only when GOOD or SUSPECT; FAIL and MISSING carry the
    reason and no number is shown for them.
    """

    GOOD = "good"
    SUSPECT = "suspect"
    FAIL = "fail"
    MISSING = "missing"


class TimeTrust(enum.StrEnum):
    """How far the wall time of a moment can be believed (a Pi up to model 4 has no RTC)."""

    SYNCED = "synced"
    UNSYNCED = "unsynced"


class ReadingClass(enum.StrEnum):
    """Orders delivery and thinning: alarms leave first and are thinned last."""

    ALARM = "alarm"
    LIVE = "live"
    ROUTINE = "routine"


class Kind(enum.StrEnum):
    """What sort of thing a reading describes; the `ngsi` room maps it to a Smart Data Model."""

    WATER = "water"
    RAIN = "rain"
    TRAFFIC = "traffic"
    CROWD = "crowd"
    TAG = "tag"
    GATEWAY = "gateway"
    ALERT = "alert"
    GAP = "gap"
    COMPLETENESS = "completeness"


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """When something was observed.

    Attributes:
        wall_ms: UTC epoch milliseconds as the clock said at that moment.
        mono_ms: CLOCK_BOOTTIME milliseconds; intervals and order within a boot come from it.
        boot_id: 12 hex digits of the kernel's boot id.
        trust: whether the wall clock was synchronised then.
    """

    wall_ms: int
    mono_ms: int
    boot_id: str
    trust: TimeTrust = TimeTrust.SYNCED


class Quantity(msgspec.Struct, frozen=True, array_like=True):
    """One named number (or text, or yes/no) with its unit and its quality.

    `value` is None when, and only when, quality is MISSING: missing is never zero.
    """

    value: float | int | str | bool | None
    unit: Unit = Unit.ONE
    quality: Quality = Quality.GOOD

    @classmethod
    def missing(cls, unit: Unit) -> Quantity:
        """A quantity that should have been there and was not."""
        return cls(None, unit, Quality.MISSING)

    @property
    def usable(self) -> bool:
        """Whether rules may compute with the value (present and not failed)."""
        return self.value is not None and self.quality in (Quality.GOOD, Quality.SUSPECT)


class Reading(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One thing, one moment, named quantities.

    Attributes:
        source: id of the configured source, e.g. `miyagawa`.
        kind: sort of thing.
        entity: local name of the thing, usually the source id; `route140:up-down` for a
            further counting line, `tags:9f3c…` for a pseudonymous tag.
        at: when; the end of the interval for windows.
        quantities: by name, e.g. `distance`, `level`, `elevation`.
        cls: delivery class.
        span_ms: length of the observation interval that ends at `at`; 0 for an instant.
        facts: provenance as short text (profile, raw registers, reason of a missing value).
        sequence: number within `stream`, given once by the outbox, never reused; 0 before.
    """

    source: str
    kind: Kind
    entity: str
    at: Moment
    quantities: dict[str, Quantity]
    cls: ReadingClass = ReadingClass.ROUTINE
    span_ms: int = 0
    facts: dict[str, str] = {}
    sequence: int = 0

    @property
    def stream(self) -> str:
        """Name of the numbered stream this reading belongs to: one per kind and entity."""
        return f"{self.kind}:{self.entity}"
