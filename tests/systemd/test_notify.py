"""READY, WATCHDOG and STOPPING on a real notify socket, from the real agent."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.update.rig import until

CONFIG = """[gateway]
id = "GW-1"
state_dir = "{state}"
[[sources]]
id = "box"
driver = "host"
every_s = 1
[[uplinks]]
id = "out"
driver = "jsonl"
path = "{state}/out.jsonl"
"""


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path, self.said = folder / "notify", []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def heard(self):
        while True:
            try:
                self.said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.said

    def close(self):
        self._socket.close()

    def count(self, word):
        return self.heard().count(word)


@pytest.mark.slow
def test_a_life_on_a_notify_socket(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(state=tmp_path))
    manager = Manager(tmp_path)
    env = {**os.environ, "NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "1000000"}
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "run", "--config", str(config)], env=env, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: manager.count("READY=1"), "READY")
        until(lambda: manager.count("WATCHDOG=1") >= 3, "the watchdog is fed")
        assert manager.said[0] == "READY=1" or manager.said[0] == "WATCHDOG=1"
        process.send_signal(signal.SIGSTOP)  # hangs: nobody feeds
        time.sleep(0.3)
        manager.heard()
        before = manager.count("WATCHDOG=1")
        time.sleep(1.5)
        assert manager.count("WATCHDOG=1") == before
        process.send_signal(signal.SIGCONT)
        until(lambda: manager.count("WATCHDOG=1") > before, "fed again")
        process.terminate()
        assert process.wait(30) == 0
        assert manager.count("STOPPING=1") == 1 and manager.heard()[-1] == "STOPPING=1"
        assert manager.said.count("READY=1") == 1
    finally:
        process.kill()
        process.wait(10)
        manager.close()
