"""Several samples of one quantity -> one value, with how many counted and how far they lie apart.  Pure.

The median: one stray echo moves a mean, but not a median.  Sentinels and values out of range are
left out first; fewer than half with a value make it suspect, none makes it missing, and the last
good value is never repeated.
"""

from __future__ import annotations

import statistics
from collections import Counter
from typing import NamedTuple

from edgeagent.wire.registers import Value

__all__ = ["Burst", "Samples"]


class Burst(NamedTuple):
    """What a burst says of one quantity.

    Attributes:
        value: the median, or None; reason "" when good, else why it is suspect or missing.
        n_valid: samples with a value.
        mad: median absolute deviation of these.
        low, high: the lowest and the highest of these.
    """

    value: Value
    n_valid: int = 0
    mad: float = 0.0
    low: float = 0.0
    high: float = 0.0


class Samples:
    """The samples of one quantity."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._reasons: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()

    def add(self, sample: Value) -> None:
        """One sample; one without a value counts by its reason."""
        value, reason = sample
        if value is None:
            self._reasons[reason] += 1
            return
        self._values.append(value)
        if reason:
            self._doubts[reason] += 1

    def result(self, of: int | None = None) -> Burst:
        """The burst.

        Args:
            of: how many samples there should have been; None: as many as there were.
        """
        values, reasons = self._values, self._reasons.most_common(1)
        if not values:
            return Burst(Value(None, reasons[0][0] if reasons else "silent"))
        middle = statistics.median(values)
        mad = statistics.median(abs(v - middle) for v in values)
        asked = len(values) + self._reasons.total() if of is None else of
        reason = "few-values" if 2 * len(values) < asked else ""
        if not reason and 2 * self._doubts.total() > len(values):
            reason = self._doubts.most_common(1)[0][0]
        return Burst(Value(round(middle, 6), reason), len(values), round(mad, 6), min(values), max(values))
