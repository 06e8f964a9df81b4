"""Pictures with lines, boxes and counts drawn into them, unreadable where a face or a plate could be.

Only for what a person asks for on the spot; nothing here is called while the agent runs by itself.
May import: errors vision; cv2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.vision.crossing import Line
from edgeagent.vision.detections import Floats
from edgeagent.vision.region import Region

__all__ = ["annotated", "coarse", "label"]

Picture = npt.NDArray[np.uint8]

_LINE, _FORWARD, _BOX, _REGION = (0, 220, 255), (80, 220, 80), (255, 180, 60), (255, 120, 220)
_ACROSS = 64
"""Mosaic tiles across the picture: a number plate of a whole lane's width is two tiles, a head less than one.
The detector cannot be relied on to find people, so the whole picture is made coarse and not only boxes."""


def coarse(picture: Picture) -> Picture:
    """The picture as a smoothed mosaic: roads, lanes and vehicles stay, faces and plates do not."""
    high, wide = picture.shape[:2]
    size = (min(_ACROSS, wide), max(1, round(high * min(_ACROSS, wide) / wide)))
    tiles = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(tiles, (wide, high), interpolation=cv2.INTER_LINEAR), np.uint8)


def annotated(
    picture: Picture,
    lines: Sequence[Line],
    boxes: Floats | None = None,
    *,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    region: Region | None = None,
) -> Picture:
    """A copy with everything drawn in that a count rests on.

    Args:
        picture: (H, W, 3) uint8 BGR.
        lines: counting lines; the arrow points forward.
        boxes: (n, 4) of the vehicles followed.
        counts: by line and direction.
        region: drawn when given.
    """
    drawn = picture.copy()
    thick = max(1, picture.shape[1] // 400)
    if region is not None:
        cv2.polylines(drawn, [np.asarray(region.corners, np.int32)], isClosed=True, color=_REGION, thickness=thick)
    for x1, y1, x2, y2 in [] if boxes is None else boxes.round().astype(int).tolist():
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _BOX, thick)
        cv2.circle(drawn, ((x1 + x2) // 2, y2), thick + 1, _BOX, -1)
    for line in lines:
        (x1, y1), (x2, y2) = line.start, line.end
        cv2.line(drawn, (round(x1), round(y1)), (round(x2), round(y2)), _LINE, thick + 1, cv2.LINE_AA)
        middle = ((x1 + x2) / 2, (y1 + y2) / 2)
        length = float(np.hypot(x2 - x1, y2 - y1))
        ahead = (-(y2 - y1) / length * line.forward_sign, (x2 - x1) / length * line.forward_sign)
        tip = (round(middle[0] + 24 * ahead[0]), round(middle[1] + 24 * ahead[1]))
        cv2.arrowedLine(drawn, (round(middle[0]), round(middle[1])), tip, _FORWARD, thick + 1, cv2.LINE_AA)
        told = (counts or {}).get(line.id)
        text = line.id if told is None else f"{line.id} {' / '.join(str(n) for n in told.values())}"
        label(drawn, text, (round(min(x1, x2)) + 4, round(min(y1, y2)) - 6))
    return drawn


def label(picture: Picture, text: str, at: tuple[int, int]) -> None:
    """Write ASCII text with a dark edge, in place."""
    size = max(0.4, picture.shape[1] / 1400)
    x, y = max(2, at[0]), max(12, at[1])
    for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thick, cv2.LINE_AA)
