"""The power goes at every step of a poll: the next poll ends well, and nothing old is accepted meanwhile."""

import hashlib
import os
import random
import shutil

import pytest

from edgeagent.errors import UpdateRefused
from tests.update.killed import at_each_step
from tests.update.test_trust import PATH, Box, forge  # noqa: F401  a fixture


def test_killed_at_every_step_of_an_update(tmp_path, forge):  # noqa: F811
    box = Box(tmp_path / "box", forge)
    box.poll()
    replayed = {n: b for n, b in forge.files.items() if n == "metadata/timestamp.json"}
    forge.rotate("timestamp")
    forge.next_root()
    forge.put("city-007", PATH, b"seq = 2\n" * 3000, seq=2)
    forge.publish("city-007")
    clean = tmp_path / "clean"
    shutil.copytree(box.folder, clean, symlinks=True)

    def restart():
        shutil.rmtree(box.folder)
        shutil.copytree(clean, box.folder, symlinks=True)

    def check(_n):
        for file in box.folder.glob("targets/*"):
            assert file.suffix == ".part" or file.name == hashlib.sha256(file.read_bytes()).hexdigest(), (
                "a target appeared that is not whole"
            )
        assert box.poll()[0] == b"seq = 2\n" * 3000
        forge_now = dict(forge.files)
        forge.files.update(replayed)
        with pytest.raises(UpdateRefused):
            box.poll()
        forge.files.update(forge_now)
        restart()

    steps = at_each_step(lambda: box.poll(), check, every=3)  # noqa: PLW0108  looked up in the child
    assert steps > 20, steps


def test_what_was_not_synced_is_gone_and_the_next_poll_ends_well(tmp_path, forge):  # noqa: F811
    """Every subset of the cache may be empty or cut short: nothing but the floors is relied upon."""
    box = Box(tmp_path / "box", forge)
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    old = forge.files["metadata/timestamp.json"]
    forge.publish("city-007")
    box.poll()
    luck = random.Random(3)
    for _ in range(30):
        for file in [p for p in box.folder.rglob("*") if p.is_file() and p.name != "floors.json"]:
            harm = luck.choice(("keep", "keep", "empty", "cut", "gone"))
            if harm == "gone":
                file.unlink(missing_ok=True)
            elif harm != "keep" and file.exists():
                os.truncate(file, 0 if harm == "empty" else file.stat().st_size // 2)
        new = forge.files["metadata/timestamp.json"]
        forge.files["metadata/timestamp.json"] = old
        box.refused("older-than-seen")
        forge.files["metadata/timestamp.json"] = new
        assert box.poll()[0] == b"seq = 2\n"
