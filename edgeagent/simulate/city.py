"""A city's data platform in a thread: a small HTTP server that speaks NGSI-LD and NGSIv2.

It keeps the current state and the history of what it is sent, can be looked at with curl
(`GET /ngsi-ld/v1/entities`, `/v2/entities`), and misbehaves as scripted: answers with any status,
hangs, cuts the line before or after it stored, refuses connections, rejects chosen entities.

    city = City()
    city.start()
    city.script(answer(429, retry_after_s=2), hang(5), cut())     # the next three writes
    city.poison("urn:ngsi-ld:WaterObserved:GW-1:bad", whole_batch=True)
    city.cut(); city.mend()                                        # the line is gone; and back
    city.snapshot().regressions
"""

from __future__ import annotations

import collections
import ssl
import threading
from typing import Any, Literal

import msgspec

from edgeagent.simulate.city_memory import CityMemory, Instance, Snapshot
from edgeagent.simulate.city_server import CityServer
from edgeagent.simulate.city_tokens import CityTokens

__all__ = ["City", "CityTokens", "Fault", "Instance", "Snapshot", "answer", "cut", "hang"]


class Fault(msgspec.Struct, frozen=True):
    """What to do to one write instead of answering it properly.

    Attributes:
        how: `answer` with a status, `hang` before answering, `cut` the line without an answer,
            or begin an answer and cut (`half`).
        stored: the write takes effect before that.
    """

    how: Literal["answer", "hang", "cut", "half"]
    status: int = 503
    retry_after_s: int | None = None
    seconds: float = 0.0
    stored: bool = False
    body: str = ""
    location: str = ""


def answer(status: int, *, retry_after_s: int | None = None, body: str = "", location: str = "") -> Fault:
    """Answer with a status, nothing stored."""
    return Fault("answer", status, retry_after_s, body=body, location=location)


def hang(seconds: float) -> Fault:
    """Say nothing for so long, then answer properly."""
    return Fault("hang", seconds=seconds)


def cut(*, stored: bool = False, half: bool = False) -> Fault:
    """Drop the connection instead of answering, or in the middle of the answer."""
    return Fault("half" if half else "cut", stored=stored)


class City:
    """The server.

    Args:
        port: on 127.0.0.1; 0 chooses a free one.
        tls: server side context, for https.
        token: wanted in X-Auth-Token (else 401); "" wants none.
        tokens: issues OAuth tokens at /oauth2/token and wants them (else 401); None wants none.
        concise: take the concise form of NGSI-LD too, as brokers from CIM 009 v1.6 on do.
        tenants: known tenants (others get 404); empty takes any.
        remember: instances kept.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        token: str = "",
        tokens: CityTokens | None = None,
        concise: bool = False,
        tenants: frozenset[str] = frozenset(),
        remember: int = 200_000,
    ) -> None:
        self._port, self._tls = port, tls
        self.token, self.tenants = token, tenants
        self.tokens, self.concise = tokens, concise
        self.lock = threading.Lock()
        self.memory = CityMemory(remember=remember)
        self.faults: collections.deque[Fault] = collections.deque()
        self.poisoned: dict[str, bool] = {}
        self.busy: set[str] = set()
        self.stopping = threading.Event()
        self._server: CityServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base address for an uplink's `url`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen."""
        self.stopping.clear()
        self._server = CityServer(self, self._port, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="city", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and drop every connection.  What was received stays."""
        self.stopping.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.drop()
            server.server_close()
        if self._thread is not None:
            self._thread.join()

    def cut(self) -> None:
        """The line is gone: connections drop, new ones are refused."""
        self.stop()

    def mend(self) -> None:
        """The line is back, on the same port."""
        if self._server is None:
            self.start()

    def script(self, *faults: Fault) -> None:
        """What happens to the next writes, one fault each."""
        with self.lock:
            self.faults.extend(faults)

    def poison(self, *ids: str, whole_batch: bool = False) -> None:
        """Refuse these entities for good: in a 207, or with a 400 for the whole request."""
        with self.lock:
            self.poisoned.update(dict.fromkeys(ids, whole_batch))

    def overload(self, *ids: str) -> None:
        """Refuse these entities in a 207 with status 503, until called without them."""
        with self.lock:
            self.busy = set(ids)

    def snapshot(self) -> Snapshot:
        """Counts, and the newest instance of each entity."""
        with self.lock:
            return self.memory.snapshot()

    def history(self, entity: str | None = None) -> list[Instance]:
        """Every instance still remembered, in the order of arrival."""
        with self.lock:
            return [i for i in self.memory.history if entity is None or i.entity == entity]

    def entities(self) -> list[dict[str, Any]]:
        """The current state, normalized as it was sent."""
        with self.lock:
            return [dict(e) for e in self.memory.current.values()]
