"""Vehicles as a handful of shaded prisms: the shapes that drive through the rendered road.

A body is a list of parts, a part is a box whose top may be drawn in (a cabin, a sloping bonnet), and on its faces lie
decals: windows, lamps, wheels, plates. Metres; x to the right of the vehicle, y forward, z up; the origin is the
middle of the vehicle on the road. Drawing needs only corners, colours and outward normals, so a body is baked into
flat arrays once and projected as a whole for every picture.
May import: nothing of the house; numpy.
"""

# ruff: noqa: PLR2004  (a drawing is made of literal numbers)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CLASSES", "Body", "Floats", "build_body"]

CLASSES = ("car", "bus", "truck", "motorcycle")
Floats = npt.NDArray[np.float64]
Colour = tuple[float, float, float]  # blue, green, red; 0..255

_PAINTS: tuple[Colour, ...] = (
    (238, 240, 240),
    (232, 236, 238),
    (196, 198, 198),
    (170, 172, 170),
    (118, 116, 112),
    (48, 44, 42),
    (34, 32, 32),
    (112, 54, 30),
    (150, 92, 40),
    (38, 34, 150),
    (60, 66, 190),
    (86, 110, 66),
    (190, 212, 226),
    (60, 170, 214),
    (120, 84, 74),
    (180, 150, 96),
)
_GLASS: Colour = (74, 66, 58)
_SKYGLASS: Colour = (136, 124, 108)
_TYRE: Colour = (34, 33, 33)
_RIM: Colour = (150, 150, 152)
_TRIM: Colour = (52, 50, 50)
_LAMP: Colour = (236, 244, 246)
_TAIL: Colour = (40, 34, 186)
_AMBER: Colour = (40, 140, 230)
_PLATE: Colour = (224, 230, 230)
_PLATE_KEI: Colour = (70, 200, 226)


class Body(NamedTuple):
    """One vehicle ready to be projected.

    Args:
        cls: One of `CLASSES`.
        size: Length, width, height in metres.
        corners: (n, 3) corners of all polygons, one after the other.
        first: Index of each polygon's first corner, and n at the end.
        colours: (polygons, 3) unlit colours, blue green red.
        normals: (polygons, 3) outward normals; a decal has that of its face.
        anchors: (polygons, 3) a point of the face, to see which side the camera is on.
        parts: Part number of each polygon.
        layers: (parts,) what lies below is drawn first.
        centres: (parts, 3) for far-to-near order within a layer.
    """

    cls: str
    size: tuple[float, float, float]
    corners: Floats
    first: tuple[int, ...]
    colours: Floats
    normals: Floats
    anchors: Floats
    parts: tuple[int, ...]
    layers: tuple[int, ...]
    centres: Floats


class _Builder:
    """Collects polygons part by part."""

    def __init__(self) -> None:
        self._polygons: list[tuple[Floats, Colour, Floats, Floats, int]] = []
        self._layers: list[int] = []
        self._centres: list[Floats] = []

    def part(
        self,
        across: tuple[float, float],
        along: tuple[float, float],
        up: tuple[float, float],
        colour: Colour,
        *,
        inset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        layer: int = 0,
        top: Colour | None = None,
    ) -> dict[str, Floats]:
        """Add a box whose top is drawn in by `inset` (sides, front, back) metres.

        Returns:
            The faces by name, each (4, 3): lower left, lower right, upper right, upper left as seen from outside.
        """
        (x0, x1), (y0, y1), (z0, z1) = across, along, up
        side, front, back = inset
        low = np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]])
        high = np.array(
            [
                [x0 + side, y0 + back, z1],
                [x1 - side, y0 + back, z1],
                [x1 - side, y1 - front, z1],
                [x0 + side, y1 - front, z1],
            ]
        )
        faces = {
            "back": np.array([low[0], low[1], high[1], high[0]]),
            "right": np.array([low[1], low[2], high[2], high[1]]),
            "front": np.array([low[2], low[3], high[3], high[2]]),
            "left": np.array([low[3], low[0], high[0], high[3]]),
            "top": high,
        }
        self._layers.append(layer)
        self._centres.append(np.concatenate([low, high]).mean(axis=0))
        for name, face in faces.items():
            self._add(face, top if top is not None and name == "top" else colour, face)
        return faces

    def decal(self, face: Floats, u: tuple[float, float], v: tuple[float, float], colour: Colour) -> None:
        """Lay a rectangle on a face of the last part; u and v run 0..1 from its lower left corner."""
        self._add(
            np.array([_on(face, a, b) for a, b in ((u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1]))]),
            colour,
            face,
        )

    def wheels(self, faces: dict[str, Floats], at: tuple[float, ...], radius: float, half: float) -> None:
        """Lay round wheels on both sides of the last part, at these places along the vehicle (metres)."""
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        for name, x in (("right", half), ("left", -half)):
            for y in at:
                for share, colour in ((1.18, _TRIM), (1.0, _TYRE), (0.55, _RIM)):
                    ring = np.stack(
                        [
                            np.full(12, x),
                            y + radius * share * np.cos(turn),
                            np.maximum(radius + radius * share * np.sin(turn), 0),
                        ],
                        axis=1,
                    )
                    self._add(ring, colour, faces[name])

    def body(self, cls: str, size: tuple[float, float, float]) -> Body:
        """All that was collected, as flat arrays."""
        first = [0]
        for corners, *_ in self._polygons:
            first.append(first[-1] + len(corners))
        return Body(
            cls,
            size,
            np.concatenate([p[0] for p in self._polygons]),
            tuple(first),
            np.array([p[1] for p in self._polygons], dtype=np.float64),
            np.array([p[2] for p in self._polygons]),
            np.array([p[3] for p in self._polygons]),
            tuple(p[4] for p in self._polygons),
            tuple(self._layers),
            np.array(self._centres),
        )

    def _add(self, corners: Floats, colour: Colour, face: Floats) -> None:
        normal = np.cross(face[1] - face[0], face[3] - face[0])
        self._polygons.append((corners, colour, normal / np.linalg.norm(normal), face[0], len(self._layers) - 1))


