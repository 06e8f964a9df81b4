"""`python -m edgeagent.sources.model_trial MODEL.onnx`: does this model work here, how fast, how large?

Looks at a few golden pictures: even grey, noise, and a bright bar, which between them reach every
layer.  Prints one JSON line: {"ms": median of the looks, "mb": peak memory, "found": boxes} or
{"error": code}.  May import: errors vision; numpy.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from edgeagent.errors import ConfigError
from edgeagent.sources.detector import Detector, Picture

__all__ = ["main"]

_LOOKS = 3
_MOST_BOXES = 200  # a picture of nothing that is full of vehicles: the numbers mean nothing


def main(file: Path) -> dict[str, object]:
    """Try a model.

    Args:
        file: the `.onnx`, its card beside it.
    """
    try:
        detector = Detector(file)
        took, found = [], 0
        for picture in _golden(detector.card.input.height, detector.card.input.width):
            for _ in range(_LOOKS):
                began = time.perf_counter()
                seen = detector.look(picture)
                took.append((time.perf_counter() - began) * 1000)
            if not (np.isfinite(seen.xyxy).all() and np.isfinite(seen.score).all()):
                return {"error": "not a number"}
            found = max(found, len(seen.score))
    except ConfigError as error:
        return {"error": str(error)}
    if found > _MOST_BOXES:
        return {"error": f"{found} boxes in an empty picture"}
    return {"ms": round(statistics.median(took), 1), "mb": round(_peak_mb(), 1), "found": found}


def _peak_mb() -> float:
    """Of this program alone: `ru_maxrss` begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _golden(height: int, width: int) -> list[Picture]:
    grey = np.full((height, width, 3), 114, np.uint8)
    noise = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    bar = grey.copy()
    bar[height // 3 : 2 * height // 3, width // 4 : 3 * width // 4] = 250
    return [grey, noise, bar]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)  # noqa: T201  the answer
