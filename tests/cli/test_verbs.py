"""The verbs as a person or a script meets them: text, exit codes, JSON, both languages, no traceback."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENV = {k: v for k, v in os.environ.items() if k not in ("EDGEAGENT_LANG", "LC_ALL", "LANG")}


def edgeagent(*args, env=ENV, **more):
    done = subprocess.run(
        [sys.executable, "-m", "edgeagent", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=60,
        **more,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def config_of(tmp_path, body="", state=None):
    file = tmp_path / "config.toml"
    file.write_text(f'[gateway]\nid = "GW-1"\nstate_dir = "{state or tmp_path}"\n{body}')
    return file


HOST = '[[sources]]\nid = "box"\ndriver = "host"\nevery_s = 1\n'


def jsonl(path):
    return f'[[uplinks]]\nid = "file"\ndriver = "jsonl"\npath = "{path}"\n'


def test_version():
    assert edgeagent("version").stdout.startswith("edgeagent 0.")
    assert json.loads(edgeagent("version", "--json").stdout)["version"]


def test_check_good(tmp_path):
    done = edgeagent("check", "--config", config_of(tmp_path, HOST + jsonl(tmp_path / "o")))
    assert done.returncode == 0 and "✓" in done.stdout
    done = edgeagent("check", "--json", "--config", config_of(tmp_path, HOST))
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1]) == {"ok": True, "errors": []}


BAD = '[[sources]]\nid = "a"\ndriver = "hos"\n[[sources]]\nid = "b"\ndriver = "host"\nevry_s = 3\n[[uplinks]]\nid = "u"\ndriver = "ngsi-ld"\n'


@pytest.mark.parametrize(("lang", "word"), [("en", "Did you mean"), ("ja", "誤りではありませんか")])
def test_check_bad_names_every_place_and_the_remedy(tmp_path, lang, word):
    done = edgeagent("check", "--lang", lang, "--config", config_of(tmp_path, BAD))
    assert done.returncode == 2
    for place in ("sources[0].driver", "sources[1].evry_s", "uplinks[0].url"):
        assert place in done.stderr
    assert word in done.stderr and "every_s" in done.stderr


def test_check_bad_for_machines(tmp_path):
    done = edgeagent("check", "--json", "--config", config_of(tmp_path, BAD))
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 2 and told["ok"] is False
    assert {e["path"] for e in told["errors"]} == {"sources[0].driver", "sources[1].evry_s", "uplinks[0].url"}
    assert all(e["message"] for e in told["errors"])


def test_no_config_file(tmp_path):
    for verb in ("run", "check", "status"):
        done = edgeagent(verb, "--config", tmp_path / "none.toml")
        assert done.returncode == 2, verb
        assert "none.toml" in done.stderr and "--config" in done.stderr


def test_status_without_a_daemon(tmp_path):
    done = edgeagent("status", "--json", "--config", config_of(tmp_path))
    assert done.returncode == 1 and "systemctl start" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"] is False


def test_usage_errors_exit_2():
    assert edgeagent("check", "--nonsense").returncode == 2
    assert edgeagent("check", "--lang", "fr").returncode == 2


class Daemon:
    def __init__(self, config, env=ENV):
        self.config = config
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgeagent", "run", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def status(self, until, within_s=30.0):
        """Ask until the answer is as wished."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            done = edgeagent("status", "--json", "--config", self.config)
            if done.returncode == 0:
                told = json.loads(done.stdout)
                if until(told):
                    return told
            time.sleep(0.2)
        self.process.kill()
        raise AssertionError(f"never so: {done.stdout} {done.stderr} {self.process.stderr.read()}")

    def stop(self, number=signal.SIGTERM):
        began = time.monotonic()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        assert "Traceback" not in err, err
        return time.monotonic() - began, err


@pytest.mark.slow
def test_a_daemon_and_its_questions(tmp_path):
    out = tmp_path / "out.jsonl"
    daemon = Daemon(config_of(tmp_path, HOST + jsonl(out), state=tmp_path / "new" / "state"))
    told = daemon.status(lambda s: s["uplinks"][0]["acknowledged"] >= 2)
    assert told["gateway"] == "GW-1" and told["outbox"]["accepted"] >= 2
    assert told["sources"][0]["id"] == "box" and told["sources"][0]["state"] == "running"
    assert told["sources"][0]["age_s"] < 30
    mode = (tmp_path / "new" / "state" / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    shown = edgeagent("status", "--lang", "ja", "--config", daemon.config).stdout
    assert "✓ box" in shown and "送信先" in shown
    assert "accepted" in edgeagent("outbox", "stats", "--config", daemon.config).stdout
    stats = json.loads(edgeagent("outbox", "stats", "--json", "--config", daemon.config).stdout)
    assert {"accepted", "acknowledged", "waiting", "thinned", "lost", "oldest_s"} <= set(stats)
    seconds, _ = daemon.stop()
    assert daemon.process.returncode == 0 and seconds < 5
    lines = out.read_text().splitlines()
    assert len(lines) >= told["outbox"]["accepted"]


@pytest.mark.slow
def test_a_state_dir_that_cannot_be_written_is_said_and_measuring_goes_on(tmp_path):
    blocked = tmp_path / "file-not-dir"
    blocked.write_text("in the way")
    daemon = Daemon(config_of(tmp_path, HOST + jsonl(tmp_path / "o"), state=blocked / "state"))
    time.sleep(4)
    assert daemon.process.poll() is None, "it must stay up"
    _, err = daemon.stop()
    assert "file-not-dir" in err and "state_dir" in err


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_accepted(tmp_path):
    away = '[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:9"\n'
    config = config_of(tmp_path, HOST + away)
    daemon = Daemon(config)
    before = daemon.status(lambda s: s["outbox"]["accepted"] >= 3)["outbox"]["accepted"]
    daemon.process.kill()
    daemon.process.communicate()
    again = Daemon(config)
    told = again.status(lambda s: s["outbox"]["accepted"] >= before)
    assert told["outbox"]["waiting"] == told["outbox"]["accepted"] and told["outbox"]["lost"] == 0
    assert again.stop()[0] < 5
