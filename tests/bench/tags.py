"""Watch tags: adverts per core-second in process and through D-Bus, memory under strangers, heal times, CPU.

`tags_in_process_*`: bleak's parser, allow-list and presence rule on synthetic properties, one process.
`tags_dbus_*`: a listener process behind a real D-Bus daemon; only its own CPU counts.  `…bleak…`: bleak alone with
an empty callback, the floor for anything that uses it.
`tags_heal_*`: seconds from the moment the cause is gone (or, where we cure it, from the fault) to the next sighting.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from edgeagent.clock import SystemClock
from edgeagent.reading import Kind
from edgeagent.rules.presence import Presence, PresenceConfig
from edgeagent.simulate.bluez import HANG, VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.sources.allow_list import AllowList
from edgeagent.sources.ble_tags import BleTags, BleTagsConfig, TagConfig
from edgeagent.sources.pseudonym import Names, keyed_hash, list_key
from edgeagent.sources.tag_radio import Radio, Wanted
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.sources.tags_config import listed
from edgeagent.wire.beacons import APPLE
from tests.bench.figures import say
from tests.fakes import Collector, surroundings

KEY = b"0123456789abcdef"
ADAPTER = "B8:27:EB:00:00:01"
ADVERTS, STRANGERS = 200_000, 100_000
DBUS_S, CPU_S, RATE = 8.0, 20.0, 200


def tag_of(number):
    return f"ibeacon:7b44b47b-52a1-5381-90c2-f09b6838c5d4:1:{number}"


def frame_of(number):
    return bytes.fromhex("02157b44b47b52a1538190c2f09b6838c5d4") + b"\0\1" + number.to_bytes(2, "big") + b"\xc5"


def address_of(number):
    return f"C0:DE:00:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"


def section(tags):
    hashes = [keyed_hash(list_key(KEY), tag_of(n)).hex() for n in range(tags)]
    return BleTagsConfig(id="square", driver="ble-tags", tags=tuple(TagConfig(hash=one) for one in hashes))


def tags():
    for count in (50, 1000):
        _in_process(count)
    _strangers()
    asyncio.run(_through_dbus())
    asyncio.run(_heal())


class _Whole:
    """Everything between bleak's backend and the readings that leave, without a bus."""

    def __init__(self, tags):
        config, folder = section(tags), Path(tempfile.mkdtemp(prefix="edgeagent-bench-"))
        self.source = BleTags(config, surroundings(folder, SystemClock()))
        allowed = AllowList(list_key(KEY), listed(config, KEY, {}, {}))
        self.source._windows = self.windows = TagWindows("square", allowed, every_s=2.0)
        self.names, self.rule, self.clock = Names(KEY, "GW"), Presence(PresenceConfig(), "square"), SystemClock()
        radio = Radio(0, "square", Wanted(ADAPTER), self.source, clock=self.clock)

        class Found:
            name = "hci0"

        self.backend = radio._make(Found)._backend
        self.out = 0

    def heard(self, path, address, data, rssi):
        props = {"Address": address, "RSSI": rssi, "ManufacturerData": {APPLE: data}, "Alias": address}
        self.backend._handle_advertising_data(path, props)

    def pass_on(self):
        for reading in self.windows.due(self.clock.mono(), self.clock.now(), self.names):
            self.out += len(list(self.rule.feed(reading)))
        self.out += len(list(self.rule.tick(self.clock.now())))


def _in_process(count):
    whole = _Whole(count)
    air = [(f"/org/bluez/hci0/dev_{n}", address_of(n), frame_of(n)) for n in range(count)]
    began = time.process_time()
    for number in range(ADVERTS):
        path, address, data = air[number % count]
        whole.heard(path, address, data, -60)
        if number % 500 == 0:
            whole.pass_on()
    cpu_s = time.process_time() - began
    assert whole.out
    say(f"tags_in_process_{count}", ADVERTS / cpu_s, "adverts per core-second, bleak to presence", ADVERTS)


def _strangers():
    """Every one with an address and an id of its own; BlueZ drops each after a while."""
    whole, luck = _Whole(50), random.Random(1)

    def walk(number):
        for n in range(number):
            address = ":".join(f"{b:02X}" for b in luck.randbytes(6))
            whole.heard(f"/org/bluez/hci0/dev_{n}", address, b"\x02\x15" + luck.randbytes(21), -70)
            whole.backend._handle_device_removed(f"/org/bluez/hci0/dev_{n}")

    walk(5000)
    gc.collect()
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    walk(STRANGERS)
    cpu_s = time.process_time() - began
    gc.collect()
    say("tags_strangers_rss", (psutil.Process().memory_info().rss - before) / 1024, "kB RSS grown", STRANGERS)
    say("tags_strangers", STRANGERS / cpu_s, "strangers' iBeacons per core-second", STRANGERS)


LISTENER = """
import asyncio, sys, json, time
from pathlib import Path
from tests.bench.tags import section, KEY
from tests.fakes import Collector, surroundings
from edgeagent.clock import SystemClock
from edgeagent.sources.ble_tags import BleTags
from edgeagent.rules.presence import Presence, PresenceConfig

async def main(tags, folder):
    (Path(folder) / "tags-key").write_bytes(KEY)
    source = BleTags(section(tags), surroundings(Path(folder), SystemClock()))
    heard, rule = 0, Presence(PresenceConfig(), "square")

    class Emit(Collector):
        async def __call__(self, *readings):
            for reading in readings:
                list(rule.feed(reading))

    inner = source.heard

    def count(*args):
        nonlocal heard
        heard += 1
        inner(*args)

    source.heard = count
    task = asyncio.create_task(source.run(Emit()))
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        print(json.dumps([heard, time.process_time()]), flush=True)
    task.cancel()

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


BARE = """
import asyncio, json, sys, time
from bleak import BleakScanner

