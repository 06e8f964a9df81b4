"""A real mosquitto in a folder of its own, and somebody who listens to it."""

import getpass
import json
import shutil
import signal
import socket
import subprocess
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class Mosquitto:
    """One broker on 127.0.0.1; `lines` are added to its config."""

    def __init__(self, folder, *, lines=(), tls=None):
        self.port = _free_port()
        self.plain_port = _free_port() if tls else self.port
        self._log = (folder / "mosquitto.log").open("ab")
        config = [
            f"user {getpass.getuser()}"
        ]  # else a broker started as root becomes somebody who cannot read the keys
        config += ["per_listener_settings true", f"listener {self.plain_port} 127.0.0.1", "allow_anonymous true"]
        if tls:
            ca, (cert, key) = tls
            config += [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "require_certificate true"]
            config += [f"cafile {ca}", f"certfile {cert}", f"keyfile {key}"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join([*config, *lines]) + "\n")
        self._process = None

    def start(self):
        binary = shutil.which("mosquitto", path=PATH)
        command = [binary, "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._process.poll() is None, self._log.name
            time.sleep(0.02)
        raise AssertionError(f"mosquitto did not start: {self._log.name}")

    def kill(self):
        self._process.kill()
        self._process.wait(10)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()
        self._log.close()


class Agent:
    """What an IoT Agent would hear: every measure by device; survives the broker's restarts."""

    def __init__(self, port):
        self.measures = []
        self.subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        # QoS 0, as agents do by default: the broker then hands a message over before it acknowledges it,
        # where with QoS 1 it may wait in the broker's memory behind others and die with it.
        self._client.on_connect = lambda client, *_: client.subscribe([("/json/#", 0), ("/ul/#", 0)])
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait()

    def wait(self):
        deadline = time.monotonic() + 10
        while not self.subscribed:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def sequences(self, device):
        return [m["sequenceNumber"] for d, m in list(self.measures) if d == device]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_):
        self.subscribed = True

    def _on_message(self, _client, _data, message):
        _, protocol, _, device, _ = message.topic.split("/")
        if protocol == "ul":
            for group in message.payload.decode().split("#"):
                time_, *fields = group.split("|")
                self.measures.append(
                    (device, {"TimeInstant": time_, **dict(zip(fields[::2], fields[1::2], strict=True))})
                )
            return
        found = json.loads(message.payload)
        assert not (isinstance(found, list) and len(found) == 1), "an agent mangles an array of one"
        self.measures.extend((device, measure) for measure in (found if isinstance(found, list) else [found]))


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
