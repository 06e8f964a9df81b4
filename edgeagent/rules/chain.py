"""The rules of one source in a row: what one lets out, the next is fed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgeagent.ports import Rule
from edgeagent.reading import Moment, Reading

__all__ = ["Chain"]


class Chain:
    """Several rules that look like one.

    A reading a rule makes on its own (an alert, a presence change) meets only the rules behind
    it, so no rule is fed its own words.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def feed(self, reading: Reading) -> list[Reading]:
        """What is left of one reading at the end of the row."""
        return self._through([reading], 0)

    def tick(self, now: Moment) -> list[Reading]:
        """What falls due in any of the rules."""
        out: list[Reading] = []
        for index, rule in enumerate(self._rules):
            out += self._through(rule.tick(now), index + 1)
        return out

    def _through(self, readings: Iterable[Reading], first: int) -> list[Reading]:
        flowing = list(readings)
        for rule in self._rules[first:]:
            if not flowing:
                break
            flowing = [made for reading in flowing for made in rule.feed(reading)]
        return flowing
