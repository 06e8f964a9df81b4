"""`iota-json`, `iota-ul`: readings to an IoT Agent for JSON or for UltraLight over MQTT 5.

The acknowledgement is the *broker's*: if the agent behind it is down and had subscribed with QoS
0, as it does by default, a value is gone.  So this uplink promises less than the HTTP ones; what
MQTT 5 can tell is used (PUBACK 0x10 "no matching subscribers" is not delivered).
Readings of one device travel as arrays, oldest first, each line ending on the newest value.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Self

import msgspec

from edgeagent.errors import ConfigError, UplinkRefused, UplinkUnavailable
from edgeagent.ngsi import iota_json, iota_ul
from edgeagent.ports import Delivery, Row, Surroundings, UplinkConfig
from edgeagent.uplinks.lanes import replay
from edgeagent.uplinks.marks import MarksFile
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.mqtt_link import Message, MqttDoor, MqttLink
from edgeagent.uplinks.thread import NamedThread
from edgeagent.uplinks.tls import client_context, credential, pair_problems

__all__ = ["IotaConfig", "IotaJson", "IotaUl"]

_TOPIC_PART = re.compile(r"[A-Za-z0-9._:-]+")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_TLS_PORT, _PLAIN_PORT = 8883, 1883
_OVERHEAD = 400  # of a PUBLISH packet beside its payload: header, id, topic
_NOBODY, _NOT_ALLOWED = 0x10, 0x87
_FAILURE = 0x80
_FOR_GOOD = {0x90: "topic name invalid", 0x99: "payload format invalid"}


class IotaConfig(UplinkConfig, frozen=True, kw_only=True):
    """`driver = "iota-json"` and `driver = "iota-ul"`.

    Attributes:
        host, port: of the broker; the port defaults to 8883, or 1883 without TLS.
        apikey: of the agent's group.
        device_prefix: what device ids begin with; default `<gateway id>:`.
        tls: false only on a line that nobody else can listen to.
        ca, cert, key: PEM files; `cert = "identity"` is the claimed one; see `tls`.
        username: for the broker; "" for none.
        password: name of the credential that holds the password.
        keepalive_s: a dead link is noticed within 1.5 times that.
        timeout_s: for connecting, and for the next acknowledgement.
        max_body: bytes of one message; the broker's own limit is obeyed too.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    apikey: str
    device_prefix: str | None = None
    tls: bool = True
    ca: str = ""
    cert: str = ""
    key: str = ""
    username: str = ""
    password: str = ""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 30
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 20.0
    max_body: Annotated[int, msgspec.Meta(ge=2_000, le=1_000_000)] = 100_000

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if not _HOST.fullmatch(self.host):
            yield ConfigError("uplinks.bad-host", path="host", got=self.host)
        if not _TOPIC_PART.fullmatch(self.apikey):
            yield ConfigError("uplinks.bad-topic-part", path="apikey", got=self.apikey)
        if self.device_prefix and not _TOPIC_PART.fullmatch(self.device_prefix):
            yield ConfigError("uplinks.bad-topic-part", path="device_prefix", got=self.device_prefix)
        if "/" in self.password or self.password.startswith("."):
            yield ConfigError("uplinks.bad-credential-name", path="password", got=self.password)
        yield from pair_problems(self.cert, self.key)
        if self.password and not self.username:
            yield ConfigError("config.missing", path="username", expected="password")


class _Parcel(msgspec.Struct, frozen=True):
    """A message and the rows in it."""

    message: Message
    rows: Sequence[Row]


