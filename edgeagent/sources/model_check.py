"""Is this model fit for a camera?  What `edgeagent count model` looks at.

Loading proves hash, card, input and output shapes.  That the numbers mean what the card says
(channel order, scale, classes, decoder) shows only on pictures: a few of a rendered road, where it is
known what is in them.  May import: errors vision; detector and what it imports.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from edgeagent.errors import ConfigError
from edgeagent.sources.detector import Detector
from edgeagent.vision.detections import iou

__all__ = ["Golden", "ModelReport", "agreement", "check_model"]

_LEAST_FOUND = 0.5
"""A detector that finds fewer of the plain vehicles of the rendered road has another input than its card says."""
_RUNS = 30
_OVERLAP = 0.5
_SURE = 0.3
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Golden(NamedTuple):
    """A picture (H, W, 3) uint8 BGR and the boxes (n, 4) of the vehicles that are plain to see in it."""

    picture: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]


class ModelReport(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        sha256: of the file; the card's is the same.
        classes: counted classes and how far the card vouches for each name.
        found, wanted: vehicles of the golden pictures.
        ms: of one picture on one thread, median: letterbox, network, boxes.
        cpu_ms: processor time of the same.
        rss_mib: memory of this process with the model loaded.
        mib: size of the file.
    """

    ok: bool
    name: str
    sha256: str
    input: str
    decoder: str
    classes: dict[str, str]
    found: int
    wanted: int
    ms: float
    cpu_ms: float
    rss_mib: int
    mib: float


def check_model(model: Path, golden: Callable[[], Sequence[Golden]]) -> ModelReport:
    """Load a model, run it, and see what it finds.

    Args:
        model: the `.onnx` file, its card beside it.
        golden: makes the known pictures; not asked for when the model cannot be loaded.

    Raises:
        ConfigError: it cannot be used at all; `camera.model-blind` when it runs and finds next to nothing.
    """
    detector = Detector(model)
    known = golden()
    found = wanted = 0
    for one in known:
        seen = detector.look(one.picture)
        sure = seen.xyxy[seen.score >= detector.card.threshold.score]
        wanted += len(one.boxes)
        if len(sure) and len(one.boxes):
            found += int((iou(one.boxes, sure).max(axis=1) >= _OVERLAP).sum())
    walls, began_s = [], time.process_time()
    for n in range(_RUNS):
        begun_s = time.perf_counter()
        detector.look(known[n % len(known)].picture)
        walls.append((time.perf_counter() - begun_s) * 1000)
    cpu_ms = (time.process_time() - began_s) * 1000 / _RUNS
    if found < _LEAST_FOUND * wanted:
        raise ConfigError("camera.model-blind", file=str(model), found=found, wanted=wanted)
    card = detector.card
    return ModelReport(
        ok=True,
        name=card.model.name,
        sha256=detector.sha256,
        input=f"{card.input.width}x{card.input.height} {card.input.colour}",
        decoder=card.output.decoder,
        classes={name: card.trust_in(name) for name in card.counted},
        found=found,
        wanted=wanted,
        ms=round(statistics.median(walls), 1),
        cpu_ms=round(cpu_ms, 1),
        rss_mib=_rss_mib(),
        mib=round(model.stat().st_size / 2**20, 2),
    )


def agreement(one: Detector, other: Detector, pictures: Sequence[npt.NDArray[np.uint8]]) -> float:
    """F1 of one model's sure boxes against another's: an int8 copy has to see what its float original sees.

    Returns:
        0..1; 1 when neither sees anything.
    """
    both = mine = theirs = 0
    for picture in pictures:
        a, b = one.look(picture), other.look(picture)
        a_boxes, b_boxes = a.xyxy[a.score >= _SURE], b.xyxy[b.score >= _SURE]
        mine += len(a_boxes)
        theirs += len(b_boxes)
        if len(a_boxes) and len(b_boxes):
            both += int((iou(a_boxes, b_boxes).max(axis=1) >= _OVERLAP).sum())
    return 2 * both / (mine + theirs) if mine + theirs else 1.0


def _rss_mib() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE // 2**20
