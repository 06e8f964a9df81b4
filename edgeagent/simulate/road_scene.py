"""The place without its traffic: a camera on a pole, daylight, and the picture of an empty Japanese road.

World metres: x to the right of the road's middle line, y along the road away from the camera's pole, z up. Everything
is drawn from one seeded generator, so a seed is a place.
May import: own room; numpy, cv2.
"""

# ruff: noqa: PLR2004  (a drawing is made of literal numbers)

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.simulate.road_vehicles import Floats

__all__ = ["NEAR_M", "SHIFT", "Camera", "Image", "Light", "Place", "draw_place", "fill", "fixed_point"]

Image = npt.NDArray[np.uint8]
SHIFT = 4  # cv2 takes polygon corners in 1/16 pixel
_FINE = 2  # the empty road is drawn this much larger and scaled down, which smooths far lane markings
_REACH_M = 260.0
NEAR_M = 0.6


class Camera:
    """A pinhole on a pole.

    Args:
        x: Metres right of the middle line.
        height: Metres above the road.
        yaw: Radians turned to the right of the road's direction.
        pitch: Radians looking down.
        focal: Focal length as a multiple of the picture's width.
        size: Width and height in pixels.
    """

    def __init__(
        self, *, x: float, height: float, yaw: float, pitch: float, focal: float, size: tuple[int, int]
    ) -> None:
        self.at: Floats = np.array([x, 0.0, height])
        self.size = size
        self.focal_px = focal * size[0]
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        ahead = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        self.axes: Floats = np.stack([right, np.cross(ahead, right), ahead])  # rows: right, down, ahead

    def view(self, points: Floats) -> Floats:
        """World (n, 3) to camera (n, 3): right, down, ahead in metres."""
        turned: Floats = (points - self.at) @ self.axes.T
        return turned

    def pixels(self, seen: Floats) -> Floats:
        """Camera (n, 3), all ahead of the lens, to pixels (n, 2)."""
        middle = np.array(self.size) / 2
        spot: Floats = seen[:, :2] / seen[:, 2:] * self.focal_px + middle
        return spot

    def outline(self, corners: Floats) -> Floats:
        """A world polygon (n, 3) as pixels (m, 2), cut at the near plane; m = 0 when it lies behind the lens."""
        seen = self.view(corners)
        if not (seen[:, 2] > NEAR_M).all():
            seen = _cut_near(seen)
        return self.pixels(seen)

    def larger(self, times: int) -> Camera:
        """The same view with more pixels."""
        copy = object.__new__(Camera)
        copy.at, copy.axes, copy.focal_px = self.at, self.axes, self.focal_px * times
        copy.size = (self.size[0] * times, self.size[1] * times)
        return copy


class Light(NamedTuple):
    """Daylight.

    Args:
        sun: Unit vector towards the sun.
        direct: Strength of the sun, 0 (overcast) to 0.6.
        ambient: Strength of the sky.
        haze: Colour of distance, blue green red.
        thickness: How much of the haze is there at 100 m, 0..1.
    """

    sun: Floats
    direct: float
    ambient: float
    haze: Floats
    thickness: float

    def shade(self, colours: Floats, normals: Floats, distance_m: float) -> Floats:
        """Lit colours (n, 3) of faces with these outward normals, seen from this far."""
        lambert = np.clip(normals @ self.sun, 0, 1)
        sky = 0.5 + 0.5 * normals[:, 2]
        lit = colours * (self.ambient * (0.62 + 0.38 * sky) + self.direct * lambert)[:, None]
        share = 1 - (1 - self.thickness) ** (distance_m / 100)
        mixed: Floats = np.clip(lit * (1 - share) + self.haze * share, 0, 255)
        return mixed


class Place(NamedTuple):
    """A road and its light: what stays the same through a clip. Half widths and lanes in metres."""

    camera: Camera
    light: Light
    lane_m: float
    lanes: int
    half_m: float


