"""Asks SDI-12 sensors through an adapter on a serial port.

Sensors on one port share one task.  The protocol is `wire.sdi12`; here a break is sent, lines are
waited for, and a port that goes away is opened again for ever.
May import: own room, reading errors clock backoff ports profiles wire; pyserial through `serial_port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import termios
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import msgspec
import serial

from edgeagent import profiles
from edgeagent.backoff import delay_s
from edgeagent.errors import ConfigError, FrameError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quality, Quantity, Reading, ReadingClass, TimeTrust
from edgeagent.sources.bus_schedule import OFFLINE_AFTER, Schedule
from edgeagent.sources.serial_port import open_port
from edgeagent.wire.registers import Value
from edgeagent.wire.sdi12 import Ask, Done, Failed, Measurement, Session, Wait

__all__ = ["Sdi12Config", "Sdi12Gauges"]

_BREAK_S = 0.012
_MARK_S = 0.009
_COST_S = 3.0
_HEED_S = 1.0
_MISSING_EVERY_S = 60.0
_LONGEST_LINE = 128


class Sdi12Config(SourceConfig, kw_only=True, frozen=True):
    """A `[[sources]]` section with `driver = "sdi12-gauge"`.

    Attributes:
        port: serial port of the adapter, best /dev/serial/by-id/….
        profile: a shipped name or a path to a .toml with `transport = "sdi12"`.
        address: SDI-12 address; None takes the profile's.
        every_s: seconds between measurements.
    """

    port: str
    profile: str = "sdi12-generic"
    address: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]$")] | None = None
    every_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express; the profile's own mistakes too."""
        profile, found = profiles.load(self.profile)
        yield from found
        if profile is None:
            return
        if profile.sdi12 is None:
            yield ConfigError("gauges.not-sdi12", path="profile", profile=self.profile)
        if self.every_s < profile.link.min_poll_s:
            yield ConfigError("gauges.too-often", path="every_s", got=self.every_s, least=profile.link.min_poll_s)


class _Sensor:
    def __init__(self, config: Sdi12Config, profile: profiles.Profile, measurement: Measurement) -> None:
        self.config, self.profile, self.measurement = config, profile, measurement
        self.address = config.address or profile.link.address
        self.missing_due = float("-inf")


