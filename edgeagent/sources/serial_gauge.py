"""Listens to gauges that talk by themselves (or when asked by a fixed line).

Every `every_s` the median of what was said since goes out, see `burst`.  Silence and lines that
the profile does not know are counted and said, and a port that goes away is opened again for ever.
May import: own room, reading errors clock backoff ports profiles wire; pyserial through `serial_port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import msgspec

from edgeagent import profiles
from edgeagent.backoff import delay_s
from edgeagent.errors import ConfigError, FrameError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass
from edgeagent.sources.burst import Burst, Samples
from edgeagent.sources.modbus_poll import described
from edgeagent.sources.period import Period
from edgeagent.sources.serial_port import open_port
from edgeagent.wire.gauge_lines import FrameFormat, LineFormat

__all__ = ["LineSamples", "SerialGauge", "SerialGaugeConfig"]

_MISSING_EVERY_S = 60.0
_MOST_LINES = 10_000  # of one period; more than any gauge says, less than a babbling port could
_SHOWN = 24
_FAILURES_BEFORE_MISSING = 3


class SerialGaugeConfig(SourceConfig, kw_only=True, frozen=True):
    """A `[[sources]]` section with `driver = "serial-gauge"`.

    Attributes:
        port: serial port, best /dev/serial/by-id/….
        profile: a shipped name or a path to a .toml with `transport = "ascii-lines"`.
        every_s: seconds of which one median goes out; a cadence rule makes longer pauses between them.
        baud, frame: override the profile's line settings (`frame` e.g. "8N1").
    """

    port: str
    profile: str
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 10.0
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] | None = None
    frame: str | None = None

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express; the profile's own mistakes too."""
        if self.frame is not None and self.frame not in profiles.FRAMES:
            yield ConfigError("gauges.bad-frame", path="frame", got=self.frame)
        profile, found = profiles.load(self.profile)
        yield from found
        if profile is not None and profile.lines is None:
            yield ConfigError("gauges.not-lines", path="profile", profile=self.profile)


class LineSamples:
    """What was said in one period; pure.

    Args:
        form: the profile's format of a line or frame.

    Attributes:
        heard: bytes of this period.
        lines: whole lines of this period that fit the format.
        refused: lines that did not, by reason, with the last of each.
        last: the last fitting line.
    """

    def __init__(self, form: LineFormat | FrameFormat) -> None:
        self._form = form
        self.clear()

    def clear(self) -> None:
        """A new period begins."""
        self.heard = 0
        self.lines = 0
        self.refused: dict[str, bytes] = {}
        self.last = b""
        self._samples = {name: Samples() for name in self._form.fields}

    def add(self, line: bytes) -> None:
        """One whole line."""
        said = self._form.read(line)
        if isinstance(said, str):
            self.refused[said] = line
        elif self.lines < _MOST_LINES:
            self.lines += 1
            self.last = line
            for name, value in said.items():
                self._samples[name].add(value)

    def results(self) -> dict[str, Burst]:
        """The burst of every quantity."""
        return {name: samples.result(self.lines) for name, samples in self._samples.items()}


