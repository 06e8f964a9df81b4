"""Three days without a line, and then a thin one: live values stay live, the backlog drains, all of it arrives."""

import asyncio
import time

import psutil
import pytest

from edgeagent.clock import SystemClock
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.reading import Moment, TimeTrust
from edgeagent.simulate.city import City
from tests.fakes import water
from tests.faults.pipe import NAMES, Order, Said, give, started
from tests.faults.proxy import ThinLine
from tests.faults.verdict import compare, of_city, rounds, thing_of

pytestmark = pytest.mark.slow
CLOCK = SystemClock()
OUTAGE_S = 72 * 3600
ROWS = rounds(60_000, 600_000)
LINE = 256_000 // 8  # bytes a second
THIN_S = 40.0  # then the line is as fast as it can be, and the rest drains
MOST_RSS = 150_000_000


async def filled(path):
    """An outbox with three days of all rivers; what it accepted."""
    outbox = SqliteOutbox(path, CLOCK, OutboxConfig(), ["city"])
    now, accepted, step_ms = CLOCK.now(), [], OUTAGE_S * 1000 * len(NAMES) // ROWS
    per_river = ROWS // len(NAMES)
    for begin in range(0, per_river, 2000):
        readings = []
        for n in range(begin, min(begin + 2000, per_river)):
            ago_ms = (per_river - n) * step_ms
            at = Moment(now.wall_ms - ago_ms, now.mono_ms - ago_ms, now.boot_id, TimeTrust.SYNCED)
            readings += [water(n / 1000, source=name, at=at) for name in NAMES]
        accepted += await outbox.put(readings)
    await outbox.close()
    return accepted


class Watch:
    """How old live values are when the city has them; how large the process becomes."""

    def __init__(self, city, said, process):
        self._city, self._said, self._process = city, said, process
        self._seen = {}
        self.late_s, self.most_rss = [], 0

    async def until(self, true, seconds=600.0):
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "never so"
            await asyncio.sleep(0.03)
            self._look()

    def _look(self):
        now_s = CLOCK.mono()
        current = newest(self._city)
        self._said.listen()
        made = {(thing_of(r), r.sequence): r.at.mono_ms / 1000 for r in self._said.accepted[-500:]}
        for thing, number in current.items():
            if self._seen.get(thing) != number and (thing, number) in made:
                self._seen[thing] = number
                self.late_s.append(now_s - made[thing, number])
        if self._process.is_running():
            self.most_rss = max(self.most_rss, self._process.memory_info().rss)


def newest(city):
    """Sequence number of the current state, by thing."""
    with city.lock:
        return {f"{i.type}:{i.entity.rpartition(':')[2]}": i.sequence for i in city.memory.newest.values()}


async def test_three_days_drain_over_a_thin_line_while_live_values_stay_live(tmp_path):
    backlog = await filled(tmp_path / "outbox.db")
    assert len(backlog) >= ROWS - 3
    said = Said(tmp_path / "said")
    city = City(remember=2 * ROWS)
    city.start()
    try:
        async with ThinLine(int(city.url.rpartition(":")[2]), LINE) as line:
            uplink = {
                "id": "city",
                "driver": "ngsi-ld",
                "url": f"http://127.0.0.1:{line.port}",
                "history": "temporal",
                "timeout_s": 10.0,
                "backfill_bytes_per_s": 0,
            }
            order = Order(str(tmp_path), str(said.path), uplink, first=ROWS, pause_s=(0.5, 1.0))
            with started() as process:
                give(process, order)
                watch = Watch(city, said, psutil.Process(process.pid))
                await watch.until(lambda: said.states[-1:] == ["ok"])
                before, began_s = line.carried, CLOCK.mono()
                watch.late_s.clear()
                await watch.until(lambda: CLOCK.mono() - began_s >= THIN_S)
                share = (line.carried - before) / LINE / (CLOCK.mono() - began_s)
                late_s, drained = sorted(watch.late_s), len(backlog) - said.waiting
                assert said.waiting > ROWS // 2, "there was a backlog all the time"
                line.bytes_per_s = 0
                await watch.until(lambda: said.waiting < 100)
            with started() as process:
                said.listen(ended=True)
                give(process, Order(str(tmp_path), str(said.path), uplink, rivers=()))
                await watch.until(lambda: said.waiting == 0)
    finally:
        city.stop()
    p95_s = late_s[int(len(late_s) * 0.95)]
    verdict = compare(backlog + said.accepted, *of_city(city), said.perhaps)
    print(
        f"{len(late_s)} live values, p95 {p95_s:.2f} s, worst {late_s[-1]:.2f} s; {share:.0%} of the line, {drained} rows in"
        f" {THIN_S:.0f} s; {watch.most_rss / 1e6:.0f} MB; {verdict.accepted} accepted, {verdict.repeats} repeated"
    )
    assert verdict.good, (verdict.missing[:5], verdict.wrong[:5], verdict.unknown[:5], verdict.stale)
    assert city.snapshot().regressions == 0
    assert len(late_s) > THIN_S / 4 and p95_s < 5.0, late_s
    assert share > 0.8, "with a tenth for live values, 70 % of the line are the backlog's"
    assert watch.most_rss < MOST_RSS
