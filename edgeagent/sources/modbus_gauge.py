"""Polls water gauges over RS-485 and TCP.

Gauges on one port are one group and share one task, so the bus never sees two questions at once.
A gauge that does not answer costs its neighbours nothing but pauses; a port that goes away is
opened again for ever.  What cannot be read is said: after three failed polls the city gets the
quantities as missing, with the reason, and then at most once a minute.
May import: own room, reading errors clock backoff ports profiles wire; pymodbus through `modbus_bus`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import msgspec

from edgeagent import profiles
from edgeagent.backoff import delay_s
from edgeagent.errors import ConfigError, EdgeAgentError, FrameError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Moment, TimeTrust
from edgeagent.sources.bus_schedule import OFFLINE_AFTER, Schedule
from edgeagent.sources.modbus_bus import Bus, RtuBus, SerialLine, TcpBus
from edgeagent.sources.modbus_poll import GaugePoll
from edgeagent.wire.rtu import Answer

__all__ = ["ModbusGaugeConfig", "ModbusGauges"]

_MISSING_EVERY_S = 60.0
_HEED_S = 1.0
_HIGHEST_RTU_UNIT = 247
# who breaks the connection that all share gets no new chance by its being opened again
_ONE_TO_BLAME = ("gauges.tcp-lost", "gauges.tcp-out-of-step", "gauges.unplugged")


class ModbusGaugeConfig(SourceConfig, kw_only=True, frozen=True):
    """A `[[sources]]` section with `driver = "modbus-gauge"`.

    Attributes:
        profile: a shipped name or a path to a .toml.
        port: serial port, best /dev/serial/by-id/…; or
        host, tcp_port: a Modbus TCP device or gateway.
        unit: Modbus unit id; None takes the profile's.
        every_s: seconds between polls.
        baud, frame: override the profile's line settings (`frame` e.g. "8E1").
        timeout_s: overrides how long the device may take to answer, in seconds.
        samples: of so many polls the median goes out, with how many of them counted.
        sample_gap_s: seconds between these.
    """

    profile: str
    port: str | None = None
    host: str | None = None
    tcp_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 502
    unit: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    every_s: Annotated[float, msgspec.Meta(ge=0.01, le=86_400)] = 10.0
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] | None = None
    frame: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    samples: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    sample_gap_s: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 1.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express; the profile's own mistakes too."""
        if (self.port is None) == (self.host is None):
            yield ConfigError("gauges.port-or-host", path="port")
        if self.frame is not None and self.frame not in profiles.FRAMES:
            yield ConfigError("gauges.bad-frame", path="frame", got=self.frame)
        if self.port is not None and self.unit is not None and not 1 <= self.unit <= _HIGHEST_RTU_UNIT:
            yield ConfigError("gauges.bad-unit", path="unit", got=self.unit)
        profile, found = profiles.load(self.profile)
        yield from found
        if profile is None:
            return
        if profile.link.transport != "modbus":
            yield ConfigError("gauges.not-modbus", path="profile", profile=self.profile)
        if self.every_s < profile.link.min_poll_s:
            yield ConfigError("gauges.too-often", path="every_s", got=self.every_s, least=profile.link.min_poll_s)
        if self.samples > 1 and self.samples * self.sample_gap_s > self.every_s:
            needs = self.samples * self.sample_gap_s
            yield ConfigError("gauges.burst-too-long", path="samples", got=self.every_s, needs=needs)


