"""What a counter sees, as it may be shown: coarse, so that no face and no plate can be read, with lines and counts."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError
from edgeagent.install.report_facts import Counting, Why

__all__ = ["picture"]

_WATCHED_S = 12.0


def picture(config: Any, clock: Clock, *, seconds: float = _WATCHED_S) -> tuple[Counting, bytes]:  # noqa: ANN401  a camera's section
    """Watch for some seconds; the picture with the most vehicles in it, as PNG.

    It loads OpenCV and the model, and waits for pictures: for a thread.
    """
    from edgeagent.sources.count_spot import Spot  # noqa: PLC0415  not on a site without cameras
    from edgeagent.sources.traffic_camera import start_of  # noqa: PLC0415

    png, vehicles, until_s, drawn_s = b"", 0, 0.0, float("-inf")
    try:
        spot = Spot(msgspec.structs.replace(start_of(config), pace=False), clock)
        for seen in spot.watch(seconds):
            until_s = seen.at_s
            now = len(spot.lookout.counter.seen)
            if now > vehicles or (now >= min(vehicles, 1) and until_s - drawn_s >= 1.0):
                png, vehicles, drawn_s = spot.png(seen), now, until_s
    except EdgeAgentError as error:
        return Counting(source=config.id, why=Why.of(error)), b""
    if not png:
        return Counting(source=config.id, why=Why("report.no-picture")), b""
    lines = {
        name: {direction: sum(by_class.values()) for direction, by_class in one.counts.items()}
        for name, one in spot.lookout.counter.totals.items()
    }
    sha256 = hashlib.sha256(png).hexdigest()
    return Counting(source=config.id, lines=lines, seconds=round(until_s, 1), picture_sha256=sha256), png
