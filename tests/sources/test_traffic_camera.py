"""The daemon's end and the real worker process, on clips, live streams and cameras that misbehave."""

import asyncio
import contextlib
import gc
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from edgeagent import config as configs
from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.messages import text
from edgeagent.reading import Quality
from edgeagent.simulate.road import render_clip
from edgeagent.sources import driver
from edgeagent.sources.camera_messages import End, Failure, FromWorker, Hello, LineSpec, Start, Tally, without_password
from edgeagent.sources.count_eval import evaluate
from edgeagent.sources.detector import Detector
from edgeagent.sources.traffic_camera import (
    LineConfig,
    RegionConfig,
    SpeedConfig,
    TrafficCamera,
    TrafficCameraConfig,
)
from tests.conftest import SHARED
from tests.fakes import Collector, surroundings
from tests.sources.camera_rig import RtspCamera, baseline_model, ffmpeg, free_port, mjpeg_camera, mute_camera

ROAD = LineConfig(id="road", start=(0, 215), end=(345, 215))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    assert SHARED.is_dir(), f"shared data not found at {SHARED} (set EDGEAGENT_SHARED)"
    return baseline_model(SHARED, tmp_path_factory.mktemp("models"))


def camera_config(camera, model, **more):
    given = {"lines": (ROAD,), "window_s": 3600.0, "deadline_s": 5.0} | more
    return TrafficCameraConfig(id="cam", driver="traffic-camera", camera=str(camera), model=str(model), **given)


def camera(tmp_path, *arguments, **more):
    return TrafficCamera.make([camera_config(*arguments, **more)], surroundings(tmp_path, SystemClock()))


@contextlib.asynccontextmanager
async def running(source, emit):
    """The source at work; cancelled at the end as the daemon would."""
    task = asyncio.create_task(source.run(emit))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SourceUnavailable):
            await task


async def until(condition, task, limit_s=25.0):
    """Wait for something to become true while the task lives."""
    async with asyncio.timeout(limit_s):
        while not condition():
            if task.done():
                await task
            await asyncio.sleep(0.05)


def workers():
    mine = psutil.Process().children(recursive=True)
    return [p for p in mine if p.is_running() and "edgeagent.sources.camera_worker" in p.cmdline()]


def total(readings, name="count"):
    return sum(r.quantities[name].value or 0 for r in readings)


# --- without a worker -----------------------------------------------------------------------------------------


def test_the_daemons_end_is_light():
    code = "import sys; import edgeagent.sources.traffic_camera; print([m for m in ('cv2','onnxruntime','numpy') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_table_knows_it():
    assert driver("traffic-camera") is TrafficCamera


def section(**more):
    return (
        {"id": "route140", "driver": "traffic-camera", "camera": "clip.mp4"}
        | {
            "lines": [{"id": "up-down", "from": [40, 300], "to": [600, 300], "forward": "down"}],
        }
        | more
    )


def test_a_config_section():
    made, problems = configs.decode(TrafficCameraConfig, section(), "sources[0]")
    assert problems == []
    assert made.lines[0].start == (40, 300) and made.lines[0].forward == "down"
    assert made.model == "vehicles" and made.window_s == 60


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"lines": []}, "camera.no-lines", "sources[0].lines"),
        ({"lines": [{"id": "a", "from": [0, 0]}]}, "config.missing", "sources[0].lines[0].to"),
        ({"lines": [{"id": "a", "from": [5, 5], "to": [5, 5]}]}, "camera.line-short", "sources[0].lines[0].to"),
        (
            {"lines": [{"id": "a", "from": [5, 5], "to": [5, 90], "forward": "up"}]},
            "camera.line-forward",
            "sources[0].lines[0].forward",
        ),
        ({"lines": [{"id": "a/b", "from": [5, 5], "to": [90, 5]}]}, "camera.line-id", "sources[0].lines[0].id"),
        (
            {"lines": [{"id": "a", "from": [0, 5], "to": [9, 5]}, {"id": "a", "from": [0, 6], "to": [9, 6]}]},
            "config.duplicate-id",
            "sources[0].lines[1].id",
        ),
        ({"max_fps": 100}, "camera.out-of-range", "sources[0].max_fps"),
        ({"windows_s": 60}, "config.misspelt-key", "sources[0].windows_s"),
    ],
)
def test_mistakes_in_a_section(more, code, path):
    made, problems = configs.decode(TrafficCameraConfig, section(**more), "sources[0]")
    assert made is None
    assert [(p.code, p.facts["path"]) for p in problems] == [(code, path)]
    for lang in ("ja", "en"):
        assert (
            "{" not in text(code, problems[0].facts, lang).what and "?" not in text(code, problems[0].facts, lang).what
        )


