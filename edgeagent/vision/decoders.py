"""Picture geometry -> the model's input, the model's numbers -> Detections; one decoder per family.

`yolox`: the raw head of Megvii's YOLOX (arXiv 2107.08430), output (1, N, 5 + C), rows in the order
stride 8, 16, 32, each row-major; row = x, y, w, h, objectness, class scores (both already sigmoid);
centre = (xy + cell) * stride, size = exp(wh) * stride, in input pixels.

`boxes-scores`: outputs `boxes` (1, N, 4) x1 y1 x2 y2 in input pixels, `scores` (1, N, C) 0..1.
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

__all__ = ["DECODERS", "Letterbox", "decode", "fill", "letterbox"]

Numbers = npt.NDArray[np.generic]

_STRIDES = (8, 16, 32)
# exp(9) cells of 32 px is beyond any picture: a damaged model must not overflow into inf.
_MOST_LOG_SIZE = 9.0


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the model's input.

    Attributes:
        scale: input pixels per picture pixel.
        left, top: where the scaled picture begins, input pixels.
        width, height: size of the scaled picture, input pixels.
        picture: (width, height) of the picture itself.
    """

    scale: float
    left: int
    top: int
    width: int
    height: int
    picture: tuple[int, int]

    def to_picture(self, xyxy: Floats) -> Floats:
        """Boxes (n, 4) from input pixels to picture pixels, clipped to the picture."""
        offset = np.asarray([self.left, self.top, self.left, self.top], np.float32)
        limit = np.asarray([*self.picture, *self.picture], np.float32)
        return np.asarray(np.clip((xyxy - offset) / self.scale, 0, limit), np.float32)


def letterbox(width: int, height: int, card: InputCard) -> Letterbox:
    """Largest placement of a `width` x `height` picture in the input that keeps its shape."""
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
    tensor[0, :, box.top : box.top + box.height, box.left : box.left + box.width] = channels.transpose(2, 0, 1)


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


DECODERS: dict[str, Callable[[Mapping[str, Numbers], Card], tuple[Floats, Floats]]] = {
    "yolox": _yolox,
    "boxes-scores": _boxes_scores,
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


def _not_as_promised(why: str) -> ConfigError:
    return ConfigError("camera.model-output", why=why)
