"""One uplink's courier: who is sent what, in which order, at which pace."""

import asyncio
import contextlib
import random
import time
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.clock import SystemClock
from edgeagent.daemon.courier import Courier
from edgeagent.daemon.health import UplinkHealth
from edgeagent.daemon.pace import Pace
from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Batch, Delivery, Site, Surroundings, UplinkConfig
from edgeagent.reading import Kind, Moment, ReadingClass
from edgeagent.simulate.city import City, answer, cut
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig
from tests.fakes import water
from tests.faults.proxy import ThinLine

SITE = Site("GW-1")
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


def test_the_backlog_is_charged_and_waits_for_its_turn():
    pace = Pace(1000)
    assert pace.wait_s(100.0) == 0.0
    pace.spent(10_000 + 2_500)  # ten seconds were saved
    assert pace.wait_s(100.0) == 2.5 and pace.wait_s(101.0) == 1.5 and pace.wait_s(102.6) == 0.0
    assert pace.wait_s(1000.0) == 0.0
    pace.spent(10_000 + 1_000)
    assert pace.wait_s(1000.0) == 1.0, "no more is saved than ten seconds' worth"
    free = Pace(0)
    free.spent(1 << 40)
    assert free.wait_s(0.0) == 0.0


def test_batches_grow_while_they_are_quick_and_shrink_when_they_are_slow():
    pace = Pace(0)
    sizes = [pace.rows]
    for rows, seconds in [(50, 0.1), (100, 0.1), (200, 0.1), (400, 0.1), (500, 3.0), (3, 9.0), (250, 3.0), (20, 0.1)]:
        pace.took(rows, seconds)
        sizes.append(pace.rows)
    assert sizes == [50, 100, 200, 400, 500, 250, 250, 125, 125]
    pace.failed()
    assert pace.rows == 50
    for _ in range(9):
        pace.took(pace.rows, 60.0)
    assert pace.rows == 20


@pytest.mark.parametrize("lane", ["live", "backfill"])
async def test_what_a_receiver_asks_for_is_waited_and_a_backlog_it_does_not_take_delays_no_live_value(lane):
    class Asking(Receiver):
        async def deliver(self, rows, *, behind=False):
            raise UplinkUnavailable("uplinks.busy", retry_after_s=30.0, uplink="x", where="x", why="x")

    made = Courier(
        Asking, UplinkConfig(id="u", driver="x"), outbox=MemoryOutbox(CLOCK, ["u"]), health=UplinkHealth("u", "x"),
        clock=CLOCK, luck=lambda: 0.5,
    )  # fmt: skip
    began = CLOCK.mono()
    pause = await made._deliver(Asking(), Batch("u", (), lane))
    assert (30.0 < pause < 31.0) == (lane == "live")
    assert (made._backfill_from_s > began + 30.0) == (lane == "backfill")


async def test_a_city_without_history_still_gets_live_values(caplog):
    class NoHistory(Receiver):
        async def deliver(self, rows, *, behind=False):
            if any(row.reading.quantities["level"].value < 100 for row in rows):
                raise UplinkRefused("uplinks.no-temporal", uplink="u", where="x", why="404")
            return await super().deliver(rows, behind=behind)

    outbox, city = MemoryOutbox(CLOCK, ["u"]), NoHistory()
    await outbox.put([water(1.0, at=CLOCK.now()) for _ in range(200)] + [water(100.0, at=CLOCK.now())])
    section = UplinkConfig(id="u", driver="x")
    made = Courier(
        lambda: city, section, outbox=outbox, health=UplinkHealth("u", "x"), clock=CLOCK, luck=lambda: 0.0
    )  # fmt: skip
    task = asyncio.create_task(made.run())
    try:
        for n in range(1, 8):

            async def there(n=n):
                return len(city.seen) >= n

            await until(there, 3)
            await asyncio.sleep(0.15)  # the backlog is tried between
            await outbox.put([water(100.0 + n, at=CLOCK.now())])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert made._backfill_failures >= 2
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


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


