"""The whole pipe in a process of its own, to be killed, measured, or cut off from its city.

Rivers -> pump -> outbox -> courier -> a real uplink.  What it was promised goes to a file, which
outlives a kill:

a [readings]   about to be accepted
P [readings]   accepted, with their numbers
u state n      the state of the uplink, and how many readings wait; when it is another

`python -m tests.faults.pipe` reads orders (a line of JSON each) from stdin.  An order that says when
to be killed is carried out by a fork, which is quick because everything is imported already; its
exit status is printed.  Any other runs until stdin ends.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from random import Random

import msgspec

from edgeagent import uplinks
from edgeagent.clock import SystemClock
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import Health, SourceHealth, UplinkHealth
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Reading
from tests.faults.disk import ROOT
from tests.faults.rivers import River

NAMES = ("miyagawa", "chikuma", "sai")


class Order(msgspec.Struct, frozen=True):
    """What to run.

    Attributes:
        folder: state directory.
        said: where promises are written.
        uplink: one `[[uplinks]]` section, its id `city`.
        rivers: their names; none to send only what waits.
        first: numbers of the rivers start above it.
        pause_s: shortest and longest time between two readings of a river.
        kill_after_s: from then on; None: never.
        kill_after_said: bytes that it has to say before that, however busy the machine.
    """

    folder: str
    said: str
    uplink: dict
    rivers: tuple[str, ...] = NAMES
    first: int = 0
    pause_s: tuple[float, float] = (0.01, 0.06)
    kill_after_s: float | None = None
    kill_after_said: int = 0


class Witness:
    """A real outbox that says in a file what it is about to accept and what it accepted."""

    def __init__(self, outbox, file):
        self._outbox, self._file = outbox, file

    async def put(self, readings):
        tell(self._file, "a", readings)
        stored = await self._outbox.put(readings)
        tell(self._file, "P", stored)
        return stored

    def __getattr__(self, name):
        return getattr(self._outbox, name)


def tell(file, word, what):
    """One line in one write: a kill leaves it whole or not at all."""
    os.write(file, word.encode() + b" " + msgspec.json.encode(what) + b"\n")


async def pipe(order: Order, stop: asyncio.Event) -> None:
    clock, folder = SystemClock(), Path(order.folder)
    file = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    driver = uplinks.driver(order.uplink["driver"])
    section = msgspec.convert(order.uplink, driver.Config)
    outbox = SqliteOutbox(folder / "outbox.db", clock, OutboxConfig(), ["city"])
    health = Health(
        sources={name: SourceHealth(name, "river") for name in order.rivers},
        uplinks={"city": UplinkHealth("city", section.driver)},
    )
    rivers = [River(name, Random(f"{order.first} {name}"), clock, order.pause_s, order.first) for name in order.rivers]
    flow = Flow(
        groups=[SourceGroup((river.source,), lambda r=river: r) for river in rivers],
        chains={},
        outbox=Witness(outbox, file),
        uplinks={"city": lambda: driver.make(section, Surroundings(clock, Site("GW-1"), folder))},
        sections={"city": section},
        health=health,
        clock=clock,
        luck=random.random,
    )
    watch = asyncio.create_task(_watch(health, outbox, file))
    try:
        await flow.run(stop)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        await outbox.close()
    bugs = [code for code in health.uplinks["city"].problems if code == "daemon.bug"]
    assert not bugs and health.outbox_problem is None, health


async def _watch(health, outbox, file):
    told = None
    while True:
        now = health.uplinks["city"].state, (await outbox.stats()).waiting
        if now != told:
            told = now
            tell(file, "u", now)
        await asyncio.sleep(0.05)


async def _until_stdin_ends(order: Order) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    await pipe(order, stop)


def size(path: str) -> int:
    return Path(path).stat().st_size if Path(path).exists() else 0


def main() -> None:
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        if order.kill_after_s is None:
            asyncio.run(_until_stdin_ends(order))
            return
        uplinks.driver(order.uplink["driver"])  # imported here, once
        enough = size(order.said) + order.kill_after_said
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(pipe(order, asyncio.Event()))
            except BaseException:  # noqa: BLE001  this is the end of the process
                traceback.print_exc()
            os._exit(1)
        deadline = time.monotonic() + 30
        while size(order.said) < enough and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(order.kill_after_s)
        os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


class Said:
    """What the file says, read on from where it was read before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._read = 0
        self.accepted: list[Reading] = []
        self.perhaps: list[Reading] = []  # were about to be accepted when the process ended
        self.states: list[str] = []  # of the uplink, as it changed
        self.waiting: int | None = None  # readings in the outbox; None before the first word
        self._under_way: list[Reading] = []

    def listen(self, *, ended: bool = False) -> None:
        """Take in what is new; `ended`: and the process is over."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._hear(line[:1], line[2:])
        if ended:
            self.perhaps += self._under_way
            self._under_way, self.waiting = [], None

    def _hear(self, word: bytes, text: bytes) -> None:
        if word == b"u":
            state, self.waiting = msgspec.json.decode(text, type=tuple[str, int])
            if self.states[-1:] != [state]:
                self.states.append(state)
            return
        readings = msgspec.json.decode(text, type=list[Reading])
        if word == b"a":
            self.perhaps += self._under_way  # was refused, or cut off by a kill before the next start
            self._under_way = readings
        else:
            self.accepted += readings
            self._under_way = []


@contextlib.contextmanager
def started(*before: str, **more):
    """`python -m tests.faults.pipe`, by way of the command `before`."""
    command = [*before, sys.executable, "-m", "tests.faults.pipe"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.stdout.close()


def give(process, order: Order) -> None:
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    process.stdin.flush()


if __name__ == "__main__":
    main()
