"""A worn card: whatever a file has become, the agent starts, goes on, and no wrong number leaves.

EDGEAGENT_DAMAGE_ROUNDS sets how many files are damaged (25 by default; 1,000 before a release).
"""

import asyncio
import os
import random
import shutil

import pytest

from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind
from tests.fakes import FakeClock, water

ROUNDS = int(os.environ.get("EDGEAGENT_DAMAGE_ROUNDS", "25"))
PAGE = 4096
PUT = 400


def flip_bits(raw: bytearray, luck: random.Random) -> None:
    for _ in range(luck.choice((1, 5, 50))):
        raw[luck.randrange(len(raw))] ^= 1 << luck.randrange(8)


def flip_in_small_tables(raw: bytearray, luck: random.Random) -> None:
    for _ in range(6):
        place = luck.choice((luck.randrange(100), PAGE - 1 - luck.randrange(200)))
        raw[PAGE * luck.randrange(1, 12) + place] ^= 1 << luck.randrange(8)


def spoil_a_page(raw: bytearray, luck: random.Random) -> None:
    first = PAGE * luck.randrange(len(raw) // PAGE)
    raw[first : first + PAGE] = luck.choice((luck.randbytes(PAGE), bytes(PAGE)))


def cut(raw: bytearray, luck: random.Random) -> None:
    del raw[luck.randrange(len(raw)) :]


def open_(path, *uplinks) -> SqliteOutbox:
    return SqliteOutbox(path, FakeClock(), OutboxConfig(), uplinks)


async def sound_store(folder) -> None:
    outbox = open_(folder / "outbox.sqlite", "a", "b")
    for step in range(PUT // 20):
        await outbox.put([water(float(step * 20 + i), source=f"g{i}", facts={"raw": "f" * 100}) for i in range(20)])
    for uplink in ("a", "b"):
        rows = (batch := await outbox.lease(uplink, 60)).rows
        await outbox.settle(batch, Delivery(frozenset(row.id for row in rows[::2]), {rows[1].id: "no"}))
    await outbox.close()


async def drain(outbox, uplink) -> list[float]:
    """Everything this uplink can still get; a store set aside on the way is no reason to stop."""
    values: list[float] = []
    for _ in range(PUT):
        try:
            if (await outbox.stats()).uplinks[uplink].waiting <= 0:
                return values
            batch = await asyncio.wait_for(outbox.lease(uplink, 50), 2)
            readings = [row.reading for row in batch.rows if row.reading.kind is not Kind.GAP]
            values += [one.quantities["level"].value for one in readings]
            await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
        except TimeoutError:  # what seemed to wait could not be read: is it counted as lost now?
            continue
        except OutboxUnavailable as error:
            if error.code != "outbox.set-aside":
                raise
    pytest.fail("the outbox never comes to an end")


async def test_no_damage_stops_it_or_makes_a_number_wrong(tmp_path):
    (tmp_path / "sound").mkdir()
    await sound_store(tmp_path / "sound")
    seed = random.randrange(1 << 30)
    for round_ in range(ROUNDS):
        luck = random.Random(f"{seed}/{round_}")  # named in the failure: it is a local here
        folder = tmp_path / str(round_)
        shutil.copytree(tmp_path / "sound", folder)
        raw = bytearray((folder / "outbox.sqlite").read_bytes())
        luck.choice((flip_bits, flip_in_small_tables, spoil_a_page, cut))(raw, luck)
        (folder / "outbox.sqlite").write_bytes(raw)
        outbox = open_(folder / "outbox.sqlite", "a", "b", "c")
        try:
            values = await drain(outbox, "a")
            assert set(values) <= {float(i) for i in range(PUT)}, (seed, round_)
            assert len(values) == len(set(values)), (seed, round_)
            try:
                stored = await outbox.put([water(-1.0, source="g0")])
            except OutboxUnavailable as error:  # damage that only a writer meets: told, and gone at the next try
                if error not in outbox.notices:
                    raise
                stored = await outbox.put([water(-1.0, source="g0")])
            assert stored[0].sequence > PUT // 20, (seed, round_)
        finally:
            await outbox.close()
        shutil.rmtree(folder)
