"""What makes a road hard to count: night and headlights, rain, a pole that shakes, low sun, lorries, a red light.

Each hardship is a seeded change of the day's picture or of its traffic; the truth stays that of the world. A
shaking camera does not move the true boxes: the vehicles did not move.
May import: own room; numpy, cv2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.simulate.road_scene import NEAR_M, Camera, Image, Place
from edgeagent.simulate.road_traffic import Lane

__all__ = ["HARDSHIPS", "Hardship", "Lamp", "burden", "lamps", "low_sun", "mix", "traffic_light"]

Hardship = Literal["day", "night", "rain", "shake", "shadows", "lorries", "queue"]
HARDSHIPS: tuple[Hardship, ...] = get_args(Hardship)

_NIGHT = 0.16  # of the daylight
_STREET_LAMP_M = 32.0
_SHAKE_PX = 1.6
_RED_S, _GREEN_S = 22.0, 12.0
_BEAM = ((-0.5, 1.0), (0.5, 1.0), (2.0, 12.0), (-2.0, 12.0))  # metres beside and before a headlight
_LORRIES = {"car": 0.35, "truck": 0.42, "bus": 0.15, "motorcycle": 0.08}


class Lamp(NamedTuple):
    """A vehicle's lamp in world metres: white ahead, red behind."""

    at: tuple[float, float, float]
    red: bool


def lamps(foot: tuple[float, float, float], size: tuple[float, float, float], heading: int) -> Iterator[Lamp]:
    """The lamps of one vehicle; `heading` 1 drives away and shows its tail, -1 comes closer."""
    length, width, _ = size
    sides = (-0.38, 0.38) if width > 1 else (0.0,)  # a motorcycle has one
    for side in sides:
        yield Lamp((foot[0] + side * width, foot[1] - length / 2, 0.75), red=heading > 0)


def burden(kind: Hardship, rng: np.random.Generator, place: Place) -> Callable[[Image, Iterable[Lamp]], Image]:
    """What is done to each picture, in order."""
    if kind == "night":
        pools = _street_light(place)
        return lambda image, lit: _night(image, place.camera, pools, lit)
    if kind == "rain":
        return lambda image, _: _rain(image, rng)
    if kind == "shake":
        return _Shake(rng)
    return lambda image, _: image


def low_sun(place: Place) -> Place:
    """The same place in the evening: shadows several times as long as the vehicles are high, across the road."""
    sun = np.array([0.93, -0.15, 0.33])
    return place._replace(light=place.light._replace(sun=sun / np.linalg.norm(sun), direct=0.55))


def traffic_light(lanes: list[Lane], stop_m: float, now_s: float) -> None:
    """Hold the lanes that come towards the camera at a stop line, red first."""
    red = now_s % (_RED_S + _GREEN_S) < _RED_S
    for lane in lanes:
        if lane.heading < 0:
            lane.stop_m = stop_m if red else None


def mix(kind: Hardship) -> dict[str, float] | None:
    """Which vehicles there are, where it is not the usual."""
    return _LORRIES if kind == "lorries" else None


def _street_light(place: Place) -> npt.NDArray[np.float32]:
    """Share of daylight by pixel (height, width, 1): dark, with a pool of light under every lamp."""
    width, height = place.camera.size
    light = np.full((height, width), _NIGHT, np.float32)
    for y in np.arange(12.0, 170.0, _STREET_LAMP_M):
        ring = [[place.half_m * np.cos(a), y + 9 * np.sin(a), 0.0] for a in np.linspace(0, 2 * np.pi, 24)]
        spots = place.camera.outline(np.asarray(ring))
        if len(spots):
            cv2.fillPoly(light, [np.clip(spots, -4000, 8000).round().astype(np.int32)], 0.42)
    soft = cv2.GaussianBlur(light, (0, 0), max(2.0, width / 40))
    return np.asarray(soft, np.float32)[..., None]


def _night(image: Image, camera: Camera, pools: npt.NDArray[np.float32], lit: Iterable[Lamp]) -> Image:
    """Darken, then add lamps, their halo, and what headlights throw on the road before them."""
    glow, beams = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
    size = np.asarray(camera.size)
    for lamp in lit:
        seen = camera.view(np.asarray([lamp.at]))
        if seen[0, 2] <= NEAR_M:
            continue
        spot = camera.pixels(seen)[0]
        if (spot < -size).any() or (spot > 2 * size).any():
            continue
        radius = max(1, round(0.13 * camera.focal_px / float(seen[0, 2])))
        colour = (40.0, 40.0, 230.0) if lamp.red else (235.0, 245.0, 255.0)
        cv2.circle(glow, (round(float(spot[0])), round(float(spot[1]))), radius, colour, -1, cv2.LINE_AA)
        if not lamp.red:
            x, y, _ = lamp.at
            before = camera.outline(np.asarray([[x + dx, y - dy, 0.0] for dx, dy in _BEAM]))
            if len(before):
                corners = np.clip(before, -4000, 8000).round().astype(np.int32)
                cv2.fillPoly(beams, [corners], (40.0, 46.0, 50.0), cv2.LINE_AA)
    halo = cv2.GaussianBlur(glow, (0, 0), max(2.0, camera.size[0] / 90))
    thrown = cv2.GaussianBlur(beams, (0, 0), max(2.0, camera.size[0] / 50))
    return np.asarray(np.clip(image * pools + glow + 0.9 * halo + thrown, 0, 255), np.uint8)


def _rain(image: Image, rng: np.random.Generator) -> Image:
    """Less contrast, streaks that are other ones in every picture, and a few drops on the glass."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.uint8)
    for x, y in rng.uniform((0, -20), (width, height), (int(width * 0.55), 2)).round().astype(int).tolist():
        length = int(rng.integers(height // 40, height // 14))
        cv2.line(streaks, (x, y), (x + length // 6, y + length), float(rng.integers(50, 130)), 1, cv2.LINE_AA)
    grey = np.float32(118) + (image.astype(np.float32) - 118) * np.float32(0.62)
    wet = np.clip(grey + cv2.GaussianBlur(streaks, (3, 3), 0)[..., None] * np.float32(0.5), 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(wet, (3, 3), 0), np.uint8)


class _Shake:
    """A pole in the wind: two slow swings and the tremble of a lorry that passes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._pictures = 0

    def __call__(self, image: Image, _: Iterable[Lamp]) -> Image:
        swing = self._phase + self._pictures * np.array([0.71, 1.13])
        self._pictures += 1
        x, y = _SHAKE_PX * np.sin(swing) + self._rng.normal(0, 0.5, 2)
        move = np.array([[1, 0, x], [0, 1, y]], np.float32)
        size = (image.shape[1], image.shape[0])
        return np.asarray(cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
