"""The loops, in-process: outage, restart, a bug in a driver, a full disk, shutdown."""

import asyncio
from collections import Counter

import pytest

from edgeagent.clock import SystemClock
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import Health, SourceHealth, UplinkHealth
from edgeagent.errors import OutboxUnavailable, SourceUnavailable, UplinkUnavailable
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.chain import Chain

CLOCK = SystemClock()


def reading(source, n, cls=ReadingClass.LIVE):
    return Reading(
        source=source,
        kind=Kind.WATER,
        entity=source,
        at=CLOCK.now(),
        cls=cls,
        quantities={"level": Quantity(float(n), Unit.METRE)},
    )


class Ticker:
    """A source that emits numbers; every fifth run dies the way a device or a bug would."""

    def __init__(self, source, die_after=None, with_error=None, every_s=0.002):
        self.source, self.die_after, self.with_error, self.every_s = source, die_after, with_error, every_s
        self.n = 0

    async def run(self, emit):
        began = self.n
        while True:
            if self.die_after and self.n - began >= self.die_after:
                raise self.with_error
            self.n += 1
            await emit(reading(self.source, self.n))
            await asyncio.sleep(self.every_s)


class City:
    """An uplink with moods."""

    def __init__(self, mood="well", takes_s=0.001):
        self.mood, self.takes_s, self.seen, self.closed = mood, takes_s, [], False

    async def deliver(self, rows, *, behind=False):
        await asyncio.sleep(self.takes_s)
        if self.mood == "away":
            raise UplinkUnavailable("uplinks.refused", uplink="x")
        if self.mood == "bug":
            raise ZeroDivisionError
        if self.mood == "hang":
            await asyncio.sleep(3600)
        taken = rows if self.mood == "well" else rows[::2]
        self.seen += [(r.reading.stream, r.reading.sequence) for r in taken]
        return Delivery(accepted=frozenset(r.id for r in taken))

    async def close(self):
        self.closed = True


def flow_of(tickers, cities, outbox=None, chains=None):
    health = Health(
        sources={t.source: SourceHealth(t.source, "ticker") for t in tickers},
        uplinks={name: UplinkHealth(name, "city") for name in cities},
    )
    outbox = outbox or MemoryOutbox(CLOCK, list(cities))
    flow = Flow(
        groups=[SourceGroup((t.source,), lambda t=t: t) for t in tickers],
        chains=chains or {},
        outbox=outbox,
        uplinks={name: (lambda c=c: c) for name, c in cities.items()},
        health=health,
        clock=CLOCK,
        luck=lambda: 0.0,
    )
    return flow, health, outbox


async def run_for(flow, seconds, during=None):
    stop = asyncio.Event()
    task = asyncio.create_task(flow.run(stop))
    if during:
        await during()
    await asyncio.sleep(seconds)
    stop.set()
    before = CLOCK.mono()
    await asyncio.wait_for(task, 6)
    return CLOCK.mono() - before


def all_once(city, source, upto):
    seen = Counter(seq for stream, seq in city.seen if stream == f"water:{source}")
    return sorted(seen) == list(range(1, upto + 1)) and max(seen.values()) == 1


async def test_everything_arrives_once():
    ticker, city = Ticker("a"), City()
    flow, _, outbox = flow_of([ticker], {"c": city})
    await run_for(flow, 0.5)
    assert ticker.n > 50
    assert all_once(city, "a", ticker.n)
    assert (await outbox.stats()).waiting == 0
    assert city.closed


async def test_at_shutdown_a_listening_city_still_gets_the_last_commit():
    ticker, city = Ticker("a", every_s=0.01), City(takes_s=0.3)
    flow, _, outbox = flow_of([ticker], {"c": city})
    await run_for(flow, 0.7)
    assert (await outbox.stats()).waiting == 0
    assert all_once(city, "a", ticker.n)


async def test_a_dead_city_never_delays_another():
    ticker, dead, alive = Ticker("a"), City("away"), City()
    flow, health, outbox = flow_of([ticker], {"dead": dead, "alive": alive})
    await run_for(flow, 0.6)
    assert all_once(alive, "a", ticker.n)
    stats = (await outbox.stats()).uplinks
    assert stats["dead"].waiting == ticker.n and stats["alive"].waiting == 0
    assert health.uplinks["dead"].problems["uplinks.refused"] >= 1
    assert health.uplinks["alive"].state == "ok"


