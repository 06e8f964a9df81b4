"""Whose turn it is on a shared bus.  Pure: told the time, sleeps nowhere.

Every gauge has a period.  One that fails is asked again once soon, then on its period, and after
three failures in a row only now and then; all of that in the pauses of the healthy ones, so that
a dead gauge costs them nothing as long as the bus has pauses at all.  May import: nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Schedule", "Turn"]

OFFLINE_AFTER = 3
_SKIP = 6  # an offline gauge is asked every sixth time
_PROBE_MOST_S = 60.0
_ALIGNED_FROM_S = 60.0  # a period shorter than that has no place on the clock worth keeping
_PATIENCE = 2.0  # periods after which a failing gauge no longer waits for a pause


@dataclass
class Turn:
    """One gauge's place in the round.

    Attributes:
        every_s: its period.
        cost_s: how long the bus is blocked when it does not answer.
        due: when it is to be asked, in seconds of the caller's clock.
        failures: failed polls in a row.
        last: when it last answered.
    """

    every_s: float
    cost_s: float
    due: float
    failures: int = 0
    last: float = -math.inf

    @property
    def period_s(self) -> float:
        """Seconds between questions in its present state."""
        if self.failures < OFFLINE_AFTER:
            return self.every_s
        return max(min(_SKIP * self.every_s, _PROBE_MOST_S), self.every_s)


class Schedule:
    """The round of one bus.

    Attributes:
        wall_offset_s: wall clock minus the caller's clock, once the wall clock is trusted: periods of a
            minute and more then fall on its multiples (:00, :10, …).
    """

    def __init__(self, now: float) -> None:
        self._start = now
        self.turns: list[Turn] = []
        self.wall_offset_s: float | None = None

    def add(self, every_s: float, cost_s: float) -> int:
        """A further gauge; returns its number."""
        self.turns.append(Turn(every_s, cost_s, self._start))
        return len(self.turns) - 1

    def choose(self, now: float) -> tuple[int | None, float]:
        """Who is to be asked now.

        Returns:
            (number, now), or (None, when to look again).
        """
        healthy_due = math.inf
        chosen, chosen_due = -1, math.inf
        failing, failing_due = -1, math.inf
        for number, turn in enumerate(self.turns):
            if turn.failures == 0:
                healthy_due = min(healthy_due, turn.due)
                if turn.due <= now and turn.due < chosen_due:
                    chosen, chosen_due = number, turn.due
            elif turn.due < failing_due:
                failing, failing_due = number, turn.due
        if failing_due <= now:
            turn = self.turns[failing]
            pause = healthy_due - now >= turn.cost_s
            waited_enough = now - turn.due >= _PATIENCE * turn.period_s
            if pause or waited_enough:
                return failing, now
        if chosen >= 0:
            return chosen, now
        return None, min(healthy_due, failing_due if failing_due > now else math.inf)

    def answered(self, number: int, now: float) -> None:
        """A poll succeeded: the next one is due on the gauge's own grid, missed ones are skipped."""
        turn = self.turns[number]
        turn.failures = 0
        turn.last = now
        if self.wall_offset_s is not None and turn.every_s >= _ALIGNED_FROM_S:
            turn.due = self._next_multiple(now, turn.every_s)
            return
        turn.due += turn.every_s
        if turn.due <= now:
            turn.due += (math.floor((now - turn.due) / turn.every_s) + 1) * turn.every_s

    def heed(self, number: int, every_s: float, again_s: float | None) -> None:
        """Measure at another period from now on, or once more soon.

        Args:
            number: whose.
            every_s: its period.
            again_s: seconds after its last answer at which it is to be asked in any case.
        """
        turn = self.turns[number]
        if every_s != turn.every_s:
            turn.every_s = every_s
            if not turn.failures and turn.last > -math.inf:
                aligned = self.wall_offset_s is not None and every_s >= _ALIGNED_FROM_S
                turn.due = self._next_multiple(turn.last, every_s) if aligned else turn.last + every_s
        if again_s is not None and not turn.failures:
            turn.due = min(turn.due, turn.last + again_s)

    def again(self, number: int, due: float) -> None:
        """The next sample of a burst."""
        self.turns[number].due = due

    def _next_multiple(self, after: float, every_s: float) -> float:
        offset = self.wall_offset_s or 0.0
        return (math.floor((after + offset) / every_s) + 1) * every_s - offset

    def failed(self, number: int, now: float, again_s: float) -> int:
        """A poll failed.

        Args:
            number: whose.
            now: the time.
            again_s: when the gauge may be asked again at the earliest.

        Returns:
            Failures in a row, this one included.
        """
        turn = self.turns[number]
        turn.failures += 1
        wait_s = min(again_s, turn.every_s) if turn.failures == 1 else turn.period_s
        turn.due = now + max(wait_s, again_s)
        return turn.failures

    def reopened(self, now: float) -> None:
        """The port was opened again: whoever failed may well be back."""
        for turn in self.turns:
            if turn.failures:
                turn.due = min(turn.due, now)

    def later(self, number: int, due: float) -> None:
        """The gauge may not be asked before `due` (its unit is in quarantine)."""
        self.turns[number].due = due
