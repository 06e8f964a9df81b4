"""A damaged store: measuring goes on at once, and what can still be read reaches the city.

EDGEAGENT_ROUNDS sets how many images are damaged (66 by default; `make torture` 1,000).
"""

import asyncio
import os
import random
import shutil
import sqlite3
import time

import pytest

from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.record import unpack
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind, ReadingClass
from tests.fakes import FakeClock, water
from tests.outbox.test_days import lower_schema

ROUNDS = int(os.environ.get("EDGEAGENT_ROUNDS", "66"))
PAGE, PUT, STREAMS = 4096, 600, 12


def header(raw, wal, luck):
    size = luck.choice((16, 100, PAGE))
    raw[:size] = luck.randbytes(size)


def leaf(raw, wal, luck):
    at = PAGE * luck.randrange(12, len(raw) // PAGE)
    raw[at : at + PAGE] = luck.choice((luck.randbytes(PAGE), bytes(PAGE)))


def interior(raw, wal, luck):
    found = [at for at in range(PAGE, len(raw), PAGE) if raw[at] == 5]
    at = luck.choice(found)
    raw[at : at + 200] = luck.randbytes(200)


def wal_flip(raw, wal, luck):
    for _ in range(luck.choice((1, 20))):
        wal[luck.randrange(len(wal))] ^= 1 << luck.randrange(8)


def truncation(raw, wal, luck):
    del raw[luck.randrange(PAGE * 4, len(raw)) :]


def garbage(raw, wal, luck):
    """Behind the list of cells a page begins with: without that list a page counts as unreadable."""
    for _ in range(8):
        at = PAGE * luck.randrange(len(raw) // PAGE) + luck.randrange(300, PAGE - 64)
        raw[at : at + 64] = luck.randbytes(64)


def no_schema(raw, wal, luck):
    raw[100:PAGE] = bytes(PAGE - 100)


def wal_cut(raw, wal, luck):
    del wal[luck.randrange(len(wal) // 2, len(wal)) :]


DAMAGES = (header, leaf, interior, wal_flip, wal_cut, truncation, garbage, no_schema)
OLDER = (header, leaf, garbage)  # of a file that an older edgeagent left
IMAGES = [("sound", damage) for damage in DAMAGES] + [("older", damage) for damage in OLDER]


def open_(path) -> SqliteOutbox:
    return SqliteOutbox(path, FakeClock(), OutboxConfig(), ("a", "b"))


async def sound_store(folder) -> None:
    """A store as it lies on the card in mid-work: a file, a WAL, rows delivered and rows owed."""
    outbox = open_(folder / "work" / "outbox.sqlite")
    for step in range(PUT // 20):
        readings = [
            water(
                float(step * 20 + i), source=f"g{i % STREAMS}", facts={"raw": "f" * (i * 20)},
                cls=ReadingClass.ALARM if i == 7 else ReadingClass.LIVE,
            )
            for i in range(20)
        ]  # fmt: skip
        await outbox.put(readings)
        if step == PUT // 40:
            outbox._thread.submit(
                lambda: outbox._store._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            ).result()
            for uplink, limit in (("a", 150), ("b", 80)):
                batch = await outbox.lease(uplink, limit)
                await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    shutil.copytree(folder / "work", folder / "sound")
    await outbox.close()
    shutil.copytree(folder / "sound", folder / "older")
    lower_schema(folder / "older" / "outbox.sqlite")
    (folder / "older" / "outbox.sqlite.tail").unlink()


def owed(folder) -> dict[float, bytes]:
    """What `a` has not had yet, by value, with the record as it lies in the file."""
    shutil.copytree(folder / "sound", folder / "oracle")
    db = sqlite3.connect(folder / "oracle" / "outbox.sqlite")
    floor = db.execute("SELECT floor FROM accounts WHERE name = 'a'").fetchone()[0]
    had = {
        i for first, last in db.execute("SELECT first, last FROM runs WHERE name = 'a'") for i in range(first, last + 1)
    }
    rows = db.execute("SELECT id, record FROM rows WHERE id > ?", (floor,)).fetchall()
    db.close()
    return {unpack(r).quantities["level"].value: r for row, r in rows if row not in had}


async def drain(outbox) -> list:
    got = []
    for _ in range(PUT):
        try:
            if (await outbox.stats()).uplinks["a"].waiting <= 0:
                return got
            batch = await asyncio.wait_for(outbox.lease("a", 200), 10)
            got += [row.reading for row in batch.rows]
            await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
        except OutboxUnavailable as error:
            if error.code != "outbox.set-aside":
                raise
    pytest.fail("the outbox never comes to an end")


@pytest.mark.slow
async def test_what_can_be_read_is_brought_back_and_what_cannot_is_named(tmp_path):
    await sound_store(tmp_path)
    records = owed(tmp_path)
    assert len(records) > PUT // 2
    set_aside = 0
    seed = random.randrange(1 << 30)
    for round_ in range(ROUNDS):
        luck = random.Random(f"{seed}/{round_}")
        image, damage = IMAGES[round_ % len(IMAGES)]
        told = (image, damage.__name__, seed, round_)
        folder = tmp_path / str(round_)
        shutil.copytree(tmp_path / image, folder)
        files = [folder / "outbox.sqlite", folder / "outbox.sqlite-wal"]
        raw, wal = (bytearray(file.read_bytes() if file.exists() else b"") for file in files)
        damage(raw, wal, luck)
        for file, content in zip(files, (raw, wal), strict=True):
            if content:
                file.write_bytes(content)
        readable = {value for value, record in records.items() if record in raw or record in wal}
        began = time.monotonic()
        outbox = open_(folder / "outbox.sqlite")
        try:
            assert time.monotonic() - began < 5, told
            fresh = await outbox.put([water(9999.0, source="g0")])
            got = await drain(outbox)
            set_aside += bool(list(folder.glob("outbox.sqlite.bad-*")))
            assert not list(folder.glob("*.unread")), told
            lost = (await outbox.stats()).lost
        except OutboxUnavailable:  # damage that only a writer meets: told, and gone at the next call
            assert "outbox.set-aside" in [notice.code for notice in outbox.notices], told
            fresh = await outbox.put([water(9999.0, source="g0")])
            got = await drain(outbox)
            lost = (await outbox.stats()).lost
        finally:
            await outbox.close()
        values = {r.quantities["level"].value for r in got if r.kind is not Kind.GAP}
        assert values <= {float(i) for i in range(PUT)} | {9999.0}, told
        assert fresh[0].sequence > PUT // STREAMS, told
        gaps = [r for r in got if r.kind is Kind.GAP]
        missing = readable - values
        assert len(missing) <= len(readable) // 100, (told, len(readable), sorted(missing))
        if set(records) - values and damage not in (header, truncation):
            assert gaps or lost, told
        shutil.rmtree(folder)
    assert set_aside > ROUNDS // 20
