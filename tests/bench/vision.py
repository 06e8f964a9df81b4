"""Figures of counting: time, memory and error of our model and worker, beside the baseline and the peer, in one run.

The baseline detector (YOLOX-Nano) and the clips are shared data; the peer (supervision's ByteTrack, one count per track)
runs on the baseline's detections in an environment of its own, and is left out where that cannot be made.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnxruntime

from edgeagent import shipped
from edgeagent.simulate.road import render_clip
from edgeagent.sources.camera_messages import FromWorker, LineSpec, Start, Tally
from edgeagent.sources.count_eval import read_truth, watch
from edgeagent.sources.detector import Detector
from edgeagent.sources.motion_eye import MotionEye
from edgeagent.sources.video import FileFrames
from edgeagent.vision.decoders import _yolox, fill, letterbox
from edgeagent.vision.detections import iou
from tests.bench.figures import say

HERE = Path(__file__).resolve()
SHARED = Path(os.environ.get("EDGEAGENT_SHARED", HERE.parents[3] / "shared"))
PEER = Path(os.environ.get("EDGEAGENT_PEER", HERE.parents[2] / ".venv-peer"))
RATES = (None, 10.0, 5.0)
WORKER_S = 30


def vision():
    models = {"ours": shipped.model("vehicles")}
    baseline = _baseline()
    if baseline:
        models["baseline"] = baseline
    _frame_times(models)
    _worker_cpu()
    errors = {name: _score(name, Detector(model)) for name, model in models.items()}
    _overhead()
    if baseline:
        peer = _peer(Detector(baseline))
        if peer:
            _against(errors["ours"], peer)


def rate_name(fps):
    return "full" if fps is None else f"{fps:.0f}fps"


def clips():
    return sorted((SHARED / "traffic").glob("*.mp4"))


# --- time and memory ------------------------------------------------------------------------------------------


def _frame_times(models):
    """Interleaved, so that a busy machine is busy for all of them; the ratios are what counts."""
    picture = np.random.default_rng(1).integers(0, 255, (288, 352, 3), dtype=np.uint8)
    runs = {(name, threads): _threaded(model, threads) for name, model in models.items() for threads in (1, 2)}
    walls, cpus = {key: [] for key in runs}, {key: [] for key in runs}
    for _ in range(40):
        for key, detector in runs.items():
            began, spent = time.perf_counter(), time.process_time()
            detector.look(picture)
            cpus[key].append((time.process_time() - spent) * 1000)
            walls[key].append((time.perf_counter() - began) * 1000)
    for (name, threads), wall in walls.items():
        say(f"vision_{name}_frame_{threads}t", statistics.median(wall), "ms per 352x288 frame, median", len(wall))
        cpu = statistics.median(cpus[name, threads])
        say(f"vision_{name}_cpu_{threads}t", cpu, "ms CPU per 352x288 frame, median", len(wall))
    if ("baseline", 1) in cpus:
        ratio = statistics.median(cpus["ours", 1]) / statistics.median(cpus["baseline", 1])
        say("vision_cpu_to_baseline", ratio, "of the baseline's CPU per frame, one thread (goal 0.6)", 40)


def _threaded(model, threads):
    detector = Detector(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    detector._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return detector


def _worker_cpu():
    """The whole worker at 5 looks per second: a busy road, and a quiet one with and without the motion gate."""
    with tempfile.TemporaryDirectory() as folder:
        busy = render_clip(Path(folder) / "busy.mp4", WORKER_S)
        quiet = Path(folder) / "quiet.mp4"
        _freeze(Path(folder) / "busy.mp4", quiet)
        for name, path, gate in (
            ("busy", "busy.mp4", True),
            ("quiet", "quiet.mp4", True),
            ("quiet", "quiet.mp4", False),
        ):
            cpu_s, rss_mib, last = _run_worker(Path(folder) / path, busy.lines[0], gate=gate)
            how = "gate" if gate else "no_gate"
            say(f"worker_cpu_{name}_{how}", 100 * cpu_s / WORKER_S, "% of one core at 5 looks/s", last.looks)
            say(f"worker_rss_{name}_{how}", rss_mib, "MiB at the end", 1)
            say(
                f"worker_inferred_{name}_{how}",
                last.inferred / last.looks,
                "of the looks needed the network",
                last.looks,
            )


def _freeze(source, into):
    """A road with nobody on it, with a live camera's noise."""
    empty = next(iter(FileFrames(str(source)))).picture
    rng = np.random.default_rng(3)
    writer = cv2.VideoWriter(str(into), cv2.VideoWriter.fourcc(*"mp4v"), 10, (empty.shape[1], empty.shape[0]))
    for _ in range(WORKER_S * 10):
        writer.write((empty + rng.normal(0, 2, empty.shape)).clip(0, 255).astype(np.uint8))
    writer.release()


