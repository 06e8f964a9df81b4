"""How good a detector is on the val pictures: AP50 per class and for four-wheelers together, recall, precision.

`python score.py MODEL.onnx DATA` prints it as JSON. Matching is greedy at IoU 0.5; what is found inside a don't-care
box is neither right nor wrong. `vehicle` asks only whether a car, bus or truck was found, not which.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before it is loaded: it reports to its maker by default

import numpy as np
import numpy.typing as npt
import onnxruntime
from data import Picture, Pixels, Table, letterbox, load
from model import CLASSES, HEIGHT, SMALLER, WIDTH

_GROUPS = {"vehicle": (0, 1, 2), **{name: (number,) for number, name in enumerate(CLASSES)}}
_LEAST = 0.05  # scores below take no part
_FLAT = 0.002  # F1 differs by more than this between two runs of the same recipe
Detector = Callable[[Pixels], tuple[Table, Table]]  # input picture -> boxes (N, 4), scores (N, classes)


def _shares(one: Table, many: Table, *, of_one: bool = False) -> Table:
    """IoU of a box with boxes (n, 4), or the share of the box that lies in each."""
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:])
    common = (high - low).clip(0).prod(1)
    area = (one[2:] - one[:2]).prod()
    rest = 0 if of_one else (many[:, 2:] - many[:, :2]).prod(1) - common
    return np.asarray(common / (area + rest + 1e-9), dtype=np.float32)


def pick(boxes: Table, scores: Table, iou: float = 0.6) -> Table:
    """Non-maximum suppression; car, bus and truck suppress each other.

    Returns:
        Rows of class, x1 y1 x2 y2, score; best first.
    """
    best, score = scores.argmax(1), scores.max(1)
    order = [n for n in np.argsort(-score)[:300] if score[n] > _LEAST]
    kind = np.where(best <= 2, 0, best)
    kept: list[int] = []
    for n in order:
        rivals = [k for k in kept if kind[k] == kind[n]]
        if not rivals or _shares(boxes[n], boxes[rivals]).max() < iou:
            kept.append(int(n))
    return np.concatenate([best[kept, None], boxes[kept], score[kept, None]], 1).astype(np.float32)


def detect_all(detector: Detector, pictures: Iterable[Picture], size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[Table]:
    """Detections of each picture in its own pixels, looked at in an input of this (width, height)."""
    found = []
    for picture in pictures:
        view, scale, left, top = letterbox(picture.image, size)
        rows = pick(*detector(view))
        rows[:, 1:5] = (rows[:, 1:5] - (left, top, left, top)) / scale
        found.append(rows)
    return found


def score(found: list[Table], pictures: list[Picture]) -> dict[str, dict[str, float]]:
    """Per class with boxes: n, ap50, and recall and precision where F1 is best; threshold: the lowest as good."""
    return {name: one for name, group in _GROUPS.items() if (one := _score_group(found, pictures, group))}


def _judge(found: list[Table], pictures: list[Picture], group: tuple[int, ...]) -> tuple[list[tuple[float, bool]], int]:
    """Each find of these classes that counts, with its score and whether it is right; and how many were wanted."""
    judged: list[tuple[float, bool]] = []
    total = 0
    for rows, picture in zip(found, pictures, strict=True):
        wanted = picture.targets[np.isin(picture.targets[:, 0], group), 1:5]
        ignored = picture.targets[picture.targets[:, 0] < 0, 1:5]
        free = np.ones(len(wanted), dtype=bool)
        total += len(wanted)
        for row in rows[np.isin(rows[:, 0], group)]:  # best first
            ious = _shares(row[1:5], wanted) * free
            if len(ious) and ious.max() >= 0.5:
                free[ious.argmax()] = False
                judged.append((float(row[5]), True))
            elif not len(ignored) or _shares(row[1:5], ignored, of_one=True).max() <= 0.5:
                judged.append((float(row[5]), False))
    return judged, total


def _score_group(found: list[Table], pictures: list[Picture], group: tuple[int, ...]) -> dict[str, float]:
    judged, total = _judge(found, pictures, group)
    if not total:
        return {}
    if not judged:
        return {"n": total, "ap50": 0.0, "recall": 0.0, "precision": 0.0, "threshold": 0.0}
    judged.sort(key=lambda one: -one[0])
    right = np.cumsum([one[1] for one in judged])
    recall, precision = right / total, right / np.arange(1, len(judged) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    f1 = 2 * precision * recall / (precision + recall + 1e-9)
    best = int(f1.argmax())
    # The top is flat. Of what is as good the lowest score: the tracker drops lone false boxes, but makes none up.
    lowest = int(np.flatnonzero(f1 >= f1[best] - _FLAT)[-1])
    return {
        "n": total,
        "ap50": round(float(np.interp(np.linspace(0, 1, 101), recall, envelope, right=0).mean()), 3),
        "recall": round(float(recall[best]), 3),
        "precision": round(float(precision[best]), 3),
        "threshold": round(judged[lowest][0], 3),
    }


def at_threshold(found: list[Table], pictures: list[Picture], threshold: float) -> dict[str, float]:
    """Recall and precision of four-wheelers at one score, as a user of the card's threshold gets them."""
    judged, total = _judge([rows[rows[:, 5] >= threshold] for rows in found], pictures, (0, 1, 2))
    right = sum(one[1] for one in judged)
    return {"recall": round(right / max(total, 1), 3), "precision": round(right / max(len(judged), 1), 3)}


def onnx_detector(path: Path) -> tuple[Detector, list[float]]:
    """The exported file on one thread, and a list that fills with its milliseconds per picture."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    spent: list[float] = []

    def detect(view: Pixels) -> tuple[Table, Table]:
        pixels: npt.NDArray[np.float32] = view.transpose(2, 0, 1)[None].astype(np.float32)
        begin = time.perf_counter()
        boxes, scores = session.run(["boxes", "scores"], {"images": pixels})
        spent.append((time.perf_counter() - begin) * 1000)
        return boxes[0], scores[0]

    return detect, spent


def report(path: Path, pictures: list[Picture]) -> dict[str, Any]:
    """Everything the card says about a model file's accuracy and speed."""
    detect, spent = onnx_detector(path)
    found = detect_all(detect, pictures)
    ms = round(statistics.median(spent), 1)
    smaller = {
        f"{size[0]}x{size[1]}": score(detect_all(detect, pictures, size), pictures)["vehicle"] for size in SMALLER
    }
    part = {}
    for name, chosen in (("lta", True), ("other", False)):
        which = [n for n, picture in enumerate(pictures) if picture.source.startswith("lta") == chosen]
        part[name] = score([found[n] for n in which], [pictures[n] for n in which])["vehicle"]
    classes = score(found, pictures)
    threshold = round(classes["vehicle"]["threshold"], 2)
    return {
        "bytes": path.stat().st_size,
        "ms": ms,
        "threshold": threshold,
        "at_threshold": at_threshold(found, pictures, threshold),
        "classes": classes,
        "vehicle_by_source": part,
        "vehicle_smaller": smaller,
    }


if __name__ == "__main__":
    print(json.dumps(report(Path(sys.argv[1]), load(Path(sys.argv[2]), "val")), indent=1))
