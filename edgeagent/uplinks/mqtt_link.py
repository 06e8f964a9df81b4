"""One MQTT 5 connection, from CONNECT to its end; never reconnected, a new one is made instead.

paho offers a queue, retries and reconnection; none is used, because its queue lives in RAM and
the outbox is the one owner of retries.  Nothing is handed to paho while the connection is not
known to stand, at most `window` messages are in flight, and a message counts as received only by
the PUBACK of its own id.  paho runs on the event loop's own reader and writer: no thread, no lock,
no wake-up per acknowledgement.  Callbacks only note what happened; they cannot raise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.thread import NamedThread
from edgeagent.uplinks.trouble import certificate_alert, unreachable

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

__all__ = ["Message", "MqttDoor", "MqttLink"]

_log = logging.getLogger(__name__)

# Reason codes of MQTT 5 (OASIS standard, 2.4)
_SUCCESS = 0x00
_HEADER = 10  # bytes of a PUBLISH beside topic and payload, about; only where the kernel does not count
_TAKEN_OVER = 0x8E
_VERSION = frozenset({0x01, 0x84})
_CREDENTIALS = frozenset({0x86, 0x87, 0x8C})
_LATER = frozenset({0x80, 0x88, 0x89, 0x97, 0x9F})


class MqttDoor(msgspec.Struct, frozen=True, kw_only=True):
    """How to get in.

    Attributes:
        client_id: the same after every start, so that a broker ends the old connection itself.
        window: messages in flight at once.
        timeout_s: for connecting, and for the next acknowledgement.
        keepalive_s: silence after which the link is tried; it is given up after 1.5 times that.
    """

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = ""
    keepalive_s: int = 30
    timeout_s: float = 20.0
    window: int = 20

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


class Message(msgspec.Struct, frozen=True):
    """Something to publish with QoS 1."""

    topic: str
    payload: bytes


class MqttLink:
    """A standing connection; made by `open`.

    Attributes:
        error: why it ended; None while it stands.
        largest: bytes of a packet that the broker takes.
    """

    def __init__(self, door: MqttDoor, context: ssl.SSLContext | None, meter: Meter) -> None:
        self._door = door
        self._meter = meter
        self._window = door.window
        self._flying: dict[int, int] = {}
        self._answers: list[int | None] = []
        self._news = asyncio.Event()
        self._said: tuple[ReasonCode, Properties | None] | None = None
        self._hint = ""
        self._sock: SocketLike | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.error: UplinkUnavailable | None = None
        self.largest = 268_435_455
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=door.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = door.timeout_s
        if door.username:
            client.username_pw_set(door.username, door.password or None)
        if context is not None:
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log
        self._client = client

    @classmethod
    async def open(cls, door: MqttDoor, context: ssl.SSLContext | None, thread: NamedThread, meter: Meter) -> MqttLink:
        """Connect and wait until the broker agrees.

        Args:
            door: where and as whom.
            context: for TLS; None for plain TCP.
            thread: does the blocking part (name lookup, TCP, TLS).
            meter: counts what goes out.

        Raises:
            UplinkUnavailable: no agreement within `timeout_s` (UplinkRefused: and a person must act).
        """
        link = cls(door, context, meter)
        try:
            await thread.run(lambda: link._client.connect(door.host, door.port, door.keepalive_s, clean_start=True))
            await link._agree()
        except OSError as error:
            link.close()
            raise unreachable(error, where=door.where, timeout_s=door.timeout_s) from error
        except BaseException:
            link.close()
            raise
        return link

    async def send(self, messages: Sequence[Message]) -> list[int | None]:
        """Publish in order.

        Returns:
            The reason code of each message's PUBACK; None where none came (see `error`).
        """
        self._answers = [None] * len(messages)
        self._flying.clear()
        sent = 0
        while self.error is None:
            while sent < len(messages) and len(self._flying) < self._window:
                info = self._client.publish(messages[sent].topic, messages[sent].payload, qos=1)
                if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._lose("uplinks.cut")
                    break
                self._flying[info.mid] = sent
                if self._sock is not None:
                    self._meter.handed(self._sock, len(messages[sent].payload) + len(messages[sent].topic) + _HEADER)
                sent += 1
            self._write()
            if self.error is not None or not self._flying:
                break
            self._news.clear()
            try:
                async with asyncio.timeout(self._door.timeout_s):
                    await self._news.wait()
            except TimeoutError:
                self._lose("uplinks.timeout")
        self._flying.clear()
        return self._answers

    def close(self) -> None:
        """Say goodbye if there is somebody, and let go."""
        if self.error is None:
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
                self._client.loop_write()
        self._lose("uplinks.cut")

    async def _agree(self) -> None:
        """Wait for CONNACK and judge it."""
        self._sock = self._client.socket()
        if self._sock is None:
            raise ConnectionResetError
        self._meter.opened(self._sock)
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_want_write
        self._client.on_socket_unregister_write = self._on_written
        self._loop.add_reader(self._sock.fileno(), self._read)
        self._write()
        try:
            async with asyncio.timeout(self._door.timeout_s):
                while self._said is None and self.error is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._lose("uplinks.timeout")
        self._client.on_log = None
        if self._said is None:
            assert self.error is not None
            raise self.error
        reason, properties = self._said
        if reason.value != _SUCCESS:
            raise self._refusal(reason)
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self.largest = getattr(properties, "MaximumPacketSize", self.largest)
        if getattr(properties, "MaximumQoS", 1) < 1:
            raise UplinkRefused("uplinks.mqtt-refused", where=self._door.where, why="QoS 1 is not offered")
        self._beat()

    def _refusal(self, reason: ReasonCode) -> UplinkUnavailable:
        facts = {"where": self._door.where, "why": f"{reason} (0x{reason.value:02X})"}
        if reason.value in _VERSION:
            return UplinkRefused("uplinks.mqtt-version", retry_after_s=None, **facts)
        if reason.value in _CREDENTIALS:
            return UplinkRefused("uplinks.credentials-refused", retry_after_s=None, **facts)
        if reason.value in _LATER:
            return UplinkUnavailable("uplinks.busy", retry_after_s=None, **facts)
        return UplinkRefused("uplinks.mqtt-refused", retry_after_s=None, **facts)

    def _lose(self, code: str) -> None:
        """The connection is over: what is in flight stays unanswered, the next one is a new object."""
        if self.error is None:
            door = self._door
            self.error = UplinkUnavailable(self._hint or code, where=door.where, timeout_s=door.timeout_s)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        sock, self._sock = self._sock, None
        if sock is not None and sock.fileno() >= 0:  # paho has no way to close without another packet
            self._on_socket_close(self._client, None, sock)
            sock.close()
        self._news.set()

    def _beat(self) -> None:
        """Let paho send its pings and notice a dead link."""
        self._tick = self._loop.call_later(max(self._door.keepalive_s / 4, 0.5), self._beat)
        self._do(self._client.loop_misc)

    def _read(self) -> None:
        self._do(self._client.loop_read)
        while self.error is None and isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            self._do(self._client.loop_read)

    def _write(self) -> None:
        if self.error is None and self._client.want_write():
            self._do(self._client.loop_write)

    def _do(self, step: object) -> None:
        """One step of paho; whatever it raises or returns but success is the end of the connection."""
        try:
            code = step()  # type: ignore[operator]  # one of paho's loop_… methods
        except Exception as error:  # noqa: BLE001  a broker may send anything; paho's parsers raise as they please
            _log.debug("mqtt %s: %r", self._door.where, error)
            code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lose("uplinks.cut")

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._said = (reason, properties)
        self._news.set()

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        index = self._flying.pop(mid, None)
        if index is not None:
            self._answers[index] = reason.value
            self._news.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._lose("uplinks.mqtt-taken-over" if reason.value == _TAKEN_OVER else "uplinks.cut")

    def _on_log(self, _client: Client, _data: object, _level: int, text: str) -> None:
        self._hint = self._hint or certificate_alert(text)

    def _on_socket_close(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._meter.closing(sock)
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())

    def _on_want_write(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._loop.add_writer(sock.fileno(), self._write)

    def _on_written(self, _client: Client, _data: object, sock: SocketLike) -> None:
        self._loop.remove_writer(sock.fileno())
