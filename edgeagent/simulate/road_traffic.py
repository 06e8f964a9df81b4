"""Who drives where: lanes whose vehicles follow each other with a gap.

Traffic keeps left, as in Japan: away from the camera on the left, toward it on the right.
May import: own room; numpy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeagent.simulate.road_scene import Place
from edgeagent.simulate.road_vehicles import Body, build_body

__all__ = ["AHEAD_M", "BEHIND_M", "Lane", "Vehicle", "lanes"]

BEHIND_M, AHEAD_M = 25.0, 170.0  # where the road begins and ends, seen along it from the camera's pole
_MIX = {"car": 0.72, "truck": 0.13, "bus": 0.07, "motorcycle": 0.08}


class Vehicle:
    """A body on its way along a lane; `way_m` is the position of its middle."""

    def __init__(self, number: int, body: Body, x: float, wish_ms: float) -> None:
        self.number, self.body, self.x = number, body, x
        self.way_m, self.wish_ms, self.speed_ms = 0.0, wish_ms, wish_ms


class Lane:
    """Vehicles in one lane, the first one farthest along; each keeps its gap to the one before."""

    def __init__(self, x: float, heading: int, flow_per_min: float, speed_ms: float, rng: np.random.Generator) -> None:
        self.x, self.heading, self.vehicles = x, heading, list[Vehicle]()
        self.stop_m: float | None = None  # a red light there holds whoever can still stop
        self.mix = _MIX
        self._mean_s, self._speed_ms, self._rng, self._wait_s = 60 / flow_per_min, speed_ms, rng, rng.uniform(0, 3)

    def step(self, dt: float, numbers: Iterator[int]) -> None:
        """Let `dt` seconds pass: drive, leave at the end, and enter when there is room."""
        before: Vehicle | None = None
        for vehicle in self.vehicles:
            target = vehicle.wish_ms
            if before is not None:
                gap = before.way_m - vehicle.way_m - (before.body.size[0] + vehicle.body.size[0]) / 2
                target = min(target, max(0.0, (gap - 2.0) / 1.1))
            if self.stop_m is not None and vehicle.way_m + vehicle.body.size[0] / 2 < self.stop_m:
                left = self.stop_m - vehicle.way_m - vehicle.body.size[0] / 2
                target = min(target, max(0.0, (left - 0.5) / 1.1))
            vehicle.speed_ms += float(np.clip(target - vehicle.speed_ms, -7 * dt, 2 * dt))
            vehicle.way_m += vehicle.speed_ms * dt
            before = vehicle
        if self.vehicles and self.vehicles[0].way_m > BEHIND_M + AHEAD_M:
            self.vehicles.pop(0)
        self._wait_s -= dt
        if self._wait_s <= 0 and (before is None or before.way_m > before.speed_ms * 1.0 + 16):
            self._enter(next(numbers))
            self._wait_s = 1.0 + float(self._rng.exponential(max(self._mean_s - 1.0, 0.2)))

    def _enter(self, number: int) -> None:
        rng = self._rng
        cls = str(rng.choice(list(self.mix), p=list(self.mix.values())))
        body = build_body(cls, rng)
        sway = 0.9 if cls == "motorcycle" else 0.25
        self.vehicles.append(
            Vehicle(
                number, body, self.x + float(rng.uniform(-sway, sway)), self._speed_ms * float(rng.uniform(0.85, 1.15))
            )
        )


def lanes(place: Place, rng: np.random.Generator) -> list[Lane]:
    """Away on the left, toward the camera on the right; the inner lane is the faster one."""
    lanes = []
    for heading in (1, -1):
        speed, flow = rng.uniform(8.5, 13.0), rng.uniform(9, 20)
        for lane in range(place.lanes):
            x = -heading * place.lane_m * (lane + 0.5)
            lanes.append(
                Lane(x, heading, flow / (1 if place.lanes == 1 else 1.5), speed * (1.1 if lane == 0 else 1.0), rng)
            )
    return lanes