def past(seconds_ago, source, *, level=1.0, cls=ReadingClass.LIVE, kind=None):
    now = CLOCK.now()
    at = Moment(now.wall_ms - int(seconds_ago * 1000), now.mono_ms - int(seconds_ago * 1000), now.boot_id, now.trust)
    made = water(level, source=source, at=at, cls=cls)
    return msgspec.structs.replace(made, kind=kind) if kind else made


@contextlib.asynccontextmanager
async def courier(outbox, tmp_path, city, **section):
    """A courier with a real NGSI-LD uplink; leaving ends it as a kill would, its marks file stays."""
    config = NgsiLdConfig(id="city", driver="ngsi-ld", url=city.url, timeout_s=2, **section)
    around = Surroundings(CLOCK, SITE, tmp_path)
    health = UplinkHealth("city", "ngsi-ld")
    made = Courier(
        lambda: NgsiLd.make(config, around), config, outbox=outbox, health=health, clock=CLOCK, luck=random.random
    )
    task = asyncio.create_task(made.run())
    try:
        yield health
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_after_hours_of_outage_alarms_then_live_values_then_the_rest_paced(tmp_path):
    """Nearly seven hours of two gauges every 30 s, then live data while the backlog drains."""
    city = City()
    city.start()
    outbox = SqliteOutbox(tmp_path / "outbox.db", CLOCK, OutboxConfig(), ["city"])
    city.cut()
    try:
        for ago in range(24_000, 0, -3000):
            span = [past(ago - s, g) for s in range(0, 3000, 30) for g in ("miyagawa", "chikuma")]
            await outbox.put(span)
        await outbox.put([past(1800, "miyagawa", cls=ReadingClass.ALARM, kind=Kind.ALERT)])
        await outbox.put([past(0, "miyagawa", level=7.0), past(0, "chikuma", level=8.0)])
        waiting = (await outbox.stats()).waiting
        assert waiting == 1603
        async with courier(outbox, tmp_path, city, history="temporal", backfill_bytes_per_s=20_000) as health:
            while not health.failures:
                await asyncio.sleep(0.01)
            city.mend()
            mended = CLOCK.mono()

            async def has(level):
                return any(i.values.get("waterLevel") == level for i in city.snapshot().newest.values())

            await until(lambda: has(7.0))
            assert CLOCK.mono() - mended < 5
            late = []
            for n in range(12):
                began = CLOCK.mono()
                await outbox.put([past(0, "miyagawa", level=100.0 + n)])
                await until(lambda level=100.0 + n: has(level))
                late.append(CLOCK.mono() - began)
                await asyncio.sleep(0.1)
            assert max(late) < 5
            stats = await outbox.stats()
            assert stats.waiting > 100, "paced: the backlog is still draining"
            assert 500 < health.sent_bytes / health.delivered_readings < 3000
            sent, seconds = health.sent_bytes, CLOCK.mono() - mended
            assert sent < 20_000 * (seconds + 10) + 300_000
        arrived = [(i.type, i.way) for i in city.history()]
        assert arrived[0] == ("Alert", "upsert")
        assert set(arrived[1:3]) == {("WaterObserved", "upsert")}
        async with courier(outbox, tmp_path, city, history="temporal", backfill_bytes_per_s=0):
            await until(drained(outbox), 30)
        seen = city.snapshot()
        assert (seen.regressions, seen.distinct) == (0, waiting + 12)
    finally:
        await outbox.close()
        city.stop()


def drained(outbox):
    async def done():
        return (await outbox.stats()).waiting == 0

    return done


step = st.sampled_from(["put", "put", "put", "alarm", "cut", "mend", "fault", "wait", "kill"])


