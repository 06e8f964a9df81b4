"""What a detector saw in one picture: boxes, scores, classes; and which boxes are the same vehicle.

Boxes are float32 `(n, 4)` rows `x1, y1, x2, y2` in pixels, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Detections", "Floats", "Ints", "grown", "iou", "joined", "one_box_per_vehicle"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

# A lorry's cab inside the lorry, a car seen at two scales: the smaller box lies within the better one.
_INSIDE = 0.85
# One van is "car" and "truck" at once, so suppression ignores the class.  Two vehicles of a queue
# seen from a pole overlap less than this.
_SAME = 0.45


@dataclass(frozen=True)
class Detections:
    """Boxes of one picture.

    Attributes:
        xyxy: (n, 4) float32 pixels of the picture.
        score: (n,) float32, 0..1.
        class_id: (n,) index into the model card's classes.
    """

    xyxy: Floats
    score: Floats
    class_id: Ints

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def none(cls) -> Detections:
        """An empty picture."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.intp))

    def take(self, rows: npt.NDArray[np.bool_] | Ints) -> Detections:
        """The chosen rows, by mask or by index."""
        return Detections(self.xyxy[rows], self.score[rows], self.class_id[rows])


def joined(a: Detections, b: Detections) -> Detections:
    """Both, best first."""
    score = np.concatenate([a.score, b.score])
    both = Detections(np.concatenate([a.xyxy, b.xyxy]), score, np.concatenate([a.class_id, b.class_id]))
    return both.take(np.argsort(-score, kind="stable"))


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m)."""
    shared = _intersection(a, b)
    union = _area(a)[:, None] + _area(b)[None, :] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-9), 0).astype(np.float32)


def grown(xyxy: Floats, factor: float) -> Floats:
    """Boxes (n, 4) scaled around their centres."""
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    half = (xyxy[:, 2:] - xyxy[:, :2]) / 2 * factor
    return np.concatenate([centre - half, centre + half], axis=1)


def one_box_per_vehicle(found: Detections, *, most: int = 100) -> Detections:
    """Keep the best box of each vehicle, whatever the classes say.

    Args:
        found: raw detections.
        most: upper bound of boxes kept, best first.

    Returns:
        Detections ordered by falling score; of two boxes with IoU above 0.45, or of which the worse
        lies to more than 85 % inside the better, only the better one.
    """
    best_first = found.take(np.argsort(-found.score, kind="stable")[: most * 4])
    if len(best_first) < 2:  # noqa: PLR2004  nothing to compare
        return best_first
    shared = _intersection(best_first.xyxy, best_first.xyxy)
    area = np.maximum(_area(best_first.xyxy), 1e-9)
    same = shared / (area[:, None] + area[None, :] - shared) > _SAME
    same |= shared / area[None, :] > _INSIDE
    keep: list[int] = []
    gone = np.zeros(len(best_first), bool)
    for row in range(len(best_first)):
        if gone[row]:
            continue
        keep.append(row)
        if len(keep) == most:
            break
        gone |= same[row]
    return best_first.take(np.asarray(keep, np.intp))


def _intersection(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    size = np.clip(high - low, 0, None)
    return np.asarray(size[..., 0] * size[..., 1], np.float32)


def _area(boxes: Floats) -> Floats:
    size = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(size[:, 0] * size[:, 1], np.float32)
