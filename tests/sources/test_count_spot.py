"""What the installer does beside the road: watch, check lines, tap along, check a model."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request

import cv2
import numpy as np
import pytest

from edgeagent import shipped
from edgeagent.cli.count import _golden
from edgeagent.cli.count_spot import accepts
from edgeagent.errors import ConfigError
from edgeagent.messages import text
from edgeagent.simulate.road import render_clip
from edgeagent.sources.aim_picture import aim_picture
from edgeagent.sources.annotate import coarse
from edgeagent.sources.detector import Detector
from edgeagent.sources.model_check import agreement, check_model

AGENT = [sys.executable, "-m", "edgeagent"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Eight seconds of a rendered road; its truth beside it."""
    path = tmp_path_factory.mktemp("road") / "road.mp4"
    return path, render_clip(path, 8.0)


@pytest.fixture(scope="module")
def golden():
    return _golden()


def line_of(truth):
    (one,) = truth.lines
    return f"road:{one.p1[0]},{one.p1[1]},{one.p2[0]},{one.p2[1]}:down"


def agent(*arguments, **more):
    return subprocess.run([*AGENT, *map(str, arguments)], capture_output=True, text=True, timeout=120, **more)


def until(condition, limit_s=60):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# --- pictures somebody asks for -------------------------------------------------------------------------------


