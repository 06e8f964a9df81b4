"""The real agent under something that starts it again, as systemd does, and the CLI beside it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from edgeagent.daemon import control


class Unit:
    """`edgeagent run`, started again whenever it ends; `Restart=always` with a short RestartSec."""

    def __init__(self, field, **environment):
        self.field, self.starts, self.ends = field, 0, []
        self._env = {**os.environ, "EDGEAGENT_LANG": "en", **environment}
        self._log = (field.folder / "agent.log").open("ab")
        self._stop, self.process = threading.Event(), None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self._thread.join(30)
        self._log.close()

    def _keep(self):
        command = [sys.executable, "-m", "edgeagent", "run", "--config", str(self.field.config)]
        while not self._stop.is_set():
            self.process = subprocess.Popen(command, env=self._env, stdout=self._log, stderr=self._log)
            self.starts += 1
            self.ends.append(self.process.wait())
            self._stop.wait(0.1)

    def kill(self):
        """The agent dies; waits until it answers before, so that it was really running."""
        self.answers()
        self.process.send_signal(signal.SIGKILL)

    def answers(self):
        path = control.socket_path(self.field.state)

        def ask():
            try:
                return json.loads(control.ask(path, "status"))
            except Exception:  # noqa: BLE001  not yet
                return None

        return until(ask, "the agent answers")

    def log(self):
        return (self.field.folder / "agent.log").read_text(errors="replace")


def until(look, what, timeout_s=90):
    """What `look` returns as soon as it is something."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {timeout_s} s until {what}")


def cli(*words, code=0, **environment):
    """The CLI in a process of its own; its JSON document where it says one."""
    given = {"EDGEAGENT_LANG": "en", "EDGEAGENT_FLEET_PASSPHRASE": "tanuki", **environment}
    env = {name: value for name, value in {**os.environ, **given}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", "edgeagent", *map(str, words)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) if "--json" in words else done.stdout + done.stderr