class IotaJson:
    """`iota-json`: one connection, kept between deliveries."""

    Config = IotaConfig
    _topic = staticmethod(iota_json.topic)
    _measure = staticmethod(iota_json.measure)
    _payload = staticmethod(iota_json.payload)

    def __init__(self, config: IotaConfig, around: Surroundings) -> None:
        self._config = config
        self._site = around.site
        self._state_dir = around.state_dir
        self._prefix = f"{around.site.gateway}:" if config.device_prefix is None else config.device_prefix
        self._thread = NamedThread(f"uplink-{config.id}")
        self._file: MarksFile | None = None
        self._link: MqttLink | None = None
        self._meter = Meter()
        port = config.port or (_TLS_PORT if config.tls else _PLAIN_PORT)
        self._where = f"{config.host}:{port}"
        self._door = MqttDoor(
            host=config.host,
            port=port,
            client_id=f"edgeagent-{around.site.gateway}-{config.id}",
            username=config.username,
            keepalive_s=config.keepalive_s,
            timeout_s=config.timeout_s,
        )

    @classmethod
    def make(cls, config: IotaConfig, around: Surroundings) -> Self:
        """The uplink of one section."""
        return cls(config, around)

    async def deliver(self, rows: Sequence[Row], *, behind: bool = False) -> Delivery:
        """Publish rows and wait for the broker's acknowledgements.

        Raises:
            UplinkUnavailable: no row was acknowledged (UplinkRefused: and a person must act).
        """
        try:
            done = await self._deliver(rows, behind)
        except UplinkUnavailable as error:
            error.facts.setdefault("uplink", self._config.id)
            error.bytes_sent = self._meter.fresh()
            raise
        return msgspec.structs.replace(done, bytes_sent=self._meter.fresh())

    async def close(self) -> None:
        """Disconnect."""
        if self._link is not None:
            self._link.close()
        self._thread.close()

    async def _deliver(self, rows: Sequence[Row], behind: bool) -> Delivery:  # noqa: FBT001  as `deliver`
        link = await self._connected()
        if self._file is None:
            path = self._state_dir / f"uplink-{self._config.id}.marks"
            self._file = await self._thread.run(lambda: MarksFile(path))
        marks = self._file.marks
        rejected: dict[int, str] = {}
        limit = min(self._config.max_body, link.largest - _OVERHEAD)
        parcels = [p for line in replay(rows, marks) for p in self._parcels(line, limit, rejected)]
        accepted: set[int] = set()
        error: UplinkUnavailable | None = None
        codes = await link.send([p.message for p in parcels])
        for parcel, code in zip(parcels, codes, strict=True):
            if code is not None and code < _FAILURE and code != _NOBODY:
                for row in parcel.rows:
                    accepted.add(row.id)
                    marks.written(row)
            elif code in _FOR_GOOD:
                rejected.update((row.id, _FOR_GOOD[code]) for row in parcel.rows)
            else:
                error = error or self._why(code, parcel.message.topic)
        error = error or link.error
        kept = [r for r in rows if r.id not in accepted and r.id not in rejected]
        if kept or behind or marks.regressed or self._file.holds:
            file = self._file
            await self._thread.run(lambda: file.settle(rows, kept, behind=behind))
        accepted.intersection_update(r.id for r in rows)
        if kept and error is not None and not accepted and not rejected:
            raise error
        return Delivery(frozenset(accepted), rejected, None, error if kept else None)

    async def _connected(self) -> MqttLink:
        if self._link is None or self._link.error is not None:
            self._link = None
            door, context = await self._thread.run(self._secrets)
            self._link = await MqttLink.open(door, context, self._thread, self._meter)
        return self._link

    def _secrets(self) -> tuple[MqttDoor, ssl.SSLContext | None]:
        """Password and certificates as they are now: both may have been renewed."""
        config, door = self._config, self._door
        if config.password:
            door = msgspec.structs.replace(door, password=credential(config.password, self._state_dir))
        if not config.tls:
            return door, None
        return door, client_context(ca=config.ca, cert=config.cert, key=config.key, state_dir=self._state_dir)

    def _parcels(self, line: Sequence[Row], limit: int, rejected: dict[int, str]) -> Iterator[_Parcel]:
        """Messages for one device, as large as the limit allows."""
        topic = self._topic(self._config.apikey, iota_json.device_id(line[0].reading, self._prefix))
        measures: list[bytes] = []
        rows: list[Row] = []
        size = 0
        for row in line:
            try:
                measure = self._measure(row.reading, self._site)
            except ValueError:
                rejected[row.id] = f"not a time: {row.reading.at.wall_ms} ms"
                continue
            if measures and size + len(measure) > limit:
                yield _Parcel(Message(topic, self._payload(measures)), rows)
                measures, rows, size = [], [], 0
            measures.append(measure)
            rows.append(row)
            size += len(measure) + 1
        if measures:
            yield _Parcel(Message(topic, self._payload(measures)), rows)

    def _why(self, code: int | None, topic: str) -> UplinkUnavailable | None:
        if code is None:
            return self._link.error if self._link is not None else None
        if code == _NOBODY:
            return UplinkUnavailable("uplinks.no-subscriber", where=self._where, topic=topic)
        if code == _NOT_ALLOWED:
            return UplinkRefused("uplinks.topic-refused", where=self._where, topic=topic)
        return UplinkUnavailable("uplinks.busy", where=self._where, why=f"PUBACK 0x{code:02X}")


class IotaUl(IotaJson):
    """`iota-ul`: the same with the other agent's words."""

    _topic = staticmethod(iota_ul.topic)
    _measure = staticmethod(iota_ul.measure)
    _payload = staticmethod(iota_ul.payload)
