"""What every outbox promises, run over all of them."""

import asyncio
from pathlib import Path

import pytest

from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Batch, Delivery
from edgeagent.reading import Moment, Reading, ReadingClass, TimeTrust
from tests.fakes import FakeClock, water

UPLINKS = ("nagano", "suzaka")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
async def outbox(request, clock, tmp_path: Path):
    if request.param == "memory":
        made = MemoryOutbox(clock, UPLINKS)
    else:
        made = SqliteOutbox(tmp_path / "outbox.sqlite", clock, OutboxConfig(), UPLINKS)
    yield made
    await made.close()


def accept(batch: Batch) -> Delivery:
    return Delivery(frozenset(row.id for row in batch.rows))


def levels(batch: Batch) -> list[float]:
    return [row.reading.quantities["level"].value for row in batch.rows]


def gauge(level: float, **more) -> Reading:
    """A reading of a gauge of its own: the newest, and the only one, of its stream."""
    return water(level, source=f"g{level}", **more)


async def nothing_to_lease(outbox, uplink="nagano"):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.lease(uplink, 10), 0.05)


async def test_put_numbers_each_stream_from_one(outbox):
    first = await outbox.put([water(1.0), water(2.0, source="chikuma")])
    second = await outbox.put([water(3.0)])
    assert [r.sequence for r in first] == [1, 1]
    assert second[0].sequence == 2
    assert second[0].quantities == water(3.0).quantities


async def test_putting_nothing_is_nothing(outbox):
    assert list(await outbox.put([])) == []
    await nothing_to_lease(outbox)


async def test_lease_gives_the_oldest_first_and_what_put_returned(outbox):
    stored = await outbox.put([gauge(float(i)) for i in range(5)])
    batch = await outbox.lease("nagano", 3)
    assert [row.reading for row in batch.rows] == list(stored[:3])


async def test_alarms_leave_first_then_the_newest_of_each_stream_then_the_rest(outbox):
    await outbox.put([water(1.0), water(2.0, cls=ReadingClass.LIVE), gauge(5.0), water(4.0, source="chikuma")])
    await outbox.put([gauge(9.0, cls=ReadingClass.ALARM), water(3.0), gauge(8.0, cls=ReadingClass.ALARM)])
    got = [await outbox.lease("nagano", 4) for _ in range(3)]
    assert [(batch.lane, levels(batch)) for batch in got] == [
        ("alarm", [9.0, 8.0]), ("live", [5.0, 4.0, 3.0]), ("backfill", [1.0, 2.0]),
    ]  # fmt: skip
    await nothing_to_lease(outbox)


async def test_a_batch_says_whether_anything_else_waits(outbox):
    await outbox.put([water(1.0), water(2.0)])
    first, second = await outbox.lease("nagano", 9), await outbox.lease("nagano", 9)
    assert not first.whole and not second.whole
    await outbox.settle(first, accept(first))
    await outbox.settle(second, Delivery(frozenset()))
    assert (await outbox.lease("nagano", 9)).whole


async def test_without_a_backlog_nothing_needs_to_overtake(outbox):
    await outbox.put([water(float(i)) for i in range(4)])
    batch = await outbox.lease("nagano", 3, together=True)
    assert (batch.lane, levels(batch), batch.whole) == ("live", [3.0], False)
    await outbox.put([water(4.0), gauge(9.0, cls=ReadingClass.ALARM)])
    assert (await outbox.lease("nagano", 9, together=True)).lane == "alarm"
    await outbox.settle(batch, Delivery(frozenset()))
    rest = await outbox.lease("nagano", 9, together=True)
    assert (rest.lane, levels(rest), rest.whole) == ("live", [0.0, 1.0, 2.0, 3.0, 4.0], False)
    await outbox.settle(rest, accept(rest))
    await outbox.put([water(6.0), water(7.0)])
    waiting = await outbox.lease("nagano", 9, backfill=False, together=True)
    assert levels(waiting) == [7.0]


