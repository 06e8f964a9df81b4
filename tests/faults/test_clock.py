"""A board without a clock of its own: wrong at boot, set later, stepped back; power cuts in between.

Whatever the wall clock said, everything arrives, in the order of measuring, with the true time
where it could be learnt, and the newest measurement is the current state.
"""

import asyncio
import functools
import itertools
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, TimeTrust, Unit
from edgeagent.simulate.city import City
from edgeagent.simulate.city_memory import CityMemory
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig
from tests.fakes import FakeClock
from tests.faults.verdict import compare, of_city, rounds, thing_of

pytestmark = pytest.mark.slow
TRUE_MS = 1_795_000_000_000
HOUR, YEAR = 3600, 365 * 86_400
LATER = 1022 * 86_400  # 2.8 years


@pytest.fixture(scope="module")
def city():
    found = City()
    found.start()
    yield found
    found.stop()


class Box:
    """The outbox and the uplink of one board, whose clock does what the test says."""

    def __init__(self, folder, city, history):
        folder.mkdir(parents=True)
        self._folder, self._city, self._boots = folder, city, itertools.count(1)
        self._config = NgsiLdConfig(id="city", driver="ngsi-ld", url=city.url, history=history, timeout_s=5)
        with city.lock:
            city.memory = CityMemory()
        self.true_ms, self.clock, self._n = TRUE_MS, None, 0
        self.accepted, self.true_times = [], {}
        self._outbox = self._uplink = None

    async def boot(self, wrong_by_s=0, *, trust=TimeTrust.UNSYNCED):
        """The power was away for a minute; the wall clock is off by so much."""
        self.true_ms += 60_000
        wall_ms = self.true_ms + wrong_by_s * 1000
        self.clock = FakeClock(wall_ms, 5.0, f"b{next(self._boots):011d}", trust)
        await self.restart()

    async def restart(self):
        await self.close()
        self._outbox = SqliteOutbox(self._folder / "outbox.db", self.clock, OutboxConfig(), ["city"])
        self._uplink = NgsiLd.make(self._config, Surroundings(self.clock, Site("GW-1"), self._folder))

    async def close(self):
        if self._outbox is not None:
            await self._uplink.close()
            await self._outbox.close()

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.true_ms += int(seconds * 1000)

    def step(self, seconds):
        """Somebody sets the clock."""
        self.clock.wall_ms += seconds * 1000

    def sync(self):
        """NTP answered."""
        self.clock.wall_ms, self.clock.trust = self.true_ms, TimeTrust.SYNCED

    async def measure(self, times=1):
        for _ in range(times):
            self._n += 1
            quantities = {"level": Quantity(self._n / 1000, Unit.METRE)}
            reading = Reading(
                source="sai",
                kind=Kind.WATER,
                entity="sai",
                at=self.clock.now(),
                cls=ReadingClass.LIVE,
                quantities=quantities,
            )
            for stored in await self._outbox.put([reading]):
                self.accepted.append(stored)
                self.true_times[(thing_of(stored), stored.sequence)] = self.true_ms
            self.wait(10)

    async def deliver(self, most=1000):
        """Send batches until nothing waits; or so many readings."""
        while most > 0 and (await self._outbox.stats()).waiting:
            batch = await self._outbox.lease("city", min(most, 7))
            await self._outbox.settle(batch, await self._uplink.deliver(batch.rows, behind=not batch.whole))
            most -= len(batch.rows)

    async def verdict(self):
        """Send the rest and compare; the moments that arrived, in order of their numbers."""
        await self.deliver()
        found = compare(self.accepted, *of_city(self._city))
        assert found.good, found
        assert found.repeats == 0 or self._config.history == "replay-ending-on-newest", "nothing twice"
        return sorted(self._city.history(), key=lambda i: i.sequence)

    def all_true(self, moments):
        """Every time that is called synchronised is the true one."""
        synced = [i for i in moments if i.values["timeQuality"] == "synced"]
        assert all(i.wall_ms == self.true_times[("WaterObserved:sai", i.sequence)] for i in synced)
        return len(synced) == len(moments)


