"""One uplink's courier: who is sent what, in which order, at which pace."""

import asyncio

from edgeagent.clock import SystemClock
from edgeagent.daemon.courier import Courier
from edgeagent.daemon.health import UplinkHealth
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.ports import Delivery, UplinkConfig
from edgeagent.reading import ReadingClass
from tests.fakes import water

CLOCK = SystemClock()


class Receiver:
    """An uplink that takes everything and remembers it."""

    def __init__(self):
        self.seen = []

    async def deliver(self, rows, *, behind=False):
        self.seen.append([(r.reading.source, r.reading.sequence) for r in rows])
        return Delivery(frozenset(r.id for r in rows))

    async def close(self):
        pass


async def until(true, seconds=10):
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.01)


async def carry(outbox, uplinks):
    """Run a courier per uplink (by its section) until nobody is owed anything."""
    couriers = [
        Courier(lambda u=uplink: u, section, outbox=outbox, health=health, clock=CLOCK, luck=lambda: 0.0)
        for section, uplink, health in uplinks
    ]
    tasks = [asyncio.create_task(c.run()) for c in couriers]

    async def done():
        return (await outbox.stats()).waiting == 0

    try:
        await until(done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_city_gets_the_sources_and_classes_it_is_to_get():
    sections = [
        UplinkConfig(id="nagano", driver="x", sources=("miyagawa",)),
        UplinkConfig(id="ueda", driver="x", sources=("route140", "miyagawa"), classes=(ReadingClass.ALARM,)),
        UplinkConfig(id="all", driver="x"),
        UplinkConfig(id="none", driver="x", sources=("sold",)),
    ]
    outbox = MemoryOutbox(CLOCK, [s.id for s in sections])
    now = CLOCK.now()
    await outbox.put(
        [
            water(source="miyagawa", at=now, cls=ReadingClass.LIVE),
            water(source="route140", at=now, cls=ReadingClass.ALARM),
            water(source="host", at=now, cls=ReadingClass.ROUTINE),
        ]
    )
    uplinks = [(s, Receiver(), UplinkHealth(s.id, "x")) for s in sections]
    await carry(outbox, uplinks)
    got = {s.id: sorted(name for batch in u.seen for name, _ in batch) for s, u, _ in uplinks}
    assert got == {
        "nagano": ["miyagawa"],
        "ueda": ["route140"],
        "all": ["host", "miyagawa", "route140"],
        "none": [],
    }
    assert {s.id: h.filtered for s, _, h in uplinks} == {"nagano": 2, "ueda": 2, "all": 0, "none": 3}
    assert {s.id: h.state for s, _, h in uplinks} == {"nagano": "ok", "ueda": "ok", "all": "ok", "none": "idle"}
