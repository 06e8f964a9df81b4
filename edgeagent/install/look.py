"""What one gauge says right now: the configured driver itself, run for a person instead of a queue.

So what is seen here is what the agent would read, errors included; and beside it the raw registers
under every word order, because that is what is wrong when a value makes no sense.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgeagent import calibrations, profiles, rules, sources
from edgeagent.clock import Clock
from edgeagent.config import Config, SourceSection
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Reading
from edgeagent.rules.calibrate import CalibrateConfig
from edgeagent.wire.registers import ORDERS, TYPES, number

__all__ = ["GAUGES", "Word", "calibrated", "look", "section", "words"]

GAUGES = ("modbus-gauge", "serial-gauge", "sdi12-gauge", "pulse-gauge")
_PACE_S = 1.0


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One register of a profile as it lies on the wire, and as a number under each word order.

    Attributes:
        name: what the profile calls it.
        address: of its first word.
        raw: its words in hex.
        numbers: word order -> number in the profile's unit, SI; None where it is none.
        inside: the orders whose number lies inside the profile's sane range.
        order: what the profile says.
    """

    name: str
    address: int
    raw: str
    numbers: dict[str, float | None]
    inside: tuple[str, ...]
    order: str


def section(config: Config, source: str) -> SourceSection:
    """The section of a gauge.

    Raises:
        ConfigError: install.no-source, with those there are.
    """
    gauges = {s.config.id: s for s in config.sources if s.config.driver in GAUGES}
    found = gauges.get(source)
    if found is None:
        raise ConfigError("install.no-source", path="SOURCE", got=source, choices=", ".join(gauges) or "-")
    return found


def calibrated(one: SourceSection, state_dir: Path) -> CalibrateConfig | None:
    """The gauge's calibration with what the staff gauge taught; None where it has neither.

    Raises:
        ConfigError: the history cannot be read.
    """
    configured = one.rules.get("calibrate")
    return calibrations.applied(
        configured if isinstance(configured, CalibrateConfig) else None, state_dir, one.config.id
    )


async def look(one: SourceSection, state_dir: Path, clock: Clock) -> AsyncGenerator[Reading | EdgeAgentError, None]:
    """Readings and problems of one gauge as they come, until the caller has seen enough."""
    queue: asyncio.Queue[Reading | EdgeAgentError] = asyncio.Queue(100)
    calibration = calibrated(one, state_dir)
    rule = rules.rule("calibrate")(calibration, one.config.id) if calibration is not None else None

    class _Emit:
        async def __call__(self, *readings: Reading) -> None:
            for reading in readings:
                for made in rule.feed(reading) if rule is not None else (reading,):
                    await queue.put(made)

        async def kept(self) -> None:
            """Nothing is stored here, so nothing is to be waited for."""

        def problem(self, source: str, error: EdgeAgentError) -> None:  # noqa: ARG002  there is only one
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(error)

    around = Surroundings(clock, Site("look"), state_dir)
    source = sources.driver(one.config.driver).make((_quick(one.config),), around)
    running = asyncio.create_task(source.run(_Emit()))
    try:
        while True:
            waiting = asyncio.create_task(queue.get())
            done, _ = await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
            if waiting not in done:
                waiting.cancel()
                running.result()
                return
            yield waiting.result()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, EdgeAgentError):
            await running


def words(profile: profiles.Profile, raw: str) -> Iterator[Word]:
    """The registers of a profile out of the raw frames of a reading (`facts["raw"]`)."""
    frames = [bytes.fromhex(frame) for frame in raw.split()]
    for block in profile.blocks:
        # MBAP frames carry six bytes more in front than RTU frames, and no CRC behind
        frame = next((f for f in frames if _data(f, block.function, block.words)), None)
        if frame is None:
            continue
        frames.remove(frame)
        data = _data(frame, block.function, block.words)
        registers = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
        for offset, register in block.registers:
            count = TYPES[register.kind]
            numbers, inside = {}, []
            for order in ORDERS if count > 1 else ("ABCD", "BADC"):
                value = number(register.kind, order, registers, offset)
                said = register.scale.apply(value)
                shown = value * register.scale.factor + register.scale.offset
                numbers[order] = shown if shown == shown and abs(shown) != float("inf") else None  # noqa: PLR0124  NaN
                if said.value is not None and not 0 < abs(value) < 1e-9:  # noqa: PLR2004  dust of another order
                    inside.append(order)
            raw_words = " ".join(f"{w:04x}" for w in registers[offset : offset + count])
            yield Word(
                name=register.name,
                address=register.address,
                raw=raw_words,
                numbers=numbers,
                inside=tuple(inside),
                order=register.order,
            )


def _data(frame: bytes, function: int, count: int) -> bytes:
    """The register bytes of an answer, RTU or TCP; empty when it is not to this question."""
    for start in (0, 6):
        if len(frame) >= start + 3 + 2 * count and frame[start + 1] == function and frame[start + 2] == 2 * count:
            return frame[start + 3 : start + 3 + 2 * count]
    return b""


def _quick(config: Any) -> Any:  # noqa: ANN401  the driver's own Config
    """The same gauge at a pace a person can watch."""
    changes: dict[str, object] = {}
    profile, _ = profiles.load(config.profile)
    least = profile.link.min_poll_s if profile is not None else 0.0
    if config.every_s > _PACE_S:
        changes["every_s"] = max(_PACE_S, least)
    if hasattr(config, "samples"):
        changes["samples"] = 1
    return msgspec.structs.replace(config, **changes)
