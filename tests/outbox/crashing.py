"""A process that puts and settles until it is killed, and says on stdout what it was promised.

R                            open, about to work
P stream sequence value ...  put() returned these
s uplink value ...           about to settle these
S uplink                     settle() returned
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import ReadingClass
from tests.fakes import water

UPLINKS = ("nagano", "suzaka")
STREAMS = ("miyagawa", "chikuma", "sai")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def put(outbox: SqliteOutbox, luck: random.Random, first: int) -> None:
    value = first
    while True:
        readings = []
        for _ in range(luck.choice((1, 1, 5, 20, 60))):
            value += 1
            cls = ReadingClass.ALARM if luck.random() < 0.1 else ReadingClass.LIVE
            readings.append(water(float(value), source=luck.choice(STREAMS), cls=cls))
        stored = await outbox.put(readings)
        say("P", *(f"{r.source} {r.sequence} {int(r.quantities['level'].value)}" for r in stored))
        await asyncio.sleep(luck.random() * 0.004)


async def deliver(outbox: SqliteOutbox, luck: random.Random, uplink: str) -> None:
    while True:
        batch = await outbox.lease(uplink, luck.choice((1, 7, 40)))
        await asyncio.sleep(luck.random() * 0.004)
        chosen = [row for row in batch.rows if luck.random() < 0.8]
        say("s", uplink, *(int(row.reading.quantities["level"].value) for row in chosen))
        await outbox.settle(batch, Delivery(frozenset(row.id for row in chosen)))
        say("S", uplink)


async def main(path: str, seed: int, first: int) -> None:
    outbox = SqliteOutbox(Path(path), SystemClock(), OutboxConfig(), UPLINKS)
    luck = random.Random(seed)
    say("R")
    await asyncio.gather(
        put(outbox, luck, first), *(deliver(outbox, luck, uplink) for uplink in UPLINKS for _ in range(2))
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
