"""The same load on ThingsBoard IoT Gateway, in a venv of its own (`make bench-peers`); CPU per reading beside ours.

10 units x 10 registers on one Modbus TCP slave, asked ten times a second, kept in SQLite, sent to
mosquitto with QoS 1.  Its platform is a subscriber here that answers the one question the gateway
asks before it sends.  A reading is one register value, on both sides.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil

from tests.bench import agent
from tests.bench.figures import say

PEERS = Path(os.environ.get("EDGEAGENT_PEERS", ".peers"))
EVERY_S = 0.1
WARM_S, WATCH_S = 15.0, 20.0


def thingsboard():
    """`peer_thingsboard`, `peer_ours`: register values per CPU-second to PUBACK; `peer_ratio`: ours to theirs."""
    with agent._folder() as folder, agent._slave() as port, agent._broker(folder) as broker:
        theirs, their_cpu_s = _theirs(folder, port, broker)
        ours, our_cpu_s = _ours(folder, port, broker)
    say("peer_thingsboard", theirs / their_cpu_s, "register values per CPU-second, ThingsBoard IoT Gateway", theirs)
    say("peer_ours", ours / our_cpu_s, "register values per CPU-second, the same load", ours)
    say("peer_ratio", (ours / our_cpu_s) / (theirs / their_cpu_s), "ours to theirs", theirs)


def _ours(folder, port, broker):
    profile = folder / "ten.toml"
    profile.write_text(agent._ten_registers())
    with agent._agent(folder, [*agent._gauges(port, profile, every_s=EVERY_S), agent._mqtt(broker)]) as made:
        before, after, cpu_s = agent._watch(made, WATCH_S)
        return (after["outbox"]["acknowledged"] - before["outbox"]["acknowledged"]) * agent.REGISTERS, cpu_s


def _theirs(folder, port, broker):
    home = folder / "thingsboard"
    _configure(home, port, broker)
    with Platform(broker) as platform:
        command = [str(PEERS.resolve() / "bin" / "python"), "-m", "thingsboard_gateway.tb_gateway"]
        log = (home / "out").open("wb")
        process = subprocess.Popen(
            command, cwd=home, env={**os.environ, "TB_GW_CONFIG_DIR": str(home)}, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 90
            while not platform.values:
                assert process.poll() is None and time.monotonic() < deadline, (home / "out").read_text()[-3000:]
                time.sleep(0.1)
            time.sleep(WARM_S)
            before, cpu_s = platform.values, _cpu_s(process.pid)
            time.sleep(WATCH_S)
            assert list((home / "data").glob("*.db")), "it does not store what it is to store"
            return platform.values - before, _cpu_s(process.pid) - cpu_s
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            log.close()


def _cpu_s(pid):
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def _configure(home, port, broker):
    """Its own defaults, but for address, store and load."""
    code = "import thingsboard_gateway; print(list(thingsboard_gateway.__path__)[0])"
    found = subprocess.run([PEERS.resolve() / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    shipped = Path(found.stdout.strip()) / "config"
    (home / "logs").mkdir(parents=True)
    (home / "data").mkdir()
    for name in ("logs.json", "statistics.json", "list.json"):
        shutil.copy(shipped / name, home / name)
    config = json.loads((shipped / "tb_gateway.json").read_text())
    config["thingsboard"] |= {"host": "127.0.0.1", "port": broker, "remoteConfiguration": False}
    config["thingsboard"]["security"] = {"type": "accessToken", "accessToken": "bench"}
    config["thingsboard"]["statistics"]["enable"] = False
    config["storage"] = {"type": "sqlite", "data_file_path": "./data/"}
    config["connectors"] = [{"type": "modbus", "name": "gauges", "configuration": "modbus.json"}]
    (home / "tb_gateway.json").write_text(json.dumps(config))
    (home / "modbus.json").write_text(
        json.dumps({"master": {"slaves": [_unit(n, port) for n in range(1, agent.UNITS + 1)]}})
    )


def _unit(number, port):
    return {
        "host": "127.0.0.1",
        "port": port,
        "type": "tcp",
        "method": "socket",
        "unitId": number,
        "deviceName": f"g{number}",
        "deviceType": "default",
        "timeout": 5,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "pollPeriod": int(EVERY_S * 1000),
        "connectAttemptTimeMs": 500,
        "connectAttemptCount": 5,
        "attributes": [],
        "timeseries": [
            {
                "tag": f"level_{n}",
                "type": "16uint",
                "functionCode": 3,
                "objectsCount": 1,
                "address": 32 + n,
                "divider": 1000,
            }
            for n in range(agent.REGISTERS)
        ],
        "attributeUpdates": [],
        "rpc": [],
    }


class Platform:
    """Counts the values that arrive, and tells a gateway that it has no limits."""

    def __init__(self, port):
        self.values = 0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("v1/gateway/telemetry", 1), ("v1/devices/me/rpc/request/+", 1)])
        self._client.loop_start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, client, _data, message):
        if message.topic == "v1/gateway/telemetry":
            told = json.loads(message.payload)
            self.values += sum(len(one.get("values", one)) for moments in told.values() for one in moments)
            return
        limits = {"maxPayloadSize": 65_536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
        client.publish(f"v1/devices/me/rpc/response/{message.topic.rpartition('/')[2]}", json.dumps(limits), qos=1)


if __name__ == "__main__":
    if not (PEERS / "bin" / "python").exists():
        sys.exit(f"{PEERS}: no peers are installed; `make bench-peers` does it")
    thingsboard()
