"""A TCP line between an uplink and its receiver that goes wrong in the ways real lines do.

A mode holds for the connections that exist and for those that are made while it lasts:

pass        nothing wrong
refuse      connections drop, new ones are refused
reset       every connection gets a RST as soon as it says something
half-open   nothing is forwarded and nothing closed, as behind a NAT that forgot
silent      what the client says arrives, what is answered does not
trickle     a few bytes at a time
double      answers come twice
cut         half of what the client says arrives, then the connection ends
half-answer what the client says arrives; half an answer, then the connection ends

A connection that swallowed a byte never carries one again in that direction: TCP does not skip.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter
from random import Random

MODES = ("pass", "refuse", "reset", "half-open", "silent", "trickle", "double", "cut", "half-answer")
_CHUNK = 65_536
_DRIP, _DRIP_S = 100, 0.02
_CELL = 1024  # bytes that a thin line carries at a time
_LATE_S = 0.05  # a sleep that took too long is made up for, up to here


class Proxy:
    """Listens on `host` and forwards to `port` of 127.0.0.1."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target, self._host = port, host
        self._server: asyncio.Server | None = None
        self._lines: dict[asyncio.Task, tuple[asyncio.StreamWriter, ...]] = {}
        self.mode = "pass"
        self.port = 0
        self.connections = 0
        self.harmed: Counter[str] = Counter()  # by mode: how often it met somebody

    async def __aenter__(self):
        await self._listen()
        return self

    async def __aexit__(self, *_):
        await self._deaf()

    async def set(self, mode: str) -> None:
        assert mode in MODES, mode
        before, self.mode = self.mode, mode
        if mode == "refuse":
            await self._deaf()
        elif before == "refuse":
            await self._listen()

    async def follow(self, schedule, *, patience_s: float = 30.0) -> None:
        """Live through (mode, seconds) pairs: each mode lasts until it has bitten, and so long; between
        two of them the line is well until something was answered."""
        for mode, seconds in schedule:
            await self._until_more(mode, patience_s)
            await asyncio.sleep(seconds)
            await self._until_more("pass", patience_s)

    async def _until_more(self, mode: str, patience_s: float) -> None:
        before = self.harmed[mode]
        await self.set(mode)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self.harmed[mode] == before:
                    await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, self._host, self.port, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deaf(self) -> None:
        self._server.close()
        tasks = list(self._lines)
        self.harmed["refuse"] += 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.connections += 1
        self._lines[task] = (writer,)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._lines[task] = (writer, far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, far_writer))
                both.create_task(self._down(far_reader, writer))
        except* (_EndsError, OSError):
            pass
        except* asyncio.CancelledError:
            pass  # the line was taken away
        finally:
            for end in self._lines.pop(task):
                _abort(end)

    async def _up(self, reader, writer) -> None:
        dead = False
        while chunk := await reader.read(_CHUNK):
            mode = self.mode
            if mode == "reset":
                self._end(mode)
            if dead or mode == "half-open":
                self.harmed["half-open"] += not dead
                dead = True
            elif mode == "cut":
                await _send(writer, chunk[: len(chunk) // 2])
                self._end(mode)
            elif mode == "trickle":
                await self._drip(writer, chunk)
            else:
                await _send(writer, chunk)
        raise _EndsError

    async def _down(self, reader, writer) -> None:
        dead = False
        while chunk := await reader.read(_CHUNK):
            mode = self.mode
            if mode == "reset":
                self._end(mode)
            if dead or mode in ("half-open", "silent"):
                self.harmed[mode] += not dead
                dead = True
            elif mode == "half-answer":
                await _send(writer, chunk[: len(chunk) // 2])
                self._end(mode)
            elif mode == "double":
                self.harmed[mode] += 1
                await _send(writer, chunk * 2)
            else:
                self.harmed["pass"] += mode == "pass"
                await _send(writer, chunk)
        raise _EndsError

    async def _drip(self, writer, chunk: bytes) -> None:
        self.harmed["trickle"] += 1
        for begin in range(0, len(chunk), _DRIP):
            if self.mode != "trickle":
                await _send(writer, chunk[begin:])
                return
            await _send(writer, chunk[begin : begin + _DRIP])
            await asyncio.sleep(_DRIP_S)

    def _end(self, mode: str) -> None:
        self.harmed[mode] += 1
        raise _EndsError


class _EndsError(Exception):
    """This connection is over."""


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    """End with a RST."""
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def weather(luck: Random, turns: int, *, longest_s: float = 0.5) -> list[tuple[str, float]]:
    """A schedule in which every mode but `pass` has so many turns."""
    return [
        (mode, luck.uniform(0.0, longest_s)) for _ in range(turns) for mode in luck.sample(MODES[1:], len(MODES) - 1)
    ]


class ThinLine:
    """A line that carries so many bytes a second upwards, and as many down.

    Args:
        port: of the receiver, on 127.0.0.1.
        bytes_per_s: 0 for as many as come.

    Attributes:
        carried: bytes that went up.
    """

    def __init__(self, port: int, bytes_per_s: int) -> None:
        self._target, self.bytes_per_s = port, bytes_per_s
        self._tasks: set[asyncio.Task] = set()
        self.port = self.carried = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=_CELL)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for task in (self._carry(there, writer, up=False), self._carry(reader, back, up=True)):
            self._tasks.add(asyncio.create_task(task))

    async def _carry(self, reader, writer, *, up: bool) -> None:
        free_s = 0.0  # when the line has carried what it was given
        try:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_CELL):
                    if self.bytes_per_s:
                        now_s = time.monotonic()
                        free_s = max(free_s, now_s - _LATE_S) + len(data) / self.bytes_per_s
                        await asyncio.sleep(free_s - now_s)
                    self.carried += len(data) if up else 0
                    await _send(writer, data)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
