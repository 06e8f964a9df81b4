"""A rendered road with known traffic: pictures, the boxes in them, and clips with counted truth.

A seed is a place and its traffic; equal seeds give equal pictures. Vehicles overlap in the picture as on a real road
but never in the world. The demo's camera looks at such a clip, and the shipped detector learned partly from such
pictures (of other seeds): changing what a seed looks like changes what `models/train` renders.
May import: own room; msgspec, numpy, cv2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from edgeagent.simulate.road_scene import NEAR_M, SHIFT, Image, Place, draw_place, fill, fixed_point
from edgeagent.simulate.road_traffic import AHEAD_M, BEHIND_M, Vehicle, lanes
from edgeagent.simulate.road_truth import ClipTruth, Sight, Spot, clip_truth, count_crossings
from edgeagent.simulate.road_vehicles import Floats
from edgeagent.simulate.road_weather import Hardship, burden, lamps, low_sun, mix, traffic_light

__all__ = ["DEMO_SEED", "RoadFrame", "RoadScene", "render_clip"]

DEMO_SEED = 5
_WARM_UP_S = 30.0
_LINE_AHEAD_M, _MARGIN = range(16, 60), 0.06  # the margin is a share of the picture, on each side
_SMALLEST_PX = 3.0
_TRIANGLE = 3


class RoadFrame(NamedTuple):
    """A picture (height, width, 3), blue green red, and what is in it, farthest first."""

    image: Image
    sights: tuple[Sight, ...]


class _Standing(NamedTuple):
    """A vehicle where it is now: heading 1 drives away, -1 comes closer; corners (n, 3) in world metres."""

    distance_m: float
    vehicle: Vehicle
    heading: int
    foot: tuple[float, float, float]
    corners: Floats


class RoadScene:
    """One place with its traffic, picture by picture.

    Args:
        seed: Place, light and traffic.
        hardship: What makes it hard to count, see `road_weather`; the place and, but for lorries and queues, the
            traffic of a seed stay the same.
        size: Width and height in pixels.
        fps: Pictures per second.
    """

    def __init__(
        self, seed: int, *, size: tuple[int, int] = (640, 360), fps: float = 10.0, hardship: Hardship = "day"
    ) -> None:
        rng = np.random.default_rng(seed)
        self._dt = 1 / fps
        self.place, self._empty = draw_place(rng, size)
        self._lanes = lanes(self.place, rng)
        self._numbers = itertools.count(1)
        # Sensor noise: a few sheets used in turn, so that a picture costs an addition and not a million draws.
        self._noise = rng.normal(0, rng.uniform(1.5, 4.0), (5, size[1], size[0], 3)).round().astype(np.int16)
        self._shown = 0
        self._hardship = hardship
        self._burden = burden(hardship, np.random.default_rng((seed, 1)), self.place)
        if hardship == "shadows":
            self.place = low_sun(self.place)
        for lane in self._lanes:
            lane.mix = mix(hardship) or lane.mix
        # Vehicles of the near lanes come to stand on the counting line and behind it.
        self._stop_m = AHEAD_M - self._line_ahead_m() + 9.0
        self._now_s = 0.0
        for _ in range(int(_WARM_UP_S * fps)):
            self._step()

    def frames(self, count: int) -> Iterator[RoadFrame]:
        """The next `count` pictures."""
        for _ in range(count):
            yield self._draw()
            self._step()

    def skip(self, seconds: float) -> None:
        """Let traffic flow without drawing it."""
        for _ in range(round(seconds / self._dt)):
            self._step()

    def counting_line(self) -> tuple[Spot, Spot]:
        """Both ends, left to right, of a line straight across the road, in pixels.

        It lies as near as it can while vehicles on it are wholly in the picture.
        """
        left, right = ((round(float(x)), round(float(y))) for x, y in self._across(self._line_ahead_m()))
        return left, right

    def _line_ahead_m(self) -> float:
        """How far from the pole the counting line lies."""
        size = np.array(self.place.camera.size)
        for ahead in _LINE_AHEAD_M:
            if (np.abs(self._across(ahead) - size / 2) <= size * (1 - 2 * _MARGIN) / 2).all():
                break
        return float(ahead)

    def _across(self, ahead_m: float) -> Floats:
        reach = self.place.half_m + 1.0
        return self.place.camera.outline(np.array([[-reach, ahead_m, 0.0], [reach, ahead_m, 0.0]]))

    def _step(self) -> None:
        self._now_s += self._dt
        if self._hardship == "queue":
            traffic_light(self._lanes, self._stop_m, self._now_s)
        for lane in self._lanes:
            lane.step(self._dt, self._numbers)

    def _draw(self) -> RoadFrame:
        camera, standing = self.place.camera, list[_Standing]()
        for lane in self._lanes:
            for vehicle in lane.vehicles:
                y = vehicle.way_m - BEHIND_M if lane.heading > 0 else AHEAD_M - vehicle.way_m
                foot = (vehicle.x, y, 0.0)
                corners = vehicle.body.corners * (lane.heading, lane.heading, 1) + foot
                if camera.view(corners)[:, 2].max() > NEAR_M:
                    distance = float(np.linalg.norm(camera.at - (vehicle.x, y, 0.7)))
                    standing.append(_Standing(distance, vehicle, lane.heading, foot, corners))
        standing.sort(key=lambda one: -one.distance_m)
        image = _shadowed(self._empty, self.place, [one.corners for one in standing])
        outlines = [_paint(image, self.place, one) for one in standing]
        sights = _sights([one.vehicle for one in standing], outlines, camera.size)
        lit = (lamp for one in standing for lamp in lamps(one.foot, one.vehicle.body.size, one.heading))
        image = self._burden(image, lit)
        noise = self._noise[self._shown % len(self._noise)]
        self._shown += 1
        return RoadFrame(np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), dtype=np.uint8), sights)


def render_clip(
    path: Path,
    seconds: float,
    *,
    fps: float = 10.0,
    size: tuple[int, int] = (640, 360),
    seed: int = DEMO_SEED,
    hardship: Hardship = "day",
) -> ClipTruth:
    """Write an MP4 and, beside it with the ending .json, what happens in it.

    Raises:
        OSError: The clip cannot be written there.
    """
    scene, frames = RoadScene(seed, size=size, fps=fps, hardship=hardship), round(seconds * fps)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise OSError(f"cannot write the clip {path}")
    tracks: dict[int, list[tuple[int, Sight]]] = {}
    try:
        for number, frame in enumerate(scene.frames(frames)):
            writer.write(frame.image)
            for sight in frame.sights:
                tracks.setdefault(sight.vehicle, []).append((number, sight))
    finally:
        writer.release()
    line = scene.counting_line()
    events = count_crossings(tracks, line, frames)
    truth = clip_truth(path, line, events, size=size, fps=fps, frames=frames, seed=seed)
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=1))
    return truth


def _shadowed(empty: Image, place: Place, standing: list[Floats]) -> Image:
    """The empty road with the sun's shadow of each vehicle and the dark below it."""
    light, camera = place.light, place.camera
    keep = np.full(empty.shape[:2], 255, dtype=np.uint8)
    sunlit = light.ambient / (light.ambient + light.direct * light.sun[2])
    for world in standing:
        fallen = world - light.sun * (world[:, 2:] / light.sun[2])
        seen = camera.view(fallen)
        seen = seen[seen[:, 2] > NEAR_M]
        if len(seen) >= _TRIANGLE:
            hull = cv2.convexHull(camera.pixels(seen).astype(np.float32))[:, 0]
            fill(keep, np.asarray(hull, dtype=np.float64), (255 * (0.25 + 0.75 * sunlit),))
    for world in standing:
        (x0, y0, _), (x1, y1, _) = world.min(axis=0), world.max(axis=0)
        foot = camera.outline(np.array([[x0, y0, 0.0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]]))
        if len(foot):
            fill(keep, foot, (110,))
    keep = np.asarray(cv2.GaussianBlur(keep, (5, 5), 0), dtype=np.uint8)
    return np.asarray(cv2.multiply(empty, cv2.merge([keep, keep, keep]), scale=1 / 255), dtype=np.uint8)