class _Easel(NamedTuple):
    """What it takes to paint a thing: the picture so far, whence it is seen, and the light."""

    canvas: Image
    camera: Camera
    light: Light

    def panel(self, corners: Floats, colour: Floats) -> None:
        """Paint a flat world polygon (n, 3)."""
        spots = self.camera.outline(corners)
        if len(spots):
            fill(self.canvas, spots, colour)

    def lit(self, colour: Floats, normal: tuple[float, float, float], distance_m: float) -> Floats:
        """One colour in this light."""
        shaded: Floats = self.light.shade(colour[None], np.array([normal]), distance_m)[0]
        return shaded


def fill(image: Image, spots: Floats, colour: Floats | tuple[float, ...]) -> None:
    """Fill one polygon given in pixels, edges smoothed."""
    cv2.fillPoly(image, [fixed_point(spots)], [float(c) for c in colour], cv2.LINE_AA, SHIFT)


def fixed_point(spots: Floats) -> npt.NDArray[np.int32]:
    """Pixels as cv2's polygon functions take them, with `SHIFT` bits behind the point."""
    corners: npt.NDArray[np.int32] = np.rint(np.clip(spots, -4000, 8000) * (1 << SHIFT)).astype(np.int32)
    return corners


def draw_place(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Place, Image]:
    """Make up a place and paint it empty.

    Returns:
        The place, and its picture without vehicles (height, width, 3), blue green red.
    """
    place = _place(rng, size)
    camera = place.camera.larger(_FINE)
    easel = _Easel(_ground(place, camera, rng), camera, place.light)
    things = [("house", float(y), side) for side in (-1, 1) for y in np.cumsum(rng.uniform(11, 22, 12)) - 4]
    things += [("tree", float(y), side) for side in (-1, 1) for y in np.cumsum(rng.uniform(8, 34, 8))]
    things += [("pole", float(y), side) for side in (-1, 1) for y in np.arange(rng.uniform(14, 30), 180, 32)]
    for kind, y, side in sorted(things, key=lambda thing: -thing[1]):
        draw = {"house": _house, "tree": _tree, "pole": _pole}[kind]
        # On the camera's side things stand behind its pole, so that nothing hides the road.
        clear = max(place.half_m, side * float(camera.at[0]))
        draw(easel, rng, clear, y, side)
    fine = cv2.GaussianBlur(easel.canvas, (3, 3), 0)
    return place, np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _place(rng: np.random.Generator, size: tuple[int, int]) -> Place:
    lanes = int(rng.choice([1, 2], p=[0.45, 0.55]))
    lane, shoulder = rng.uniform(3.0, 3.5), rng.uniform(0.4, 1.2)
    half = lanes * lane + shoulder
    overhead = rng.random() < 0.35  # a sign gantry or footbridge; else a roadside pole
    x = rng.uniform(-0.5, 0.5) * half if overhead else rng.choice([-1.0, 1.0]) * (half + rng.uniform(0.5, 2.5))
    height = rng.uniform(5.5, 8.5)
    aim = rng.uniform(26, 42)
    camera = Camera(
        x=float(x),
        height=height,
        yaw=float(np.arctan2(rng.uniform(-0.2, 0.2) * half - x, aim)),
        pitch=float(np.arctan2(height, aim) + rng.uniform(-0.02, 0.05)),
        focal=rng.uniform(0.85, 1.15),
        size=size,
    )
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.1)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    overcast = rng.random() < 0.4
    light = Light(
        sun,
        0.06 if overcast else rng.uniform(0.28, 0.45),
        rng.uniform(0.68, 0.86) if overcast else rng.uniform(0.55, 0.68),
        np.array([206, 202, 196]) + rng.normal(0, 6, 3),
        rng.uniform(0.10, 0.28) if overcast else rng.uniform(0.04, 0.16),
    )
    return Place(camera, light, lane, lanes, half)


