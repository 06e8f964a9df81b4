"""A camera for the page on demand: blurred pictures, and what traffic says of a line that is only drawn yet.

The camera is looked at without lines, as `count lines` does: every line, saved or not, is held against the
ways of the vehicles seen so far, so a line can be moved while traffic runs and tells at once what it is worth.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.sources.camera_messages import Start, without_password
from edgeagent.sources.count_spot import Spot
from edgeagent.vision.crossing import Line
from edgeagent.vision.line_check import check
from edgeagent.web.offers import Drawn, Found, Picture

__all__ = ["Aim"]

_FPS = 5.0  # the agent is to go on beside it
_LONGEST_S = 900.0
_EVERY_S = 0.8  # between two pictures


class Aim:
    """One camera, as `web.offers.Watcher`.

    Args:
        start: camera and model, as the agent uses them.
        clock: for live cameras.
    """

    def __init__(self, start: Start, clock: Clock) -> None:
        self._camera = start.camera
        fps = min(_FPS, start.max_fps)
        self._spot = Spot(msgspec.structs.replace(start, lines=(), speed=None, pace=True, max_fps=fps), clock)

    def pictures(self) -> Generator[Picture, None, None]:
        """Blurred pictures, about one a second.

        Raises:
            EdgeAgentError: `web.busy`: a device that somebody else has; or what the camera says itself.
        """
        shown_s = float("-inf")
        try:
            for seen in self._spot.watch(_LONGEST_S):
                if seen.at_s - shown_s >= _EVERY_S:
                    shown_s = seen.at_s
                    yield Picture(self._spot.png(seen), self._spot.size, seen.at_s, len(self._spot.ways))
        except EdgeAgentError as error:
            if self._camera.startswith("/dev/") and error.code in ("camera.not-open", "camera.no-picture"):
                raise EdgeAgentError("web.busy", camera=without_password(self._camera)) from error
            raise

    def check(self, lines: Sequence[Drawn]) -> list[Found]:
        """What the traffic seen so far says of these lines."""
        ways = [list(way) for way in self._spot.paths()]  # the looking thread goes on adding
        found = []
        for one in lines:
            try:
                line = Line.towards(one.id, one.start, one.end, one.forward)
            except ConfigError as error:  # too short, or along its own direction
                fault = error.code.removeprefix("camera.line-")
                found.append(Found(id=one.id, forward=0, backward=0, beside=0, faults=(fault,)))
                continue
            seen = check(line, self._spot.size, ways)
            found.append(
                Found(id=one.id, forward=seen.forward, backward=seen.backward, beside=seen.beside, faults=seen.faults)
            )
        return found
