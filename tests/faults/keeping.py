"""A process that fills a real outbox and empties it through a real uplink; it says on stdout what it was promised.

P stream sequence value ...  put() returned these
W stream sequence value ...  the city's current state has become these
H stream sequence value ...  the city's history has got these
s value ...                  about to settle these
S                            settle() returned
! code                       a call was refused with this error; a put is tried again, with the same readings
E                            the end, after close()

Usage: keeping FILE PUTS [LIVES [HISTORY [careless|forgetful]]]: so many puts in each of LIVES outboxes opened
one after the other; `careless` syncs less than it must and `forgetful` keeps no marks of what the city
knows, to see that somebody notices.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from edgeagent.clock import SystemClock
from edgeagent.errors import OutboxUnavailable, UplinkUnavailable
from edgeagent.outbox import file
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery, Uplink
from edgeagent.reading import ReadingClass
from edgeagent.uplinks.marks import MarksFile
from tests.fakes import water
from tests.faults.near import NearCity, uplink_to

UPLINK = "city"
STREAMS = ("miyagawa", "chikuma", "sai")
STUBBORN = 200  # puts in a row that may be refused before the process gives up
OPENINGS = 5  # in a row that may be refused before the next life begins


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def heard(word, moments) -> None:
    say(word, *(f"{stream} {number} {value}" for stream, number, value in moments))


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
            heard("P", [(r.source, r.sequence, number_of(r)) for r in done])
            return
    raise SystemExit("never stored")


async def delivered(outbox: SqliteOutbox, uplink: Uplink, luck: random.Random) -> None:
    """As a courier does: lease, deliver, settle."""
    if not (await outbox.stats()).waiting:
        return
    try:
        batch = await outbox.lease(UPLINK, luck.choice((5, 40, 500)), together=True)
    except OutboxUnavailable as error:
        say("!", error.code)
        return
    try:
        delivery = await uplink.deliver(batch.rows, behind=not batch.whole)
    except UplinkUnavailable:
        delivery = Delivery(frozenset())
    say("s", *(number_of(row.reading) for row in batch.rows if row.id in delivery.accepted))
    try:
        await outbox.settle(batch, delivery)
    except OutboxUnavailable as error:
        say("!", error.code)
    else:
        say("S")


async def live(path: Path, puts: int, history: str, luck: random.Random, value: int) -> int:
    outbox = opened(path)
    if outbox is None:
        return value
    uplink = uplink_to(NearCity(heard, luck), path.parent, SystemClock(), history)
    for _ in range(puts):
        readings = []
        for _ in range(luck.choice((1, 2, 5, 12, 30))):
            value += 1
            cls = ReadingClass.ALARM if luck.random() < 0.1 else ReadingClass.LIVE
            readings.append(water(float(value), source=luck.choice(STREAMS), cls=cls))
        await stored(outbox, readings)
        for _ in range(luck.choice((0, 0, 1, 2, 6))):
            await delivered(outbox, uplink, luck)
    await uplink.close()
    try:
        await outbox.close()
    except OutboxUnavailable as error:
        say("!", error.code)
    return value


def main(path: str, puts: int, lives: int = 1, history: str = "temporal") -> None:
    luck, value = random.Random(puts * 1000 + lives), 0
    for _ in range(lives):
        value = asyncio.run(live(Path(path), puts, history, luck, value))
    say("E")


if __name__ == "__main__":
    if "careless" in sys.argv:
        file._PRAGMAS = tuple(text.replace("synchronous = FULL", "synchronous = NORMAL") for text in file._PRAGMAS)
    if "forgetful" in sys.argv:
        MarksFile.settle = lambda *_, **__: None
    path, puts, lives, history, *_ = [*sys.argv[1:], *("1", "temporal")[len(sys.argv) - 3 :]]
    main(path, int(puts), int(lives), history)