def _cut_near(seen: Floats) -> Floats:
    """Keep the part of a camera-space polygon that is ahead of the near plane."""
    kept: list[Floats] = []
    for here, there in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if here[2] > NEAR_M:
            kept.append(here)
        if (here[2] > NEAR_M) != (there[2] > NEAR_M):
            kept.append(here + (there - here) * (NEAR_M - here[2]) / (there[2] - here[2]))
    return np.array(kept) if kept else np.empty((0, 3))


def _grain(rng: np.random.Generator) -> Floats:
    """A tile of soft noise, 256 x 256, about -1..1: stains, patches and gravel together."""
    tile = np.zeros((256, 256))
    for cells, weight in ((8, 0.5), (32, 0.35), (256, 0.45)):
        coarse = rng.normal(0, 1, (cells, cells))
        tile += weight * cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC)
    return tile


def _ground(place: Place, camera: Camera, rng: np.random.Generator) -> Image:
    """Sky, verge, pavement, asphalt and markings: every pixel asks where its ray meets the road."""
    width, height = camera.size
    columns, rows = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    right, down, ahead = camera.axes.astype(np.float32)  # single precision: a million pixels, and nobody sees it
    rays = (
        columns.astype(np.float32)[..., None] * right
        + rows.astype(np.float32)[..., None] * down
        + np.float32(camera.focal_px) * ahead
    )
    below = rays[..., 2] < -1e-4
    reach = np.where(below, np.float32(camera.at[2]) / np.maximum(-rays[..., 2], np.float32(1e-4)), 0)
    x, y = np.float32(camera.at[0]) + rays[..., 0] * reach, rays[..., 1] * reach
    tile = _grain(rng)
    near = np.minimum(y, 4000.0)
    fine = tile[(x * 14).astype(int) % 256, (near * 14).astype(int) % 256]
    broad = tile[(x * 2).astype(int) % 256, (near * 0.8).astype(int) % 256]
    tint = rng.normal(0, 5, 3)
    verge = np.array([[72, 118, 98], [120, 140, 148], [150, 156, 160]][int(rng.integers(3))], dtype=np.float64) + tint
    asphalt = np.array([rng.uniform(88, 128)] * 3) + tint * 0.4
    across = np.abs(x)
    colour = np.where((across < place.half_m)[..., None], asphalt, verge)
    colour = np.where(((across >= place.half_m) & (across < place.half_m + 2.4))[..., None], (168, 170, 172), colour)
    colour = np.where(((across >= place.half_m) & (across < place.half_m + 0.22))[..., None], (196, 198, 198), colour)
    colour = colour + (fine * 5 + broad * 6)[..., None]
    tracks = np.minimum.reduce(
        [np.abs(across - place.lane_m * (n + 0.5) + s) for n in range(place.lanes) for s in (-0.75, 0.75)]
    )
    colour = colour - (8 * np.exp(-((tracks / 0.3) ** 2)) * (across < place.half_m))[..., None]
    paint = np.abs(across - place.lanes * place.lane_m) < 0.08
    paint |= (np.abs(x) < 0.09) if place.lanes == 1 else (np.abs(np.abs(x) - 0.16) < 0.07)
    for lane in range(1, place.lanes):
        paint |= (np.abs(across - lane * place.lane_m) < 0.07) & (np.mod(y, 10) < 5)
    colour = np.where(paint[..., None], np.array([212, 220, 222]) + (fine * 10)[..., None], colour)
    lit = colour * (place.light.ambient + place.light.direct * place.light.sun[2])
    share = (1 - (1 - place.light.thickness) ** (np.minimum(y, 2000) / 100))[..., None]
    ground = lit * (1 - share) + place.light.haze * share
    rise = np.clip((rays[..., 2] / camera.focal_px), 0, 0.5)[..., None] * 2
    clear = np.array([226, 186, 146]) if place.light.direct > 0.1 else np.array([214, 210, 204])
    sky = place.light.haze * (1 - rise) + clear * rise + broad[..., None] * 2
    seen = (below & (y < 6 * _REACH_M))[..., None]
    canvas: Image = np.clip(np.where(seen, ground, sky), 0, 255).astype(np.uint8)
    return canvas