class Sdi12Gauges:
    """The sensors on one adapter."""

    Config = Sdi12Config
    rules = ("calibrate", "rain", "plausible", "alarm", "cadence", "window", "deadband")

    @staticmethod
    def group(config: Sdi12Config) -> Hashable:
        """Sensors on one port share a task."""
        return config.port

    @classmethod
    def make(cls, configs: Sequence[Sdi12Config], around: Surroundings) -> Sdi12Gauges:
        """The running object for the sensors of one port.

        Raises:
            ConfigError: a profile cannot be used.
        """
        sensors = []
        for config in configs:
            profile, problems = profiles.load(config.profile)
            if profile is None:
                raise problems[0]
            if profile.sdi12 is None:
                raise ConfigError("gauges.not-sdi12", path="profile", profile=config.profile)
            sensors.append(_Sensor(config, profile, profile.sdi12))
        return cls(sensors, around)

    def __init__(self, sensors: Sequence[_Sensor], around: Surroundings) -> None:
        self._sensors, self._around, self._clock = sensors, around, around.clock
        self._port_name = sensors[0].config.port
        self._schedule = Schedule(around.clock.mono())
        for sensor in sensors:
            self._schedule.add(sensor.config.every_s, _COST_S)
        self._rest = bytearray()
        self._heard = asyncio.Event()
        self._gone = False

    async def run(self, emit: Emit) -> None:
        """Measure until cancelled; reopens the port by itself."""
        failures = 0
        while True:
            began = self._clock.mono()
            try:
                await self._while_open(emit)
            except SourceUnavailable as error:
                failures = 1 if self._clock.mono() - began > _MISSING_EVERY_S else failures + 1
                for sensor in self._sensors:
                    emit.problem(sensor.config.id, error)
                    if failures >= OFFLINE_AFTER:
                        await self._say_missing(sensor, error.code.partition(".")[2], emit)
            await asyncio.sleep(delay_s(failures, luck=random.random()))  # noqa: S311  jitter

    async def _while_open(self, emit: Emit) -> None:
        link = self._sensors[0].profile.link
        port = open_port(self._port_name, link.baud, link.frame)
        loop, handle = asyncio.get_running_loop(), port.fileno()
        self._rest.clear()
        self._gone = False
        loop.add_reader(handle, self._hear, handle)
        self._schedule.reopened(self._clock.mono())
        try:
            while True:
                self._heed()
                now = self._clock.mono()
                chosen, when = self._schedule.choose(now)
                if chosen is None:
                    await asyncio.sleep(max(min(when - now, _HEED_S), 0.0))
                    if self._gone:
                        raise SourceUnavailable("gauges.unplugged", port=self._port_name)
                    continue
                await self._measure(chosen, port, emit)
        finally:
            loop.remove_reader(handle)
            port.close()

    def _heed(self) -> None:
        at = self._clock.now()
        self._schedule.wall_offset_s = (at.wall_ms - at.mono_ms) / 1000 if at.trust is TimeTrust.SYNCED else None
        for number, sensor in enumerate(self._sensors):
            wish = self._around.pace(sensor.config.id)
            self._schedule.heed(number, max(sensor.config.every_s, wish.every_s or 0.0), wish.again_s)

    async def _measure(self, chosen: int, port: serial.Serial, emit: Emit) -> None:
        sensor = self._sensors[chosen]
        outcome = await self._converse(port, Session(sensor.address, sensor.measurement))
        if isinstance(outcome, Done):
            self._schedule.answered(chosen, self._clock.mono())
            sensor.missing_due = float("-inf")
            await emit(self._reading(sensor, sensor.measurement.read(outcome.values), outcome.values))
            return
        facts = {"port": self._port_name, "address": sensor.address}
        if outcome.reason == "silent":
            emit.problem(sensor.config.id, FrameError("gauges.sdi12-silent", **facts))
        else:
            emit.problem(sensor.config.id, FrameError("gauges.sdi12-refused", why=outcome.reason, **facts))
        if self._schedule.failed(chosen, self._clock.mono(), 0.0) >= OFFLINE_AFTER:
            await self._say_missing(sensor, outcome.reason, emit)

    async def _converse(self, port: serial.Serial, session: Session) -> Done | Failed:
        step = session.begin()
        while not isinstance(step, Done | Failed):
            asked = b""
            if isinstance(step, Ask):
                await self._break(port)
                self._rest.clear()  # whatever lies there answers nothing of ours
                asked = step.data
                with contextlib.suppress(OSError):
                    os.write(port.fileno(), asked)
            line = await self._line(step.seconds if isinstance(step, Wait) else step.timeout_s)
            if self._gone:
                raise SourceUnavailable("gauges.unplugged", port=self._port_name)
            # the adapter may hear itself, and the break as a zero
            step = session.silence() if line is None else session.line(line.strip(b"\x00").removeprefix(asked))
        return step

    async def _break(self, port: serial.Serial) -> None:
        """Wake the sensors; adapters that make the break themselves do not mind another one."""
        with contextlib.suppress(OSError, termios.error):
            port.break_condition = True
            await asyncio.sleep(_BREAK_S)
            port.break_condition = False
        await asyncio.sleep(_MARK_S)

    async def _line(self, seconds: float) -> bytes | None:
        end = self._clock.mono() + seconds
        while b"\n" not in self._rest:
            left = end - self._clock.mono()
            if left <= 0 or self._gone:
                return None
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), left)
        line, _, rest = bytes(self._rest).partition(b"\n")
        self._rest[:] = rest
        return line.strip(b"\r")

    def _hear(self, handle: int) -> None:
        try:
            data = os.read(handle, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._gone = not data
        self._rest += data
        if b"\n" not in self._rest:
            del self._rest[:-_LONGEST_LINE]
        self._heard.set()

    async def _say_missing(self, sensor: _Sensor, reason: str, emit: Emit) -> None:
        now = self._clock.mono()
        if now >= sensor.missing_due:
            sensor.missing_due = now + _MISSING_EVERY_S
            await emit(self._reading(sensor, {name: Value(None, reason) for name in sensor.profile.units}, []))

    def _reading(self, sensor: _Sensor, values: dict[str, Value], raw: list[float]) -> Reading:
        facts = {"profile": sensor.profile.id, "rung": sensor.profile.rung}
        if raw:
            facts["raw"] = " ".join(f"{value:+g}" for value in raw)
        quantities = {}
        for name, unit in sensor.profile.units.items():
            value, reason = values[name]
            doubt = Quality.SUSPECT if reason else Quality.GOOD
            quantities[name] = Quantity.missing(unit) if value is None else Quantity(value, unit, doubt)
            if reason:
                facts[f"reason:{name}"] = reason
        return Reading(
            source=sensor.config.id,
            kind=Kind.RAIN if sensor.profile.kind == "rain" else Kind.WATER,
            entity=sensor.config.id,
            at=self._clock.now(),
            quantities=quantities,
            cls=ReadingClass.LIVE,
            facts=facts,
        )
