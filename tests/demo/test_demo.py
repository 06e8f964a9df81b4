"""`edgeagent demo`, whole: the real daemon, every virtual device, an outage, a verdict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def demo(*arguments, python=sys.executable, env=None, cwd=ROOT):
    return subprocess.run(
        [python, "-m", "edgeagent", "demo", "--json", *map(str, arguments)],
        capture_output=True, text=True, timeout=150, cwd=cwd, env=env or os.environ,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.tool("dbus-daemon")
def test_demo_loses_nothing_and_is_never_wrong(tmp_path):
    done = demo("--seconds", 30)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["lost"] == told["wrong"] == told["waiting"] == told["regressions"] == 0
    assert told["readings"] == told["acknowledged"] > 60
    assert told["checked"] > 30 and told["tags"] is True
    assert told["vehicles_truth"] > 0 and told["vehicles_counted"] > 0
    assert "uplink is cut" in done.stderr or "回線切断中" in done.stderr


@pytest.mark.slow
def test_demo_goes_on_without_dbus_daemon(tmp_path):
    """A PATH on which there is no dbus-daemon, as on a bare system."""
    hidden = tmp_path / "bin"
    hidden.mkdir()
    code = (
        "import sys, shutil\nreal = shutil.which\n"
        "shutil.which = lambda name, *a, **k: None if name == 'dbus-daemon' else real(name, *a, **k)\n"
        "sys.argv = ['edgeagent', 'demo', '--json', '--seconds', '15']\nfrom edgeagent.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["tags"] is False
    assert "dbus-daemon" in done.stderr


@pytest.mark.slow
@pytest.mark.shared
def test_demo_with_a_clip_of_ones_own_is_held_against_its_truth(shared, tmp_path):
    done = demo("--seconds", 20, "--video", shared / "traffic" / "a13_day.mp4")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["vehicles_truth"] == 21
    assert told["vehicles_counted"] > 0


def test_a_file_that_is_no_video_is_refused_in_words(tmp_path):
    file = tmp_path / "clip.mp4"
    file.write_text("not a video")
    done = demo("--seconds", 10, "--video", file, "--lang", "ja")
    assert done.returncode == 1
    assert "動画として開けません" in done.stderr and "Traceback" not in done.stderr