async def main():
    heard = 0

    def count(device, advertisement):
        nonlocal heard
        heard += 1

    scanner = BleakScanner(count, bluez={"adapter": "hci0", "filters": {"DuplicateData": True, "Transport": "le"}})
    await scanner.start()
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps([heard, time.process_time()]), flush=True)

asyncio.run(main())
"""


@contextlib.contextmanager
def _listener(tags, program=LISTENER):
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tags), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def ask():
            process.stdin.write("?\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            yield ask
        finally:
            process.communicate()


async def _through_dbus():
    async with private_bus() as bus:
        os.environ[ADDRESS_VARIABLE] = bus
        for name, count, rate, seconds, program in (
            ("tags_dbus_50", 50, None, DBUS_S, LISTENER),
            ("tags_dbus_1000", 1000, None, DBUS_S, LISTENER),
            ("tags_dbus_bleak_1000", 1000, None, DBUS_S, BARE),
            ("tags_cpu_200", 50, RATE, CPU_S, LISTENER),
            ("tags_cpu_200_bleak", 50, RATE, CPU_S, BARE),
        ):
            bluez = VirtualBluez()
            await bluez.start()
            bluez.add_adapter("hci0", ADAPTER)
            with _listener(count, program) as ask:
                while not bluez.discovering():
                    await asyncio.sleep(0.1)
                await _blast(bluez, count, rate, 2.0)
                heard, cpu = await asyncio.to_thread(ask)
                await _blast(bluez, count, rate, seconds)
                heard_then, cpu_then = await asyncio.to_thread(ask)
            await bluez.stop()
            heard, cpu = heard_then - heard, cpu_then - cpu
            if rate is None:
                say(name, heard / cpu, "adverts per core-second of the listener, through dbus-daemon", heard)
            else:
                say(name, 100 * cpu / seconds * RATE * seconds / heard, "percent of one core at 200 adverts/s", heard)


async def _blast(bluez, count, rate, seconds):
    ends, sent, began = time.monotonic() + seconds, 0, time.monotonic()
    while time.monotonic() < ends:
        number = sent % count
        await bluez.advertise(address_of(number), -60 - sent % 20, manufacturer_data={APPLE: frame_of(number)})
        sent += 1
        if rate is not None:
            await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))


async def _heal():
    """With the deadlines of the product."""
    for name, case in (
        ("bluetoothd_restart", _restart),
        ("adapter_back", _replug),
        ("in_progress_for_good", _busy),
        ("hangs_for_good", _hung),
        ("deaf_until_power", lambda *a: _deaf(*a, cure="Powered")),
        ("deaf_until_restart", lambda *a: _deaf(*a, cure="RestartUnit")),
    ):
        async with private_bus() as bus:
            os.environ[ADDRESS_VARIABLE] = bus
            bluez, emit = await _daemon(), Collector()
            await bluez.serve_systemd()
            with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
                (Path(folder) / "tags-key").write_bytes(KEY)
                config = BleTagsConfig(
                    id="square", driver="ble-tags", tags=(TagConfig(id=tag_of(1)),), canary=tag_of(2), adapter=ADAPTER
                )
                task = asyncio.create_task(BleTags(config, surroundings(Path(folder), SystemClock())).run(emit))
                seconds = await case(bluez, emit)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await bluez.stop()
        say(f"tags_heal_{name}", seconds, "s until a tag is heard again", 1)


async def _daemon():
    bluez = VirtualBluez()
    await bluez.start()
    bluez.add_adapter("hci0", ADAPTER)
    return bluez


async def _until_heard(bluez, emit, adapter="hci0"):
    """Advertise tag and canary until a sighting comes."""
    began, known = time.monotonic(), len(emit.readings)
    while not any(r.kind is Kind.TAG for r in emit.readings[known:]):
        for number in (1, 2):
            await bluez.advertise(address_of(number), -60, manufacturer_data={APPLE: frame_of(number)}, adapter=adapter)
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def _restart(bluez, emit):
    await _until_heard(bluez, emit)
    await bluez.stop()
    await asyncio.sleep(8)
    again = await _daemon()
    seconds = await _until_heard(again, emit)
    await again.stop()
    return seconds


async def _replug(bluez, emit):
    await _until_heard(bluez, emit)
    bluez.remove_adapter("hci0")
    await asyncio.sleep(8)
    bluez.add_adapter("hci3", ADAPTER)
    return await _until_heard(bluez, emit, "hci3")


async def _busy(bluez, emit):
    return await _cured(bluez, emit, "org.bluez.Error.InProgress")


async def _hung(bluez, emit):
    return await _cured(bluez, emit, HANG)


async def _cured(bluez, emit, fault):
    """Only a restart of bluetoothd helps; it is ours to ask for."""
    await _until_heard(bluez, emit)
    bluez.script("StartDiscovery", *[fault] * 1000)
    bluez.power("hci0", on=False)  # ends the scan
    bluez.power("hci0", on=True)

    async def watch():
        while not bluez.restarts:
            await asyncio.sleep(0.05)
        bluez._script.clear()

    watching = asyncio.create_task(watch())
    seconds = await _until_heard(bluez, emit)
    await watching
    return seconds


async def _deaf(bluez, emit, *, cure):
    for _ in range(10):
        await _until_heard(bluez, emit)
    bluez.deafen("hci0", cure=cure)
    return await _until_heard(bluez, emit)
