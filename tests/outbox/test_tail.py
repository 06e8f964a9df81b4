"""SQLite drops the end of a damaged WAL without a word; the outbox notices, brings back and counts."""

import random
import shutil

import pytest

from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind, ReadingClass
from tests.fakes import FakeClock, water

FRAME, HEAD = 24 + 4096, 32
PUTS, EACH = 30, 5


def open_(folder) -> SqliteOutbox:
    return SqliteOutbox(folder / "outbox.db", FakeClock(), OutboxConfig(), ("city",))


async def in_mid_work(folder):
    """A copy of a store whose process is still at work: the WAL holds everything since the first put."""
    outbox = open_(folder / "work")
    for step in range(PUTS):
        await outbox.put([water(float(step * EACH + i), source=f"g{i}", cls=ReadingClass.LIVE) for i in range(EACH)])
        if step == PUTS // 3:
            batch = await outbox.lease("city", 40)
            await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    shutil.copytree(folder / "work", folder / "card")
    await outbox.close()
    return folder / "card", {row.reading.quantities["level"].value for row in batch.rows}


async def drain(outbox):
    got = []
    while (await outbox.stats()).waiting:
        batch = await outbox.lease("city", 50)
        got += [row.reading for row in batch.rows]
        await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    return got


def codes(outbox):
    return [notice.code for notice in outbox.notices]


def values(readings):
    return [r.quantities["level"].value for r in readings if r.kind is Kind.WATER]


async def test_a_sound_end_is_no_news(tmp_path):
    card, had = await in_mid_work(tmp_path)
    outbox = open_(card)
    assert not codes(outbox)
    assert sorted(values(await drain(outbox))) == sorted({float(i) for i in range(PUTS * EACH)} - had)
    await outbox.close()
    outbox = open_(card)  # and nothing waits, so that the file's highest id is of a row that is gone
    assert not codes(outbox)
    await outbox.close()


@pytest.mark.parametrize("seed", range(6))
async def test_one_flipped_bit_loses_at_most_what_it_hit(tmp_path, seed):
    card, had = await in_mid_work(tmp_path)
    luck = random.Random(seed)
    wal = bytearray((card / "outbox.db-wal").read_bytes())
    frame = luck.randrange(len(wal) // FRAME // 4, len(wal) // FRAME // 2)
    wal[HEAD + frame * FRAME + 24 + luck.randrange(4096)] ^= 1 << luck.randrange(8)
    (card / "outbox.db-wal").write_bytes(wal)
    outbox = open_(card)
    assert "outbox.tail-lost" in codes(outbox) and "outbox.salvaged" in codes(outbox)
    stats = await outbox.stats()
    fresh = await outbox.put([water(9000.0 + i, source=f"g{i}") for i in range(EACH)])
    got = await drain(outbox)
    wanted = {float(i) for i in range(PUTS * EACH)} - had
    assert wanted <= set(values(got)) and stats.lost == 0, "later frames hold the same pages again"
    numbers = {(r.source, r.sequence): r.quantities["level"].value for r in got if r.kind is Kind.WATER}
    assert len(numbers) == len(set(values(got))), "no number stands for two readings"
    assert all(one.sequence > PUTS for one in fresh)
    await outbox.close()
    outbox = open_(card)
    assert not codes(outbox), "told once"
    await outbox.close()


async def test_what_is_gone_for_good_is_counted_and_named(tmp_path):
    card, _ = await in_mid_work(tmp_path)
    wal = (card / "outbox.db-wal").read_bytes()
    (card / "outbox.db-wal").write_bytes(wal[: HEAD + len(wal) // FRAME * 3 // 4 * FRAME])
    outbox = open_(card)
    assert "outbox.tail-lost" in codes(outbox)
    stats = await outbox.stats()
    assert 0 < stats.lost < PUTS * EACH / 2 and stats.accepted == PUTS * EACH + 1
    fresh = await outbox.put([water(9999.0, source="g0")])
    assert fresh[0].sequence > PUTS, "numbers that were given and lost are not given again"
    got = await drain(outbox)
    gap = [r for r in got if r.kind is Kind.GAP]
    assert [r.quantities["readings"].value for r in gap] == [stats.lost] and gap[0].facts["reason"] == "damaged"
    assert max(v for v in values(got) if v < 9999) == PUTS * EACH - 1 - stats.lost
    await outbox.close()


async def test_a_wal_that_is_gone_altogether(tmp_path):
    card, _ = await in_mid_work(tmp_path)
    (card / "outbox.db-wal").unlink()  # nothing was folded into the file yet: it is as good as empty
    outbox = open_(card)
    assert "outbox.tail-lost" in codes(outbox)
    assert (await outbox.stats()).lost == PUTS * EACH
    assert (await outbox.put([water(1.0, source="g0")]))[0].sequence > PUTS
    await outbox.close()


async def test_a_note_that_cannot_be_read_says_nothing(tmp_path):
    card, _ = await in_mid_work(tmp_path)
    for note in (b"", b"\0" * 30, b"999999999999 00000000\n"):
        (card / "outbox.db.tail").write_bytes(note)
        outbox = open_(card)
        assert not codes(outbox)
        await outbox.close()
