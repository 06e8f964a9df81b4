"""What says nothing new is not sent: a dead band round the last value sent, and a heartbeat.

A SIM card is paid by the byte, and a calm river says the same all day.  A reading passes when its
principal value left the band, when its quality or a text of it (the alarm level) changed, when a
value came or went, or when the heartbeat is due; so silence longer than the heartbeat means
trouble, not calm.  The standard of 2018 for crisis gauges asks for at least one message a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeGuard

import msgspec

from edgeagent.reading import Moment, Quantity, Reading, ReadingClass

__all__ = ["Deadband", "DeadbandConfig"]


class DeadbandConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`deadband = { … }` of a gauge.

    Attributes:
        change: how far the level (or, without one, the first quantity) must be from the one last
            sent, in its own unit; other numbers, a gauge's temperature say, send nothing by themselves.
        heartbeat_s: a reading passes after so long in any case.
    """

    change: Annotated[float, msgspec.Meta(gt=0)] = 0.01
    heartbeat_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 600.0


class Deadband:
    """The rule for one source."""

    Config = DeadbandConfig
    always = False

    def __init__(self, config: DeadbandConfig, source: str) -> None:
        self._config = config
        self._source = source
        self._sent: dict[str, Reading] = {}

    def feed(self, reading: Reading) -> Iterable[Reading]:
        """The reading, or nothing."""
        last = self._sent.get(reading.stream)
        if last is not None and reading.cls is not ReadingClass.ALARM and self._says_nothing_new(last, reading):
            return ()
        self._sent[reading.stream] = reading
        return (reading,)

    def tick(self, now: Moment) -> Iterable[Reading]:  # noqa: ARG002  a band has no clock; the next reading has
        """Nothing: a heartbeat is a fresh reading, never a repeated one."""
        return ()

    def _says_nothing_new(self, last: Reading, reading: Reading) -> bool:
        if last.at.boot_id != reading.at.boot_id:
            return False
        if reading.at.mono_ms - last.at.mono_ms >= self._config.heartbeat_s * 1000:
            return False
        principal = "level" if "level" in reading.quantities else next(iter(reading.quantities), "")
        was, now = _lasting(last), _lasting(reading)
        return was.keys() == now.keys() and all(
            self._alike(was[name], quantity, principal=name == principal) for name, quantity in now.items()
        )

    def _alike(self, last: Quantity, new: Quantity, *, principal: bool) -> bool:
        if last.quality is not new.quality:
            return False
        if _is_number(last.value) and _is_number(new.value):
            return not principal or abs(float(new.value) - float(last.value)) < self._config.change
        return last.value == new.value


def _lasting(reading: Reading) -> dict[str, Quantity]:
    """Without the rates of rise, which a calm river has or has not by chance."""
    return {name: q for name, q in reading.quantities.items() if not name.startswith("rate")}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
