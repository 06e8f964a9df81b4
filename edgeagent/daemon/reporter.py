"""Hears "poll now" and tells this gateway's state over MQTT, both retained.

    <fleet>/poll                      anything: somebody published; look for yourself
    <fleet>/<gateway id>/reported     `update.report.Reported` as JSON

Nothing that arrives here is trusted or even read: a nudge only starts the poll that the timer would
start anyway, at most once in a while, after a moment of chance so that 400 gateways do not ask at
once.  paho runs its own thread; this side only looks at what it noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeagent.errors import EdgeAgentError
from edgeagent.update.report import Reported
from edgeagent.update.section import MqttSection
from edgeagent.uplinks.tls import client_context, credential

__all__ = ["Reporter", "command"]

log = logging.getLogger("edgeagent")

LATE_SPREAD_S = 600.0  # one that was there before us: after a power cut of a whole valley everybody comes at once
TELL_S = 300.0
LOOK_S = 1.0
KEEPALIVE_S = 60
_LONGEST = 4096


def command(config: Path) -> list[str]:
    """The short-lived process that polls."""
    return [sys.executable, "-m", "edgeagent", "update", "poll", "--config", str(config)]


class Reporter:
    """For one run of the agent.

    Args:
        section: `[update] mqtt`.
        gateway: its id.
        reported: the state to tell.
        state_dir: where credentials may lie.
        config: the gateway's own file, for the poll.
        late_spread_s: as `section.spread_s`, for a nudge that was retained for us.
        luck: uniform in [0, 1).
    """

    def __init__(
        self,
        section: MqttSection,
        gateway: str,
        reported: Callable[[], Awaitable[Reported]],
        state_dir: Path,
        config: Path,
        *,
        late_spread_s: float = LATE_SPREAD_S,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._section, self._gateway, self._reported = section, gateway, reported
        self._state_dir, self._config, self._luck = state_dir, config, luck
        self._spread_s, self._late_spread_s = section.spread_s, late_spread_s
        self._nudged, self._late = threading.Event(), threading.Event()
        self._connected = threading.Event()
        self._topic = f"{section.fleet}/{gateway}/reported"

    async def run(self) -> None:
        """Until cancelled; a broker that is away is tried again by paho for ever."""
        loop = asyncio.get_running_loop()
        client = await self._client()
        told: bytes = b""
        told_s = -1e9
        due_s = 1e18
        try:
            while True:
                now_s = loop.time()
                if self._connected.is_set():
                    said = await self._reported()
                    plain = msgspec.json.encode(msgspec.structs.replace(said, wall_ms=0, oldest_s=0, waiting=0))
                    if plain != told or now_s - told_s > TELL_S:
                        client.publish(self._topic, msgspec.json.encode(said), qos=1, retain=True)
                        told, told_s = plain, now_s
                else:
                    told = b""
                for nudged, spread_s in ((self._nudged, self._spread_s), (self._late, self._late_spread_s)):
                    if nudged.is_set():
                        nudged.clear()
                        due_s = min(due_s, now_s + self._luck() * spread_s)
                if now_s >= due_s:
                    due_s = 1e18
                    await self._poll()
                await asyncio.sleep(LOOK_S)
        finally:
            with contextlib.suppress(OSError, ValueError):
                client.disconnect()
            client.loop_stop()

    async def _poll(self) -> None:
        """Run the poll and wait for it; what it found is in its note and in our record."""
        process = await asyncio.create_subprocess_exec(
            *command(self._config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await process.wait()
        except asyncio.CancelledError:  # it asked us to end: it is done but for its goodbye
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.5)
            raise

    async def _client(self) -> Client:
        """A client that connects in the background, as soon as its files and secrets can be read."""
        section = self._section
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"edgeagent-update-{self._gateway}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.on_connect, client.on_disconnect, client.on_message = (
            self._on_connect,
            self._on_disconnect,
            self._on_message,
        )
        client.suppress_exceptions = True
        client.reconnect_delay_set(1, 120)
        while True:
            try:
                if section.username:
                    secret = credential(section.password, self._state_dir) if section.password else None
                    client.username_pw_set(section.username, secret)
                if section.tls or section.ca or section.cert:
                    client.tls_set_context(_context(section, self._state_dir))
                break
            except EdgeAgentError as error:
                log.warning("update: %s", error)
                await asyncio.sleep(60)
        client.connect_async(section.host, section.port, KEEPALIVE_S)
        client.loop_start()
        return client

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe(f"{self._section.fleet}/poll", qos=1)
            self._connected.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connected.clear()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if len(message.payload) <= _LONGEST:
            (self._late if message.retain else self._nudged).set()


def _context(section: MqttSection, state_dir: Path) -> ssl.SSLContext:
    return client_context(ca=section.ca, cert=section.cert, key=section.key, state_dir=state_dir)
