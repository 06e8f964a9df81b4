"""Pictures and boxes: the recorded set, rendered roads, and what happens to a picture before the net sees it.

A set is a folder with `manifest.csv` and `images/`: `<name>.jpg`, `<name>.txt` (class x y w h, relative), `<name>.ign`
(don't-care boxes). `python data.py FOLDER` renders such a set of roads.
"""

from __future__ import annotations

import csv
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from model import CLASSES, HEIGHT, WIDTH

PAD = 114
IGNORED = -1  # in the class column: no target, and nothing found there is an error
RENDERED_SEEDS = range(1000, 1060)  # the demo and the tests use other places
HARD_SEEDS = range(1060, 1096)  # night, rain, a shaking pole, low sun, lorries, queues; from version 3 on
_PER_PLACE = 6
Pixels = npt.NDArray[np.uint8]
Table = npt.NDArray[np.float32]


class Picture(NamedTuple):
    """One picture of a set.

    Args:
        image: (height, width, 3) blue green red.
        targets: (n, 6) class or IGNORED, x1 y1 x2 y2 in pixels, and 1 where nobody vouches for car, bus or truck.
        source: Where it comes from, a name in the set's README.
        file: Its file name.
        weight: How often it is drawn, relative to the others.
    """

    image: Pixels
    targets: Table
    source: str
    file: str
    weight: float


def load(folder: Path, split: str) -> list[Picture]:
    """All pictures of one split; scenes are never in two splits."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["split"] == split]
    return [_picture(folder / "images" / row["file"], row) for row in rows]


def _picture(path: Path, row: dict[str, str]) -> Picture:
    image = np.asarray(cv2.imread(str(path)), dtype=np.uint8)
    # Classes of four-wheelers that only a COCO net named are wrong more often than right (mostly bus for van).
    doubted = row["labels"].startswith("teacher")
    named, ignored = _table(path.with_suffix(".txt"), image.shape), _table(path.with_suffix(".ign"), image.shape)
    targets = np.concatenate([named, ignored])
    unsure = ((targets[:, 0] <= 2) & doubted).astype(np.float32)
    classes = set(named[:, 0].astype(int))
    weight = {"open_images_vehicles": 0.6, "rf100_vehicles": 0.8}.get(row["source"], 1.0)
    if 3 in classes:
        weight *= 3.0
    elif not doubted and classes & {1, 2}:
        weight *= 1.4
    return Picture(image, np.concatenate([targets, unsure[:, None]], 1), row["source"], row["file"], weight)


def _table(path: Path, shape: tuple[int, ...]) -> Table:
    """A box file as rows of class x1 y1 x2 y2 in pixels; a don't-care file has no class column."""
    if not path.exists():
        return np.zeros((0, 5), np.float32)
    rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]
    if path.suffix == ".ign":
        rows = [[float(IGNORED), *row] for row in rows]
    table = np.array(rows, np.float32).reshape(-1, 5)
    centre, half = table[:, 1:3] * (shape[1], shape[0]), table[:, 3:5] * (shape[1] / 2, shape[0] / 2)
    return np.concatenate([table[:, :1], centre - half, centre + half], 1).astype(np.float32)