def test_a_password_is_never_shown():
    assert without_password("cannot open rtsp://installer:geheim@10.0.0.9/s1") == "cannot open rtsp://10.0.0.9/s1"


# --- models that cannot be used -------------------------------------------------------------------------------


def card_text(sha256, **replaced):
    made = (Path(__file__).parents[1] / "recordings" / "yolox_nano.toml").read_text()
    made = made.replace("e8af074932d4ed7e232278e3055cefcdea3edf178874a3694ae292649fb464dd", sha256)
    for old, new in replaced.items():
        made = made.replace(f"{old} = ", f"{old} = {new} #")
    return made


@pytest.mark.shared
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("missing", "camera.no-model"),
        ("no card", "camera.no-card"),
        ("card is no toml", "camera.card-wrong"),
        ("truncated", "camera.model-differs"),
        ("truncated, card made for it", "camera.model-broken"),
        ("words", "camera.model-broken"),
        ("other size", "camera.model-input"),
        ("smaller sizes of a model that has one", "camera.model-input"),
        ("other decoder", "camera.model-output"),
    ],
)
def test_broken_models(model, tmp_path, fault, code):
    file = tmp_path / "m.onnx"
    whole, right = model.read_bytes(), card_text(Detector(model).sha256)
    cut = whole[:1_000_000]
    content, card = {
        "missing": (None, right),
        "no card": (whole, None),
        "card is no toml": (whole, "[model"),
        "truncated": (cut, right),
        "truncated, card made for it": (cut, card_text(hashlib.sha256(cut).hexdigest())),
        "words": (b"words", card_text(hashlib.sha256(b"words").hexdigest())),
        "other size": (whole, right.replace("width = 416", "width = 320")),
        "smaller sizes of a model that has one": (
            whole,
            right.replace("width = 416", "smaller = [[320, 320]]\nwidth = 416"),
        ),
        "other decoder": (whole, right.replace('decoder = "yolox"', 'decoder = "boxes-scores"')),
    }[fault]
    if content is not None:
        file.write_bytes(content)
    if card is not None:
        file.with_suffix(".toml").write_text(card)
    with pytest.raises(ConfigError) as caught:
        Detector(file)
    assert caught.value.code == code
    for lang in ("ja", "en"):
        shown = text(code, caught.value.facts, lang)
        assert "?" not in shown.what and shown.remedy


# --- the worker process ---------------------------------------------------------------------------------------


