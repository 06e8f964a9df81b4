"""Gauges without hardware: never the same value twice, an alarm now and then."""

import asyncio
from random import Random

from edgeagent.clock import Clock
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, Unit

ALARM_EVERY = 40


class River:
    """A source that reads n/1000 m at its n-th reading.

    Args:
        source: id of source and entity.
        luck: chooses the pauses.
        clock: for the moments.
        pause_s: shortest and longest time between two readings.
        first: n starts above it.
    """

    def __init__(
        self, source: str, luck: Random, clock: Clock, pause_s: tuple[float, float] = (0.01, 0.06), first: int = 0
    ) -> None:
        self.source, self._luck, self._clock, self._pause_s = source, luck, clock, pause_s
        self._n = first
        self.dry = False

    async def run(self, emit) -> None:
        while not self.dry:
            self._n += 1
            await emit(self._reading(Kind.WATER, ReadingClass.LIVE))
            if self._n % ALARM_EVERY == 0:
                await emit(self._reading(Kind.ALERT, ReadingClass.ALARM))
            await asyncio.sleep(self._luck.uniform(*self._pause_s))

    def _reading(self, kind: Kind, cls: ReadingClass) -> Reading:
        quantities = {"level": Quantity(self._n / 1000, Unit.METRE)}
        return Reading(
            source=self.source, kind=kind, entity=self.source, at=self._clock.now(), cls=cls, quantities=quantities
        )