def build_body(cls: str, rng: np.random.Generator) -> Body:
    """A vehicle of the class with its own shape and paint; equal generators give equal vehicles."""
    if cls == "bus":
        return _bus(rng)
    if cls == "truck":
        return _truck(rng)
    return _motorcycle(rng) if cls == "motorcycle" else _car(rng)


def _on(face: Floats, u: float, v: float) -> Floats:
    """The point of a four-cornered face at u (left to right) and v (bottom to top)."""
    point: Floats = (1 - v) * ((1 - u) * face[0] + u * face[1]) + v * ((1 - u) * face[3] + u * face[2])
    return point


def _paint(rng: np.random.Generator) -> Colour:
    """A car colour as often as one meets it: half of them white, silver or black."""
    b, g, r = np.clip(np.array(_PAINTS[int(rng.integers(len(_PAINTS)))]) + rng.normal(0, 8, 3), 12, 250)
    return float(b), float(g), float(r)


def _darker(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share


def _car(rng: np.random.Generator) -> Body:
    """Saloon, hatchback, kei car, minivan, SUV or panel van."""
    kind = str(rng.choice(["saloon", "hatch", "kei", "minivan", "suv", "van"], p=[0.22, 0.2, 0.2, 0.16, 0.14, 0.08]))
    length, width, height, bonnet, boot, rake, tail = {
        "saloon": (4.6, 1.78, 1.45, 1.15, 0.75, 0.75, 0.55),
        "hatch": (4.0, 1.70, 1.50, 0.95, 0.05, 0.70, 0.40),
        "kei": (3.4, 1.48, 1.68, 0.55, 0.03, 0.42, 0.16),
        "minivan": (4.7, 1.75, 1.88, 0.75, 0.03, 0.75, 0.18),
        "suv": (4.5, 1.84, 1.68, 1.05, 0.05, 0.62, 0.38),
        "van": (4.6, 1.70, 1.98, 0.30, 0.02, 0.42, 0.06),
    }[kind]
    length, height = length * rng.uniform(0.95, 1.06), height * rng.uniform(0.96, 1.04)
    paint, half, end = _paint(rng), width / 2, length / 2
    belt = 0.52 * height + 0.12
    make = _Builder()
    lower = make.part((-half, half), (-end, end), (0.24, 0.58), _darker(paint, 0.86))
    make.wheels(lower, (-0.62 * end, 0.64 * end), 0.31, half + 0.005)
    for face, lamp in (("front", _TRIM), ("back", _TRIM)):
        make.decal(lower[face], (0.06, 0.94), (0.0, 0.34), lamp)
        make.decal(lower[face], (0.36, 0.64), (0.42, 0.86), _PLATE_KEI if kind == "kei" else _PLATE)
    upper = make.part((-half, half), (-end, end), (0.58, belt), paint, inset=(0.04, 0.10, 0.05), layer=1)
    make.decal(upper["front"], (0.04, 0.25), (0.25, 0.85), _LAMP)
    make.decal(upper["front"], (0.75, 0.96), (0.25, 0.85), _LAMP)
    make.decal(upper["front"], (0.30, 0.70), (0.15, 0.70), _TRIM)
    make.decal(upper["back"], (0.03, 0.22), (0.2, 0.95), _TAIL)
    make.decal(upper["back"], (0.78, 0.97), (0.2, 0.95), _TAIL)
    cabin = make.part(
        (-half + 0.05, half - 0.05),
        (-end + boot, end - bonnet),
        (belt, height),
        paint,
        inset=(0.16 if kind not in {"van", "kei"} else 0.07, rake, tail),
        layer=2,
        top=_darker(paint, 0.97),
    )
    make.decal(cabin["front"], (0.06, 0.94), (0.06, 0.92), _SKYGLASS)
    make.decal(cabin["back"], (0.08, 0.92), (0.15, 0.88), _GLASS)
    panes = ((0.12, 0.50), (0.54, 0.90)) if kind != "van" else ((0.62, 0.92),)
    for a, b in panes:
        make.decal(cabin["right"], (a, b), (0.10, 0.86), _GLASS)
        make.decal(cabin["left"], (1 - b, 1 - a), (0.10, 0.86), _GLASS)
    return make.body("car", (length, width, height))


def _bus(rng: np.random.Generator) -> Body:
    """A city bus: a long box of windows with a route display."""
    length, width, height = rng.uniform(9.0, 11.5), 2.48, rng.uniform(2.95, 3.2)
    half, end = width / 2, length / 2
    ground = [(216, 222, 224), (190, 206, 212), (130, 70, 40), (70, 120, 60), (60, 70, 180)][int(rng.integers(5))]
    stripe = [(150, 80, 30), (50, 50, 180), (80, 150, 60), (40, 140, 220)][int(rng.integers(4))]
    make = _Builder()
    lower = make.part((-half, half), (-end, end), (0.28, 1.15), _darker(ground, 0.93))
    make.wheels(lower, (-0.46 * end, 0.62 * end), 0.48, half + 0.005)
    for side in ("left", "right"):
        make.decal(lower[side], (0.0, 1.0), (0.62, 0.86), stripe)
    for u in ((0.05, 0.22), (0.78, 0.95)):
        make.decal(lower["front"], u, (0.25, 0.5), _LAMP)
        make.decal(lower["back"], u, (0.25, 0.6), _TAIL)
    make.decal(lower["front"], (0.38, 0.62), (0.05, 0.25), _PLATE)
    upper = make.part((-half, half), (-end, end), (1.15, height), ground, inset=(0.06, 0.08, 0.04), layer=1)
    make.decal(upper["front"], (0.05, 0.95), (0.02, 0.72), _SKYGLASS)
    make.decal(upper["front"], (0.2, 0.8), (0.78, 0.95), (30, 28, 26))
    make.decal(upper["front"], (0.3, 0.7), (0.82, 0.91), _AMBER)
    make.decal(upper["back"], (0.12, 0.88), (0.35, 0.8), _GLASS)
    count = 7
    for n in range(count):
        u = (0.03 + 0.94 * n / count, 0.03 + 0.94 * (n + 0.86) / count)
        make.decal(upper["right"], u, (0.10, 0.66), _GLASS)
        make.decal(upper["left"], u, (0.10, 0.66), _GLASS)
    unit = make.part((-0.8, 0.8), (-0.5 * end, -0.1 * end), (height, height + 0.18), _darker(ground, 0.9), layer=2)
    make.decal(unit["top"], (0.15, 0.85), (0.2, 0.8), _TRIM)
    return make.body("bus", (length, width, height + 0.18))


def _truck(rng: np.random.Generator) -> Body:
    """A forward-control lorry: box body, tipper or flatbed with a load."""
    kind = str(rng.choice(["box", "tipper", "flatbed"], p=[0.6, 0.22, 0.18]))
    length, width = rng.uniform(5.6, 9.5), rng.uniform(2.0, 2.45)
    half, end = width / 2, length / 2
    paint = _paint(rng)
    cargo: Colour = [(228, 230, 230), (206, 208, 206), (150, 96, 40), (60, 90, 170), (120, 140, 120)][
        int(rng.integers(5))
    ]
    cab, roof = 1.75, rng.uniform(2.2, 2.7)
    make = _Builder()
    frame = make.part((-half + 0.1, half - 0.1), (-end, end - 0.1), (0.45, 0.85), _TRIM)
    make.wheels(
        frame, (-0.55 * end, -0.55 * end + 1.15 if length > 7.5 else -0.55 * end, 0.72 * end), 0.45, half - 0.02
    )
    for u in ((0.04, 0.2), (0.8, 0.96)):
        make.decal(frame["back"], u, (0.2, 0.9), _TAIL)
    nose = make.part((-half, half), (end - cab, end), (0.45, 1.3), paint, layer=1)
    for u in ((0.05, 0.22), (0.78, 0.95)):
        make.decal(nose["front"], u, (0.2, 0.45), _LAMP)
    make.decal(nose["front"], (0.28, 0.72), (0.35, 0.75), _TRIM)
    make.decal(nose["front"], (0.36, 0.64), (0.05, 0.22), _PLATE)
    crown = make.part((-half, half), (end - cab, end), (1.3, roof), paint, inset=(0.08, 0.22, 0.0), layer=2)
    make.decal(crown["front"], (0.06, 0.94), (0.05, 0.75), _SKYGLASS)
    make.decal(crown["right"], (0.28, 0.86), (0.06, 0.72), _GLASS)
    make.decal(crown["left"], (0.14, 0.72), (0.06, 0.72), _GLASS)
    floor, bed = 0.85, end - cab - 0.12
    height = roof
    if kind == "box":
        height = rng.uniform(2.7, 3.6)
        hull = make.part((-half, half), (-end, bed), (floor, height), cargo, layer=2)
        make.decal(hull["back"], (0.49, 0.51), (0.02, 0.98), _darker(cargo, 0.6))
        make.decal(hull["back"], (0.0, 1.0), (0.0, 0.05), _TRIM)
        if rng.random() < 0.5:
            logo = _paint(rng)
            make.decal(hull["right"], (0.25, 0.75), (0.35, 0.7), logo)
            make.decal(hull["left"], (0.25, 0.75), (0.35, 0.7), logo)
    elif kind == "tipper":
        skip = make.part(
            (-half, half), (-end, bed), (floor, 1.95), cargo, inset=(-0.06, 0.1, -0.05), layer=2, top=(66, 84, 100)
        )
        for n in range(5):
            make.decal(skip["right"], (n / 5, n / 5 + 0.03), (0.0, 1.0), _darker(cargo, 0.7))
            make.decal(skip["left"], (n / 5, n / 5 + 0.03), (0.0, 1.0), _darker(cargo, 0.7))
    else:
        make.part((-half, half), (-end, bed), (floor, 1.25), cargo, layer=2, top=(90, 120, 140))
        make.part(
            (-half + 0.25, half - 0.25), (-end * 0.8, bed - 0.6), (1.25, rng.uniform(1.5, 2.2)), _paint(rng), layer=3
        )
    return make.body("truck", (length, width, max(height, roof)))


def _motorcycle(rng: np.random.Generator) -> Body:
    """A motorcycle or scooter with its rider."""
    length, paint, coat = rng.uniform(1.8, 2.2), _paint(rng), _paint(rng)
    end = length / 2
    make = _Builder()
    tyres = make.part((-0.07, 0.07), (-end, end), (0.02, 0.45), _TYRE, inset=(0.0, 0.2, 0.2))
    make.wheels(tyres, (-end + 0.3, end - 0.3), 0.3, 0.08)
    frame = make.part((-0.2, 0.2), (-end + 0.1, end - 0.35), (0.4, 0.85), paint, inset=(0.05, 0.1, 0.0), layer=1)
    make.decal(frame["back"], (0.2, 0.8), (0.45, 0.75), _TAIL)
    fairing = make.part((-0.24, 0.24), (end - 0.65, end - 0.3), (0.55, 1.05), paint, inset=(0.08, 0.12, 0.0), layer=2)
    make.decal(fairing["front"], (0.3, 0.7), (0.4, 0.75), _LAMP)
    make.part((-0.36, 0.36), (end - 0.75, end - 0.65), (0.95, 1.02), _TRIM, layer=2)
    make.part((-0.26, 0.26), (-0.45, 0.2), (0.55, 0.86), _darker(coat, 0.5), layer=2)
    make.part((-0.24, 0.24), (-0.4, -0.02), (0.82, 1.38), coat, inset=(0.04, -0.12, 0.1), layer=3)
    make.part((-0.14, 0.14), (-0.22, 0.1), (1.38, 1.68), _paint(rng), inset=(0.05, 0.06, 0.06), layer=4)
    if rng.random() < 0.3:
        make.part((-0.22, 0.22), (-end + 0.05, -end + 0.5), (0.85, 1.25), _paint(rng), layer=3)
    return make.body("motorcycle", (length, 0.72, 1.68))