@pytest.fixture(params=["temporal", "replay-ending-on-newest"])
async def box(tmp_path, city, request):
    made = Box(tmp_path / "state", city, request.param)
    yield made
    await made.close()


@pytest.mark.parametrize("wrong_by_s", [-55 * YEAR, -2 * YEAR, -HOUR, LATER])
async def test_wrong_at_boot_then_synchronised(box, wrong_by_s):
    await box.boot(wrong_by_s)
    await box.measure(5)
    box.sync()
    await box.measure(5)
    moments = await box.verdict()
    assert box.all_true(moments), "what was measured before has the time it really had"
    times = [i.observed_at for i in moments]
    assert times == sorted(times)


async def test_sent_while_wrong_then_synchronised(box):
    await box.boot(-2 * YEAR)
    await box.measure(8)
    await box.deliver(most=5)
    box.sync()
    await box.measure(5)
    moments = await box.verdict()
    untold = {i.sequence for i in moments if i.values["timeQuality"] == "unsynced"}
    assert untold == {8, 1, 2, 3, 4}, "the newest and the four oldest had left before anybody knew the time"
    box.all_true(moments)


async def test_ten_minutes_until_the_time_is_known(box):
    """1970 at boot, no NTP for ten minutes, and a line that carries every tenth reading."""
    await box.boot(-55 * YEAR)
    for _ in range(6):
        await box.measure(10)
        await box.deliver(most=1)
    box.sync()
    await box.measure(3)
    moments = await box.verdict()
    box.all_true(moments)
    untold = {i.sequence for i in moments if i.values["timeQuality"] == "unsynced"}
    assert len(untold) == 6, "what had left before; all others learnt their time"


@pytest.mark.parametrize("step_s", [-1, -HOUR, -30 * 86_400, 1, LATER], ids=["leap", "-1h", "-30d", "+1s", "+2.8y"])
async def test_a_step_while_running(box, step_s):
    await box.boot(trust=TimeTrust.SYNCED)
    await box.measure(5)
    await box.deliver()
    await box.measure(3)
    box.step(step_s)
    await box.measure(5)
    await box.restart()
    await box.measure(2)
    await box.deliver(most=4)
    box.sync()  # and back to the truth
    await box.measure(2)
    await box.verdict()


async def test_a_boot_into_the_past_with_a_backlog_from_before(box):
    await box.boot(trust=TimeTrust.SYNCED)
    await box.measure(5)
    await box.deliver(most=2)
    await box.boot(-HOUR)  # the last time that was saved
    await box.measure(5)
    await box.deliver(most=3)
    await box.restart()
    box.sync()
    await box.measure(1)
    box.all_true(await box.verdict())


steps = st.lists(
    st.sampled_from(["measure", "measure", "measure 9", "deliver", "deliver some", "sync", "boot", "restart"]),
    max_size=25,
)


@pytest.mark.parametrize("history", ["temporal", "replay-ending-on-newest"])
def test_any_life_of_a_clock(tmp_path, city, history):
    folders = itertools.count()

    @settings(max_examples=rounds(25, 2000), deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(steps=steps, seed=st.integers(0, 99))
    def life(steps, seed):
        asyncio.run(live(Box(tmp_path / str(next(folders)), city, history), steps, Random(seed)))

    life()


async def live(box, steps, luck):
    wrong = functools.partial(luck.choice, [-55 * YEAR, -2 * YEAR, -HOUR, -1, 0, 60, LATER])
    await box.boot(wrong())
    try:
        for one in ["measure", *steps]:
            match one:
                case "measure":
                    await box.measure()
                case "measure 9":
                    await box.measure(9)
                case "deliver":
                    await box.deliver()
                case "deliver some":
                    await box.deliver(most=luck.randint(1, 10))
                case "sync":
                    box.sync()
                case "boot":
                    await box.boot(wrong())
                case "restart":
                    await box.restart()
        box.all_true(await box.verdict())
    finally:
        await box.close()
