"""The power goes, at any moment: nothing acknowledged is lost, no number is given again, nothing old is written over new.

The outbox and the marks of what the city knows are on the disk that loses power; the city is not.
The long run opens 50,000 images (EDGEAGENT_ROUNDS=1000).
"""

import asyncio
import multiprocessing
import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random

import pytest

from tests.faults.disk import Disk, record
from tests.faults.near import without_threads
from tests.faults.promises import Promises, broken
from tests.faults.verdict import in_ram, rounds

pytestmark = [pytest.mark.slow, pytest.mark.tool("strace")]
IMAGES = rounds(5_000, 50_000)  # over both histories
PUTS = 100  # long enough for several checkpoints of the WAL
FILE = "outbox.db"
WORKERS = 2


@pytest.mark.parametrize("history", ["temporal", "replay-ending-on-newest"])
def test_a_power_cut_at_any_moment(tmp_path, history):
    ops = lived(tmp_path, str(PUTS), "1", history)
    happened = Counter((op.what, op.name.startswith("uplink")) for op in ops)
    assert happened["sync", False] > PUTS and happened["write", False] > 5 * PUTS, happened
    assert happened["rename", False] and happened["rename", True] and happened["sync", True] > 5, happened
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        work = [pool.submit(harm, ops, IMAGES // 2 // WORKERS, history, seed) for seed in range(WORKERS)]
        found = [what for one in work for what in one.result()]
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize(
    ("fault", "history", "harms"),
    [
        ("careless", "temporal", "accepted and gone"),
        ("forgetful", "temporal", "old over new"),
        ("forgetful", "replay-ending-on-newest", "the city ends on"),
    ],
)
def test_a_store_that_syncs_too_little_and_an_uplink_without_memory_are_seen(tmp_path, fault, history, harms):
    found = harm(lived(tmp_path, "60", "1", history, fault), 40, history, 7)
    assert any(harms in what for what in found), found[:20]


def lived(tmp_path, *arguments):
    """What a whole life of the process did to the disk and said."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return record(folder, tmp_path / "trace", "tests.faults.keeping", str(folder / FILE), *arguments)


def harm(ops, images, history, seed):
    """Cut the power so often, at random moments; the promises that were broken."""
    end = Promises(history)
    heard(end, b"".join(op.data for op in ops if op.what == "say"))
    assert end.ended and len(end.accepted) > 300 and len(end.settled) > 100 and not end.refusals
    luck = Random(seed)
    cuts = Counter(luck.choices(range(len(ops)), k=images))
    disk, promised, found = Disk(), Promises(history), []
    with in_ram() as folder, without_threads():
        place = folder / "image"
        for at, op in enumerate(ops):
            disk.happens(op)
            if op.what == "say":
                heard(promised, op.data)
            for n in range(cuts[at]):
                place.mkdir()
                disk.cut(place, luck)
                broke = asyncio.run(broken(place / FILE, promised, end.accepted))
                found += [f"{what} (cut {n} after {at}: {op.what} {op.name})" for what in broke]
                shutil.rmtree(place)
    return found


def heard(promised: Promises, said: bytes) -> None:
    for line in said.decode().splitlines():
        promised.hear(line)
