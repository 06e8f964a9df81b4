"""Who is on a Modbus line, how it is set, and which profile fits.  Read-only.

First the units that makers deliver are asked in every setting; where one answers, the line is set
so, and all other units are asked in that setting alone.  The answers are judged as the agent judges
them, so a device that is found is one that can be read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import msgspec

from edgeagent import profiles
from edgeagent.clock import Clock
from edgeagent.errors import FrameError
from edgeagent.sources.modbus_bus import Bus, RtuBus, SerialLine
from edgeagent.wire.registers import Block, Register, decode
from edgeagent.wire.rtu import Request

__all__ = ["BAUDS", "FRAMES", "Found", "Guess", "Line", "likely_units", "scan"]

BAUDS = (9600, 19200, 38400, 115200, 4800, 2400)
FRAMES = ("8N1", "8E1", "8O1", "8N2")
_PROBES = (Request(0, 3, 0, 1), Request(0, 4, 0, 1))
_TIMEOUT_S = 0.2
_LATE_S = 0.0  # nobody is asked twice, so nobody has to be waited for

Progress = Callable[[str, int, int], None]
"""(what is being tried, how many are done, of how many)"""


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """A profile whose main register reads as something believable.

    Attributes:
        profile: its name.
        address: where it was read; one less than printed where the maker counts from 1.
        values: quantity -> number in SI.
    """

    profile: str
    address: int
    values: dict[str, float]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A device that answers.

    Attributes:
        unit: its id.
        baud, frame: how the line is set; 0 and "" over TCP.
        guesses: profiles that fit, the best first.
    """

    unit: int
    baud: int
    frame: str
    guesses: tuple[Guess, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What was heard in a setting in which nobody answered: bytes that make no frame mean another setting."""

    baud: int
    frame: str
    heard: dict[str, int]


def likely_units() -> list[int]:
    """What makers deliver, the most usual first."""
    delivered = [1, 2, 3, *(p.link.unit for p in _modbus_profiles()), *range(1, 11)]
    return list(dict.fromkeys(delivered))


async def scan(
    port: str,
    *,
    clock: Clock,
    progress: Progress,
    bauds: Sequence[int] = BAUDS,
    frames: Sequence[str] = FRAMES,
    units: Sequence[int] = (),
) -> AsyncIterator[Found | Line]:
    """Devices on a serial line as they are found.

    Args:
        port: the serial port.
        clock: for the silences of the line.
        progress: told before every question.
        bauds: bits per second to try.
        frames: data bits, parity and stop bits to try.
        units: whom to ask in every setting; empty: the likely ones, and all once somebody answered.

    Raises:
        SourceUnavailable: the port cannot be opened, or went away.
    """
    first = list(units) or likely_units()
    for frame in frames:
        for baud in bauds:
            bus = RtuBus(SerialLine(port, baud, frame), late_s=_LATE_S, clock=clock)
            await bus.open()
            try:
                setting = f"{baud} {frame}"
                met = [u async for u in _present(bus, first, setting, progress)]
                if not met:
                    heard = {k: n for k, n in bus.dropped.items() if k != "timeout"}
                    if heard:
                        yield Line(baud=baud, frame=frame, heard=heard)
                    continue
                for unit in met:
                    yield Found(unit=unit, baud=baud, frame=frame, guesses=await guesses(bus, unit))
                if units:
                    return
                rest = [u for u in range(1, 248) if u not in first]
                async for unit in _present(bus, rest, setting, progress):
                    yield Found(unit=unit, baud=baud, frame=frame, guesses=await guesses(bus, unit))
            finally:
                bus.close()
            return


async def guesses(bus: Bus, unit: int) -> tuple[Guess, ...]:
    """The profiles whose main register this unit answers with something believable."""
    made = []
    for profile in _modbus_profiles():
        block = profile.blocks[0]
        if any(register.destructive for _, register in block.registers):
            continue
        one_less = (block.address - 1,) if profile.verify_address and block.address else ()
        for address in (block.address, *one_less):
            try:
                answer = await bus.ask(Request(unit, block.function, address, block.words), profile.link.timeout_s)
            except FrameError:
                continue
            values = _believable(block, answer.registers)
            if values:
                made.append(Guess(profile=profile.id, address=address, values=values))
    return tuple(sorted(made, key=lambda g: (-len(g.values), g.profile)))


async def _present(bus: Bus, units: Sequence[int], setting: str, progress: Progress) -> AsyncIterator[int]:
    for done, unit in enumerate(units):
        progress(f"{setting}  unit {unit}", done, len(units))
        for probe in _PROBES:
            try:
                await bus.ask(probe._replace(unit=unit), _TIMEOUT_S)
            except FrameError as error:
                if error.code.startswith("gauges.exception"):  # a refusal is an answer: somebody is there
                    yield unit
                    break
                if error.code != "gauges.timeout":
                    continue
                break  # a silent one will not answer the second question either
            else:
                yield unit
                break


def _believable(block: Block, registers: Sequence[int]) -> dict[str, float]:
    found = {}
    for offset, register in block.registers:
        value = decode(register, registers, offset)
        if value.value is not None and (register.scale.sane is not None or _says_something(register, value.value)):
            found[register.name] = value.value
    main = block.registers[0][1].name
    return found if main in found else {}


def _says_something(register: Register, value: float) -> bool:
    return register.published and value != 0


def _modbus_profiles() -> Iterator[profiles.Profile]:
    for name in profiles.names():
        profile, _ = profiles.load(name)
        if profile is not None and profile.blocks:
            yield profile