@pytest.mark.parametrize("history", ["temporal", "replay-ending-on-newest"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=5, max_size=25), seed=st.integers(0, 99))
def test_any_outage_leaves_the_newest_current_and_the_history_complete(tmp_path, history, steps, seed):
    asyncio.run(_outages(tmp_path / f"{history}-{seed}-{time.monotonic_ns()}", history, steps, random.Random(seed)))


async def _outages(folder, history, steps, luck):
    folder.mkdir(parents=True)
    city = City()
    city.start()
    outbox = SqliteOutbox(folder / "outbox.db", CLOCK, OutboxConfig(), ["city"])
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(contextlib.AsyncExitStack())
        try:
            await running.enter_async_context(courier(outbox, folder, city, history=history))
            for one in steps:
                match one:
                    case "put":
                        for _ in range(luck.randint(1, 4)):
                            many = luck.choice([1, 1, 5, 90])  # more than a first batch takes
                            await outbox.put([past(0, luck.choice("ab"), level=luck.random()) for _ in range(many)])
                    case "alarm":
                        await outbox.put([past(0, "a", cls=ReadingClass.ALARM, kind=Kind.ALERT)])
                    case "cut":
                        city.cut()
                    case "mend":
                        city.mend()
                    case "fault":
                        city.script(luck.choice([answer(503), cut(), cut(stored=True), cut(half=True, stored=True)]))
                    case "wait":
                        await asyncio.sleep(luck.random() / 10)
                    case "kill":
                        await running.aclose()
                        await running.enter_async_context(courier(outbox, folder, city, history=history))
                await asyncio.sleep(0.005)
            city.mend()
            with city.lock:
                city.faults.clear()
            await until(drained(outbox), 30)
        finally:
            await running.aclose()
            accepted = (await outbox.stats()).accepted
            await outbox.close()
            city.stop()
    heard: dict[str, set[int]] = {}
    for instance in city.history():
        heard.setdefault(instance.entity, set()).add(instance.sequence)
    assert all(numbers == set(range(1, max(numbers) + 1)) for numbers in heard.values())
    assert sum(map(len, heard.values())) == accepted
    seen = city.snapshot()
    assert {e: i.sequence for e, i in seen.newest.items()} == {e: max(numbers) for e, numbers in heard.items()}
    if history == "temporal":
        assert seen.regressions == 0


@pytest.mark.slow
async def test_over_a_thin_line_live_values_stay_live_while_a_backlog_is_replayed(tmp_path):
    """256 kbit/s, three gauges with a day's backlog, unpaced: p95 of a live value under 5 s.

    With a history endpoint: `tests/faults/test_backlog.py`.
    """
    city = City()
    city.start()
    outbox = SqliteOutbox(tmp_path / "outbox.db", CLOCK, OutboxConfig(), ["city"])
    gauges = ("miyagawa", "chikuma", "sai")
    for ago in range(86_400, 0, -6_000):
        await outbox.put([past(ago - s, g) for s in range(0, 6_000, 30) for g in gauges])
    late: list[float] = []
    try:
        async with ThinLine(int(city.url.rpartition(":")[2]), 32_000) as thin:
            line = SimpleNamespace(url=f"http://127.0.0.1:{thin.port}")
            config = {"history": "replay-ending-on-newest", "backfill_bytes_per_s": 0}
            async with courier(outbox, tmp_path, line, **config):
                until_s = CLOCK.mono() + 12
                while CLOCK.mono() < until_s:
                    level, began = 100.0 + len(late), CLOCK.mono()
                    await outbox.put([past(0, "sai", level=level)])

                    async def there(level=level):
                        with city.lock:
                            return any(i.values.get("waterLevel") == level for i in city.memory.newest.values())

                    await until(there)
                    late.append(CLOCK.mono() - began)
                    await asyncio.sleep(0.5)
                waiting = (await outbox.stats()).waiting
        assert waiting > 1000, "there was a backlog all the time"
        assert sorted(late)[int(len(late) * 0.95)] < 5, late
    finally:
        await outbox.close()
        city.stop()