async def test_without_backfill_a_lease_waits_for_a_newest_row(outbox):
    await outbox.put([water(float(i)) for i in range(5)])
    assert levels(await outbox.lease("nagano", 9, backfill=False)) == [4.0]
    waiting = asyncio.create_task(outbox.lease("nagano", 9, backfill=False))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await outbox.put([water(5.0)])
    assert levels(await asyncio.wait_for(waiting, 5)) == [5.0]
    assert levels(await outbox.lease("nagano", 9)) == [0.0, 1.0, 2.0, 3.0]


async def test_after_a_failed_delivery_only_what_is_still_newest_is_live(outbox):
    await outbox.put([water(1.0), gauge(5.0)])
    batch = await outbox.lease("nagano", 9)
    await outbox.put([water(2.0)])
    await outbox.settle(batch, Delivery(frozenset()))
    assert [(b.lane, levels(b)) for b in [await outbox.lease("nagano", 9), await outbox.lease("nagano", 9)]] == [
        ("live", [5.0, 2.0]), ("backfill", [1.0]),
    ]  # fmt: skip


async def test_what_is_delivered_makes_nothing_older_the_newest(outbox):
    await outbox.put([water(1.0), water(2.0), water(3.0)])
    for uplink in UPLINKS:
        batch = await outbox.lease(uplink, 1)
        await outbox.settle(batch, accept(batch))
    batch = await outbox.lease("nagano", 9)
    assert (batch.lane, levels(batch)) == ("backfill", [1.0, 2.0])


async def test_live_values_that_never_end_do_not_keep_the_rest_back(outbox):
    await outbox.put([water(float(i)) for i in range(3)])
    lanes = []
    for i in range(10):
        await outbox.put([water(100.0 + i)])
        batch = await outbox.lease("nagano", 1)
        lanes.append(batch.lane)
        await outbox.settle(batch, accept(batch))
    assert lanes.count("backfill") == 2 and lanes[0] == "live"
    for i in range(9):  # a line that fails is offered the newest again and again
        await outbox.put([water(200.0 + i)])
        batch = await outbox.lease("nagano", 1)
        assert (batch.lane, levels(batch)) == ("live", [200.0 + i])
        await outbox.settle(batch, Delivery(frozenset()))


async def test_leased_rows_are_not_leased_again_until_settled(outbox):
    await outbox.put([gauge(float(i)) for i in range(4)])
    first = await outbox.lease("nagano", 2)
    second = await outbox.lease("nagano", 9)
    assert levels(first) == [0.0, 1.0] and levels(second) == [2.0, 3.0]
    await nothing_to_lease(outbox)
    await outbox.settle(first, Delivery(frozenset()))
    assert levels(await outbox.lease("nagano", 9)) == [0.0, 1.0]


async def test_lease_waits_for_a_reading(outbox):
    waiting = asyncio.create_task(outbox.lease("nagano", 10))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await outbox.put([water(7.0)])
    assert levels(await asyncio.wait_for(waiting, 5)) == [7.0]


async def test_several_leases_may_wait_at_once(outbox):
    waiting = [asyncio.create_task(outbox.lease(uplink, 1)) for uplink in (*UPLINKS, *UPLINKS)]
    await asyncio.sleep(0.02)
    await outbox.put([gauge(1.0), gauge(2.0)])
    batches = await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert sorted((b.uplink, *levels(b)) for b in batches) == [
        ("nagano", 1.0), ("nagano", 2.0), ("suzaka", 1.0), ("suzaka", 2.0),
    ]  # fmt: skip


async def test_kept_rows_wake_a_waiting_lease(outbox):
    await outbox.put([gauge(1.0)])
    batch = await outbox.lease("nagano", 1)
    waiting = asyncio.create_task(outbox.lease("nagano", 1))
    await asyncio.sleep(0.02)
    await outbox.settle(batch, Delivery(frozenset()))
    assert levels(await asyncio.wait_for(waiting, 5)) == [1.0]


