"""The fleet as its gateways report it: retained states on a broker -> a table that says who needs somebody."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Self

import msgspec
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeagent.errors import UplinkUnavailable
from edgeagent.update.report import Reported

__all__ = ["Broker", "Listener", "Row", "rows"]

_SETTLED_S = 0.5  # retained messages come at once; this much silence means that was all
_QUIET_MS = 1_800_000  # a gateway tells its state every 5 minutes


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """Where the states are; `fleet` is the first part of the topics."""

    host: str
    port: int = 8883
    fleet: str = "edgeagent"
    username: str = ""
    password: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    tls: bool = True


class Row(msgspec.Struct, frozen=True):
    """One gateway.  `mark` is `ok`, `trial`, `behind`, `failing` or `quiet`."""

    gateway: str
    mark: str
    said: Reported


class Listener:
    """Collects reported states; use as a context."""

    def __init__(self, broker: Broker) -> None:
        self.states: dict[str, Reported] = {}
        self._broker = broker
        self._news = threading.Event()
        self._ready = threading.Event()
        self._last_s = 0.0
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.suppress_exceptions = True
        client.on_connect, client.on_message, client.on_subscribe = (
            self._on_connect,
            self._on_message,
            self._on_subscribe,
        )
        if broker.username:
            client.username_pw_set(broker.username, broker.password or None)
        if broker.tls or broker.ca or broker.cert:
            context = ssl.create_default_context(cafile=broker.ca or None)
            if broker.cert:
                context.load_cert_chain(broker.cert, broker.key or None)
            client.tls_set_context(context)
        self._client = client

    def __enter__(self) -> Self:
        broker = self._broker
        where = f"{broker.host}:{broker.port}"
        try:
            self._client.connect(broker.host, broker.port, 60)
        except OSError as error:
            raise UplinkUnavailable("fleet.no-broker", where=where, why=error.strerror or str(error)) from error
        self._client.loop_start()
        if not self._ready.wait(20):
            self.__exit__()
            raise UplinkUnavailable("fleet.no-broker", where=where, why="timeout")
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()
        sock = self._client.socket()
        if sock is not None:  # the loop did not come to it
            sock.close()

    def settle(self, most_s: float = 10.0) -> None:
        """Wait until no more retained states come."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < most_s and (time.monotonic() - max(self._last_s, began_s) < _SETTLED_S):
            time.sleep(0.05)

    def nudge(self) -> None:
        """Tell all gateways to poll, those that are away when they come back."""
        self._client.publish(f"{self._broker.fleet}/poll", b"poll", qos=1, retain=True).wait_for_publish(10)

    def wait(self, seconds: float) -> bool:
        """Until something new arrives."""
        found = self._news.wait(seconds)
        self._news.clear()
        return found

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe(f"{self._broker.fleet}/+/reported", qos=1)

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, _reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._ready.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._last_s = time.monotonic()
        gateway = message.topic.split("/")[1]
        try:
            said = msgspec.json.decode(message.payload, type=Reported)
        except msgspec.DecodeError:  # an empty payload takes a gateway off the broker; rubbish is nobody's state
            self.states.pop(gateway, None)
        else:
            if said.gateway == gateway:
                self.states[gateway] = said
        self._news.set()


def rows(states: Mapping[str, Reported], now_ms: int, known: Iterable[str] = ()) -> list[Row]:
    """Those that need somebody first; gateways in the books that never reported are `quiet`."""
    order = ("failing", "quiet", "behind", "trial", "ok")
    never = Reported(gateway="", version="?", state="?", desired=0, applied=0, release="")
    found = [Row(gateway, _mark(said, now_ms), said) for gateway, said in states.items()]
    found += [Row(gateway, "quiet", never) for gateway in known if gateway not in states]
    return sorted(found, key=lambda row: (order.index(row.mark), row.gateway))


def _mark(said: Reported, now_ms: int) -> str:
    if now_ms - said.wall_ms > _QUIET_MS:
        return "quiet"
    if said.failing or said.reason or said.stale:
        return "failing"
    if said.state in ("staged", "trial"):
        return "trial"
    return "behind" if said.applied < said.desired else "ok"