def _paint(image: Image, place: Place, one: _Standing) -> Floats:
    """Draw one vehicle, its far parts first.

    Returns:
        The pixels of its corners (n, 2), n = 0 when it is all behind the lens.
    """
    camera, body, world, turn = place.camera, one.vehicle.body, one.corners, (one.heading, one.heading, 1)
    normals = body.normals * turn
    towards = np.einsum("ij,ij->i", normals, camera.at - (body.anchors * turn + one.foot)) > 0
    colours = place.light.shade(body.colours, normals, one.distance_m)
    far = np.linalg.norm(body.centres * turn + one.foot - camera.at, axis=1)
    order = sorted(np.flatnonzero(towards), key=lambda n: (body.layers[body.parts[n]], -far[body.parts[n]]))
    seen = camera.view(world)
    whole = bool((seen[:, 2] > NEAR_M).all())
    if whole:  # all corners at once; nearly every vehicle of every picture comes this way
        spots, paint = camera.pixels(seen), colours.tolist()
        corners = fixed_point(spots)
        for n in order:
            cv2.fillPoly(image, [corners[body.first[n] : body.first[n + 1]]], paint[n], cv2.LINE_AA, SHIFT)
        return spots
    outline = []
    for n in order:
        polygon = camera.outline(world[body.first[n] : body.first[n + 1]])
        if len(polygon):
            fill(image, polygon, colours[n])
            outline.append(polygon)
    return np.concatenate(outline) if outline else np.empty((0, 2))


def _sights(vehicles: list[Vehicle], outlines: list[Floats], size: tuple[int, int]) -> tuple[Sight, ...]:
    """Boxes of what was drawn; hidden shares from a small picture in which each vehicle is one number."""
    scale, stamp = 0.5, np.zeros((size[1] // 2, size[0] // 2), dtype=np.uint8)
    found, areas = [], {}
    for n, (vehicle, outline) in enumerate(zip(vehicles, outlines, strict=True), 1):
        if not len(outline):
            continue
        x1, y1 = np.clip(outline.min(axis=0), 0, size)
        x2, y2 = np.clip(outline.max(axis=0), 0, size)
        if x2 - x1 < _SMALLEST_PX or y2 - y1 < _SMALLEST_PX:
            continue
        hull = np.clip(cv2.convexHull(outline.astype(np.float32))[:, 0] * scale, -2000, 4000).round().astype(np.int32)
        cv2.fillConvexPoly(stamp, hull, [float(n)])
        areas[n] = int((stamp == n).sum())
        found.append((n, vehicle, (float(x1), float(y1), float(x2), float(y2))))
    left = np.bincount(stamp.ravel(), minlength=len(vehicles) + 1)
    return tuple(Sight(one.number, one.body.cls, box, float(left[n] / max(areas[n], 1))) for n, one, box in found)