@pytest.mark.parametrize("ticks", range(8))
async def test_a_cancelled_lease_takes_nothing_with_it(outbox, ticks):
    await outbox.put([gauge(1.0), gauge(2.0)])
    leasing = asyncio.create_task(outbox.lease("nagano", 10))
    for _ in range(ticks):
        await asyncio.sleep(0)
    if not leasing.cancel():  # it had its rows already
        await outbox.settle(leasing.result(), Delivery(frozenset()))
    await asyncio.gather(leasing, return_exceptions=True)
    assert levels(await asyncio.wait_for(outbox.lease("nagano", 10), 5)) == [1.0, 2.0]


async def test_each_uplink_has_its_own_progress(outbox):
    await outbox.put([gauge(1.0), gauge(2.0)])
    await outbox.settle(batch := await outbox.lease("nagano", 10), accept(batch))
    assert levels(await outbox.lease("suzaka", 10)) == [1.0, 2.0]
    stats = await outbox.stats()
    assert (stats.accepted, stats.acknowledged, stats.waiting) == (2, 0, 2)
    assert (stats.uplinks["nagano"].acknowledged, stats.uplinks["nagano"].waiting) == (2, 0)
    assert (stats.uplinks["suzaka"].acknowledged, stats.uplinks["suzaka"].waiting) == (0, 2)


async def test_a_row_goes_when_every_uplink_has_settled_it(outbox):
    await outbox.put([water(1.0)])
    for uplink in UPLINKS:
        batch = await outbox.lease(uplink, 10)
        await outbox.settle(batch, accept(batch))
    stats = await outbox.stats()
    assert (stats.acknowledged, stats.waiting, stats.oldest_s) == (1, 0, 0)


async def test_settling_out_of_order_holds_nothing_back(outbox):
    await outbox.put([gauge(float(i)) for i in range(6)])
    batches = [await outbox.lease("nagano", 2) for _ in range(3)]
    await outbox.settle(batches[2], accept(batches[2]))
    await outbox.settle(batches[0], Delivery(frozenset([batches[0].rows[1].id])))
    await outbox.settle(batches[1], accept(batches[1]))
    assert levels(await outbox.lease("nagano", 10)) == [0.0]


async def test_rejected_rows_are_buried_and_not_offered_again(outbox):
    await outbox.put([gauge(1.0), gauge(2.0)])
    batch = await outbox.lease("nagano", 10)
    await outbox.settle(batch, Delivery(frozenset([batch.rows[0].id]), {batch.rows[1].id: "400 bad attribute"}))
    await nothing_to_lease(outbox)
    await outbox.settle(other := await outbox.lease("suzaka", 10), accept(other))
    stats = await outbox.stats()
    assert stats.uplinks["nagano"].dead == 1 and stats.uplinks["suzaka"].dead == 0
    assert (stats.accepted, stats.acknowledged, stats.waiting, stats.lost) == (2, 1, 0, 0)


async def test_settling_twice_counts_once(outbox):
    await outbox.put([water(1.0)])
    batch = await outbox.lease("nagano", 10)
    for _ in range(2):
        await outbox.settle(batch, accept(batch))
    await outbox.settle(batch, Delivery(frozenset(), {batch.rows[0].id: "too late"}))
    assert (await outbox.stats()).uplinks["nagano"] == (await outbox.stats()).uplinks["nagano"]
    assert (await outbox.stats()).uplinks["nagano"].acknowledged == 1
    assert (await outbox.stats()).uplinks["nagano"].dead == 0


async def test_a_delivery_speaks_only_for_its_batch(outbox):
    await outbox.put([gauge(1.0), gauge(2.0)])
    batch = await outbox.lease("nagano", 1)
    await outbox.settle(batch, Delivery(frozenset(range(1, 100)), {2: "not yours"}))
    assert levels(await outbox.lease("nagano", 10)) == [2.0]


