"""Listens to gauges that talk by themselves.

Every `every_s` the median of what was said since goes out: one stray echo moves a mean, but not
a median.  Fewer than half of the lines with a value make it suspect, none makes it missing; the
last good value is never repeated.  Silence and lines that the profile does not know are counted
and said, and a port that goes away is opened again for ever.
May import: own room, reading errors clock backoff ports profiles wire; pyserial through `serial_port`.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Annotated

import msgspec

from edgeagent import profiles
from edgeagent.backoff import delay_s
from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, FrameError, SourceUnavailable
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quality, Quantity, Reading, ReadingClass
from edgeagent.sources.serial_port import open_port
from edgeagent.wire.gauge_lines import LineFormat, Lines, read_line
from edgeagent.wire.registers import Value

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
        every_s: seconds of which one median goes out.
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
        form: the profile's line format.

    Attributes:
        heard: bytes of this period.
        lines: whole lines of this period that fit the format.
        refused: lines that did not, by reason, with the last of each.
        last: the last fitting line.
    """

    def __init__(self, form: LineFormat) -> None:
        self._form = form
        self.clear()

    def clear(self) -> None:
        """A new period begins."""
        self.heard = 0
        self.lines = 0
        self.refused: dict[str, bytes] = {}
        self.last = b""
        self._values: dict[str, list[float]] = {name: [] for name in self._form.fields}
        self._reasons: dict[str, Counter[str]] = {name: Counter() for name in self._form.fields}

    def add(self, line: bytes) -> None:
        """One whole line."""
        said = read_line(self._form, line)
        if isinstance(said, str):
            self.refused[said] = line
        elif self.lines < _MOST_LINES:
            self.lines += 1
            self.last = line
            for name, (value, reason) in said.items():
                if value is None:
                    self._reasons[name][reason] += 1
                else:
                    self._values[name].append(value)

    def median(self, name: str) -> tuple[Value, int, float]:
        """Of one quantity: (median or why not, how many values, highest minus lowest)."""
        values = self._values[name]
        if not values:
            reasons = self._reasons[name].most_common(1)
            return Value(None, reasons[0][0] if reasons else "silent"), 0, 0.0
        reason = "" if 2 * len(values) >= self.lines else "few-values"
        return Value(statistics.median(values), reason), len(values), max(values) - min(values)


class SerialGauge:
    """One gauge on one port."""

    Config = SerialGaugeConfig
    rules = ("calibrate", "plausible", "alarm", "window", "deadband")

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
        return cls(configs[0], profile, around.clock)

    def __init__(self, config: SerialGaugeConfig, profile: profiles.Profile, clock: Clock) -> None:
        if profile.lines is None:
            raise ConfigError("gauges.not-lines", path="profile", profile=profile.id)
        self._config = config
        self._profile = profile
        self._clock = clock
        self._lines = Lines(profile.link.line_end.encode())
        self._samples = LineSamples(profile.lines)
        self._lost: asyncio.Future[None] | None = None
        self._heard_at = clock.mono()
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
        due = self._clock.mono() + config.every_s
        try:
            while True:
                await asyncio.wait([lost], timeout=max(due - self._clock.mono(), 0.0))
                if lost.done():
                    raise SourceUnavailable("gauges.unplugged", port=config.port)
                await self._end_of_period(emit)
                due += config.every_s
                if due <= self._clock.mono():  # the queue behind was full for longer than a period
                    due = self._clock.mono() + config.every_s
        finally:
            loop.remove_reader(handle)
            port.close()

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
        quantities = {}
        facts = {"profile": self._profile.id, "rung": self._profile.rung}
        facts["raw"] = self._samples.last.decode("ascii", "replace")
        for number, (name, unit) in enumerate(self._profile.units.items()):
            (value, reason), count, spread = self._samples.median(name)
            if value is None:
                quantities[name] = Quantity.missing(unit)
            else:
                quantities[name] = Quantity(value, unit, Quality.SUSPECT if reason else Quality.GOOD)
            if reason:
                facts[f"reason:{name}"] = reason
            if number == 0:  # the profile's main quantity
                facts |= {"n": str(count), "lines": str(self._samples.lines), "spread": f"{spread:.3f}"}
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