def test_a_picture_is_unreadable_before_it_is_shown():
    plate = np.full((360, 640, 3), 128, np.uint8)
    cv2.putText(plate, "SNA 500 12-34", (300, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    shown = coarse(plate)
    rows = slice(185, 206), slice(300, 430)
    sharp = np.abs(np.diff(plate[rows][..., 1].astype(int), axis=1)).mean()
    assert np.abs(np.diff(shown[rows][..., 1].astype(int), axis=1)).mean() < 0.1 * sharp, "strokes are gone"
    assert shown.shape == plate.shape


def test_a_picture_is_private_and_gone_at_the_end(tmp_path):
    with aim_picture(tmp_path / "aim.png") as picture:
        picture.show(b"one")
        picture.show(b"two")
        assert picture.path.read_bytes() == b"two"
        assert picture.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_gone_after_its_time_even_if_somebody_still_looks(tmp_path):
    with aim_picture(tmp_path / "aim.png", most_s=0.2) as picture:
        picture.show(b"one")
        until(lambda: not picture.path.exists())


def test_a_picture_does_not_survive_kill_9(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom edgeagent.sources.aim_picture import aim_picture\n"
        "with aim_picture(Path(sys.argv[1])) as picture:\n picture.show(b'x'); print('shown', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "aim.png")], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"shown\n"
        assert (tmp_path / "aim.png").exists()
        process.send_signal(signal.SIGKILL)
    until(lambda: not list(tmp_path.iterdir()))


def test_a_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError) as caught, aim_picture(tmp_path / "none" / "aim.png") as picture:
        picture.show(b"x")
    assert caught.value.code == "camera.no-sheet"


def test_watch_writes_a_picture_and_takes_it_away(clip, tmp_path):
    path, truth = clip
    out = tmp_path / "aim.png"
    with subprocess.Popen(
        [*AGENT, "count", "watch", path, "--line", line_of(truth), "--out", out, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        until(lambda: out.exists() or process.poll() is not None)
        picture = cv2.imdecode(np.frombuffer(out.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (360, 640, 3)
        process.send_signal(signal.SIGINT)
        told = json.loads(process.stdout.read().splitlines()[-1])
    assert process.returncode == 0 and told["counted"].keys() == {"road"}
    assert not out.exists()


def test_the_page_is_for_this_machine_and_for_who_knows_its_secret(clip):
    path, truth = clip
    with subprocess.Popen(
        [*AGENT, "count", "watch", path, "--line", line_of(truth)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        url = re.search(rb"(http://127\.0\.0\.1:\d+/)(\S+/)", process.stderr.readline())
        base, whole = url[1].decode(), url[0].decode()

        def picture():
            try:
                return urllib.request.urlopen(whole + "picture.png", timeout=5).read()
            except urllib.error.HTTPError:
                return b""

        until(lambda: picture().startswith(b"\x89PNG"))
        assert b"picture.png" in urllib.request.urlopen(whole, timeout=5).read()
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(base + "picture.png", timeout=5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


# --- lines ----------------------------------------------------------------------------------------------------


def test_lines_are_held_against_the_traffic(clip):
    path, truth = clip
    done = agent("count", "lines", path, "--line", line_of(truth), "--line", "low:0,356,600,357:down", "--lang", "ja")
    assert done.returncode == 1, done.stderr
    assert "画面の端" in done.stdout and "足元" in done.stdout
    assert re.search(r"^[✓!] road: ", done.stdout, re.MULTILINE), done.stdout
    found = re.search(r"from = \[(\d+), (\d+)\], to = \[(\d+), (\d+)\], forward = \"(\w+)\"", done.stdout)
    x1, y1, x2, y2, forward = found.groups()
    again = agent("count", "lines", path, "--line", f"new:{x1},{y1},{x2},{y2}:{forward}", "--json")
    (line,) = json.loads(again.stdout)["lines"]
    assert line["forward"] + line["backward"] >= 3 and again.returncode == 0, "the suggested line counts"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["count", "lines", "clip.mp4", "--line", "a:1,2,3"], "camera.line-spelling"),
        (["count", "lines", "clip.mp4", "--line", "a:1,2,3,4:sideways"], "camera.line-spelling"),
        (["count", "watch", "clip.mp4", "--line", "a:5,5,5,5:down"], "camera.line-short"),
        (["count", "tap", "clip.mp4"], "camera.no-lines"),
        (["count", "tap", "CLIP", "--line", "a:5,5,50,5:down"], "camera.no-keys"),
        (["count", "watch", "nobody", "--config", "CONFIG"], "camera.no-camera-source"),
        (["count", "lines", "none.mp4"], "camera.no-file"),
    ],
)
def test_mistakes_are_said(arguments, code, clip, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[gateway]\nid = "GW-1"\n[[sources]]\nid = "h"\ndriver = "host"\n')
    given = [{"CONFIG": str(config), "CLIP": str(clip[0])}.get(word, word) for word in arguments]
    done = agent(*given, "--json", stdin=subprocess.DEVNULL)
    assert done.returncode in (2, 3), done
    assert json.loads(done.stdout.splitlines()[-1])["code"] == code
    assert "Traceback" not in done.stderr


# --- tapping along --------------------------------------------------------------------------------------------


def tapped(clip, keys):
    """Run `count tap` on a terminal; press the keys when it has begun."""
    path, truth = clip
    master, slave = pty.openpty()
    arguments = [*AGENT, "count", "tap", path, "--line", line_of(truth), "--minutes", "0.2", "--json"]
    with subprocess.Popen(arguments, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.close(slave)
        process.stderr.readline()
        os.write(master, keys)
        out, _ = process.communicate(timeout=120)
    os.close(master)
    return process.returncode, json.loads(out.splitlines()[-1])


def test_taps_are_held_against_the_count(clip):
    _, truth = clip
    true = truth.lines[0].counts
    forward, backward = (sum(true[side].values()) for side in ("positive", "negative"))
    assert forward + backward >= 4
    code, told = tapped(clip, b"f" * forward + b"B" * backward + b"bu?")
    assert told["tapped"] == {"forward": forward, "backward": backward}
    assert (code, told["ok"]) == (0, True), told


@pytest.mark.parametrize(
    ("taps", "counted", "accepted"),
    [
        ((40, 30), (43, 30), True),
        ((40, 30), (45, 30), False),
        ((40, 3), (40, 4), True),  # one on the line when the watch began
        ((40, 3), (40, 5), False),
        ((0, 0), (0, 0), False),  # nothing was proven
    ],
)
def test_within_a_tenth_is_accepted(taps, counted, accepted):
    names = ("forward", "backward")
    assert accepts(dict(zip(names, taps, strict=True)), dict(zip(names, counted, strict=True))) is accepted


# --- a model --------------------------------------------------------------------------------------------------


def test_the_shipped_model_passes():
    done = agent("count", "model", "vehicles", "--json")
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and told["ok"] and told["found"] >= 0.8 * told["wanted"] > 5
    assert told["ms"] > 0 and told["rss_mib"] > 20 and len(told["sha256"]) == 64
    assert told["classes"]["car"] == "good" and told["classes"]["truck"] == "hint"


def spoilt(tmp_path, **replaced):
    file = tmp_path / "mine.onnx"
    file.write_bytes(shipped.model("vehicles").read_bytes())
    card = shipped.model("vehicles").with_suffix(".toml").read_text()
    for old, new in replaced.items():
        assert re.search(rf"^{old} = ", card, re.MULTILINE), old
        card = re.sub(rf"^{old} = .*$", f"{old} = {new}", card, count=1, flags=re.MULTILINE)
    file.with_suffix(".toml").write_text(card)
    return file


@pytest.mark.parametrize(
    ("replaced", "code", "word"),
    [
        ({"sha256": '"' + "0" * 64 + '"'}, "camera.model-differs", "SHA-256"),
        ({"width": "320"}, "camera.card-wrong", "smaller"),
        ({"smaller": "[[410, 250]]"}, "camera.model-broken", "mine.onnx"),
        ({"decoder": '"yolox"'}, "camera.model-output", "expected"),
        ({"decoder": '"picodet"'}, "camera.model-output", "expected"),
        ({"pad": "114\nscale = [255.0, 255.0, 255.0]"}, "camera.model-blind", "mean, scale"),
        ({"car": '"perhaps"'}, "camera.card-wrong", "perhaps"),
    ],
)
def test_a_model_that_does_not_fit_its_card_is_refused_with_the_reason(tmp_path, golden, replaced, code, word):
    with pytest.raises(ConfigError) as caught:
        check_model(spoilt(tmp_path, **replaced), lambda: golden)
    said = text(caught.value.code, caught.value.facts, "en")
    assert caught.value.code == code and word in str(said)


def test_a_model_without_a_card(tmp_path):
    file = spoilt(tmp_path)
    file.with_suffix(".toml").unlink()
    done = agent("count", "model", file, "--json", "--lang", "en")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, told["code"]) == (2, "camera.no-card") and "models/vehicles.toml" in told["message"]


def test_agreement_of_a_copy_with_its_original(golden):
    """The gate a quantised copy has to pass: the same boxes again, not only the same file size."""
    detector = Detector(shipped.model("vehicles"))
    pictures = [one.picture for one in golden]
    assert agreement(detector, detector, pictures) == 1.0

    class Lossy:
        def look(self, picture):
            seen = detector.look(picture)
            return seen.take(np.arange(0, len(seen), 3))

    assert agreement(detector, Lossy(), pictures) < 0.6
