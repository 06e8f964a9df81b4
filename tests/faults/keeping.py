"""A process that fills and empties a real outbox, and says on stdout what it was promised.

P stream sequence value ...  put() returned these
s value ...                  about to settle these
S                            settle() returned
! code                       a call was refused with this error; a put is tried again, with the same readings
E                            the end, after close()

Usage: keeping FILE PUTS [LIVES [careless]]: so many puts in each of LIVES outboxes opened one after the
other; `careless` syncs less than it must, to see that somebody notices.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox import file
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import ReadingClass
from tests.fakes import water

UPLINK = "city"
STREAMS = ("miyagawa", "chikuma", "sai")
STUBBORN = 200  # puts in a row that may be refused before the process gives up
OPENINGS = 5  # in a row that may be refused before the next life begins


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def number_of(reading) -> int:
    return int(reading.quantities["level"].value)


def opened(path: Path) -> SqliteOutbox | None:
    for _ in range(OPENINGS):
        try:
            return SqliteOutbox(path, SystemClock(), OutboxConfig(), [UPLINK])
        except OutboxUnavailable as error:
            say("!", error.code)
    return None


async def stored(outbox: SqliteOutbox, readings) -> None:
    for _ in range(STUBBORN):
        try:
            done = await outbox.put(readings)
        except OutboxUnavailable as error:
            say("!", error.code)
        else:
            say("P", *(f"{r.source} {r.sequence} {number_of(r)}" for r in done))
            return
    raise SystemExit("never stored")


async def settled(outbox: SqliteOutbox, luck: random.Random) -> None:
    try:
        batch = await outbox.lease(UPLINK, luck.choice((5, 40, 500)), together=True)
    except OutboxUnavailable as error:
        say("!", error.code)
        return
    chosen = [row for row in batch.rows if luck.random() < 0.9]
    say("s", *(number_of(row.reading) for row in chosen))
    try:
        await outbox.settle(batch, Delivery(frozenset(row.id for row in chosen)))
    except OutboxUnavailable as error:
        say("!", error.code)
    else:
        say("S")


async def live(path: Path, puts: int, luck: random.Random, value: int) -> int:
    outbox = opened(path)
    if outbox is None:
        return value
    for _ in range(puts):
        readings = []
        for _ in range(luck.choice((1, 5, 20, 60))):
            value += 1
            cls = ReadingClass.ALARM if luck.random() < 0.1 else ReadingClass.LIVE
            readings.append(water(float(value), source=luck.choice(STREAMS), cls=cls))
        await stored(outbox, readings)
        if luck.random() < 0.7:
            await settled(outbox, luck)
    try:
        await outbox.close()
    except OutboxUnavailable as error:
        say("!", error.code)
    return value


def main(path: str, puts: int, lives: int) -> None:
    luck, value = random.Random(puts * 1000 + lives), 0
    for _ in range(lives):
        value = asyncio.run(live(Path(path), puts, luck, value))
    say("E")


if __name__ == "__main__":
    if sys.argv[4:] == ["careless"]:
        file._PRAGMAS = tuple(text.replace("synchronous = FULL", "synchronous = NORMAL") for text in file._PRAGMAS)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
