"""The rules of one source in a row: what one lets out, the next is fed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeagent.ports import Pace, Paced, Rule
from edgeagent.reading import Moment, Reading

__all__ = ["Chain"]


class Chain:
    """Several rules that look like one.

    A reading a rule makes on its own (an alert, a presence change) meets only the rules behind
    it, so no rule is fed its own words.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._paced = [rule for rule in rules if isinstance(rule, Paced)]

    def feed(self, reading: Reading) -> list[Reading]:
        """What is left of one reading at the end of the row."""
        return self._through([reading], 0)

    def tick(self, now: Moment) -> list[Reading]:
        """What falls due in any of the rules."""
        out: list[Reading] = []
        for index, rule in enumerate(self._rules):
            out += self._through(rule.tick(now), index + 1)
        return out

    @property
    def pace(self) -> Pace:
        """The most impatient of the rules' wishes."""
        wishes = [rule.pace for rule in self._paced]
        every = [wish.every_s for wish in wishes if wish.every_s is not None]
        again = [wish.again_s for wish in wishes if wish.again_s is not None]
        return Pace(every_s=min(every, default=None), again_s=min(again, default=None))

    def _through(self, readings: Iterable[Reading], first: int) -> list[Reading]:
        flowing = list(readings)
        for rule in self._rules[first:]:
            if not flowing:
                break
            flowing = [made for reading in flowing for made in rule.feed(reading)]
        return flowing
