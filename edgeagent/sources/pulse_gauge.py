"""Counts the contact of a tipping bucket on a GPIO line, through the kernel's character device.

The kernel stamps each edge with its monotonic clock, so a busy box counts as well as an idle one.
Source of the interface: Linux, include/uapi/linux/gpio.h (v2, since 5.10).
May import: own room, reading errors clock backoff ports profiles wire.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import struct
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import msgspec

from edgeagent import profiles
from edgeagent.backoff import delay_s
from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.wire.pulses import Bucket, Contact

__all__ = ["EVENT", "LINE_REQUEST", "PulseGauge", "PulseGaugeConfig", "line_request", "open_line"]

LINE_REQUEST = 0xC250B407  # GPIO_V2_GET_LINE_IOCTL
_REQUEST_BYTES = 592  # struct gpio_v2_line_request
_OFFSETS, _NAME_BYTES, _ATTRS = 64, 32, 10
_INPUT, _RISING, _FALLING, _PULL_UP, _ACTIVE_LOW = 1 << 2, 1 << 4, 1 << 5, 1 << 8, 1 << 1
EVENT = struct.Struct("=QIIII24x")  # struct gpio_v2_line_event: ns, id, offset, seqno, line_seqno
_EDGE_RISING = 1  # active low with pull-up: a closed contact is an active line


class PulseGaugeConfig(SourceConfig, kw_only=True, frozen=True):
    """A `[[sources]]` section with `driver = "pulse-gauge"`.

    Attributes:
        chip, line: the GPIO line between which and ground the contact lies.
        profile: a shipped name or a path to a .toml with `transport = "pulses"`.
        every_s: seconds between readings of the total.
    """

    line: Annotated[int, msgspec.Meta(ge=0, le=1023)]
    chip: str = "/dev/gpiochip0"
    profile: str = "tipping-bucket"
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 60.0

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express; the profile's own mistakes too."""
        profile, found = profiles.load(self.profile)
        yield from found
        if profile is not None and profile.pulses is None:
            yield ConfigError("gauges.not-pulses", path="profile", profile=self.profile)


def line_request(line: int) -> bytearray:
    """`struct gpio_v2_line_request` for one input with pull-up, both edges, active low."""
    flags = _INPUT | _RISING | _FALLING | _PULL_UP | _ACTIVE_LOW
    made = struct.pack(f"={_OFFSETS}I{_NAME_BYTES}s", line, *[0] * (_OFFSETS - 1), b"edgeagent")
    made += struct.pack("=QI20x", flags, 0) + bytes(_ATTRS * 24)
    made += struct.pack("=II20xi", 1, 0, -1)
    assert len(made) == _REQUEST_BYTES
    return bytearray(made)


def open_line(chip: str, line: int) -> int:
    """A handle that becomes readable with every edge.

    Raises:
        SourceUnavailable: gauges.no-gpio.
    """
    try:
        handle = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            request = line_request(line)
            fcntl.ioctl(handle, LINE_REQUEST, request)
        finally:
            os.close(handle)
    except OSError as error:
        why = error.strerror or str(error)
        raise SourceUnavailable("gauges.no-gpio", chip=chip, line=line, why=why) from error
    made: int = struct.unpack_from("=i", request, _REQUEST_BYTES - 4)[0]
    os.set_blocking(made, False)
    return made


class PulseGauge:
    """One bucket."""

    Config = PulseGaugeConfig
    rules = ("rain", "window", "deadband")

    @staticmethod
    def group(config: PulseGaugeConfig) -> Hashable:
        """Every contact has a line of its own."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[PulseGaugeConfig], around: Surroundings) -> PulseGauge:
        """The running object for one section.

        Raises:
            ConfigError: the profile cannot be used.
        """
        profile, problems = profiles.load(configs[0].profile)
        if profile is None:
            raise problems[0]
        if profile.pulses is None:
            raise ConfigError("gauges.not-pulses", path="profile", profile=configs[0].profile)
        return cls(configs[0], profile, profile.pulses, around)

    def __init__(
        self, config: PulseGaugeConfig, profile: profiles.Profile, bucket: Bucket, around: Surroundings
    ) -> None:
        self._config, self._clock = config, around.clock
        self._facts = {"profile": profile.id, "rung": profile.rung}
        self.contact = Contact(bucket)
        self._gone: asyncio.Event = asyncio.Event()
        self._shift_s = float("inf")  # our clock less the kernel's, which stands still while the box sleeps

    async def run(self, emit: Emit) -> None:
        """Count until cancelled."""
        failures = 0
        while True:
            try:
                await self._count(emit)
            except SourceUnavailable as error:
                failures += 1
                emit.problem(self._config.id, error)
                await emit(self._reading(error.code.partition(".")[2]))
            await asyncio.sleep(delay_s(failures, luck=random.random()))  # noqa: S311  jitter

    async def _count(self, emit: Emit) -> None:
        handle = open_line(self._config.chip, self._config.line)
        loop = asyncio.get_running_loop()
        self._gone.clear()
        loop.add_reader(handle, self._edges, handle)
        try:
            while not self._gone.is_set():
                await emit(self._reading(self._fault(emit)))
                waiting = asyncio.create_task(self._gone.wait())
                await asyncio.wait([waiting], timeout=self._config.every_s)
                waiting.cancel()
            raise SourceUnavailable("gauges.no-gpio", chip=self._config.chip, line=self._config.line, why="?")
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def _edges(self, handle: int) -> None:
        try:
            data = os.read(handle, 16 * EVENT.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone.set()
            return
        edges = [(nanoseconds / 1e9, edge) for nanoseconds, edge, *_ in EVENT.iter_unpack(data)]
        self._shift_s = min(self._shift_s, self._clock.mono() - edges[-1][0])
        for at, edge in edges:
            (self.contact.closed if edge == _EDGE_RISING else self.contact.opened)(at + self._shift_s)

    def _fault(self, emit: Emit) -> str:
        fault = self.contact.fault(self._clock.mono())
        if fault:
            emit.problem(self._config.id, SourceUnavailable("gauges.contact-fault", source=self._config.id, why=fault))
        return fault

    def _reading(self, reason: str) -> Reading:
        facts = dict(self._facts)
        if reason:
            facts["reason:rain_total"] = reason
            total = Quantity.missing(Unit.MILLIMETRE)
        else:
            total = Quantity(self.contact.total_mm, Unit.MILLIMETRE, Quality.GOOD)
        return Reading(
            source=self._config.id,
            kind=Kind.RAIN,
            entity=self._config.id,
            at=self._clock.now(),
            quantities={"rain_total": total},
            cls=ReadingClass.LIVE,
            facts=facts,
        )