async def test_outage_then_drain_without_loss():
    ticker, city = Ticker("a"), City("away")
    flow, _, _ = flow_of([ticker], {"c": city})

    async def mend_later():
        await asyncio.sleep(0.4)
        assert not city.seen
        city.mood = "well"

    await run_for(flow, 1.2, mend_later)
    assert all_once(city, "a", ticker.n)


async def test_rows_a_receiver_did_not_take_come_again():
    ticker, city = Ticker("a", every_s=0.02), City("half")
    flow, _, _ = flow_of([ticker], {"c": city})

    async def mend_later():
        await asyncio.sleep(0.5)
        city.mood = "well"

    await run_for(flow, 1.5, mend_later)
    assert all_once(city, "a", ticker.n)


@pytest.mark.parametrize("error", [SourceUnavailable("gauges.timeout", port="x"), KeyError("a bug")])
async def test_a_source_that_dies_is_restarted_and_stops_nobody(error):
    dying, well, city = Ticker("dying", die_after=3, with_error=error), Ticker("well"), City()
    flow, health, _ = flow_of([dying, well], {"c": city})
    await run_for(flow, 1.2)
    assert dying.n > 3, "restarted"
    assert sum(health.sources["dying"].problems.values()) >= 1
    assert set(health.sources["dying"].problems) <= {"gauges.timeout", "daemon.bug"}
    assert all_once(city, "well", well.n) and all_once(city, "dying", dying.n)


async def test_a_bug_in_an_uplink_is_counted_and_its_rows_come_again():
    ticker, city = Ticker("a"), City("bug")
    flow, health, _ = flow_of([ticker], {"c": city})

    async def mend_later():
        await asyncio.sleep(0.3)
        city.mood = "well"

    await run_for(flow, 1.5, mend_later)
    assert health.uplinks["c"].problems["daemon.bug"] >= 1
    assert all_once(city, "a", ticker.n)


async def test_shutdown_with_a_hanging_city_takes_less_than_5_s_and_stores_everything():
    ticker, city = Ticker("a"), City("hang")
    flow, _, outbox = flow_of([ticker], {"c": city})
    assert await run_for(flow, 0.3) < 5
    assert (await outbox.stats()).accepted == ticker.n


class FullDisk(MemoryOutbox):
    full = True

    async def put(self, readings):
        if self.full:
            raise OutboxUnavailable("outbox.full", path="x")
        return await super().put(readings)


async def test_full_disk_holds_in_memory_says_so_and_resumes():
    ticker, city = Ticker("a"), City()
    outbox = FullDisk(CLOCK, ["c"])
    flow, health, _ = flow_of([ticker], {"c": city}, outbox)

    async def mend_later():
        for _ in range(300):
            await asyncio.sleep(0.01)
            if health.held_in_ram:
                break
        assert health.outbox_problem.code == "outbox.full"
        outbox.full = False

    await run_for(flow, 2.6, mend_later)
    assert health.outbox_problem is None and health.held_in_ram == 0
    assert all_once(city, "a", ticker.n)


class Doubling:
    """A rule that adds an alarm to every tenth reading."""

    def feed(self, r):
        yield r
        if r.quantities["level"].value % 10 == 0:
            yield Reading(
                source=r.source, kind=Kind.ALERT, entity=r.source, at=r.at, quantities={}, cls=ReadingClass.ALARM
            )

    def tick(self, now):
        return ()


async def test_an_alarm_does_not_wait_for_the_group_commit():
    ticker, city = Ticker("a", every_s=0.05), City()  # 20 rows would take 1 s
    flow, _, _ = flow_of([ticker], {"c": city}, chains={"a": Chain([Doubling()])})

    async def look():
        for _ in range(100):
            await asyncio.sleep(0.01)
            if any(stream == "alert:a" for stream, _ in city.seen):
                break
        assert 10 <= ticker.n <= 13, ticker.n

    await run_for(flow, 0.1, look)