async def talk(start):
    """Run a worker by hand with its stdin open to the end: exit status, messages, raw lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edgeagent.sources.camera_worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(msgspec.json.encode(start) + b"\n")
    async with asyncio.timeout(60):
        lines = (await process.stdout.read()).splitlines()
    decode = msgspec.json.Decoder(FromWorker).decode
    return await process.wait(), [decode(line) for line in lines], lines


def start_of(camera, model, **more):
    line = LineSpec(id="road", start=(0, 215), end=(345, 215), forward="down")
    return Start(camera=str(camera), model=str(model), lines=(line,), pace=False, **more)


@pytest.mark.slow
@pytest.mark.shared
async def test_the_worker_counts_like_the_evaluation(shared, model, tmp_path):
    """Through the process and its messages no vehicle is lost or added."""
    clip = shared / "traffic" / "blackfriars_queue"
    status, messages, lines = await talk(start_of(clip.with_suffix(".mp4"), model))
    assert status == 0
    assert isinstance(messages[0], Hello) and messages[0].classes == ("car", "bus", "truck", "motorcycle", "bicycle")
    assert messages[0].model == "e8af074932d4"
    assert messages[-1] == End(frames=234)
    last = messages[-2]
    assert isinstance(last, Tally)
    counted = {d: sum(by_class.values()) for d, by_class in last.lines["road"].counts.items()}
    direct = evaluate(clip.with_suffix(".mp4"), clip.with_suffix(".json"), model, fps=10)
    assert last.looks == pytest.approx(94, abs=1)
    assert sum(counted.values()) == 2 == direct.counted
    assert last.watched_s == pytest.approx(9.3, abs=0.1)
    assert max(len(line) for line in lines) < 2000, "counts leave, pictures do not"


@pytest.mark.shared
async def test_a_missing_model_is_said_and_the_worker_leaves(shared, tmp_path):
    status, (failure,), _ = await talk(start_of(shared / "traffic" / "a13_day.mp4", tmp_path / "none.onnx"))
    assert isinstance(failure, Failure) and failure.code == "camera.no-model" and failure.fatal
    assert status == 3


@pytest.mark.shared
async def test_a_worker_without_a_daemon_leaves_even_while_its_camera_hangs(model):
    with mute_camera() as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edgeagent.sources.camera_worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        process.stdin.write(msgspec.json.encode(start_of(url, model)) + b"\n")
        async with asyncio.timeout(30):
            assert b"hello" in await process.stdout.readline()
            process.stdin.close()
            assert await process.wait() == 0


# --- both together --------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.slow
async def test_a_clip_is_counted_in_windows_and_its_end_is_said_once(shared, model, tmp_path):
    emit = Collector()
    source = camera(tmp_path, shared / "traffic" / "a13_day.mp4", model, window_s=4.0)
    async with running(source, emit) as task:
        await until(lambda: source._ended, task)
        await asyncio.sleep(0.3)
        assert not task.done(), "the supervisor would play it again"
    truth = json.loads((shared / "traffic" / "a13_day.json").read_text())["lines"][0]["counts"]
    assert abs(total(emit.readings) - sum(sum(c.values()) for c in truth.values())) <= 2
    assert len(emit.readings) >= 3 and workers() == []
    assert emit.readings[0].facts["model"] == "e8af074932d4"
    ends = [r.at.mono_ms for r in emit.readings]
    assert [e - r.span_ms for e, r in zip(ends[1:], emit.readings[1:], strict=True)] == ends[:-1]


@pytest.mark.shared
@pytest.mark.slow
async def test_a_killed_worker_takes_a_second_of_counting_at_most(shared, model, tmp_path):
    emit = Collector()
    source = camera(tmp_path, shared / "traffic" / "stuttgart_arterial.mp4", model, max_fps=5.0)
    source._config = msgspec.structs.replace(
        source._config, lines=(LineConfig(id="in", start=(110, 250), end=(420, 250)),)
    )
    async with running(source, emit) as task:
        await until(lambda: source._windows and source._windows._sum.count("in", "forward", "car") >= 3, task)
        kept, looks = source._windows._sum.count("in", "forward", "car"), source._windows._sum.looks
        (worker,) = workers()
        worker.send_signal(signal.SIGKILL)
        with pytest.raises(SourceUnavailable) as caught:
            await asyncio.wait_for(task, 10)
    assert caught.value.code == "camera.worker-died" and caught.value.facts["status"] == "-9"
    async with running(source, emit) as task:  # as the supervisor does
        await until(lambda: source._windows._sum.looks >= looks + 10, task)
        assert source._windows._sum.count("in", "forward", "car") >= kept
    (reading,) = emit.readings  # handed over on the way out
    assert reading.quantities["count_forward_car"].value >= kept
    assert 0 < reading.quantities["coverage"].value < 1


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.tool("ffmpeg")
async def test_a_live_camera_that_stops_and_comes_back(shared, model, tmp_path):
    emit, port = Collector(), free_port()
    clip = shared / "traffic" / "a13_queue.mp4"
    source = camera(tmp_path, f"http://127.0.0.1:{port}/", model, deadline_s=2.0, max_fps=5.0)
    with mjpeg_camera(clip, port) as server:
        async with running(source, emit) as task:
            await until(lambda: source._windows and source._windows._sum.looks >= 5, task)
            server.send_signal(signal.SIGSTOP)  # the stream hangs: no end, no error
            with pytest.raises(SourceUnavailable) as caught:
                await asyncio.wait_for(task, 15)
            assert caught.value.code in ("camera.no-picture", "camera.stopped")
            assert workers() == []
    looks = source._windows._sum.looks
    with mjpeg_camera(clip, port):
        async with running(source, emit) as task:
            await until(lambda: source._windows._sum.looks >= looks + 5, task)
    (reading,) = emit.readings
    assert reading.quantities["coverage"].value < 1, "the dead time is told"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.tool("ffmpeg")
async def test_rtsp_comes_over_tcp_and_keeps_its_password(shared, model, tmp_path):
    emit = Collector()
    with RtspCamera(shared / "traffic" / "a13_queue.mp4", tmp_path) as server:
        source = camera(tmp_path, server.url, model, deadline_s=8.0, max_fps=5.0)
        async with running(source, emit) as task:
            await until(lambda: source._windows and source._windows._sum.looks >= 5, task)
            (worker,) = workers()
            assert "geheim" not in " ".join(worker.cmdline())
            assert worker.nice() >= psutil.Process().nice() + 5
            assert worker.memory_info().rss < 170 * 2**20, "camera and daemon together stay below 220 MB"
            worker.send_signal(signal.SIGSTOP)
            with pytest.raises(SourceUnavailable) as caught:
                await asyncio.wait_for(task, 20)
        assert caught.value.code == "camera.silent"
        assert "geheim" not in str(caught.value)
        assert workers() == [], "a stopped process hears no polite word and is killed"
    assert all("TCP" in transport for transport in server.transports[:1])


@pytest.mark.shared
async def test_a_camera_that_takes_the_call_and_says_nothing(model, tmp_path):
    with mute_camera() as url:
        with pytest.raises(SourceUnavailable) as caught:
            await asyncio.wait_for(camera(tmp_path, url, model, deadline_s=2.0).run(Collector()), 25)
    assert caught.value.code == "camera.no-picture"


@pytest.mark.shared
async def test_a_camera_that_is_not_there(model, tmp_path):
    with pytest.raises(SourceUnavailable) as caught:
        await asyncio.wait_for(camera(tmp_path, f"rtsp://u:p@127.0.0.1:{free_port()}/", model).run(Collector()), 25)
    assert caught.value.code == "camera.not-open"
    assert "u:p" not in str(text(caught.value.code, caught.value.facts))
    with pytest.raises(SourceUnavailable) as caught:
        await asyncio.wait_for(camera(tmp_path, "/dev/v4l/by-id/none", model).run(Collector()), 25)
    assert caught.value.code == "camera.not-open"


@pytest.mark.shared
async def test_a_line_outside_the_picture_is_said(shared, model, tmp_path):
    far = (LineConfig(id="far", start=(0, 900), end=(300, 900)),)
    source = camera(tmp_path, shared / "traffic" / "a13_day.mp4", model, lines=far)
    with pytest.raises(SourceUnavailable) as caught:
        await asyncio.wait_for(source.run(Collector()), 25)
    assert caught.value.code == "camera.line-outside"
    assert caught.value.facts["width"] == "352"


async def test_while_the_camera_is_away_windows_say_missing(tmp_path):
    emit = Collector()
    source = camera(tmp_path, "clip.mp4", tmp_path / "none.onnx", window_s=1.0)
    for _ in range(60):  # as the supervisor does: again after every failure
        with pytest.raises(SourceUnavailable) as caught:
            await asyncio.wait_for(source.run(emit), 60)
        assert caught.value.code == "camera.no-model"
        if emit.readings:
            break
        await asyncio.sleep(0.5)
    assert emit.readings
    for reading in emit.readings:
        assert reading.quantities["count"].quality is Quality.MISSING and reading.quantities["count"].value is None
        assert reading.quantities["coverage"].value == 0


@pytest.mark.shared
async def test_a_daemon_that_stops_at_once_leaves_nobody_behind(shared, model, tmp_path):
    source = camera(tmp_path, shared / "traffic" / "a13_day.mp4", model)
    for wait_s in (0, 0.001, 0.01):
        task = asyncio.create_task(source.run(Collector()))
        await asyncio.sleep(wait_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert workers() == []
    gc.collect()  # a transport left open would complain here


@pytest.mark.shared
async def test_a_daemon_that_stops_while_a_worker_leaves_waits_for_it(model, tmp_path):
    with mute_camera() as url:
        source = camera(tmp_path, url, model)
        async with running(source, Collector()) as task:
            await until(workers, task)
            (worker,) = workers()
            worker.send_signal(signal.SIGSTOP)  # it will have to be killed, after a second
            task.cancel()
            await asyncio.sleep(0.2)
            assert worker.is_running() and not task.done()
    assert workers() == []
    gc.collect()


class Slow(Collector):
    """An outbox that lets the camera wait."""

    async def __call__(self, *readings):
        await super().__call__(*readings)
        if readings:
            await asyncio.sleep(2.5)


@pytest.mark.shared
@pytest.mark.slow
async def test_an_outbox_that_lets_it_wait_is_no_silence(shared, model, tmp_path):
    emit = Slow()
    source = camera(tmp_path, shared / "traffic" / "a13_day.mp4", model, deadline_s=2.0, window_s=1.0)
    async with running(source, emit) as task:
        await until(lambda: len(emit.readings) >= 4, task)
    assert total(emit.readings, "coverage") > 0


@pytest.mark.shared
@pytest.mark.tool("ffmpeg")
@pytest.mark.slow
async def test_a_camera_that_sends_one_picture_for_ever_is_not_watching(shared, model, tmp_path):
    still, emit = tmp_path / "still.mp4", Collector()
    cut = [
        "-i",
        str(shared / "traffic" / "a13_day.mp4"),
        "-vf",
        "select=eq(n\\,9),loop=150:1,setpts=N/10/TB",
        "-r",
        "10",
    ]
    with ffmpeg(*cut, "-an", "-c:v", "mjpeg", str(still)) as process:
        assert process.wait(30) == 0
    source = camera(tmp_path, still, model)
    async with running(source, emit) as task:
        await until(lambda: source._ended, task, 40)
    assert [error.code for _, error in emit.problems] == ["camera.scene-frozen"]
    (reading,) = emit.readings
    assert reading.quantities["coverage"].value < 0.85


@pytest.mark.slow
async def test_a_worker_that_grows_is_replaced_before_it_hurts(tmp_path):
    """The limit is set below what any worker needs, so the first tally is over it."""
    clip = tmp_path / "road.mp4"
    truth = await asyncio.to_thread(render_clip, clip, 4.0)
    (line,) = truth.lines
    road = (LineConfig(id="road", start=line.p1, end=line.p2),)
    source = camera(tmp_path, clip, "vehicles", lines=road, max_memory_mib=80)
    with pytest.raises(SourceUnavailable) as caught:
        await asyncio.wait_for(source.run(Collector()), 60)
    assert caught.value.code == "camera.memory" and int(caught.value.facts["used"]) > 80
    assert workers() == []
    for lang in ("ja", "en"):
        assert "80 MiB" in text(caught.value.code, caught.value.facts, lang).what


async def test_what_outruns_the_check_cannot_take_the_box_along():
    """One huge allocation inside a library: it fails, instead of pushing everybody else out."""
    code = (
        "from edgeagent.sources.camera_worker import _cap_memory\nimport numpy as np\n_cap_memory(300)\n"
        "try:\n np.ones(2_000_000_000, np.uint8)\nexcept MemoryError:\n print('refused')"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.slow
async def test_a_region_and_a_speed_reach_the_reading(tmp_path):
    clip = tmp_path / "road.mp4"
    truth = await asyncio.to_thread(render_clip, clip, 8.0)
    (line,) = truth.lines
    far = LineConfig(id="far", start=(line.p1[0] + 60, line.p1[1] - 60), end=(line.p2[0] - 60, line.p2[1] - 60))
    lines = (LineConfig(id="road", start=line.p1, end=line.p2), far)
    more = {
        "region": RegionConfig(points=((0, 60), (640, 60), (640, 360), (0, 360))),
        "speed": SpeedConfig(between=("road", "far"), distance_m=15.0),
    }
    emit = Collector()
    source = camera(tmp_path, clip, "vehicles", lines=lines, **more)
    async with running(source, emit) as task:
        await until(lambda: source._ended, task, 90)
    first, second = emit.readings[-2:]
    shown = {name: q.value for name, q in first.quantities.items()}
    assert shown["congestion"] in ("free", "slow", "queued") and shown["vehicles"] > 0.3
    assert shown["speeds_measured"] >= 1 and 5 < shown["speed"] < 120
    assert first.facts["line_version"] == lines[0].version != second.facts["line_version"]
    assert first.facts["class_trust"].startswith("car good") and "count_forward_bicycle" not in first.quantities
    assert 0 <= shown["dropped"] <= 1 and "queue_length" not in second.quantities


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"region": {"points": [[0, 0], [9, 9]]}}, "camera.region-flat", "sources[0].region.points"),
        ({"speed": {"between": ["up-down", "b"], "distance_m": 9}}, "camera.speed-line", "sources[0].speed.between[1]"),
        (
            {"speed": {"between": ["up-down", "up-down"], "distance_m": 9}},
            "camera.speed-line",
            "sources[0].speed.between[1]",
        ),
        ({"cpu_share": 0}, "camera.out-of-range", "sources[0].cpu_share"),
        ({"max_memory_mib": 9}, "camera.out-of-range", "sources[0].max_memory_mib"),
    ],
)
def test_mistakes_in_region_speed_and_limits(more, code, path):
    made, problems = configs.decode(TrafficCameraConfig, section(**more), "sources[0]")
    assert made is None and [(p.code, p.facts["path"]) for p in problems] == [(code, path)]
    for lang in ("ja", "en"):
        assert "?" not in text(code, problems[0].facts, lang).what