def letterbox(image: Pixels, size: tuple[int, int] = (WIDTH, HEIGHT)) -> tuple[Pixels, float, float, float]:
    """Fit into an input of this (width, height), centred, the rest grey.

    Returns:
        The input picture, and scale, x and y offset: input pixel = picture pixel * scale + offset.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    left, top = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    fit = np.array([[scale, 0, left], [0, scale, top]], np.float32)
    return _warp(image, fit, size), scale, left, top


def augment(picture: Picture, rng: np.random.Generator) -> tuple[Pixels, Table]:
    """A random view of the picture at input size, with its targets."""
    image, targets = picture.image, picture.targets.copy()
    height, width = image.shape[:2]
    fits = (WIDTH / width, HEIGHT / height)
    tall = (max(fits) if rng.random() < 0.25 else min(fits)) * np.exp(rng.uniform(np.log(0.7), np.log(1.9)))
    wide = tall * np.exp(rng.uniform(-0.12, 0.12))
    left, top = (rng.uniform(min(0, slack), max(0, slack)) for slack in (WIDTH - width * wide, HEIGHT - height * tall))
    view = np.array([[wide, 0, left], [0, tall, top]], np.float32)
    area = np.maximum((targets[:, 3] - targets[:, 1]) * wide * (targets[:, 4] - targets[:, 2]) * tall, 1)
    targets[:, [1, 3]] = targets[:, [1, 3]] * wide + left
    targets[:, [2, 4]] = targets[:, [2, 4]] * tall + top
    if rng.random() < 0.5:
        view[0] = (-wide, 0, WIDTH - left)
        targets[:, [1, 3]] = WIDTH - targets[:, [3, 1]]
    targets[:, [1, 3]] = targets[:, [1, 3]].clip(0, WIDTH)
    targets[:, [2, 4]] = targets[:, [2, 4]].clip(0, HEIGHT)
    size = targets[:, 3:5] - targets[:, 1:3]
    left_over = size.prod(1) / area
    targets[(left_over < 0.35) | (size.min(1) < 3), 0] = IGNORED
    targets = targets[(left_over > 0.05) & (size.min(1) > 1)]
    return _weather(_warp(image, view), rng), targets


def _warp(image: Pixels, view: npt.NDArray[np.float32], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Pixels:
    if abs(view[0, 0]) < 0.55:  # halve first: a single bilinear step would skip pixels
        height, width = image.shape[:2]
        image = np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        view = view @ np.diag([width / (width // 2), height / (height // 2), 1]).astype(np.float32)
    return np.asarray(cv2.warpAffine(image, view, size, borderValue=(PAD, PAD, PAD)), dtype=np.uint8)


def _weather(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Other light, other camera: brightness, colour, grey night mode, blur, noise."""
    if rng.random() < 0.7:
        steps = np.arange(256)
        hue, vivid, bright = rng.integers(-6, 7), rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.4)
        curves = np.stack([(steps + hue) % 180, (steps * vivid).clip(0, 255), (steps * bright).clip(0, 255)], 1)
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        image = np.asarray(
            cv2.cvtColor(cv2.LUT(hsv, curves[:, None].astype(np.uint8)), cv2.COLOR_HSV2BGR), dtype=np.uint8
        )
    luck = rng.random()
    if luck < 0.08:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    elif luck < 0.20:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), dtype=np.uint8)
    elif luck < 0.30:
        grain = rng.integers(-14, 15, image.shape, np.int16)
        image = np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), dtype=np.uint8)
    return image


def batches(pictures: list[Picture], size: int, seed: int, start: int) -> Iterator[tuple[Pixels, list[Table]]]:
    """Endless batches, each a function of the seed and its number alone, made ahead in one thread.

    A run that goes on from step `start` sees what an unbroken run would have seen.
    """
    weights = np.array([picture.weight for picture in pictures])
    ready: queue.Queue[tuple[Pixels, list[Table]]] = queue.Queue(maxsize=3)

    def work() -> None:
        number = start
        while True:
            rng = np.random.default_rng((seed, number))
            chosen = rng.choice(len(pictures), size, p=weights / weights.sum())
            views = [augment(pictures[one], rng) for one in chosen]
            ready.put((np.stack([image for image, _ in views]), [targets for _, targets in views]))
            number += 1

    threading.Thread(target=work, name="augment", daemon=True).start()
    while True:
        yield ready.get()


def render(folder: Path) -> None:
    """Write a set of rendered roads; vehicles that are mostly hidden become don't-care boxes."""
    from edgeagent.simulate.road import RoadScene  # noqa: PLC0415  (a recorded set needs no edgeagent)
    from edgeagent.simulate.road_weather import HARDSHIPS  # noqa: PLC0415

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    hard = [one for one in HARDSHIPS if one != "day"]
    scenes = [(seed, "day") for seed in RENDERED_SEEDS]
    scenes += [(seed, hard[n % len(hard)]) for n, seed in enumerate(HARD_SEEDS)]
    for seed, hardship in scenes:
        scene = RoadScene(seed, hardship=hardship)
        for number in range(_PER_PLACE):
            scene.skip(4.0)
            frame = next(iter(scene.frames(1)))
            height, width = frame.image.shape[:2]
            lines: dict[str, list[str]] = {"txt": [], "ign": []}
            for sight in frame.sights:
                x1, y1, x2, y2 = sight.box
                relative = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
                box = " ".join(f"{one:.5f}" for one in relative)
                if sight.visible < 0.3 or min(x2 - x1, y2 - y1) < 5:
                    lines["ign"].append(box)
                else:
                    lines["txt"].append(f"{CLASSES.index(sight.cls)} {box}")
            name = f"road_{seed}_{number}"
            cv2.imwrite(str(folder / "images" / f"{name}.jpg"), frame.image, [cv2.IMWRITE_JPEG_QUALITY, 80])
            for ending, text in lines.items():
                (folder / "images" / f"{name}.{ending}").write_text("\n".join(text))
            rows.append({"file": f"{name}.jpg", "split": "train", "source": "rendered", "labels": "rendered"})
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as manifest:
        writer = csv.DictWriter(manifest, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    render(Path(sys.argv[1]))
