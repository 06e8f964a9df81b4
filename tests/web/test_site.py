"""The verb beside a running agent: a gauge on a pty, a clip as camera, the real certificate, the real config."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import tomllib
from types import SimpleNamespace

import psutil
import pytest

from edgeagent.cli.web_offers import offers
from edgeagent.clock import SystemClock
from edgeagent.daemon import control
from edgeagent.errors import EdgeAgentError
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.road import render_clip
from edgeagent.web.offers import Drawn
from tests.web.rig import Phone, lines

pytestmark = pytest.mark.slow
AGENT = [sys.executable, "-m", "edgeagent"]


def until(true, seconds=120.0):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "did not happen"
        time.sleep(0.2)


@contextlib.contextmanager
def running(words, **more):
    process = subprocess.Popen([*AGENT, *map(str, words)], **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def site(tmp_path):
    clip, state = tmp_path / "road.mp4", tmp_path / "state"
    truth = render_clip(clip, 6.0)
    state.mkdir()
    (line,) = truth.lines
    gauge = AsciiGauge(lambda _: 2.5).start()
    file = tmp_path / "config.toml"
    file.write_text(
        f'[gateway]\nid = "GW-0147"\nname = "宮川橋"\nstate_dir = "{state}"\nlang = "ja"\n'
        f'[[sources]]\nid = "miyagawa"\nname = "宮川橋"\ndriver = "serial-gauge"\nport = "{gauge.path}"\n'
        'profile = "maxbotix-hrxl-wr"\nevery_s = 1\ncalibrate = { mount_height_m = 4.0 }\n'
        "alarm = { levels_m = { standby = 1.0, danger = 2.6 }, confirm = 1 }\n"
        f'[[sources]]\nid = "road"\nname = "国道140号"\ndriver = "traffic-camera"\ncamera = "{clip}"\n'
        f'lines = [ # measured\n  {{ id = "a", from = [{line.p1[0]}, {line.p1[1]}], to = [{line.p2[0]}, {line.p2[1]}], forward = "down" }} ]\n'
        '[[uplinks]]\nid = "u"\ndriver = "jsonl"\npath = "out.jsonl"\n'
    )
    try:
        yield SimpleNamespace(file=file, state=state, line=line, folder=tmp_path)
    finally:
        gauge.stop()


def test_a_whole_visit(site):
    log = (site.folder / "agent.log").open("wb")
    with log, running(["run", "-c", site.file], cwd=site.folder, stdout=log, stderr=log) as agent:
        until(control.socket_path(site.state).exists)
        words = ["web", "-c", site.file, "--listen", "127.0.0.1", "--port", "0", "--json", "--lang", "ja"]
        with running(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as web:
            said = json.loads(web.stdout.readline())
            port = int(said["links"][0].split(":")[2].split("/")[0])
            phone = Phone(SimpleNamespace(port=port))
            assert phone.enter(said["code"]).status == 303
            assert phone.fingerprint == said["fingerprint"]
            until(lambda: "1.50 m" in phone.get("/part/now").text and 'class="water"' in phone.get("/part/now").text)
            now = phone.get("/part/now").text
            assert "水防団待機" in now and "氾濫危険 2.60 m" in now
            until(lambda: "送信できています" in phone.get("/part/sending").text)
            assert phone.write("/camera/look", {"source": "road"}).status == 204
            until(lambda: phone.get("/camera/picture?source=road").status == 200)
            shown = phone.get("/camera/picture?source=road")
            assert shown.headers["X-Size"] == "640x360"
            drawn = Drawn(id="south", start=(4.0, 260.0), end=(600.0, 260.0), forward="up")
            judged = phone.write("/camera/check", {"source": "road", "lines": lines(drawn)})
            assert json.loads(judged.text)[0]["id"] == "south"
            refused = phone.write("/camera/save", {"source": "road", "lines": []})
            assert refused.status == 409 and json.loads(refused.text)["code"] == "camera.no-lines"
            assert phone.write("/camera/save", {"source": "road", "lines": lines(drawn)}).status == 204
            assert phone.write("/close").status == 204
            assert web.wait(60) == 0
            assert json.loads(web.stdout.read().splitlines()[-1]) == {"ok": True, "closed": "asked"}
            assert web.stderr.read() == ""
            web.stdout.close()
            web.stderr.close()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert not [one for one in psutil.Process(agent.pid).net_connections("inet") if one.status == "LISTEN"]
        assert tomllib.loads(site.file.read_text())["sources"][1]["lines"] == [
            {"id": "south", "from": [4, 260], "to": [600, 260], "forward": "up"}
        ]
        assert subprocess.run([*AGENT, "check", "-c", site.file], capture_output=True).returncode == 0
        events = (site.state / "security.jsonl").read_text()
        for event in ("page-opened", "page-entered", "local-config", "page-closed"):
            assert event in events
        assert said["code"] not in events
        assert not [p for p in site.folder.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg", ".bmp")]


def test_the_check_up_is_that_of_doctor(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n')
    made = offers(file, SystemClock(), lambda *_, **__: None)
    with pytest.raises(EdgeAgentError):
        made.ask("status")
    found = {check.code: check for check in made.doctor("en")}
    assert found["E-CONFIG-01"].state == "ok" and "config.toml" in found["E-CONFIG-01"].text
    assert found["E-CONFIG-02"].state == "warning" and "[[sources]]" in found["E-CONFIG-02"].remedy
