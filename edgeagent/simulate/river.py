"""A river whose level is a plain function of time.  Pure and deterministic.

Base flow, a slow breathing, small waves, and floods that rise fast and fall slowly, as a small
steep river does.  The same seed is the same river, on every machine.  May import: nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Flood", "River"]


@dataclass(frozen=True)
class Flood:
    """One flood.

    Attributes:
        start_s: when the water begins to rise.
        rise_s: from there to the peak.
        fall_s: time in which the rest falls to 37 % after the peak.
        height_m: peak above base flow.
    """

    start_s: float
    rise_s: float
    fall_s: float
    height_m: float

    def at(self, t: float) -> float:
        """Metres above base flow that this flood adds at time t."""
        x = (t - self.start_s) / self.rise_s
        if x <= 0:
            return 0.0
        if x <= 1:
            return self.height_m * x * x * (3 - 2 * x)
        return self.height_m * math.exp(-(t - self.start_s - self.rise_s) / self.fall_s)


class River:
    """Water level over time.

    Args:
        seed: which river.
        base_m: level at base flow.
        waves_m: height of the small waves a gauge sees.
        floods: the floods to come; None lets the seed choose one per 6 hours on average.
    """

    def __init__(
        self, seed: int = 1, *, base_m: float = 0.8, waves_m: float = 0.01, floods: Sequence[Flood] | None = None
    ) -> None:
        chance = random.Random(seed)  # noqa: S311  a river, not a secret
        self._base_m = base_m
        self._waves = [
            (waves_m * chance.uniform(0.3, 1.0), chance.uniform(1.5, 9.0), chance.random()) for _ in range(4)
        ]
        self._breath = (0.03, chance.uniform(900.0, 2400.0), chance.random())
        self._floods = tuple(floods) if floods is not None else _chosen(chance)

    def level_m(self, t: float) -> float:
        """Level above gauge zero at t seconds, in metres; never below the bed (0)."""
        level = self._base_m + sum(flood.at(t) for flood in self._floods)
        for height, period, phase in (*self._waves, self._breath):
            level += height * math.sin(2 * math.pi * (t / period + phase))
        return max(level, 0.0)


def _chosen(chance: random.Random) -> tuple[Flood, ...]:
    floods, t = [], chance.uniform(600, 7200)
    while t < 7 * 86_400:
        floods.append(
            Flood(t, chance.uniform(900, 5400), chance.uniform(3600, 14_400), chance.choice((0.4, 0.8, 1.4, 2.2)))
        )
        t += chance.expovariate(1 / 21_600)
    return tuple(floods)
