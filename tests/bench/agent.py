"""The daemon as a process: readings per CPU-second, CPU at 100 readings/s, memory."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil

from edgeagent.daemon import control
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.city import City
from tests.bench.figures import say

UNITS, REGISTERS = 10, 10
SETTLE_S, PIPELINE_S, CPU_S = 3.0, 20.0, 20.0
FOOTPRINT_S = float(os.environ.get("EDGEAGENT_FOOTPRINT_S", "60"))
SLAVE = """
import sys, time
from edgeagent.simulate.modbus_slave import ModbusSlave
words = lambda address, count: [1000 + (a * 7 + int(time.time() * 10)) %% 500 for a in range(address, address + count)]
with ModbusSlave({unit: words for unit in range(1, %d)}, tcp=True) as slave:
    print(slave.port, flush=True)
    sys.stdin.read()
"""


def pipeline():
    """Loopback Modbus TCP slave (10 units x 10 registers) -> rules -> fsynced outbox -> mosquitto PUBACK.

    A reading here is one register value, as in the peer's figure; `pipeline_polls` counts whole
    polls (one Reading with ten quantities each).
    """
    with _folder() as folder, _slave() as port, _broker(folder) as broker:
        profile = folder / "ten.toml"
        profile.write_text(_ten_registers())
        with _agent(folder, [*_gauges(port, profile, every_s=0.01), _mqtt(broker)]) as agent:
            before, after, cpu_s = _watch(agent, PIPELINE_S)
            acknowledged = after["outbox"]["acknowledged"] - before["outbox"]["acknowledged"]
            problems = {s["id"]: s["problems"] for s in after["sources"] if s["problems"]}
            assert not problems, problems
            assert after["outbox"]["waiting"] < acknowledged, "the uplink does not keep up"
            say(
                "pipeline", acknowledged * REGISTERS / cpu_s, "register values per CPU-second", acknowledged * REGISTERS
            )
            say("pipeline_polls", acknowledged / cpu_s, "readings per CPU-second", acknowledged)


def pipeline_http():
    """The same load to an NGSI-LD city in a process of its own: readings per CPU-second to HTTP 2xx."""
    with _folder() as folder, _slave() as port, _city() as url:
        profile = folder / "ten.toml"
        profile.write_text(_ten_registers())
        uplink = (
            f'[[uplinks]]\nid = "c"\ndriver = "ngsi-ld"\nurl = "{url}"\nhistory = "temporal"\nbackfill_bytes_per_s = 0'
        )
        with _agent(folder, [*_gauges(port, profile, every_s=0.1), uplink]) as agent:
            before, after, cpu_s = _watch(agent, PIPELINE_S)
            acknowledged = after["outbox"]["acknowledged"] - before["outbox"]["acknowledged"]
            say(
                "pipeline_http",
                acknowledged * REGISTERS / cpu_s,
                "register values per CPU-second",
                acknowledged * REGISTERS,
            )
            sent = after["uplinks"][0]["sent_bytes"] - before["uplinks"][0]["sent_bytes"]
            say(
                "wire_http",
                sent / acknowledged / REGISTERS,
                "bytes on the wire per register value",
                acknowledged * REGISTERS,
            )


def cpu100():
    """CPU of the daemon at 100 readings a second.

    `cpu100`: 100 register values a second (10 units x 10 registers, once a second each), the peer's
    unit.  `cpu100_polls`: 100 polls a second (10 units, one register, every 0.1 s), the harder one.
    """
    for name, registers, every_s in (("cpu100", REGISTERS, 1.0), ("cpu100_polls", 1, 0.1)):
        with _folder() as folder, _slave() as port, _broker(folder) as broker:
            profile = folder / "registers.toml"
            profile.write_text(_ten_registers(registers))
            with _agent(folder, [*_gauges(port, profile, every_s=every_s), _mqtt(broker)]) as agent:
                before, after, cpu_s = _watch(agent, CPU_S)
                rate = (after["outbox"]["accepted"] - before["outbox"]["accepted"]) * registers / CPU_S
                writes = psutil.Process(agent.process.pid).io_counters().write_bytes
                say(
                    f"sd_{name}",
                    writes / after["outbox"]["accepted"] / registers,
                    "bytes written to disk per value",
                    round(rate * CPU_S),
                )
                say(name, 100 * cpu_s / CPU_S * 100 / rate, "percent of one core at 100/s", round(rate * CPU_S))


def footprint():
    """RSS of the agent after a minute: gauges, tags and one uplink; then all processes with a camera at 5 fps."""
    city = City()
    city.start()
    gauge = AsciiGauge(lambda t: 2.0).start()
    try:
        with _folder() as folder, _slave() as port, _bluez() as environment:
            profile = folder / "one.toml"
            profile.write_text(_ten_registers(1))
            sections = [
                *_gauges(port, profile, every_s=5)[:3],
                f'[[sources]]\nid = "ascii"\ndriver = "serial-gauge"\nport = "{gauge.path}"\nprofile = "maxbotix-hrxl-wr"',
                '[[sources]]\nid = "tags"\ndriver = "ble-tags"\ntags = [{ id = "ibeacon:7b44b47b-52a1-5381-90c2-f09b6838c5d4:1:1" }]',
                '[[sources]]\nid = "host"\ndriver = "host"',
                f'[[uplinks]]\nid = "c"\ndriver = "ngsi-ld"\nurl = "{city.url}"',
            ]
            with _agent(folder, sections, environment) as agent:
                time.sleep(FOOTPRINT_S)
                say("footprint", _rss(agent.process) / 1e6, "MB RSS, gauges + tags + one uplink", 1)
            clip = folder / "road.mp4"
            code = "import sys; from pathlib import Path; from edgeagent.simulate.road import render_clip; render_clip(Path(sys.argv[1]), 80.0)"
            subprocess.run([sys.executable, "-c", code, str(clip)], check=True)
            camera = (
                f'[[sources]]\nid = "road"\ndriver = "traffic-camera"\ncamera = "{clip}"\nmax_fps = 5\nwindow_s = 10\n'
                'lines = [{ id = "l", from = [0, 220], to = [639, 220], forward = "down" }]'
            )
            with _agent(folder, [*sections, camera], environment) as agent:
                time.sleep(FOOTPRINT_S)
                say("footprint_camera", _rss(agent.process) / 1e6, "MB RSS, all processes, one camera at 5 fps", 1)
    finally:
        gauge.stop()
        city.stop()


class _Agent:
    def __init__(self, process, state):
        self.process, self.state = process, state

    def status(self):
        return json.loads(control.ask(control.socket_path(self.state), "status"))

    def cpu_s(self):
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


@contextlib.contextmanager
def _agent(folder: Path, sections, environment=None):
    state = Path(tempfile.mkdtemp(dir=folder))
    config = state / "config.toml"
    config.write_text(f'[gateway]\nid = "GW-BENCH"\nstate_dir = "{state}"\n' + "\n".join(sections))
    log = (state / "log").open("wb")
    command = [sys.executable, "-m", "edgeagent", "run", "--config", str(config)]
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
    agent = _Agent(process, state)
    try:
        for _ in range(100):
            time.sleep(0.1)
            if control.socket_path(state).exists():
                break
        else:
            raise RuntimeError((state / "log").read_text())
        time.sleep(SETTLE_S)
        yield agent
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _watch(agent, seconds):
    before, cpu = agent.status(), agent.cpu_s()
    time.sleep(seconds)
    return before, agent.status(), agent.cpu_s() - cpu


def _rss(process):
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return sum(one.memory_info().rss for one in family)


def _gauges(port, profile, *, every_s):
    return [
        f'[[sources]]\nid = "g{unit}"\ndriver = "modbus-gauge"\nhost = "127.0.0.1"\ntcp_port = {port}\nunit = {unit}\n'
        f'profile = "{profile}"\nevery_s = {every_s}\nplausible = {{ min_m = 0.0, max_m = 30.0 }}'
        for unit in range(1, UNITS + 1)
    ]


def _ten_registers(count=REGISTERS):
    reads = "".join(
        f'[[read]]\nname = "{"level" if n == 0 else f"level_{n}"}"\nfc = 3\naddress = {32 + n}\ntype = "u16"\nscale = 0.001\nunit = "m"\nsane = [0.0, 30.0]\n'
        for n in range(count)
    )
    return (
        '[profile]\nid = "bench"\ntitle = "bench"\nkind = "level"\nrung = "bench"\nsource = "made for the bench"\n'
        f'[link]\ntransport = "modbus"\nbaud = 9600\nframe = "8N1"\nunit = 1\nmin_poll_s = 0.01\ntimeout_s = 1.0\n{reads}'
    )


def _mqtt(port):
    return f'[[uplinks]]\nid = "mq"\ndriver = "iota-json"\nhost = "127.0.0.1"\nport = {port}\ntls = false\napikey = "k"'


@contextlib.contextmanager
def _slave():
    process = subprocess.Popen(
        [sys.executable, "-c", SLAVE % (UNITS + 1)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


@contextlib.contextmanager
def _broker(folder: Path):
    """mosquitto with one subscriber, as an IoT Agent would be."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    ready = threading.Event()
    listener.on_connect = lambda *_: listener.subscribe("#", qos=0)
    listener.on_subscribe = lambda *_: ready.set()
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                listener.connect("127.0.0.1", port)
                break
            time.sleep(0.05)
        listener.loop_start()
        assert ready.wait(5)
        yield port
    finally:
        listener.disconnect()
        listener.loop_stop()
        process.terminate()
        process.wait(5)


@contextlib.contextmanager
def _bluez():
    """A virtual BlueZ in a process of its own; yields the environment that leads bleak to it."""
    code = (
        "import asyncio, sys\nfrom edgeagent.simulate.private_bus import *\n"
        "async def main():\n async with private_bus() as a:\n  async with bluetoothd(a, '--people', '3', '--seconds', '300'):\n"
        "   print(a, flush=True)\n   await asyncio.to_thread(sys.stdin.read)\nasyncio.run(main())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield {"DBUS_SYSTEM_BUS_ADDRESS": process.stdout.readline().strip()}
    finally:
        process.communicate()


@contextlib.contextmanager
def _city():
    """The receiver in a process of its own; yields its address."""
    code = (
        "import sys\nfrom edgeagent.simulate.city import City\ncity = City()\ncity.start()\n"
        "print(city.url, flush=True)\nsys.stdin.read()\ncity.stop()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


@contextlib.contextmanager
def _folder():
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as name:
        yield Path(name)
