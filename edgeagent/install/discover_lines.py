"""Gauges that talk by themselves: listen, and see whose words they are.

Nothing is sent.  A port on which no byte comes has no such gauge, whatever its speed: a wrong speed makes other
bytes, not none.  Where bytes come, the speeds are tried until lines fit a profile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

import msgspec

from edgeagent import profiles
from edgeagent.clock import Clock
from edgeagent.sources.serial_port import explain, open_port

__all__ = ["BAUDS", "Stranger", "Talker", "listen"]

BAUDS = (9600, 19200, 38400, 57600, 115200, 4800, 2400)
_FIRST_S, _NEXT_S = 2.2, 1.6  # the slowest gauge we know says a line in 0.85 s
_LOOK_S = 0.05
_ENOUGH = 2  # whole lines that fit
_SHOWN = 24

Progress = Callable[[str, float, float], None]


class Talker(msgspec.Struct, frozen=True, kw_only=True):
    """A gauge that was understood.

    Attributes:
        baud, frame: how its line is set.
        profile: whose words they are.
        values: quantity -> number in SI, of the last line; empty where it said that there is none.
        said: that line, printable.
    """

    baud: int
    frame: str
    profile: str
    values: dict[str, float]
    said: str


class Stranger(msgspec.Struct, frozen=True, kw_only=True):
    """Something talks, and no profile knows its words.

    Attributes:
        heard: bytes in all.
        sample: some of them, printable.
    """

    heard: int
    sample: str


async def listen(
    port: str, *, clock: Clock, progress: Progress, bauds: Sequence[int] = BAUDS
) -> Talker | Stranger | None:
    """Who talks on a port by himself; None where nobody does.

    Args:
        port: the serial port.
        clock: for deadlines.
        progress: told what is tried.
        bauds: speeds to try, each profile's own first.

    Raises:
        SourceUnavailable: the port cannot be opened, or went away.
    """
    listed = list(_talking())
    settings = list(dict.fromkeys([*((p.link.baud, p.link.frame) for p in listed), *((b, "8N1") for b in bauds)]))
    settings = [one for one in settings if one[0] in bauds]
    heard, sample = 0, b""
    for number, (baud, frame) in enumerate(settings):
        progress(f"{baud} {frame}", number, len(settings))
        ears = [(profile, profile.lines.cutter(), [0]) for profile in listed if profile.lines is not None]
        limit_s = _NEXT_S if heard else _FIRST_S
        async for data in _bytes(port, baud, frame, clock, limit_s):
            heard, sample = heard + len(data), (sample + data)[-_SHOWN:]
            for profile, cutter, fits in ears:
                form = profile.lines
                for line in cutter.feed(data) if form is not None else ():
                    said = form.read(line) if form is not None else ""
                    if isinstance(said, str):
                        continue
                    fits[0] += 1
                    if fits[0] >= _ENOUGH:
                        values = {name: v.value for name, v in said.items() if v.value is not None}
                        return Talker(baud=baud, frame=frame, profile=profile.id, values=values, said=_text(line))
        if not heard:
            return None
    return Stranger(heard=heard, sample=_text(sample))


async def _bytes(port: str, baud: int, frame: str, clock: Clock, limit_s: float) -> AsyncGenerator[bytes, None]:
    handle = open_port(port, baud, frame)
    try:
        handle.reset_input_buffer()
        ends_s = clock.mono() + limit_s
        while clock.mono() < ends_s:
            try:
                data = handle.read(4096)
            except (OSError, TypeError) as error:  # pyserial's own OSError where the adapter is gone
                raise explain(port) from error
            if data:
                yield data
            await asyncio.sleep(_LOOK_S)
    finally:
        handle.close()


def _talking() -> Iterator[profiles.Profile]:
    """Profiles of gauges that need not be asked; those with a checksum first, for they prove more."""
    found = [p for p in (profiles.load(name)[0] for name in profiles.names()) if p is not None and p.lines is not None]
    yield from sorted(
        (p for p in found if not p.link.ask), key=lambda p: getattr(p.lines, "checksum", "none") == "none"
    )


def _text(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)  # noqa: PLR2004  ASCII