async def test_readings_of_this_boot_are_restamped_once_the_clock_is_trusted(outbox, clock):
    clock.trust = TimeTrust.UNSYNCED
    early = clock.now()
    await outbox.put([gauge(1.0, at=early)])
    batch = await outbox.lease("nagano", 1)
    assert batch.rows[0].reading.at == early
    await outbox.settle(batch, Delivery(frozenset()))
    clock.advance(60)
    clock.wall_ms += 86_400_000  # NTP answers: it was a day later all along
    clock.trust = TimeTrust.SYNCED
    right = Moment(early.wall_ms + 86_400_000, early.mono_ms, early.boot_id, TimeTrust.SYNCED)
    batch = await outbox.lease("nagano", 1)
    assert batch.rows[0].reading.at == right
    clock.wall_ms += 5_000  # a later step does not move it again
    await outbox.put([gauge(2.0, at=clock.now())])
    assert (await outbox.lease("suzaka", 1)).rows[0].reading.at == right


async def test_readings_of_an_earlier_boot_keep_their_doubt(outbox, clock):
    before = Moment(1_700_000_000_000, 5_000, "b00700000000", TimeTrust.UNSYNCED)
    await outbox.put([gauge(1.0, at=before), gauge(2.0, at=clock.now())])
    assert [row.reading.at for row in (await outbox.lease("nagano", 2)).rows] == [before, clock.now()]


async def test_the_oldest_is_told_by_the_monotonic_clock(outbox, clock):
    await outbox.put([water(1.0, at=clock.now())])
    clock.advance(30)
    clock.wall_ms -= 3_600_000
    stats = await outbox.stats()
    assert stats.oldest_s == 30 and stats.uplinks["suzaka"].oldest_s == 30


async def test_an_unknown_uplink_is_refused(outbox):
    with pytest.raises(OutboxUnavailable) as told:
        await outbox.lease("matsumoto", 1)
    assert told.value.code == "outbox.no-such-uplink"


async def test_close_ends_waiting_leases_and_refuses_more(outbox):
    waiting = asyncio.create_task(outbox.lease("nagano", 1))
    await asyncio.sleep(0.02)
    await outbox.close()
    with pytest.raises(OutboxUnavailable):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(OutboxUnavailable) as told:
        await outbox.put([water()])
    assert told.value.code == "outbox.closed"
    await outbox.close()


async def test_bytes_are_counted_by_month(outbox, clock):
    await outbox.put([gauge(1.0), gauge(2.0)])
    batch = await outbox.lease("nagano", 10)
    await outbox.settle(batch, Delivery(frozenset(), bytes_sent=300))  # an attempt that failed has its price too
    batch = await outbox.lease("nagano", 10)
    await outbox.settle(batch, Delivery(frozenset([batch.rows[0].id]), bytes_sent=400))
    stats = (await outbox.stats()).uplinks
    assert (stats["nagano"].sent, stats["suzaka"].sent) == (700, 0)
    clock.advance(32 * 24 * 3600)
    batch = await outbox.lease("nagano", 10)
    await outbox.settle(batch, Delivery(frozenset(), bytes_sent=5))
    after = (await outbox.stats()).uplinks["nagano"]
    assert after.sent == 5 and after.month == stats["nagano"].month + 1
    clock.trust = TimeTrust.UNSYNCED
    clock.advance(32 * 24 * 3600)
    batch = await outbox.lease("nagano", 10)
    await outbox.settle(batch, Delivery(frozenset(), bytes_sent=2))
    assert (await outbox.stats()).uplinks["nagano"].sent == 7


async def test_only_alarms_may_be_asked_for(outbox):
    await outbox.put([gauge(1.0), gauge(2.0)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.lease("nagano", 10, backfill=False, live=False), 0.05)
    await outbox.put([gauge(3.0, cls=ReadingClass.ALARM)])
    assert levels(await outbox.lease("nagano", 10, backfill=False, live=False)) == [3.0]
    assert levels(await outbox.lease("nagano", 10)) == [1.0, 2.0]
