"""No picture leaves the worker: not to disk, not through a pipe or socket, whatever the camera shows.

An hour of video goes through the whole agent faster than real time; then everything it wrote or sent is searched for
image bytes: the signatures of picture formats, and runs of the pixels themselves.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import psutil
import pytest

from edgeagent.simulate.road import render_clip
from edgeagent.sources.camera_messages import LineSpec, Start

SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP or AVI",
    b"BM6": "BMP",
    b"ftyp": "MP4",
    b"\x00\x00\x00\x01\x67": "H.264",
    b"data:image": "data URL",
    b"iVBORw0": "PNG in base64",
    b"/9j/": "JPEG in base64",
}
LONGEST_NUMBERS = 12  # a message about counts has short lists; pixels would be long ones


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """(clip, its line, runs of raw pixels of its pictures)."""
    path = tmp_path_factory.mktemp("film") / "road.mp4"
    truth = render_clip(path, 6.0)
    capture, marks = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        seen = [cv2.resize(read[1], size, interpolation=cv2.INTER_AREA) for size in ((512, 288), (416, 234))]
        for layout in (read[1], read[1][..., ::-1], *seen):
            row = np.ascontiguousarray(layout[layout.shape[0] // 2, 40:52]).tobytes()
            if len(set(row)) > 8:  # twelve pixels that are no plain colour
                marks.append(row)
    assert len(marks) > 50
    return path, truth.lines[0], marks


def pictures_in(data, marks):
    found = [name for mark, name in SIGNATURES.items() if mark in data]
    return found + ["pixels"] * any(mark in data for mark in marks)


def test_the_search_finds_what_it_is_for(film):
    path, _, marks = film
    picture = cv2.VideoCapture(str(path)).read()[1]
    assert pictures_in(path.read_bytes(), marks)
    assert pictures_in(picture.tobytes(), marks) == ["pixels"]
    assert "JPEG" in pictures_in(cv2.imencode(".jpg", picture)[1].tobytes(), marks)
    assert pictures_in(json.dumps({"count": 3, "coverage": 0.98}).encode(), marks) == []


@pytest.mark.slow
@pytest.mark.tool("ffmpeg")
async def test_an_hour_of_video_leaves_no_picture_in_what_the_worker_says(film, tmp_path):
    """600 times six seconds at 5 looks per second is an hour; the short form looks at a few minutes of it."""
    path, line, marks = film
    rounds = int(os.environ.get("EDGEAGENT_ROUNDS", "0")) or 10
    spec = LineSpec(id="road", start=line.p1, end=line.p2, forward="down")
    long = tmp_path / "long.mp4"
    listed = tmp_path / "list.txt"
    listed.write_text(f"file '{path}'\n" * min(rounds, 600))
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", long],
        check=True,
        timeout=120,
    )
    before = set(tmp_path.iterdir())
    region = ((0, 0), (640, 0), (640, 360))
    start = Start(camera=str(long), model="vehicles", lines=(spec,), pace=False, max_fps=5.0, region=region)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edgeagent.sources.camera_worker", stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    process.stdin.write(msgspec.json.encode(start) + b"\n")
    said, files = b"", set()
    alive = psutil.Process(process.pid)
    while chunk := await process.stdout.read(65536):
        said += chunk
        files |= {f.path for f in alive.open_files() if getattr(f, "mode", "r") != "r"} if alive.is_running() else set()
        assert not alive.net_connections(), "the worker talks to its camera and to nobody else"
    errors = await process.stderr.read()
    assert await process.wait() == 0, errors
    tallies = [json.loads(one) for one in said.splitlines()]
    assert sum(one.get("type") == "tally" for one in tallies) >= 2
    assert tallies[-2]["looks"] >= 25 * min(rounds, 600)
    assert pictures_in(said + errors, marks) == []
    assert max(map(len, said.splitlines())) < 4000, "a picture would not fit"
    assert set(tmp_path.iterdir()) == before and files == set(), "nothing was written"


@pytest.mark.slow
async def test_the_whole_agent_keeps_no_picture(film, tmp_path):
    """State directory, outbox and what the uplink sent, after windows of a played film."""
    path, line, marks = film
    config, sent, state = tmp_path / "c.toml", tmp_path / "sent.jsonl", tmp_path / "state"
    config.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{state}"\n'
        f'[[sources]]\nid = "cam"\ndriver = "traffic-camera"\ncamera = "{path}"\nwindow_s = 2\n'
        f"region = {{ points = [[0, 100], [640, 100], [640, 360], [0, 360]] }}\n"
        f'lines = [ {{ id = "road", from = {list(line.p1)}, to = {list(line.p2)}, forward = "down" }} ]\n'
        f'[[uplinks]]\nid = "file"\ndriver = "jsonl"\npath = "{sent}"\n'
    )
    with subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "run", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as agent:
        try:
            async with asyncio.timeout(120):
                while not sent.is_file() or sent.read_bytes().count(b'"count"') < 3:
                    assert agent.poll() is None, agent.stdout.read()
                    await asyncio.sleep(0.2)
        finally:
            agent.terminate()
            log = agent.communicate(timeout=30)[0]
    written = [file for file in (*state.rglob("*"), sent) if file.is_file()]
    assert len(written) >= 2
    for file in written:
        assert pictures_in(file.read_bytes(), marks) == [], file
    assert pictures_in(log, marks) == []
    for one in sent.read_bytes().splitlines():
        assert all(len(v) <= LONGEST_NUMBERS for v in lists_in(json.loads(one)))


@pytest.mark.tool("strace")
def test_the_network_library_keeps_and_sends_nothing_of_its_own(tmp_path):
    """onnxruntime reports to its maker unless told not to before it is loaded."""
    code = (
        "from edgeagent import shipped\nfrom edgeagent.sources.detector import Detector\n"
        "import time\nDetector(shipped.model('vehicles'))\ntime.sleep(1)"
    )
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_")) and k != "CI"}
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", log, sys.executable, "-c", code],
        check=True,
        cwd=home,
        env={**quiet, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert list(home.rglob("*")) == []
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line] == []


def lists_in(value):
    """Every list of numbers in a document."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from lists_in(inner)
    elif isinstance(value, list):
        if value and all(isinstance(one, int | float) for one in value):
            yield value
        for inner in value:
            yield from lists_in(inner)
