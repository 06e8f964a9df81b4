"""Which of two identical adapters is this one?  Pull it out, and see which name is gone.

The names of sockets (/dev/serial/by-path) are watched, not the ports: nothing is opened, so no gauge restarts.
Pulled out and plugged in again, an adapter may get another kernel number; in another socket it gets another name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgeagent.errors import SourceUnavailable
from edgeagent.install.serial_ports import Port

__all__ = ["Identified", "identify"]

_LOOK_S = 0.2

Tell = Callable[[str, dict[str, object]], None]
"""(code of the message area `scan`, its facts)"""


class Identified(msgspec.Struct, frozen=True):
    """The adapter that was pulled out and plugged in.

    Attributes:
        name: its lasting name now.
        was: its name before, another one where it came back in another socket.
        device: what the kernel calls it now.
    """

    name: str
    was: str
    device: str


async def identify(
    candidates: Sequence[Port],
    tell: Tell,
    *,
    timeout_s: float,
    dev: Path = Path("/dev"),
    pause: Callable[[float], object] = asyncio.sleep,
) -> Identified:
    """Ask for an adapter to be unplugged, then plugged in, and say which it was.

    Args:
        candidates: the ports it may be; empty: any.
        tell: told what to do now.
        timeout_s: for each of both.
        dev: where the device links are; elsewhere in tests.
        pause: waits so many seconds.

    Raises:
        SourceUnavailable: `scan.none-unplugged`, `scan.not-plugged-in`, `scan.several-unplugged`.
    """
    names = {port.name for port in candidates}
    before = _links(dev)
    tell("scan.unplug", {"n": len(names) or len(before)})
    gone: set[str] = set()
    left_s = timeout_s
    while not gone:
        if left_s <= 0:
            raise SourceUnavailable("scan.none-unplugged", seconds=round(timeout_s))
        await _wait(pause)
        left_s -= _LOOK_S
        gone = {name for name in set(before) - set(_links(dev)) if not names or name in names}
    await _wait(pause)  # a hub takes all its ports along, one after the other
    gone |= {name for name in set(before) - set(_links(dev)) if not names or name in names}
    if len(gone) > 1:
        raise SourceUnavailable("scan.several-unplugged", names=", ".join(sorted(gone)))
    (was,) = gone
    tell("scan.plug-in", {"name": was})
    without, left_s = _links(dev), timeout_s
    while left_s > 0:
        await _wait(pause)
        left_s -= _LOOK_S
        now = _links(dev)
        if was in now:
            return Identified(was, was, now[was])
        others = sorted(set(now) - set(without) - set(before))
        if others:
            return Identified(others[0], was, now[others[0]])
    raise SourceUnavailable("scan.not-plugged-in", name=was, seconds=round(timeout_s))


async def _wait(pause: Callable[[float], object]) -> None:
    waited = pause(_LOOK_S)
    if asyncio.iscoroutine(waited):
        await waited


def _links(dev: Path) -> dict[str, str]:
    """Link of a socket that has something in it -> what the kernel calls it."""
    return {str(link): str(link.resolve()) for link in (dev / "serial/by-path").glob("*") if link.exists()}
