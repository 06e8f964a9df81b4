"""A city that says no is told to the others: one alert while it lasts.

Values go on waiting for a receiver that answers 401 or 403, and nobody at that receiver can see it there.  So what a
person has to mend becomes a reading like any other, in the alarm lane of every uplink; the one that refuses gets it,
and its end, when it listens again.  An empty file remembers across restarts that the alert is out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass

__all__ = ["AGENT", "Refusal"]

AGENT = "agent"
"""Source id of what the agent says about itself."""


class Refusal:
    """Of one uplink.

    Args:
        uplink: its id.
        folder: the state directory.
        take: where readings go.
        clock: for their time.
    """

    def __init__(self, uplink: str, folder: Path, take: Callable[[Reading], Awaitable[None]], clock: Clock) -> None:
        self._uplink, self._take, self._clock = uplink, take, clock
        self._mark = folder / f"refused-{uplink}"
        self._out = self._mark.exists()

    async def tell(self, *, refused: bool) -> None:
        """How the last delivery went; the first refusal and its end are said."""
        if refused == self._out:
            return
        self._out = refused
        with contextlib.suppress(OSError):  # a full or read-only card: then a restart says it once more
            if refused:
                self._mark.touch(mode=0o600)
            else:
                self._mark.unlink(missing_ok=True)
        await self._take(
            Reading(
                source=AGENT,
                kind=Kind.ALERT,
                entity=f"uplink-{self._uplink}",
                at=self._clock.now(),
                quantities={
                    "active": Quantity(refused),
                    "sub_category": Quantity("uplinkRefused"),
                    "severity": Quantity("high" if refused else "informational"),
                    "level_name": Quantity("refused" if refused else "normal"),
                },
                cls=ReadingClass.ALARM,
            )
        )