class ModbusGauges:
    """The gauges of one bus."""

    Config = ModbusGaugeConfig
    rules = ("calibrate", "rain", "plausible", "alarm", "cadence", "window", "deadband")

    @staticmethod
    def group(config: ModbusGaugeConfig) -> Hashable:
        """Gauges on one port, or behind one TCP address, share a task."""
        return ("serial", config.port) if config.port else ("tcp", config.host, config.tcp_port)

    @classmethod
    def make(cls, configs: Sequence[ModbusGaugeConfig], around: Surroundings) -> ModbusGauges:
        """The running object for the gauges of one bus.

        Raises:
            ConfigError: a profile cannot be used, or two gauges want different line settings.
        """
        pairs = [(config, _profile(config)) for config in configs]
        return cls([GaugePoll(c, p) for c, p in pairs], _bus(pairs, around), around)

    def __init__(self, gauges: Sequence[GaugePoll], bus: Bus, around: Surroundings) -> None:
        self.bus = bus
        self._gauges = gauges
        self._clock = around.clock
        self._pace = around.pace
        self._heed_at = float("-inf")
        self._schedule = Schedule(around.clock.mono())
        for gauge in gauges:
            self._schedule.add(gauge.config.every_s, gauge.timeout_s + 0.2)
        self._heard = False  # since the port was opened last

    async def run(self, emit: Emit) -> None:
        """Poll until cancelled; reopens the port by itself."""
        failures = 0
        blamed = False
        try:
            while True:
                try:
                    await self.bus.open()
                    if not blamed:
                        self._schedule.reopened(self._clock.mono())
                    blamed = False
                    await self._poll_while_open(emit)
                except SourceUnavailable as error:
                    failures = 1 if self._heard else failures + 1
                    self._heard = False
                    blamed = error.code in _ONE_TO_BLAME
                    await self._say_gone(emit, error, failures)
                self.bus.close()
                await asyncio.sleep(delay_s(failures, luck=random.random()))  # noqa: S311  jitter
        finally:
            self.bus.close()

    async def _poll_while_open(self, emit: Emit) -> None:
        enough = self.bus.patience * len(self._gauges)
        silent = 0
        while True:
            now = self._clock.mono()
            if now >= self._heed_at:
                self._heed(now)
            chosen, when = self._schedule.choose(now)
            if chosen is None:
                await asyncio.sleep(max(min(when, self._heed_at) - now, 0.0))
                continue
            gauge = self._gauges[chosen]
            free_at = self.bus.may_ask_at(gauge.unit)
            if free_at - now > gauge.timeout_s:
                self._schedule.later(chosen, free_at)
                continue
            answered = await self._poll(chosen, gauge, emit)
            silent = 0 if answered else silent + 1
            if answered:
                self._heard = True
            elif silent >= enough:
                raise SourceUnavailable("gauges.bus-silent", bus=self.bus.name, polls=silent)

    def _heed(self, now: float) -> None:
        """Ask the rules how they wish to measure; what they saw last may have changed that."""
        self._heed_at = now + _HEED_S
        at = self._clock.now()
        trusted = at.trust is TimeTrust.SYNCED
        self._schedule.wall_offset_s = (at.wall_ms - at.mono_ms) / 1000 if trusted else None
        for number, gauge in enumerate(self._gauges):
            wish = self._pace(gauge.id)
            shortest = max(gauge.config.every_s, wish.every_s or 0.0)
            self._schedule.heed(number, shortest, None if gauge.in_burst else wish.again_s)

    async def _poll(self, chosen: int, gauge: GaugePoll, emit: Emit) -> bool:
        """One poll of one gauge; whether the device said anything believable, a refusal included."""
        answers, at, refused = await self._ask(chosen, gauge, emit)
        now = self._clock.mono()
        if (at is not None or gauge.in_burst) and gauge.add(answers, at or self._clock.now()):
            self._schedule.answered(chosen, now)
            await emit(gauge.reading())
        elif at is not None:
            self._schedule.again(chosen, now + gauge.config.sample_gap_s)
        if at is not None:
            gauge.missing_due = float("-inf")
            return True
        failures = self._schedule.failed(chosen, now, self.bus.may_ask_at(gauge.unit) - now)
        if failures >= OFFLINE_AFTER:
            await self._say_missing(gauge, str(answers[0]), emit)
        return refused

    async def _ask(self, chosen: int, gauge: GaugePoll, emit: Emit) -> tuple[list[Answer | str], Moment | None, bool]:
        """All questions of one poll: per question an answer or why not, when the first came, any refusal."""
        answers: list[Answer | str] = []
        at: Moment | None = None
        refused, reason = False, ""
        for request in gauge.requests:
            if not gauge.may_ask(request, self._clock.mono()):
                answers.append("not-asked")
                continue
            # after a timeout the rest of the poll would cost the neighbours more silence, and a unit
            # that owes an answer must not be asked at all
            if reason == "timeout" or self.bus.may_ask_at(gauge.unit) - self._clock.mono() > gauge.timeout_s:
                answers.append(reason or "timeout")
                continue
            try:
                answer = await self.bus.ask(request, gauge.timeout_s, once=gauge.is_destructive(request))
            except SourceUnavailable as error:
                if not isinstance(error, FrameError):  # the connection broke over this question
                    self._schedule.failed(chosen, self._clock.mono(), 0.0)
                    raise
                emit.problem(gauge.id, error)
                reason = error.code.partition(".")[2]
                if reason != "not-in-step":  # that one was not even sent
                    gauge.asked(request, self._clock.mono())
                refused = refused or reason.startswith("exception")
                answers.append(reason)
            else:
                gauge.asked(request, self._clock.mono())
                at = at or self._clock.now()
                answers.append(answer)
        return answers, at, refused

    async def _say_gone(self, emit: Emit, error: EdgeAgentError, failures: int) -> None:
        """The port is gone: every gauge on it is."""
        for gauge in self._gauges:
            emit.problem(gauge.id, error)
            if failures >= OFFLINE_AFTER:
                await self._say_missing(gauge, error.code.partition(".")[2], emit)

    async def _say_missing(self, gauge: GaugePoll, reason: str, emit: Emit) -> None:
        now = self._clock.mono()
        if now >= gauge.missing_due:
            gauge.missing_due = now + _MISSING_EVERY_S
            await emit(gauge.missing(reason, self._clock.now()))


def _profile(config: ModbusGaugeConfig) -> profiles.Profile:
    profile, problems = profiles.load(config.profile)
    if profile is None:
        raise problems[0]
    return profile


def _bus(pairs: Sequence[tuple[ModbusGaugeConfig, profiles.Profile]], around: Surroundings) -> Bus:
    first = pairs[0][0]
    if first.host is not None:
        return TcpBus(first.host, first.tcp_port)
    settings = {(c.baud or p.link.baud, c.frame or p.link.frame) for c, p in pairs}
    if len(settings) > 1:
        wanted = ", ".join(f"{c.id}: {c.baud or p.link.baud} {c.frame or p.link.frame}" for c, p in pairs)
        raise ConfigError("gauges.bus-settings", path="", port=first.port, wanted=wanted)
    baud, frame = settings.pop()
    late_s = max(p.link.late_s for _, p in pairs)
    return RtuBus(SerialLine(str(first.port), baud, frame), late_s=late_s, clock=around.clock)
