"""Is anything moving?  If not, the last answer of the detector still holds.

On a still road the detector sees what it saw before, and costs most of the processor.  The gate
compares means of 8 x 8 pixels with those of the picture that was looked at last, less what the
whole picture changed by (exposure), and opens when one block differs by more than noise does.
It compares with the last picture that was *looked at*, so what creeps adds up until it shows,
and it never stays shut for longer than `stale_s`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeagent.vision.detections import Floats

__all__ = ["STALE_EMPTY_S", "STALE_S", "MotionGate"]

STALE_S = 0.6
"""Longest without a look while vehicles are in sight: a track is forgotten after 0.8 s."""
STALE_EMPTY_S = 1.5
"""The same while the road is empty."""

_BLOCK = 8  # pixels of the detector's input; what is smaller it does not find either
_LEAST = 2.5  # grey levels: sensor noise of 3 levels is 0.4 in the mean of a block
_NOISES = 6.0
_MOST = 8.0  # rain and compression raise the noise; a dark car on a dark road still differs by this
_LINGERS_S = 0.6  # the last moment of a movement is looked at too: a crossing is believed 0.15 s later


class MotionGate:
    """Decides for each picture whether the detector has to look."""

    def __init__(self) -> None:
        self._reference: Floats | None = None
        self._looked_s = self._moved_s = float("-inf")

    def opens(self, picture: npt.NDArray[np.uint8], now_s: float, *, vehicles: int) -> bool:
        """Whether to look at this picture; if so it becomes the one to compare with.

        Args:
            picture: (H, W, 3) uint8, as the detector gets it; at least 8 x 8.
            now_s: when it was taken.
            vehicles: how many were seen by the last look.
        """
        blocks = _block_means(picture)
        if self._moves(blocks):
            self._moved_s = now_s
        stale = now_s - self._looked_s >= (STALE_S if vehicles else STALE_EMPTY_S)
        if not stale and now_s - self._moved_s > _LINGERS_S:
            return False
        self._reference, self._looked_s = blocks, now_s
        return True

    def _moves(self, blocks: Floats) -> bool:
        before = self._reference
        if before is None or before.shape != blocks.shape:
            return True
        change = blocks - before
        change = np.abs(change - np.median(change))
        noise = 1.48 * float(np.median(change))  # median deviation -> standard deviation
        return float(change.max()) > min(max(_LEAST, _NOISES * noise), _MOST)


def _block_means(picture: npt.NDArray[np.uint8]) -> Floats:
    """Green, averaged over 8 x 8 pixels."""
    high, wide = (side // _BLOCK * _BLOCK for side in picture.shape[:2])
    green = picture[:high, :wide, 1].reshape(high // _BLOCK, _BLOCK, wide // _BLOCK, _BLOCK)
    return np.asarray(green.mean(axis=(1, 3), dtype=np.float32))
