"""What makes a count untrustworthy: a picture too dark, blurred, frozen, or of another view.

Judged about once a second on the picture the detector gets; costs about a millisecond.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Floats

__all__ = ["FLAGS", "SceneWatch"]

Picture = npt.NDArray[np.uint8]

FLAGS = ("dark", "blurred", "frozen", "moved")

_DARK = 40.0  # grey value that 9 of 10 pixels stay below: only lamps are left to see
_BLURRED = 0.035  # share of contrast between neighbouring pixels; sharp pictures have 0.1 and more
_FLAT = 4.0  # standard deviation of a picture without contrast: fog, a covered lens
_FROZEN_S = 10.0  # a live picture has noise: not one bit changed in so long means it is not live
_LEARN_S = 20.0  # time constant of the background: vehicles pass, the road stays
_FORGET_S = 900.0  # time constant of the remembered view: dusk and lamps come slowly
_REMEMBER_AFTER_S = 30.0
_UNLIKE = 0.25  # correlation of edges: the same view keeps above 0.5 at changing light, another has about 0
_MOVED_S = 15.0  # a bus that stops in front of the camera leaves again


class SceneWatch:
    """Tells what is wrong with what the camera shows."""

    def __init__(self) -> None:
        self._background: Floats | None = None
        self._view: Floats | None = None
        self._begun_s = self._last_s = self._changed_s = self._alike_s = 0.0
        self._before = b""

    def look(self, picture: Picture, now_s: float) -> frozenset[str]:
        """Judge one picture.

        Args:
            picture: (H, W, 3) uint8, always of the same size; the smaller side at least 64 px.
            now_s: when it was taken.

        Returns:
            The FLAGS that apply.
        """
        grey = picture[..., 1].astype(np.float32)  # green carries most of the light
        flags = set()
        if float(np.percentile(grey[::4, ::4], 90)) < _DARK:
            flags.add("dark")
        if _sharpness(grey) < _BLURRED:
            flags.add("blurred")
        same = picture.tobytes()
        if same != self._before:
            self._before, self._changed_s = same, now_s
        if now_s - self._changed_s >= _FROZEN_S:
            flags.add("frozen")
        if self._is_moved(grey, now_s, judge="dark" not in flags and "frozen" not in flags):
            flags.add("moved")
        return frozenset(flags)

    def _is_moved(self, grey: Floats, now_s: float, *, judge: bool) -> bool:
        """Compare the edges of the road without vehicles with those remembered."""
        small = _shrunk(grey)
        elapsed = now_s - self._last_s
        self._last_s = now_s
        if self._background is None:
            self._background = small
            self._begun_s = self._alike_s = now_s
            return False
        self._background = self._background + np.float32(1 - np.exp(-elapsed / _LEARN_S)) * (small - self._background)
        if not judge or now_s - self._begun_s < _REMEMBER_AFTER_S:
            self._alike_s = now_s
            return False
        edges = _edges(self._background)
        if self._view is None:
            self._view = edges
        if _alike(edges, self._view) >= _UNLIKE:
            self._alike_s = now_s
            self._view = self._view + np.float32(1 - np.exp(-elapsed / _FORGET_S)) * (edges - self._view)
        return now_s - self._alike_s >= _MOVED_S


def _sharpness(grey: Floats) -> float:
    """Mean step between neighbours as a share of the picture's contrast; 0 for a flat picture."""
    contrast = float(grey.std())
    if contrast < _FLAT:
        return 0.0
    return float(np.abs(np.diff(grey, axis=1)).mean()) / contrast


def _shrunk(grey: Floats, width: int = 64) -> Floats:
    """Block means, about `width` pixels wide: small shakes of the pole do not show."""
    step = max(1, grey.shape[1] // width)
    high, wide = grey.shape[0] // step * step, grey.shape[1] // step * step
    return np.asarray(grey[:high, :wide].reshape(high // step, step, wide // step, step).mean(axis=(1, 3)), np.float32)


def _edges(small: Floats) -> Floats:
    return np.hypot(np.diff(small, axis=0)[:, :-1], np.diff(small, axis=1)[:-1, :])


def _alike(a: Floats, b: Floats) -> float:
    """Correlation of two edge pictures, -1..1; 1 where there are no edges to compare."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 1.0
