"""How often, and how closely, a camera may be looked at so that its worker keeps to its share of the box.  Pure.

Gauges and alarms run on the same processor, and a cabinet in the sun has no fan.  Every few
seconds the governor is told how much processor time the worker used and how hot the board is; it
answers with looks per second and with one of the model's input sizes.  Looking less often costs little
up to `LEAST_FPS`, below which counting is not proven; a smaller picture costs the far vehicles.  So the
rate goes first and comes back last, and what neither can hold is told.
May import: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["HOT_C", "JUDGED_EVERY_S", "LEAST_FPS", "Governor", "Limit"]

Limit = Literal["", "cpu", "heat"]
"""What holds it down: nothing, the processor share, or the board's temperature."""

LEAST_FPS = 4.0
"""Counting was proven at 5 looks per second; a little less is left for a hot afternoon."""
HOT_C = 78.0
"""A Pi slows itself down at 80-85 °C; looking less often is the better way to cool."""
JUDGED_EVERY_S = 5.0

_COOL_C = 5.0  # below the limit by so much before anything may rise again
_SLOWER, _FASTER = 0.8, 1.15
_SLACK = 0.85  # of the share: room for the next, faster rate


@dataclass
class Governor:
    """Holds processor share and temperature by looking less often, then at a smaller picture.

    Attributes:
        max_fps: looks per second when nothing hinders.
        cpu_share: of one core that the worker may use.
        costs: of the model's input sizes, largest first, as shares of the first one's.
        fps: looks per second allowed now.
        step: which input size, 0 the largest.
        limit: what holds it down.
        overrun: at the lowest rate and the smallest size, and still above its share.
    """

    max_fps: float
    cpu_share: float
    costs: tuple[float, ...] = (1.0,)
    fps: float = 0.0
    step: int = 0
    limit: Limit = ""
    overrun: bool = False

    def __post_init__(self) -> None:
        self.fps = self.max_fps

    def judge(self, used_share: float, board_c: float | None) -> None:
        """Decide anew.

        Args:
            used_share: processor time over elapsed time since the last call; 1 is one core.
            board_c: temperature of the board, None where it cannot be read.
        """
        least = min(LEAST_FPS, self.max_fps)
        hot = board_c is not None and board_c >= HOT_C
        warm = board_c is not None and board_c > HOT_C - _COOL_C
        over = used_share > self.cpu_share
        self.overrun = False
        if hot or over:
            self.limit = "heat" if hot else "cpu"
            if self.fps > least:
                wanted = self.fps * (_SLOWER if hot else max(self.cpu_share / used_share, 0.5))
                self.fps = max(least, wanted)
            elif self.step < len(self.costs) - 1:
                self.step += 1
            else:
                self.overrun = over
        elif self.step and not warm:
            dearer = self.costs[self.step - 1] / self.costs[self.step]
            if used_share * dearer <= self.cpu_share * _SLACK:
                self.step -= 1
        elif self.fps < self.max_fps and not warm:
            may = self.fps * self.cpu_share * _SLACK / max(used_share, 1e-3)
            self.fps = min(self.max_fps, max(self.fps, min(self.fps * _FASTER, may)))
            if self.fps >= self.max_fps:
                self.limit = ""
