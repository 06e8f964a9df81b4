"""What a source learns about its readings: `emit.kept()` returns when they are durable, not before."""

import asyncio

from edgeagent.clock import SystemClock
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import Health, SourceHealth
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.reading import ReadingClass
from tests.fakes import water

CLOCK = SystemClock()


class Careful:
    """Emits one alarm, and notes what the outbox held when it was told that the alarm is kept."""

    def __init__(self, outbox):
        self.outbox, self.held = outbox, None

    async def run(self, emit):
        await emit(water(source="a", at=CLOCK.now(), cls=ReadingClass.ALARM))
        await emit.kept()
        self.held = (await self.outbox.stats()).accepted
        await emit.kept()  # nothing waits: it returns all the same
        self.held_again = True


class Stubborn(MemoryOutbox):
    """Full until told otherwise."""

    def __init__(self):
        super().__init__(CLOCK, [])
        self.full, self.refused = True, 0

    async def put(self, readings):
        if self.full:
            self.refused += 1
            raise OutboxUnavailable("outbox.full", path="x")
        return await super().put(readings)


async def test_kept_waits_for_the_store_also_while_it_is_away():
    outbox = Stubborn()
    source = Careful(outbox)
    flow = Flow(
        groups=[SourceGroup(("a",), lambda: source)],
        chains={},
        outbox=outbox,
        uplinks={},
        health=Health(sources={"a": SourceHealth("a", "careful")}, uplinks={}),
        clock=CLOCK,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(flow.run(stop))
    async with asyncio.timeout(60):
        while not outbox.refused:
            await asyncio.sleep(0.01)
        assert source.held is None
        outbox.full = False
        while not hasattr(source, "held_again"):
            await asyncio.sleep(0.01)
    assert source.held == 1
    stop.set()
    await task
