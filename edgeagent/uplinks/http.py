"""POST to one receiver: one connection, one deadline, nothing retried, nothing followed.

urllib3 neither retries nor follows redirects here: the outbox retries, and a redirect of a POST
is a person's matter.  Bodies have a Content-Length (brokers answer 411 to chunks).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import urllib3

from edgeagent.clock import Clock
from edgeagent.uplinks.tls import client_context, credential
from edgeagent.uplinks.trouble import unreachable

__all__ = ["Answer", "Auth", "Door", "Endpoint"]

Auth = Literal["x-auth-token", "bearer", "x-api-key"]
_HEADER = {"x-auth-token": ("X-Auth-Token", ""), "bearer": ("Authorization", "Bearer "), "x-api-key": ("x-api-key", "")}
_LONGEST_ANSWER = 1_000_000


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How to get in: address, secret, certificates.

    Attributes:
        url: base address, without the path of the call.
        token: name of the credential; "" for none.
        auth: the header that carries it.
        ca, cert, key: PEM files; see `tls`.
        timeout_s: for one call, connecting included.
    """

    url: str
    token: str = ""
    auth: Auth = "x-auth-token"
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
    """A receiver behind a door.  Used by one thread."""

    def __init__(self, door: Door, clock: Clock, state_dir: Path) -> None:
        self._door = door
        self._clock = clock
        self._state_dir = state_dir
        self._pool: urllib3.PoolManager | None = None
        self.where = urllib.parse.urlsplit(door.url).netloc.rpartition("@")[2]

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request and its whole answer.

        Raises:
            UplinkUnavailable: no whole answer within the time (UplinkRefused: a file or credential is missing).
        """
        door = self._door
        sent = dict(headers)
        if door.token:
            name, prefix = _HEADER[door.auth]
            sent[name] = prefix + credential(door.token, self._state_dir)
        pool = self._pool = self._pool or self._connect()
        deadline = self._clock.mono() + door.timeout_s
        try:
            response = pool.urlopen(
                "POST", door.url + path, body=body, headers=sent, redirect=False, retries=False, preload_content=False
            )
            try:
                answer = self._read(response, deadline)
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self.close()  # certificates may be renewed meanwhile: the next connection reads them again
            raise unreachable(error, where=self.where, timeout_s=door.timeout_s) from error
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, answer)

    def close(self) -> None:
        """Let go of the connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _connect(self) -> urllib3.PoolManager:
        door, context = self._door, None
        if door.url.startswith("https"):
            context = client_context(ca=door.ca, cert=door.cert, key=door.key)
        limit = urllib3.Timeout(total=door.timeout_s)
        return urllib3.PoolManager(num_pools=1, maxsize=1, timeout=limit, ssl_context=context)

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """The timeout of a socket is per packet: a server that drips is stopped by the deadline."""
        answer = b""
        while piece := response.read1(65_536):
            answer += piece
            if len(answer) > _LONGEST_ANSWER or self._clock.mono() > deadline:
                raise TimeoutError
        return answer
