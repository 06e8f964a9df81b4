"""The power goes, at any moment: nothing acknowledged is lost, no number is given again.

The long run opens 50,000 images (EDGEAGENT_ROUNDS=1000).
"""

import asyncio
import copy
import itertools
import shutil
from collections import Counter
from random import Random

import pytest

from tests.faults.disk import Disk, record
from tests.faults.promises import Promises, broken
from tests.faults.verdict import rounds

pytestmark = [pytest.mark.slow, pytest.mark.tool("strace")]
PUTS = 150  # long enough for several checkpoints of the WAL
FILE = "outbox.db"
TOGETHER = 12  # images opened at a time: each waits for its own syncs


async def test_a_power_cut_at_any_moment(tmp_path):
    ops = lived(tmp_path, str(PUTS))
    happened = Counter(op.what for op in ops)
    assert happened["sync"] > PUTS and happened["write"] > 5 * PUTS and happened["rename"], happened
    found = await harm(tmp_path, ops, rounds(300, 50_000))
    assert not found, "\n".join(found[:20])


async def test_a_store_that_syncs_too_little_is_seen(tmp_path):
    found = await harm(tmp_path, lived(tmp_path, "60", "1", "careless"), 30)
    assert any("accepted and gone" in what for what in found)


def lived(tmp_path, *arguments):
    """What a whole life of the process did to the disk and said."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return record(folder, tmp_path / "trace", "tests.faults.keeping", str(folder / FILE), *arguments)


async def harm(tmp_path, ops, images):
    """Cut the power so often, at random moments; the promises that were broken."""
    end = Promises()
    heard(end, b"".join(op.data for op in ops if op.what == "say"))
    assert end.ended and len(end.accepted) > 300 and len(end.settled) > 100 and not end.refusals
    luck = Random(7)
    cuts = Counter(luck.choices(range(len(ops)), k=images))
    disk, promised, found, opening = Disk(), Promises(), [], []
    for at, op in enumerate(ops):
        disk.happens(op)
        if op.what == "say":
            heard(promised, op.data)
        for n in range(cuts[at]):
            place = tmp_path / f"image-{at}-{n}"
            place.mkdir()
            disk.cut(place, luck)
            opening.append((place, f"{op.what} {op.name}", copy.deepcopy(promised)))
        if len(opening) >= TOGETHER or op is ops[-1]:
            found += itertools.chain.from_iterable(await asyncio.gather(*(look(*one, end) for one in opening)))
            opening.clear()
    return found


async def look(place, after, promised, end):
    broke = await broken(place / FILE, promised, end.accepted)
    shutil.rmtree(place)
    return [f"{what} ({place.name}, after {after})" for what in broke]


def heard(promised: Promises, said: bytes) -> None:
    for line in said.decode().splitlines():
        promised.hear(line)