def _house(easel: _Easel, rng: np.random.Generator, edge: float, y: float, side: int) -> None:
    """A building with rows of windows: the wall to the road and the wall to the camera."""
    near_x, depth = side * (edge + rng.uniform(4.5, 9)), rng.uniform(7, 13)
    far_x, far_y, storeys = near_x + side * rng.uniform(8, 14), y + depth, int(rng.integers(2, 6))
    top = storeys * 3.0 + 0.5
    wall = np.clip(rng.choice([200, 176, 150, 120]) + rng.normal(0, 12) + rng.normal(0, 6, 3), 60, 235)
    glass = np.array([98, 88, 78]) + rng.normal(0, 8)
    walls = (
        (np.array([near_x, y, 0.0]), np.array([far_x, y, 0.0]), (0.0, -1.0, 0.0)),
        (np.array([near_x, y, 0.0]), np.array([near_x, far_y, 0.0]), (-float(side), 0.0, 0.0)),
    )
    for start, end, normal in walls:
        up = np.array([0.0, 0.0, 1.0])
        easel.panel(np.array([start, end, end + up * top, start + up * top]), easel.lit(wall, normal, y))
        columns = max(2, int(np.linalg.norm(end - start) / 2.6))
        for storey in range(storeys):
            for column in range(columns):
                a = start + (end - start) * (column + 0.25) / columns
                b = start + (end - start) * (column + 0.75) / columns
                low, high = up * (storey * 3.0 + 1.0), up * (storey * 3.0 + 2.3)
                pane = glass * rng.uniform(0.7, 1.35)
                easel.panel(np.array([a + low, b + low, b + high, a + high]), easel.lit(pane, normal, y))


def _tree(easel: _Easel, rng: np.random.Generator, edge: float, y: float, side: int) -> None:
    """A trunk and a cloud of leaf blobs, lighter towards the top."""
    x, crown, radius = side * (edge + rng.uniform(2.6, 4.2)), rng.uniform(3.0, 5.0), rng.uniform(1.1, 2.0)
    trunk = np.array([[x - 0.12, y, 0], [x + 0.12, y, 0], [x + 0.09, y, crown], [x - 0.09, y, crown]])
    easel.panel(trunk, easel.lit(np.array([48.0, 62, 76]), (0, -1, 0), y))
    green = np.array([50, 104, 74]) + rng.normal(0, 12, 3)
    for offset in rng.normal(0, 0.5, (60, 3)) * radius:
        seen = easel.camera.view((np.array([x, y, crown + radius * 0.4]) + offset)[None])
        if seen[0, 2] < NEAR_M:
            continue
        spot = easel.camera.pixels(seen)[0]
        lit = easel.lit(green * (0.85 + 0.22 * offset[2] / radius) * rng.uniform(0.85, 1.1), (0, -0.6, 0.8), y)
        size = max(1, int(radius * 0.3 * easel.camera.focal_px / seen[0, 2]))
        if np.abs(spot).max() < 8000:
            cv2.circle(easel.canvas, (int(spot[0]), int(spot[1])), size, [float(c) for c in lit], -1, cv2.LINE_AA)


def _pole(easel: _Easel, rng: np.random.Generator, edge: float, y: float, side: int) -> None:
    """A utility pole with a crossarm, as they stand along every street."""
    x, top = side * (edge + 2.5), 9 + rng.uniform(-0.5, 0.5)
    grey = easel.lit(np.array([128.0, 132, 134]), (0, -1, 0), y)
    easel.panel(np.array([[x - 0.15, y, 0], [x + 0.15, y, 0], [x + 0.1, y, top], [x - 0.1, y, top]]), grey)
    easel.panel(
        np.array([[x - 0.9, y, top - 1], [x + 0.9, y, top - 1], [x + 0.9, y, top - 0.85], [x - 0.9, y, top - 0.85]]),
        grey * 0.8,
    )
