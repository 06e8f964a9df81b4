"""kill -9 at any moment: nothing accepted is lost, nothing comes twice, no number is used again.

EDGEAGENT_CRASH_ROUNDS sets how often (30 by default); a campaign before a release runs 1,000.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgeagent.clock import SystemClock
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from tests.outbox.crashing import UPLINKS

ROUNDS = int(os.environ.get("EDGEAGENT_CRASH_ROUNDS", "30"))
STRIDE = 1_000_000  # values of one round


@dataclass
class Promised:
    """What the killed processes were told, over all rounds; a value is one reading's number."""

    accepted: dict[int, tuple[str, int]] = field(default_factory=dict)
    settled: dict[str, set[int]] = field(default_factory=lambda: {u: set() for u in UPLINKS})
    maybe: dict[str, set[int]] = field(default_factory=lambda: {u: set() for u in UPLINKS})

    def listen(self, text: str) -> None:
        begun = {u: [] for u in UPLINKS}
        for line in text.splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # cut by the kill
            word, *rest = line.split()
            if word == "P":
                for stream, number, value in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
                    self.accepted[int(value)] = (stream, int(number))
            elif word == "s":
                begun[rest[0]].append({int(value) for value in rest[1:]})
            elif word == "S":  # settlements of one process are answered in their order
                self.settled[rest[0]] |= begun[rest[0]].pop(0)
        for uplink in UPLINKS:
            self.maybe[uplink].update(*begun[uplink])


async def owed(outbox: SqliteOutbox, uplink: str) -> list:
    rows = []
    waiting = (await outbox.stats()).uplinks[uplink].waiting
    while waiting > len(rows):
        rows += (await asyncio.wait_for(outbox.lease(uplink, 500), 10)).rows
    return [row.reading for row in rows]


def crash(path: Path, seed: int, first: int, after_s: float) -> str:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.outbox.crashing", str(path), str(seed), str(first)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "R\n"
        time.sleep(after_s)
    finally:
        child.kill()
        said = child.communicate()[0]
    assert child.returncode == -9, said
    return said


@pytest.mark.slow
async def test_kill_9_at_any_moment(tmp_path):
    path, promised, luck = tmp_path / "outbox.sqlite", Promised(), random.Random()
    known: dict[int, tuple[str, int]] = {}
    for round_ in range(ROUNDS):
        seed, after_s = luck.randrange(1 << 30), luck.random() * 0.15
        promised.listen(crash(path, seed, round_ * STRIDE, after_s))
        known |= promised.accepted
        outbox = SqliteOutbox(path, SystemClock(), OutboxConfig(), UPLINKS)
        try:
            stats = await outbox.stats()
            for uplink in UPLINKS:
                readings = await owed(outbox, uplink)
                values = [int(r.quantities["level"].value) for r in readings]
                assert max(Counter(values).values(), default=0) <= 1, "a row came twice"
                missing = promised.accepted.keys() - promised.settled[uplink] - promised.maybe[uplink] - set(values)
                assert not missing, f"round {round_}, seed {seed}: accepted, not acknowledged, gone"
                assert not promised.settled[uplink] & set(values), "acknowledged, and still offered"
                for reading, value in zip(
                    readings, values, strict=True
                ):  # a put cut off before it returned may be there
                    assert known.setdefault(value, (reading.source, reading.sequence)) == (
                        reading.source,
                        reading.sequence,
                    )
            assert max(Counter(known.values()).values(), default=0) <= 1, "a sequence number was used again"
            assert stats.lost == 0 and outbox.notices == []
        finally:
            await outbox.close()
    assert len(promised.accepted) > ROUNDS * 10
    assert all(promised.settled.values())
