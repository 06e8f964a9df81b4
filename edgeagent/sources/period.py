"""When a gauge's measuring begins and ends, at the pace its rules wish.  Pure: told the time, sleeps nowhere.

A measurement takes `burst_s`; without a wish one follows the other.  With one it ends on the
multiples of the wished period, of the wall clock once that is trusted, and what is said before it
begins is not counted.
"""

from __future__ import annotations

import math

from edgeagent.ports import Surroundings
from edgeagent.reading import TimeTrust

__all__ = ["Period"]

_LOOK_S = 1.0
_ALIGNED_FROM_S = 60.0


class Period:
    """The rhythm of one gauge.

    Args:
        source: its id.
        burst_s: how long a measurement takes.
        around: clock, and the wishes of the rules.
    """

    def __init__(self, source: str, burst_s: float, around: Surroundings) -> None:
        self._source, self._burst_s, self._around = source, burst_s, around
        self._last = self._due = 0.0
        self._open = False

    def begin(self, now: float) -> None:
        """The last measurement ended, or the port was opened."""
        self._last = now
        self._open = False
        self._due = self._next(now)
        self._open = self._due - now <= self._burst_s

    def wait_s(self, now: float) -> float:
        """Seconds until something is due, or until the rules are to be asked again."""
        self._due = min(self._due, self._next(now)) if not self._open else self._due
        until = self._due if self._open else self._due - self._burst_s
        return max(min(until - now, _LOOK_S), 0.0)

    def opens(self, now: float) -> bool:
        """Whether the measurement begins now; true once."""
        if self._open or now < self._due - self._burst_s:
            return False
        self._open = True
        return True

    def ends(self, now: float) -> bool:
        """Whether the measurement is over."""
        return self._open and now >= self._due

    def _next(self, now: float) -> float:
        """When the measurement that follows the last one is to end."""
        wish = self._around.pace(self._source)
        every_s = max(self._burst_s, wish.every_s or 0.0)
        at = self._around.clock.now()
        soonest = self._last + self._burst_s
        if every_s >= _ALIGNED_FROM_S and at.trust is TimeTrust.SYNCED:
            offset = (at.wall_ms - at.mono_ms) / 1000
            due = math.ceil((soonest + offset) / every_s) * every_s - offset
        else:
            due = self._last + every_s
        if wish.again_s is not None:
            due = min(due, self._last + wish.again_s)
        return max(due, soonest, now if self._open else 0.0)
