"""Five thousand strangers walk by the whole agent, with its debug log on: nobody's address is anywhere afterwards."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from edgeagent.daemon import control
from edgeagent.simulate.bluez import VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.sources.pseudonym import keyed_hash, list_key
from edgeagent.wire.beacons import APPLE, BTHOME, EDDYSTONE, LINE

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = "B8:27:EB:00:00:01"
STRANGERS = 5000
KEY = "0123456789abcdef0123456789abcdef"
BUTTON_MAC, BEACON_MAC = "C0:DE:00:00:00:08", "C0:DE:00:00:00:07"
BUTTON, BEACON = f"bthome:{BUTTON_MAC.lower()}", "line:8adfaf4326"


class Receiver:
    """Takes everything, and keeps every byte."""

    def __enter__(self):
        bodies = self.bodies = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                head = (self.requestline + str(self.headers)).encode()
                bodies.append(head + self.rfile.read(int(self.headers.get("Content-Length", 0))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def stranger(number, luck):
    """(address, frame) of a passer-by's device of one of the kinds there are."""
    address = ":".join(f"{b:02X}" for b in luck.randbytes(6))
    kinds = (
        {"manufacturer_data": {APPLE: b"\x12\x19\x00" + luck.randbytes(24)}},
        {"manufacturer_data": {APPLE: b"\x02\x15" + luck.randbytes(21)}},
        {"manufacturer_data": {APPLE: b"\x02\x15" + luck.randbytes(9)}},  # damaged
        {"manufacturer_data": {0x0075: luck.randbytes(20)}},
        {"service_data": {BTHOME: b"\x40\x00\x01\x3a\x01"}},  # somebody else's button
        {"service_data": {EDDYSTONE: b"\x00\xe7" + luck.randbytes(16)}},
        {"service_data": {EDDYSTONE: b"\x41" + luck.randbytes(20)}},
        {"service_data": {LINE: b"\x02" + luck.randbytes(5) + b"\x7f\x01"}},
    )
    return address, kinds[number % len(kinds)]


def traces(address, frame):
    """Every form in which an address or the payload of its frame may be written down."""
    plain = bytes.fromhex(address.replace(":", ""))
    yield from (address.encode(), address.lower().encode(), address.replace(":", "_").encode())
    yield from (plain.hex().encode(), plain.hex().upper().encode(), plain, plain[::-1])
    for data in (*frame.get("manufacturer_data", {}).values(), *frame.get("service_data", {}).values()):
        if len(data) > 12:
            yield from (data[3:], data[3:].hex().encode())


@pytest.mark.slow
@pytest.mark.tool("dbus-daemon")
async def test_five_thousand_strangers_leave_no_trace(tmp_path, monkeypatch):
    state, log = tmp_path / "state", tmp_path / "log"
    state.mkdir()
    (state / "tags-key").write_text(KEY)
    hashes = [keyed_hash(list_key(KEY.encode()), tag).hex() for tag in (BUTTON, BEACON)]
    luck = random.Random(5000)
    people = [stranger(number, luck) for number in range(STRANGERS)]
    with Receiver() as city:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[gateway]\nid = "GW-1"\nstate_dir = "{state}"\n'
            f'[[sources]]\nid = "square"\ndriver = "ble-tags"\nevery_s = 0.5\n'
            f'tags = [{{ hash = "{hashes[0]}", alias = "T-8" }}, {{ hash = "{hashes[1]}" }}]\n'
            f'[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:{city.server.server_port}"\n'
            f'[[uplinks]]\nid = "file"\ndriver = "jsonl"\npath = "{tmp_path}/readings.jsonl"\n'
        )
        async with private_bus() as bus:
            monkeypatch.setenv(ADDRESS_VARIABLE, bus)
            bluez = VirtualBluez()
            await bluez.start()
            bluez.add_adapter("hci0", ADAPTER)
            async with agent(config, log) as process:
                await until(bluez.discovering)
                await pass_by(bluez, people[:500])
                before = psutil.Process(process.pid).memory_info().rss
                await pass_by(bluez, people)
                press = b"\x40\x00\x07\x01\x55\x3a\x01"
                for _ in range(8):
                    await bluez.advertise(BUTTON_MAC, -60, service_data={BTHOME: press})
                    await bluez.advertise(BEACON_MAC, -60, service_data={LINE: bytes.fromhex("028adfaf43267f2017")})
                    await asyncio.sleep(0.5)
                await until(lambda: b"sos" in b"".join(city.bodies) and b"peopleCount" in b"".join(city.bodies))
                grown = psutil.Process(process.pid).memory_info().rss - before
                path = control.socket_path(state)
                answers = [
                    await asyncio.to_thread(control.ask, path, question)
                    for question in ("status", "outbox", "waiting", "dead", "privacy")
                ]
                during = [file.read_bytes() for file in state.rglob("*") if file.is_file()]  # with its WAL
                audit = await run("privacy", "audit", "--config", config, "--json")
                refused = await run("wipe", "--config", config, "--yes")
            await bluez.stop()
    everything = b"\0".join(
        [*during, *answers, *city.bodies, log.read_bytes(), (tmp_path / "readings.jsonl").read_bytes()]
        + [file.read_bytes() for file in state.rglob("*") if file.is_file()]
    )
    assert b"Alert" in everything and b"peopleCount" in everything
    found = [address for address, frame in people if any(trace in everything for trace in traces(address, frame))]
    assert found == []
    ours = [*traces(BUTTON_MAC, {}), *traces(BEACON_MAC, {}), BUTTON.encode(), BEACON.encode(), b"8adfaf4326"]
    assert [trace for trace in ours if trace in everything] == []
    assert grown < 12e6  # three bytes a stranger would be nothing; an object each would be five megabytes
    told = json.loads(audit[1].splitlines()[-1])
    assert (audit[0], told["ok"], told["raw"]) == (0, True, [])
    left = {(one["kind"], one["field"]) for one in told["left"]["left"]["city"]}
    assert ("tag", "state") in left and ("alert", "fact:alias") in left and ("tag", "rssi") not in left
    assert refused[0] == 5 and (state / "tags-key").exists()


async def pass_by(bluez, people):
    """They are heard, and BlueZ forgets them half a minute later."""
    for begin in range(0, len(people), 250):
        for address, frame in people[begin : begin + 250]:
            await bluez.advertise(address, -60, **frame)
        for address, _ in people[begin : begin + 250]:
            await bluez.forget(address)


@contextlib.asynccontextmanager
async def agent(config, log):
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "edgeagent", "run", "--config", str(config)),
            stdout=out,
            stderr=out,
            cwd=ROOT,
            env={**os.environ, "EDGEAGENT_DEBUG": "1"},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 30)


async def run(*args):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "edgeagent", *map(str, args)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert b"Traceback" not in out + err
    return process.returncode, out.decode(), err.decode()


async def until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
