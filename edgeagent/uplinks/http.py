"""Requests to one receiver: one connection, one deadline, nothing retried, nothing followed.

urllib3 neither retries nor follows redirects here: the outbox retries, and a redirect of a POST
is a person's matter.  Bodies have a Content-Length (brokers answer 411 to chunks).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from edgeagent.clock import Clock
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.oauth import Tokens, TokenSource
from edgeagent.uplinks.tls import client_context, credential
from edgeagent.uplinks.trouble import unreachable

__all__ = ["Answer", "Auth", "Door", "Endpoint"]

Auth = Literal["x-auth-token", "bearer", "x-api-key", "oauth2"]
_BEARER = ("Authorization", "Bearer ")
_HEADER = {
    "x-auth-token": ("X-Auth-Token", ""),
    "bearer": _BEARER,
    "x-api-key": ("x-api-key", ""),
    "oauth2": _BEARER,
}
_UNAUTHORIZED = 401
_LONGEST_ANSWER = 1_000_000
_RESET = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: closing sends a RST and forgets what was not sent


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How to get in: address, secret, certificates.

    Attributes:
        url: base address, without the path of the call.
        token: name of the credential; "" for none.
        auth: the header that carries it; `oauth2`: the credential is the client's secret.
        tokens: where `oauth2` gets its tokens.
        ca, cert, key: PEM files; `cert = "identity"` is the claimed one; see `tls`.
        timeout_s: for one call, connecting included.
    """

    url: str
    token: str = ""
    auth: Auth = "x-auth-token"
    tokens: TokenSource | None = None
    ca: str = ""
    cert: str = ""
    key: str = ""
    timeout_s: float = 20.0


class Answer(msgspec.Struct, frozen=True):
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Endpoint:
    """A receiver behind a door.  Used by one thread.

    Attributes:
        where: host and port, for messages.
    """

    def __init__(self, door: Door, clock: Clock, state_dir: Path, meter: Meter) -> None:
        self._door = door
        self._clock = clock
        self._state_dir = state_dir
        self._pool: urllib3.PoolManager | None = None
        self._tokens = Tokens(door.tokens, clock, self._post_form) if door.tokens else None
        self._meter = meter
        self.where = urllib.parse.urlsplit(door.url).netloc.rpartition("@")[2]

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request and its whole answer.

        Raises:
            UplinkUnavailable: no whole answer within the time (UplinkRefused: a file or credential is missing).
        """
        return self._authorized("POST", path, headers, body)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """As `post`, without a body."""
        return self._authorized("GET", path, headers, None)

    def _authorized(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        url = self._door.url + path
        answer = self._ask(method, url, {**headers, **self._pass()}, body)
        if answer.status == _UNAUTHORIZED and self._tokens is not None:  # withdrawn before its time: once more
            self._tokens.forget()
            answer = self._ask(method, url, {**headers, **self._pass()}, body)
        return answer

    def _pass(self) -> dict[str, str]:
        """The header that lets us in."""
        door = self._door
        if not door.token:
            return {}
        secret = credential(door.token, self._state_dir)
        name, prefix = _HEADER[door.auth]
        return {name: prefix + (self._tokens.token(secret) if self._tokens else secret)}

    def _post_form(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        answer = self._ask("POST", url, headers, body)
        return answer.status, answer.body

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        door = self._door
        pool = self._pool = self._pool or self._connect()
        deadline = self._clock.mono() + door.timeout_s
        try:
            response = pool.urlopen(
                method, url, body=body, headers=headers, redirect=False, retries=False, preload_content=False
            )
            try:
                answer = self._read(response, deadline)
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self.close()  # certificates may be renewed meanwhile: the next connection reads them again
            where = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
            raise unreachable(error, where=where, timeout_s=door.timeout_s) from error
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, answer)

    def close(self) -> None:
        """Let go of the connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _connect(self) -> urllib3.PoolManager:
        door, context = self._door, None
        if door.url.startswith("https") or (door.tokens and door.tokens.url.startswith("https")):
            context = client_context(ca=door.ca, cert=door.cert, key=door.key, state_dir=self._state_dir)
        limit = urllib3.Timeout(total=door.timeout_s)
        receivers = 2 if door.tokens else 1
        pool = urllib3.PoolManager(num_pools=receivers, maxsize=1, timeout=limit, ssl_context=context)
        pool.pool_classes_by_scheme = _pools(self._meter)
        return pool

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """The timeout of a socket is per packet: a server that drips is stopped by the deadline."""
        answer = b""
        while piece := response.read1(65_536):
            answer += piece
            if len(answer) > _LONGEST_ANSWER or self._clock.mono() > deadline:
                raise TimeoutError
        return answer


class _Metered(HTTPConnection):
    """Tells a meter what it does, and takes back what was not answered.

    A request that was given up must not arrive later, over a newer one.  The kernel goes on sending
    what a closed connection still holds; one that is reset forgets it.
    """

    meter: Meter
    unanswered = False

    def connect(self) -> None:
        super().connect()
        self.meter.opened(self.sock)

    def send(self, data: Any) -> None:  # noqa: ANN401  http.client's signature
        self.unanswered = True
        super().send(data)
        self.meter.handed(self.sock, len(data))

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself does
        answer = super().getresponse()
        self.unanswered = False
        return answer

    def close(self) -> None:
        if self.sock is not None:
            self.meter.closing(self.sock)
            if self.unanswered:
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.unanswered = False
        super().close()


class _MeteredTls(_Metered, HTTPSConnection):
    """The same through TLS."""


def _pools(meter: Meter) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pool classes for urllib3 whose connections tell this meter."""
    plain = type("Plain", (_Metered,), {"meter": meter})
    tls = type("Tls", (_MeteredTls,), {"meter": meter})
    return {
        "http": type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("TlsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }
