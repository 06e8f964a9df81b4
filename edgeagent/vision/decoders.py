"""Picture geometry -> the model's input, the model's numbers -> Detections; one decoder per family.

`yolox`: the raw head of Megvii's YOLOX (arXiv 2107.08430), output (1, N, 5 + C), rows in the order
stride 8, 16, 32, each row-major; row = x, y, w, h, objectness, class scores (both already sigmoid);
centre = (xy + cell) * stride, size = exp(wh) * stride, in input pixels.

`boxes-scores`: outputs `boxes` (1, N, 4) x1 y1 x2 y2 in input pixels, `scores` (1, N, C) 0..1.

`nanodet`, `picodet`: NanoDet-Plus and PicoDet, whose ends are alike ("Generalized Focal Loss", arXiv 2006.04388): class
scores, already sigmoid, and for each of the four sides a distribution over R distances in strides whose mean is
the distance.  One output (1, N, C + 4 R), as NanoDet exports it, or scores (1, N, C) and distances (1, N, 4 R), in
one pair or one per level, as PicoDet does.  Levels in the order of `strides`, each row-major.  NanoDet measures
from the cell's corner, PicoDet from its middle.

`detr`: RT-DETR, D-FINE and their like: a class output (1, Q, C), logits or scores, and a box output (1, Q, 4),
relative centre and size or input pixels.  Or, as D-FINE's own export writes it, `labels` (1, Q), `boxes` and
`scores` (1, Q): one class per query.  No anchors and no suppression belong to it; ours does no harm.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeagent.errors import ConfigError
from edgeagent.vision.card import PERSON, Card, InputCard
from edgeagent.vision.detections import Detections, Floats, joined, one_box_per_vehicle

__all__ = ["DECODERS", "Letterbox", "blank", "decode", "fill", "letterbox"]

Numbers = npt.NDArray[np.generic]

_STRIDES = (8, 16, 32)
# exp(9) cells of 32 px is beyond any picture: a damaged model must not overflow into inf.
_MOST_LOG_SIZE = 9.0
_BINS = 8  # distances of a nanodet's side: 0..7 strides


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the model's input.

    Attributes:
        scale: input pixels per picture pixel.
        left, top: where the scaled picture begins, input pixels.
        width, height: size of the scaled picture, input pixels.
        picture: (width, height) of the picture itself.
        stretch: how much more it is scaled in height than in width.
    """

    scale: float
    left: int
    top: int
    width: int
    height: int
    picture: tuple[int, int]
    stretch: float = 1.0

    def to_picture(self, xyxy: Floats) -> Floats:
        """Boxes (n, 4) from input pixels to picture pixels, clipped to the picture."""
        offset = np.asarray([self.left, self.top, self.left, self.top], np.float32)
        limit = np.asarray([*self.picture, *self.picture], np.float32)
        scale = np.asarray([self.scale, self.scale * self.stretch] * 2, np.float32)
        return np.asarray(np.clip((xyxy - offset) / scale, 0, limit), np.float32)


def letterbox(width: int, height: int, card: InputCard) -> Letterbox:
    """Largest placement of a `width` x `height` picture in the input that keeps its shape; all of it if stretched."""
    if card.fit == "stretch":
        stretch = card.height * width / (height * card.width)
        return Letterbox(card.width / width, 0, 0, card.width, card.height, (width, height), stretch)
    scale = min(card.width / width, card.height / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    centred = card.fit == "letterbox-centre"
    left = (card.width - wide) // 2 if centred else 0
    top = (card.height - high) // 2 if centred else 0
    return Letterbox(scale, left, top, wide, high, (width, height))


def fill(tensor: Floats, scaled: npt.NDArray[np.uint8], box: Letterbox, card: InputCard) -> None:
    """Write a scaled picture (height, width, 3; BGR) into the input tensor (1, 3, H, W), in place.

    The padding is written once by whoever makes the tensor; it never changes.
    """
    channels = scaled if card.colour == "bgr" else scaled[..., ::-1]
    place = tensor[0, :, box.top : box.top + box.height, box.left : box.left + box.width]
    place[:] = channels.transpose(2, 0, 1)
    if any(card.mean) or card.scale != (1.0, 1.0, 1.0):
        place -= np.asarray(card.mean, np.float32)[:, None, None]
        place /= np.asarray(card.scale, np.float32)[:, None, None]


def blank(card: InputCard) -> Floats:
    """An input tensor (1, 3, H, W) full of padding."""
    grey = (card.pad - np.asarray(card.mean, np.float32)) / np.asarray(card.scale, np.float32)
    made = np.empty((1, 3, card.height, card.width), np.float32)
    made[0] = grey[:, None, None]
    return made


def decode(outputs: Mapping[str, Numbers], card: Card, box: Letterbox) -> Detections:
    """A model's outputs -> one box per vehicle, in picture pixels, best first.

    Raises:
        ConfigError: `camera.model-output`: the outputs are not what the card promises.
    """
    xyxy, scores = DECODERS[card.output.decoder](outputs, card)
    columns = list(card.classes)
    if scores.shape[1] <= max(columns):
        raise _not_as_promised(f"{scores.shape[1]} classes, the card names class {max(columns)}")
    chosen = scores[:, columns]
    column = chosen.argmax(axis=1)
    best = chosen[np.arange(len(chosen)), column]
    counted = np.asarray([card.classes[c] in card.counted for c in columns])
    rows = np.flatnonzero((best >= card.low) & counted[column] & np.isfinite(xyxy).all(axis=1))
    class_id = np.asarray(columns, np.intp)[column[rows]]
    found = Detections(box.to_picture(xyxy[rows]), best[rows].astype(np.float32), class_id)
    size = found.xyxy[:, 2:] - found.xyxy[:, :2]
    found = found.take(np.flatnonzero((size > 1).all(axis=1)))
    walks = np.asarray([card.classes[c] == PERSON for c in found.class_id.tolist()], bool)
    if not walks.any():
        return one_box_per_vehicle(found)
    # A person before a car is not a second box of the car.
    return joined(one_box_per_vehicle(found.take(~walks)), one_box_per_vehicle(found.take(walks)))


def _yolox(outputs: Mapping[str, Numbers], card: Card) -> tuple[Floats, Floats]:
    raw = next(iter(outputs.values()))
    cell, stride = _cells(card.input.width, card.input.height)
    if raw.ndim != 3 or raw.shape[1] != len(cell) or raw.shape[2] <= 5:  # noqa: PLR2004  (1, N, 5 + C)
        raise _not_as_promised(f"shape {raw.shape}, expected (1, {len(cell)}, 5 + classes)")
    head = np.asarray(raw[0], np.float32)
    scores = head[:, 4:5] * head[:, 5:]
    # Only promising rows are unfolded: exp() of 3,549 rows costs more than the rest of this file.
    rows = np.flatnonzero(scores.max(axis=1) >= card.low)
    centre = (head[rows, :2] + cell[rows]) * stride[rows]
    half = np.exp(np.minimum(head[rows, 2:4], _MOST_LOG_SIZE)) * stride[rows] / 2
    return np.concatenate([centre - half, centre + half], axis=1), scores[rows]


def _boxes_scores(outputs: Mapping[str, Numbers], card: Card) -> tuple[Floats, Floats]:
    boxes, scores = outputs.get("boxes"), outputs.get("scores")
    if boxes is None or scores is None:
        raise _not_as_promised(f"outputs {', '.join(outputs)}, expected boxes and scores")
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.ndim != 3 or scores.shape[1] != boxes.shape[1]:  # noqa: PLR2004
        raise _not_as_promised(f"boxes {boxes.shape}, scores {scores.shape}; expected (1, N, 4), (1, N, C)")
    rows = np.flatnonzero(np.asarray(scores[0]).max(axis=1) >= card.low)
    return np.asarray(boxes[0][rows], np.float32), np.asarray(scores[0][rows], np.float32)


def _nanodet(outputs: Mapping[str, Numbers], card: Card) -> tuple[Floats, Floats]:
    cell, stride = _middles(card.input.width, card.input.height, card.output.strides)
    scores, sides = _split_nanodet(outputs, len(cell), max(card.classes) + 1)
    rows = np.flatnonzero(scores.max(axis=1) >= card.low)
    bins = sides[rows].reshape(len(rows), 4, -1)
    weight = np.exp(bins - bins.max(axis=2, keepdims=True))
    distance = (weight * np.arange(bins.shape[2], dtype=np.float32)).sum(axis=2) / weight.sum(axis=2) * stride[rows]
    middle = cell[rows] - (stride[rows] / 2 if card.output.decoder == "nanodet" else 0)
    return np.concatenate([middle - distance[:, :2], middle + distance[:, 2:]], axis=1), scores[rows]


def _split_nanodet(outputs: Mapping[str, Numbers], cells: int, least_classes: int) -> tuple[Floats, Floats]:
    """Scores (N, C) and side distributions (N, 4 R) out of whatever parts they came in."""
    parts = [np.asarray(one, np.float32).reshape(-1, one.shape[-1]) for one in outputs.values() if one.ndim == 3]  # noqa: PLR2004
    if len(parts) != len(outputs):
        raise _not_as_promised(f"outputs {_shapes(outputs)}, expected (1, N, numbers)")
    if len(parts) == 1:
        (whole,) = parts
        # The distribution has 4 x 8 numbers in every published NanoDet and PicoDet (reg_max 7).
        parts = [whole[:, : -4 * _BINS], whole[:, -4 * _BINS :]]
    widths = sorted({part.shape[1] for part in parts}, key=lambda width: (width != 4 * _BINS, width))
    if len(widths) != 2 or widths[0] != 4 * _BINS:  # noqa: PLR2004  scores and distances
        raise _not_as_promised(f"outputs {_shapes(outputs)}, expected class scores and 4 x {_BINS} distances")
    scores = np.concatenate([part for part in parts if part.shape[1] == widths[1]])
    sides = np.concatenate([part for part in parts if part.shape[1] == widths[0]])
    if len(scores) != cells or len(sides) != cells or scores.shape[1] < least_classes:
        raise _not_as_promised(f"outputs {_shapes(outputs)}, expected {cells} rows and {least_classes} classes or more")
    return scores, sides


def _detr(outputs: Mapping[str, Numbers], card: Card) -> tuple[Floats, Floats]:
    boxes = next((one for one in outputs.values() if one.ndim == 3 and one.shape[2] == 4), None)  # noqa: PLR2004
    if boxes is None:
        raise _not_as_promised(f"outputs {_shapes(outputs)}, expected boxes (1, Q, 4)")
    count = boxes.shape[1]
    labels, one_each = outputs.get("labels"), outputs.get("scores")
    if labels is not None and one_each is not None and labels.shape == one_each.shape == (1, count):
        scores = np.zeros((count, max(*card.classes, int(labels.max(initial=0))) + 1), np.float32)
        scores[np.arange(count), np.asarray(labels[0], np.intp)] = one_each[0]
    else:
        found = [one for one in outputs.values() if one is not boxes and one.ndim == 3 and one.shape[1] == count]  # noqa: PLR2004
        if len(found) != 1:
            raise _not_as_promised(f"outputs {_shapes(outputs)}, expected boxes (1, Q, 4) and classes (1, Q, C)")
        scores = np.asarray(found[0][0], np.float32)
        if card.output.logits:
            scores = np.asarray(1 / (1 + np.exp(-np.clip(scores, -50, 50))), np.float32)
    xyxy = np.asarray(boxes[0], np.float32)
    if card.output.box_form == "cxcywh":
        half = xyxy[:, 2:] / 2
        size = np.asarray([card.input.width, card.input.height] * 2, np.float32)
        xyxy = np.concatenate([xyxy[:, :2] - half, xyxy[:, :2] + half], axis=1) * size
    rows = np.flatnonzero(scores.max(axis=1) >= card.low) if count else np.zeros(0, np.intp)
    return xyxy[rows], scores[rows]


DECODERS: dict[str, Callable[[Mapping[str, Numbers], Card], tuple[Floats, Floats]]] = {
    "yolox": _yolox,
    "boxes-scores": _boxes_scores,
    "nanodet": _nanodet,
    "picodet": _nanodet,
    "detr": _detr,
}
"""Decoder name of a card -> (boxes (n, 4) in input pixels, scores (n, C)) of rows above `card.low`."""


@functools.lru_cache(maxsize=2)
def _cells(width: int, height: int) -> tuple[Floats, Floats]:
    """Cell (N, 2) and stride (N, 1) of every row of a YOLOX head."""
    cells, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _middles(width: int, height: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Middle (N, 2) in input pixels and stride (N, 1) of every cell; levels are rounded up."""
    middles, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: -(-height // stride), : -(-width // stride)]
        middles.append((np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) * stride)
        steps.append(np.full((x.size, 1), stride))
    return np.concatenate(middles).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _shapes(outputs: Mapping[str, Numbers]) -> str:
    return ", ".join(f"{name} {tuple(one.shape)}" for name, one in outputs.items())


def _not_as_promised(why: str) -> ConfigError:
    return ConfigError("camera.model-output", why=why)
