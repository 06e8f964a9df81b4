"""Dead letters: listed with their reason, owed again when a person says so, to that uplink alone."""

from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from tests.fakes import FakeClock, water


def open_(tmp_path, *uplinks) -> SqliteOutbox:
    return SqliteOutbox(tmp_path / "outbox.sqlite", FakeClock(), OutboxConfig(), uplinks)


async def refuse(outbox, uplink, count):
    await outbox.put([water(float(i), source=f"g{i}") for i in range(count)])
    batch = await outbox.lease(uplink, count)
    await outbox.settle(batch, Delivery(frozenset(), {row.id: f"400 {row.id}" for row in batch.rows}))


async def test_letters_are_listed_page_by_page(tmp_path):
    outbox = open_(tmp_path, "a", "b")
    await refuse(outbox, "a", 5)
    first = await outbox.dead_letters(0, 3)
    rest = await outbox.dead_letters(first[-1].number, 3)
    assert [(one.uplink, one.reason, one.reading.stream) for one in first + rest] == [
        ("a", f"400 {i + 1}", f"water:g{i}") for i in range(5)
    ]
    assert await outbox.dead_letters(rest[-1].number) == []
    await outbox.close()


async def test_a_retried_letter_is_owed_to_its_uplink_alone_with_its_number(tmp_path):
    outbox = open_(tmp_path, "a", "b")
    await refuse(outbox, "a", 3)
    batch = await outbox.lease("b", 9)
    await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    letters = await outbox.dead_letters()
    assert await outbox.retry_dead([letters[1].number, 999]) == 1
    assert [one.number for one in await outbox.dead_letters()] == [letters[0].number, letters[2].number]
    await outbox.close()
    outbox = open_(tmp_path, "a", "b")
    stats = await outbox.stats()
    assert (stats.uplinks["a"].waiting, stats.uplinks["b"].waiting) == (1, 0)
    batch = await outbox.lease("a", 9)
    assert [row.reading for row in batch.rows] == [letters[1].reading]
    assert batch.lane == "backfill", "it is old: nothing newer may be overwritten by it"
    await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    assert (await outbox.stats()).waiting == 0
    assert (await outbox.put([water(9.0, source="g1")]))[0].sequence == 2
    await outbox.close()


async def test_a_letter_of_an_uplink_that_is_gone_stays(tmp_path):
    outbox = open_(tmp_path, "a", "b")
    await refuse(outbox, "a", 1)
    await outbox.close()
    outbox = open_(tmp_path, "b")
    (letter,) = await outbox.dead_letters()
    assert await outbox.retry_dead([letter.number]) == 0
    assert len(await outbox.dead_letters()) == 1
    await outbox.close()
