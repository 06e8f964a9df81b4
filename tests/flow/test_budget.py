"""A month's data volume: the backlog waits first, then newest values are spaced, alarms never wait."""

import asyncio
import datetime as dt

import pytest

from edgeagent.daemon import courier
from edgeagent.daemon.budget import Thrift, forecast, thrift, used
from edgeagent.daemon.courier import Courier
from edgeagent.daemon.health import UplinkHealth
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery, UplinkConfig, UplinkStats
from edgeagent.reading import Kind, ReadingClass, TimeTrust
from tests.fakes import FakeClock, water
from tests.flow.test_courier import until

JST = dt.timezone(dt.timedelta(hours=9))
CAP = 1_000_000


def clock(text, **more):
    return FakeClock(wall_ms=int(dt.datetime.fromisoformat(text).replace(tzinfo=JST).timestamp() * 1000), **more)


@pytest.mark.parametrize(
    ("when", "sent", "wanted"),
    [
        ("2026-11-01T00:00:00", 0, Thrift.FREELY),
        ("2026-11-01T00:00:00", 100_000, Thrift.FREELY),
        ("2026-11-01T00:00:00", 100_001, Thrift.NO_BACKLOG),
        ("2026-11-01T00:00:00", 200_001, Thrift.SPARSELY),
        ("2026-11-16T00:00:00", 590_000, Thrift.FREELY),  # half of November is over
        ("2026-11-16T00:00:00", 690_000, Thrift.NO_BACKLOG),
        ("2026-11-16T00:00:00", 710_000, Thrift.SPARSELY),
        ("2026-11-30T23:00:00", 949_000, Thrift.FREELY),
        ("2026-11-30T23:00:00", 951_000, Thrift.SPARSELY),
        ("2026-11-30T23:00:00", 1_000_000, Thrift.BARELY),
    ],
)
def test_how_sparing_to_be(when, sent, wanted):
    assert thrift(CAP, sent, clock(when).now()) is wanted
    assert thrift(0, sent, clock(when).now()) is Thrift.FREELY


def test_a_month_begins_with_nothing_and_a_clock_that_is_not_trusted_does_not_begin_one():
    november = 2026 * 12 + 10
    stats = UplinkStats(0, 0, 0, 0.0, november, 700)
    assert used(stats, clock("2026-11-30T23:59:59").now()) == 700
    assert used(stats, clock("2026-12-01T00:00:00").now()) == 0
    assert used(stats, clock("2027-03-01T00:00:00", trust=TimeTrust.UNSYNCED).now()) == 700
    assert forecast(300, clock("2026-11-11T00:00:00").now()) == 900
    assert forecast(300, clock("2026-11-11T00:00:00", trust=TimeTrust.UNSYNCED).now()) is None


class Costly:
    """Takes everything, at a price per batch."""

    def __init__(self, price):
        self.price, self.levels = price, []

    async def deliver(self, rows, *, behind=False):
        self.levels.append([r.reading.quantities["level"].value for r in rows if r.reading.kind is Kind.WATER])
        return Delivery(frozenset(r.id for r in rows), bytes_sent=self.price)

    async def close(self):
        pass


async def test_alarms_leave_when_the_month_is_used_up_and_the_rest_leaves_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(courier, "LOOK_AGAIN_S", 0.02)
    now = clock("2026-11-10T12:00:00")
    outbox = SqliteOutbox(tmp_path / "outbox.db", now, OutboxConfig(), ("city",))
    city = Costly(price=CAP)
    section = UplinkConfig(id="city", driver="x", monthly_bytes=CAP)
    made = Courier(lambda: city, section, outbox=outbox, health=UplinkHealth("city", "x"), clock=now, luck=lambda: 0.0)
    task = asyncio.create_task(made.run())

    async def sent(count):
        async def there():
            return len(city.levels) >= count

        await until(there, 20)
        await asyncio.sleep(0.2)  # and nothing more
        assert len(city.levels) == count, city.levels

    try:
        await outbox.put([water(1.0, at=now.now())])
        await sent(1)
        city.price = 0
        for level in (2.0, 3.0):
            now.advance(10)
            await outbox.put([water(level, at=now.now(), cls=ReadingClass.LIVE)])
        await sent(1)
        await outbox.put([water(9.0, source="alarm", at=now.now(), cls=ReadingClass.ALARM)])
        await sent(2)
        assert city.levels[-1] == [9.0]
        now.advance(3601)  # a sign of life, and of it the newest only
        await sent(3)
        assert city.levels[-1] == [3.0]
        stats = (await outbox.stats()).uplinks["city"]
        assert (stats.sent, stats.waiting) == (CAP, 1)
        now.advance(21 * 24 * 3600)
        await outbox.put([water(4.0, at=now.now())])
        await sent(4)
        assert city.levels[-1] == [2.0, 4.0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()
