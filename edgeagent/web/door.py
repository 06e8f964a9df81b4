"""The listening side of the page: TLS only, and bounded in everything a stranger can send.

At most so many connections, in all and from one address; a handshake, a request and an answer each
have their time as a whole, so that a byte every few seconds holds nothing up.  What does not fit is
refused or hung up on; nothing of it is kept or logged but a count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from edgeagent.web.http import LARGEST_HEAD, Request, Response, Unfit, head, packed

__all__ = ["Answer", "Door", "Limits"]

log = logging.getLogger("edgeagent.web")

Answer = Callable[[Request, str], Awaitable[Response]]
"""Request and the caller's address -> response."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller, and all of them, may take.

    Attributes:
        connections, of_one: open at once, in all and from one address.
        handshake_s, request_s, answer_s, idle_s: as a whole, not per byte; `idle_s` before the first byte of a request.
        requests: on one connection.
    """

    connections: int = 24
    of_one: int = 10
    handshake_s: float = 10.0
    request_s: float = 10.0
    answer_s: float = 180.0
    idle_s: float = 15.0
    requests: int = 500


class Door:
    """Serves until cancelled.

    Args:
        listeners: bound and listening.
        context: for TLS; there is no way in without.
        answer: what to say.
        limits: see Limits.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], context: ssl.SSLContext, answer: Answer, limits: Limits | None = None
    ) -> None:
        self._listeners, self._context, self._answer = listeners, context, answer
        self._limits = limits or Limits()
        self._from: Counter[str] = Counter()
        self._answering = 0

    @property
    def answering(self) -> int:
        """Requests that are being answered now."""
        return self._answering

    async def run(self) -> None:
        """Accept and answer; every connection ends with this."""
        async with asyncio.TaskGroup() as group:
            for listener in self._listeners:
                listener.setblocking(False)
                group.create_task(self._accept(listener, group))

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, caller = await loop.sock_accept(listener)
            except OSError:  # no handle left: those that are open end soon
                await asyncio.sleep(0.5)
                continue
            address = str(caller[0])
            if self._from.total() >= self._limits.connections or self._from[address] >= self._limits.of_one:
                connection.close()
                continue
            self._from[address] += 1
            group.create_task(self._serve(connection, address))

    async def _serve(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LARGEST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        writer: asyncio.StreamWriter | None = None
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=1.0,
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await self._talk(reader, writer, address)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # went away, was too slow, or speaks no TLS
        except Exception as error:  # one caller's end, nobody else's
            log.warning("a request broke: %s", type(error).__name__)
            log.debug("unexpected", exc_info=error)
        finally:
            self._from[address] -= 1
            self._from += Counter()  # forget addresses without a connection
            if writer is not None:
                writer.transport.abort()
            connection.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        for number in range(self._limits.requests):
            try:
                request = await self._request(reader)
            except Unfit as unfit:
                await self._send(writer, packed(Response(status=unfit.status), last=True))
                await self._farewell(reader, writer)
                return
            if request is None:
                return
            last = request.last or number + 1 == self._limits.requests
            self._answering += 1
            try:
                response = await self._response(request, address)
                await self._send(writer, packed(response, body=request.method != "HEAD", last=last))
            finally:
                self._answering -= 1
            if last:
                await self._farewell(reader, writer)
                return

    async def _response(self, request: Request, address: str) -> Response:
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await self._answer(request, address)
        except Unfit as unfit:
            return Response(status=unfit.status)

    async def _request(self, reader: asyncio.StreamReader) -> Request | None:
        """The next request; None where the caller has none.

        Raises:
            Unfit: it cannot be answered.  TimeoutError: it did not come in time.
        """
        async with asyncio.timeout(self._limits.idle_s):
            first = await reader.read(1)
        if not first:
            return None
        if first == b"\r":
            raise Unfit(400)
        async with asyncio.timeout(self._limits.request_s):
            try:
                told = first + await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                raise Unfit(431) from error
            request = head(told)
            return msgspec.structs.replace(request, body=await reader.readexactly(request.length))

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(self._limits.request_s):
            await writer.drain()

    async def _farewell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close so that what was said arrives: a reset would take it away."""
        writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(2.0):
                await writer.wait_closed()
        del reader