def _run_worker(clip, line, *, gate):
    spec = LineSpec(id="road", start=line.p1, end=line.p2, forward="down")
    start = Start(camera=str(clip), model="vehicles", lines=(spec,), max_fps=5.0, gate=gate)
    command = [sys.executable, "-m", "edgeagent.sources.camera_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(msgspec.json.encode(start) + b"\n")
        process.stdin.flush()
        decode, last, rss, warm = msgspec.json.Decoder(FromWorker).decode, None, 0, None
        for line_ in process.stdout:
            message = decode(line_)
            if isinstance(message, Tally):
                last = message
                stat = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
                cpu_s = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                warm = cpu_s if warm is None else warm  # loading the libraries is not watching
                rss = (
                    int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
                )
    return cpu_s - warm, rss, last


# --- error ----------------------------------------------------------------------------------------------------


def _score(name, eye):
    """Error by (clip, rate); what is right by class beside it."""
    errors, true, classes = {}, 0, {}
    for clip in clips():
        truth = read_truth(clip.with_suffix(".json"))
        footage = watch(clip, eye)
        for fps in RATES:
            result = footage.score(truth, fps=fps)
            errors[clip.stem, fps] = result.error
            say(
                f"count_{name}_{clip.stem}_{rate_name(fps)}",
                result.error,
                f"vehicles wrong of {result.truth}",
                result.truth,
            )
            if fps is None:
                true += result.truth
                for cls, score in result.per_class.items():
                    known = classes.setdefault(cls, [0, 0])
                    known[0] += score.truth
                    known[1] += score.error
            if clip.stem == "blackfriars_queue":
                false = result.per_direction["road:positive"].counted
                say(f"count_{name}_queue_false_{rate_name(fps)}", false, "counts of the standing queue (goal 0)", 1)
    for fps in RATES:
        total = sum(error for (_, rate), error in errors.items() if rate == fps)
        say(f"count_{name}_all_{rate_name(fps)}", 100 * total / true, "percent of true crossings", true)
    for cls, (wanted, error) in classes.items():
        say(f"count_{name}_class_{cls}", error, f"named wrongly, too many or too few, of {wanted}; full rate", wanted)
    return errors


def _overhead():
    """The view from above, where no network of ours sees anything: what moves is counted."""
    clip = SHARED / "traffic" / "carpark_overhead.mp4"
    if clip.is_file():
        truth = read_truth(clip.with_suffix(".json"))
        for fps in RATES:
            result = watch(clip, MotionEye(), fps=fps).score(truth)
            say(
                f"count_motion_{clip.stem}_{rate_name(fps)}",
                result.error,
                f"vehicles wrong of {result.truth}",
                result.truth,
            )


def _peer(detector):
    """{rule: {(clip, rate): error}} of the peer on the baseline's detections, or None."""
    python = _peer_python()
    if python is None:
        return None
    asked, truths = {}, {}
    for clip in clips():
        truths[clip.stem] = truth = read_truth(clip.with_suffix(".json"))
        film = FileFrames(str(clip))
        looks = [(frame.at_s, _plain(detector, frame.picture)) for frame in film]
        lines = [{"id": line.id, "p1": line.p1, "p2": line.p2} for line in truth.lines]
        asked[clip.stem] = {"fps": film.fps, "lines": lines, "looks": looks}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(asked, file)
        file.flush()
        command = [python, str(HERE.with_name("peer.py")), file.name, *map(str, RATES)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    found = {}
    for clip, by_rate in told.items():
        for fps in RATES:
            for rule, counts in by_rate[str(fps)].items():
                found.setdefault(rule, {})[clip, fps] = sum(
                    max(
                        counts[line.id][side] - line.true(side),
                        line.true(side) - line.edge(side) - counts[line.id][side],
                        0,
                    )
                    for line in truths[clip].lines
                    for side in ("positive", "negative")
                )
    return found


def _plain(detector, picture):
    """The baseline as its users run it: score from 0.1, suppression at 0.5, vehicle classes; rows of box, score, class."""
    card = msgspec.structs.replace(detector.card, threshold=msgspec.structs.replace(detector.card.threshold, low=0.1))
    detector.shrink(picture)
    box = letterbox(picture.shape[1], picture.shape[0], card.input)
    fill(detector._tensor, detector.scaled, box, card.input)
    raw = detector._session.run(detector._outputs, {detector._input: detector._tensor})
    xyxy, scores = _yolox(dict(zip(detector._outputs, raw, strict=True)), card)
    columns = list(card.classes)
    chosen = scores[:, columns]
    best = chosen.max(axis=1)
    rows = [int(n) for n in np.argsort(-best) if best[n] >= 0.1]
    xyxy, kept = box.to_picture(xyxy), []
    overlap = iou(xyxy, xyxy)
    for n in rows:
        if all(overlap[n, k] <= 0.5 for k in kept):
            kept.append(n)
    return [[*xyxy[n].tolist(), float(best[n]), int(columns[int(chosen[n].argmax())])] for n in kept]


def _peer_python():
    python = PEER / "bin" / "python"
    if not python.is_file():
        try:
            venv.create(PEER, with_pip=True)
            wanted = HERE.with_name("requirements-peer.txt")
            subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(wanted)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no peer to compare with: {error}", file=sys.stderr)
            return None
    return str(python)


def _against(ours, peer):
    """The peer's errors, and on how many clips it did better than we."""
    for rule, errors in peer.items():
        for (clip, fps), error in errors.items():
            say(f"count_peer_{rule}_{clip}_{rate_name(fps)}", error, "vehicles wrong", 1)
        for fps in RATES:
            total = sum(error for (_, rate), error in errors.items() if rate == fps)
            say(f"count_peer_{rule}_all_{rate_name(fps)}", total, "vehicles wrong over all clips", 1)
    for fps in RATES:
        better = [clip for (clip, rate), error in peer["once"].items() if rate == fps and error < ours[clip, rate]]
        say(f"count_worse_than_peer_{rate_name(fps)}", len(better), f"clips {' '.join(better)} (goal 0)", len(clips()))


def _baseline():
    """The baseline detector with our card beside it (the file itself is shared data, never ours)."""
    model = SHARED / "models" / "yolox_nano.onnx"
    if not model.is_file():
        return None
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"edgeagent-baseline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    card = HERE.parents[1] / "recordings" / "yolox_nano.toml"
    (folder / "yolox_nano.onnx").write_bytes(model.read_bytes())
    (folder / "yolox_nano.toml").write_bytes(card.read_bytes())
    return folder / "yolox_nano.onnx"