class SerialGauge:
    """One gauge on one port."""

    Config = SerialGaugeConfig
    rules = ("calibrate", "rain", "plausible", "alarm", "cadence", "window", "deadband")

    @staticmethod
    def group(config: SerialGaugeConfig) -> Hashable:
        """Every gauge that talks by itself has its port for itself."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[SerialGaugeConfig], around: Surroundings) -> SerialGauge:
        """The running object for one section.

        Raises:
            ConfigError: the profile cannot be used.
        """
        profile, problems = profiles.load(configs[0].profile)
        if profile is None:
            raise problems[0]
        return cls(configs[0], profile, around)

    def __init__(self, config: SerialGaugeConfig, profile: profiles.Profile, around: Surroundings) -> None:
        if profile.lines is None:
            raise ConfigError("gauges.not-lines", path="profile", profile=profile.id)
        self._config = config
        self._profile = profile
        self._clock = around.clock
        self._period = Period(config.id, config.every_s, around)
        self._lines = profile.lines.cutter()
        self._samples = LineSamples(profile.lines)
        self._lost: asyncio.Future[None] | None = None
        self._heard_at = self._clock.mono()
        self._missing_due = float("-inf")

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled; reopens the port by itself."""
        failures = 0
        while True:
            started = self._clock.mono()
            try:
                await self._listen(emit)
            except SourceUnavailable as error:
                lasted = self._clock.mono() - started
                failures = 1 if lasted > self._config.every_s else failures + 1
                emit.problem(self._config.id, error)
                if failures >= _FAILURES_BEFORE_MISSING:
                    await self._say_missing(error.code.partition(".")[2], emit)
            await asyncio.sleep(delay_s(failures, luck=random.random()))  # noqa: S311  jitter

    async def _listen(self, emit: Emit) -> None:
        """Open the port and emit until it is gone."""
        config, link = self._config, self._profile.link
        port = open_port(config.port, config.baud or link.baud, config.frame or link.frame)
        loop = asyncio.get_running_loop()
        self._lines.restart()
        self._samples.clear()
        self._heard_at = self._clock.mono()
        lost = self._lost = loop.create_future()
        handle = port.fileno()
        loop.add_reader(handle, self._hear, handle)
        asking = asyncio.create_task(self._ask(handle)) if link.ask else None
        self._period.begin(self._clock.mono())
        try:
            while True:
                await asyncio.wait([lost], timeout=self._period.wait_s(self._clock.mono()))
                if lost.done():
                    raise SourceUnavailable("gauges.unplugged", port=config.port)
                now = self._clock.mono()
                if self._period.opens(now):
                    self._samples.clear()
                elif self._period.ends(now):
                    await self._end_of_period(emit)
                    self._period.begin(self._clock.mono())
        finally:
            if asking is not None:
                asking.cancel()
            loop.remove_reader(handle)
            port.close()

    async def _ask(self, handle: int) -> None:
        """Ask a gauge that speaks only when asked; its answers prove themselves, so none is waited for."""
        link = self._profile.link
        while True:
            with contextlib.suppress(OSError):  # a full or lost line: the reader notices
                os.write(handle, link.ask.encode("ascii"))
            await asyncio.sleep(link.min_poll_s)

    def _hear(self, handle: int) -> None:
        """The loop says that the port has something; hanging up counts as something."""
        try:
            data = os.read(handle, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._heard_at = self._clock.mono()
            self._samples.heard += len(data)
            for line in self._lines.feed(data):
                self._samples.add(line)
        elif self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    async def _end_of_period(self, emit: Emit) -> None:
        samples = self._samples
        for reason, line in samples.refused.items():
            emit.problem(self._config.id, self._problem(reason, line))
        if samples.lines:
            reading = self._reading()
            samples.clear()
            self._missing_due = float("-inf")
            await emit(reading)
            return
        reason = next(iter(samples.refused), "no-lines" if samples.heard else "silent")
        if not samples.refused:
            emit.problem(self._config.id, self._problem(reason, self._lines.pending))
        samples.clear()
        await self._say_missing(reason, emit)

    def _problem(self, reason: str, line: bytes) -> SourceUnavailable:
        port = self._config.port
        if reason == "silent":
            return SourceUnavailable("gauges.silent", port=port, seconds=round(self._clock.mono() - self._heard_at))
        shown = repr(line[:_SHOWN])[1:]
        return FrameError(f"gauges.{reason}", port=port, line=shown, profile=self._profile.id)

    def _reading(self) -> Reading:
        facts = {"profile": self._profile.id, "rung": self._profile.rung}
        last = self._samples.last
        facts["raw"] = last.hex() if isinstance(self._profile.lines, FrameFormat) else last.decode("ascii", "replace")
        facts["lines"] = str(self._samples.lines)
        quantities = described(self._samples.results(), self._profile.units, facts, several=True)
        return self._made(quantities, facts)

    async def _say_missing(self, reason: str, emit: Emit) -> None:
        now = self._clock.mono()
        if now >= self._missing_due:
            self._missing_due = now + _MISSING_EVERY_S
            facts = {"profile": self._profile.id, "rung": self._profile.rung, "n": "0"}
            facts |= {f"reason:{name}": reason for name in self._profile.units}
            await emit(self._made({n: Quantity.missing(u) for n, u in self._profile.units.items()}, facts))

    def _made(self, quantities: dict[str, Quantity], facts: dict[str, str]) -> Reading:
        return Reading(
            source=self._config.id,
            kind=Kind.RAIN if self._profile.kind == "rain" else Kind.WATER,
            entity=self._config.id,
            at=self._clock.now(),
            quantities=quantities,
            cls=ReadingClass.LIVE,
            span_ms=round(self._config.every_s * 1000),
            facts=facts,
        )
