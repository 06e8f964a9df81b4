"""`model = "motion"`: what moves is a vehicle.  For views no network has learnt, such as from straight above.

Background subtraction finds a car from a bridge or a gantry as surely as from the side, at an
eighth of a network's time.  It cannot name what it finds (the class is `vehicle`), takes vehicles that
touch each other for one, and forgets what stands for minutes: use it in free flow.
May import: errors vision; cv2.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.vision.card import Card, InputCard, ModelCard, OutputCard, ThresholdCard
from edgeagent.vision.detections import Detections

__all__ = ["MotionEye"]

_WIDTH, _HEIGHT = 416, 256
_LEARN = 1 / 300  # of the background per look: half a minute at ten looks per second
_SETTLES_LOOKS = 5  # until then everything is news
_SHADOW = 127  # what MOG2 calls a shadow
_LEAST_SHARE = 0.0015  # of the picture: smaller blobs are leaves, birds and noise
_MOST_CHANGED = 0.6  # more of the picture at once is a lamp or the exposure, not traffic
_JOIN_PX = 7  # a windscreen parts a car into two blobs
_EXPOSURE = 0.02  # change of the whole picture's brightness between looks that is light, not traffic


class MotionEye:
    """Finds what moves."""

    may_rest = False  # the background has to be learnt also while nothing moves

    def __init__(self) -> None:
        self.card = Card(
            model=ModelCard(name="motion", sha256=""),
            input=InputCard(width=_WIDTH, height=_HEIGHT),
            output=OutputCard(decoder="boxes-scores"),
            classes={0: "vehicle"},
            threshold=ThresholdCard(score=0.5, low=0.4),
        )
        settings = f"mog2 {_LEARN} {_LEAST_SHARE} {_JOIN_PX} {_MOST_CHANGED} {_EXPOSURE}"
        self.sha256 = hashlib.sha256(settings.encode()).hexdigest()
        self._background = cv2.createBackgroundSubtractorMOG2(history=300, varThreshold=25, detectShadows=True)
        self._kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_JOIN_PX, _JOIN_PX))
        self._scaled: npt.NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)
        self._scale = 1.0
        self._level: float | None = None
        self._looks = 0

    @property
    def scaled(self) -> npt.NDArray[np.uint8]:
        """The last picture as it was looked at: (h, w, 3) uint8 BGR."""
        return self._scaled

    def look(self, picture: npt.NDArray[np.uint8]) -> Detections:
        """Find what moves in the next picture (H, W, 3) uint8 BGR; in pixels of the picture."""
        self.shrink(picture)
        return self.find()

    def shrink(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Scale a picture to what will be looked at: `scaled`."""
        high, wide = picture.shape[:2]
        self._scale = min(_WIDTH / wide, _HEIGHT / high)
        size = (max(1, round(wide * self._scale)), max(1, round(high * self._scale)))
        self._scaled = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        return self._scaled

    def find(self, step: int = 0) -> Detections:  # noqa: ARG002  it has one size only
        """Find what moves in the picture that was shrunk last."""
        level = self._steadied()
        mask = self._background.apply(level, learningRate=-1 if self._looks < _SETTLES_LOOKS else _LEARN)
        self._looks += 1
        moving = (np.asarray(mask) > _SHADOW).astype(np.uint8)
        if self._looks <= _SETTLES_LOOKS or moving.mean() > _MOST_CHANGED:
            return Detections.none()
        moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
        moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_CLOSE, self._kernel), np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        least = _LEAST_SHARE * moving.size
        rows = [row for row in np.asarray(stats)[1:].tolist() if row[4] >= least]
        boxes = np.asarray([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
        # The fuller a blob fills its box, the surer it is one vehicle and not a chain of specks.
        score = np.asarray([0.5 + 0.5 * area / (w * h) for _, _, w, h, area in rows], np.float32)
        order = np.argsort(-score, kind="stable")
        return Detections(boxes[order] / np.float32(self._scale), score[order], np.zeros(len(order), np.intp))

    def _steadied(self) -> npt.NDArray[np.uint8]:
        """Grey, with the camera's own exposure steps taken out: a car that enters must not darken the road."""
        grey = np.asarray(cv2.cvtColor(self._scaled, cv2.COLOR_BGR2GRAY), np.uint8)
        level = float(np.median(grey))
        if self._level is None:
            self._level = level
        self._level += 0.01 * (level - self._level)  # daylight is followed, slowly
        gain = self._level / max(level, 1.0)
        if abs(gain - 1) < _EXPOSURE:
            return grey
        return np.asarray(cv2.convertScaleAbs(grey, alpha=gain), np.uint8)
