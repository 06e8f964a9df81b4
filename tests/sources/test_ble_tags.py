"""The tag listener against bleak's real BlueZ backend, a real D-Bus daemon and a virtual bluetoothd."""

import asyncio
import contextlib
import logging
import uuid

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import SourceUnavailable
from edgeagent.reading import Kind
from edgeagent.simulate.bluez import VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.simulate.tags import ibeacon
from edgeagent.sources.ble_tags import BleTags, BleTagsConfig, Patience, TagConfig
from edgeagent.wire.beacons import APPLE, BTHOME
from tests.fakes import Collector, surroundings

needs_bus = pytest.mark.tool("dbus-daemon")
ADAPTER = "B8:27:EB:00:00:01"
CITY = uuid.UUID("7b44b47b-52a1-5381-90c2-f09b6838c5d4")
BEACON = f"ibeacon:{CITY}:1:7"
BEACON_MAC, BUTTON_MAC, STRANGER = "C0:DE:00:00:00:07", "C0:DE:00:00:00:08", "C1:5A:11:22:33:44"
BUTTON = f"bthome:{BUTTON_MAC}"
FRAME = {APPLE: ibeacon(CITY, 1, 7)}
IMPATIENT = Patience(start_s=1.0, stop_s=0.5, retry_s=0.05, check_s=0.02)


def config(**more):
    tags = (TagConfig(id=BEACON), TagConfig(id=BUTTON, alias="T-008"))
    return BleTagsConfig(**{"id": "square", "driver": "ble-tags", "tags": tags, "every_s": 0.1, **more})


@contextlib.asynccontextmanager
async def running(tmp_path, emit, **more):
    source = BleTags(config(**more), surroundings(tmp_path, SystemClock()), patience=IMPATIENT)
    task = asyncio.create_task(source.run(emit))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SourceUnavailable):
            await task


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def repeat(bluez, address=BEACON_MAC, rssi=-60, every_s=0.05, **frame):
    """Advertise until cancelled."""
    while True:
        await bluez.advertise(address, rssi, **(frame or {"manufacturer_data": FRAME}))
        await asyncio.sleep(every_s)


@contextlib.asynccontextmanager
async def on_air(*coroutines):
    tasks = [asyncio.create_task(c) for c in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def bus(monkeypatch):
    async with private_bus() as address:
        monkeypatch.setenv(ADDRESS_VARIABLE, address)
        yield address


@pytest.fixture
async def bluez(bus):
    daemon = VirtualBluez()
    await daemon.start()
    daemon.add_adapter("hci0", ADAPTER)
    yield daemon
    await daemon.stop()


def sightings(emit):
    return [r for r in emit.readings if r.kind is Kind.TAG]


def listening(emit):
    return [r.quantities["listening"].value for r in emit.readings if r.kind is Kind.CROWD]


@needs_bus
async def test_a_tag_of_the_list_becomes_a_pseudonymous_sighting(tmp_path, bluez):
    emit = Collector()
    async with running(tmp_path, emit, adapter=ADAPTER), on_air(repeat(bluez)):
        await until(lambda: len(sightings(emit)) >= 3)
    first = sightings(emit)[0]
    name = first.entity.removeprefix("square:")
    assert len(name) == 16 and set(name) <= set("0123456789abcdef")
    assert first.quantities["rssi"].value == -60
    assert {r.entity for r in sightings(emit)} == {first.entity}
    assert listening(emit) == [True] and emit.problems == []
    assert (tmp_path / "tags-key").stat().st_mode & 0o777 == 0o600


@needs_bus
async def test_who_is_not_on_the_list_leaves_no_trace(tmp_path, bluez, caplog):
    caplog.set_level(logging.DEBUG)
    emit = Collector()
    strangers = [
        repeat(bluez, STRANGER, manufacturer_data={APPLE: b"\x12\x19\x00" + bytes(24)}),
        repeat(bluez, "C1:5A:11:22:33:45", manufacturer_data={APPLE: ibeacon(CITY, 1, 8)}),
        repeat(bluez, "C1:5A:11:22:33:46", service_data={BTHOME: bytes.fromhex("40013a3a01")}),
    ]
    async with running(tmp_path, emit), on_air(repeat(bluez), *strangers):
        await until(lambda: len(sightings(emit)) >= 5)
    told = repr(emit.readings) + repr(emit.problems) + caplog.text
    assert len({r.entity for r in sightings(emit)}) == 1
    for secret in ("C1:5A", "C1_5A", "C0:DE", "C0_DE", "c0:de", str(CITY), CITY.hex):
        assert secret not in told
