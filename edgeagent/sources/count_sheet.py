"""Disagreements of a count with its truth -> one PNG to look at: three moments of each.

May import: errors vision; annotate, count_eval, video and what they import; cv2.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeagent.errors import ConfigError
from edgeagent.sources.annotate import Picture, annotated, label
from edgeagent.sources.count_eval import Difference
from edgeagent.sources.video import FileFrames
from edgeagent.vision.crossing import Line

__all__ = ["contact_sheet"]

_AROUND_S = (-0.5, 0.0, 0.5)
_TILE = 320  # pixels wide
_MOST = 40  # rows; beyond that the numbers say enough


def contact_sheet(video: Path, lines: Sequence[Line], differences: Sequence[Difference], into: Path) -> int:
    """Write the sheet.

    Args:
        video: the clip.
        lines: of the truth.
        differences: what to show, a row each.
        into: the PNG.

    Returns:
        Rows written; 0, and no file, when there is nothing to show.

    Raises:
        SourceUnavailable: the clip cannot be read.
        ConfigError: `camera.no-sheet`: the file cannot be written.
    """
    shown = list(differences)[:_MOST]
    if not shown:
        return 0
    moments = sorted({max(0.0, one.at_s + around) for one in shown for around in _AROUND_S})
    pictures = _at(video, moments)
    rows = []
    for one in shown:
        tiles = []
        for around in _AROUND_S:
            tile = _tile(pictures[max(0.0, one.at_s + around)], [line for line in lines if line.id == one.line])
            label(tile, f"{max(0.0, one.at_s + around):.1f} s", (4, 14))
            tiles.append(tile)
        label(tiles[0], f"{one.kind} {one.cls} {one.line} {one.side}", (4, tiles[0].shape[0] - 8))
        rows.append(np.hstack(tiles))
    into_text = str(into)
    try:
        written = cv2.imwrite(into_text, np.vstack(rows))
    except cv2.error:
        written = False
    if not written:
        raise ConfigError("camera.no-sheet", file=into_text)
    return len(rows)


def _at(video: Path, moments: Sequence[float]) -> dict[float, Picture]:
    """The picture shown at each moment; the last one for moments beyond the end."""
    found: dict[float, Picture] = {}
    film, waiting, last = FileFrames(str(video)), list(moments), None
    for frame in film:
        last = frame.picture
        while waiting and frame.at_s >= waiting[0] - 1e-6:
            found[waiting.pop(0)] = frame.picture
        if not waiting:
            break
    film.close()
    if last is not None:
        found |= dict.fromkeys(waiting, last)
    return found


def _tile(picture: Picture, lines: Sequence[Line]) -> Picture:
    drawn = annotated(picture, lines)
    size = (_TILE, max(1, round(picture.shape[0] * _TILE / picture.shape[1])))
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)
