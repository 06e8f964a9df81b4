"""Milliseconds per frame on one thread, and the count error of the shipped model on every clip with truth.

The peer's detector (and our counting rule on it) is scored beside ours when the shared data is there,
so that the figures of one run can be compared with each other.
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np

from edgeagent import shipped
from edgeagent.sources.count_eval import read_truth, watch
from edgeagent.sources.detector import Detector
from tests.bench.figures import say

SHARED = Path(os.environ.get("EDGEAGENT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
RATES = (None, 10.0, 5.0)


def vision():
    models = {"ours": shipped.model("vehicles")}
    baseline = _baseline()
    if baseline:
        models["baseline"] = baseline
    for name, model in models.items():
        _score(name, model)


def _score(name, model):
    detector = Detector(model)
    totals = dict.fromkeys(RATES, 0)
    true = 0
    for clip in sorted((SHARED / "traffic").glob("*.mp4")):
        truth = read_truth(clip.with_suffix(".json"))
        began = time.process_time()
        footage = watch(clip, detector)
        cpu_ms = (time.process_time() - began) * 1000 / footage.frames
        say(f"vision_{name}_cpu_{clip.stem}", cpu_ms, "ms CPU per frame, decoding to boxes", footage.frames)
        for fps in RATES:
            result = footage.score(truth, fps=fps)
            totals[fps] += result.error
            rate = "full" if fps is None else f"{fps:.0f}fps"
            say(f"count_{name}_{clip.stem}_{rate}", result.error, f"vehicles wrong of {result.truth}", result.truth)
        true += result.truth
    for fps, error in totals.items():
        rate = "full" if fps is None else f"{fps:.0f}fps"
        say(f"count_{name}_all_{rate}", 100 * error / true, "percent of true crossings", true)
    _frame_time(name, detector)


def _frame_time(name, detector):
    picture = np.random.default_rng(1).integers(0, 255, (288, 352, 3), dtype=np.uint8)
    walls = []
    for _ in range(60):
        began = time.perf_counter()
        detector.look(picture)
        walls.append((time.perf_counter() - began) * 1000)
    say(f"vision_{name}_frame", statistics.median(walls), "ms per 352x288 frame, one thread, median", len(walls))


def _baseline():
    """The baseline detector with our card beside it (the file itself is shared data, never ours)."""
    model = SHARED / "models" / "yolox_nano.onnx"
    if not model.is_file():
        return None
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"edgeagent-baseline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    card = Path(__file__).resolve().parents[1] / "recordings" / "yolox_nano.toml"
    (folder / "yolox_nano.onnx").write_bytes(model.read_bytes())
    (folder / "yolox_nano.toml").write_bytes(card.read_bytes())
    return folder / "yolox_nano.onnx"
