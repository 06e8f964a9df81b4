"""The virtual bluetoothd behaves like the real one where the listener depends on it."""

import asyncio
import random
import shutil
import uuid

import pytest
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edgeagent.errors import SourceUnavailable
from edgeagent.messages import catalogue
from edgeagent.simulate.bluez import VirtualBluez, play
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, bluetoothd, private_bus
from edgeagent.simulate.tags import Walk, Walker, crowd, ibeacon
from edgeagent.wire.beacons import APPLE, decode

needs_bus = pytest.mark.tool("dbus-daemon")
PATH, ADAPTER, MAC = "/org/bluez/hci0", "org.bluez.Adapter1", "C0:DE:00:00:00:07"
DATA = {0x0059: b"one"}


class Client:
    """A second client of BlueZ, which writes down what it is told."""

    def __init__(self, bus):
        self.bus, self.heard = bus, []
        bus.add_message_handler(self._on_message)

    def _on_message(self, message):
        if message.message_type is MessageType.SIGNAL and message.path and message.path.startswith(PATH + "/dev"):
            self.heard.append(message.body[1])
        elif message.member == "InterfacesAdded":
            self.heard.append(message.body[1].get("org.bluez.Device1"))

    async def call(self, member, interface=ADAPTER, path=PATH, signature="", body=()):
        reply = await self.bus.call(Message("org.bluez", path, interface, member, signature=signature, body=list(body)))
        return reply.error_name or reply.body

    async def ask_for_duplicates(self, wanted):
        await self.call("SetDiscoveryFilter", signature="a{sv}", body=[{"DuplicateData": Variant("b", wanted)}])

    async def settled(self):
        """Everything that was signalled before has been heard."""
        await self.call("GetManagedObjects", "org.freedesktop.DBus.ObjectManager", "/")
        return self.heard


@pytest.fixture
async def bus(monkeypatch):
    async with private_bus() as address:
        monkeypatch.setenv(ADDRESS_VARIABLE, address)
        yield address


@pytest.fixture
async def client(bus):
    connection = await MessageBus(bus_type=BusType.SYSTEM).connect()
    for interface in ("org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"):
        rule = f"type='signal',interface='{interface}'"
        await connection.call(
            Message("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch", signature="s", body=[rule])
        )
    yield Client(connection)
    connection.disconnect()


async def daemon(**more):
    bluez = VirtualBluez(**more)
    await bluez.start()
    bluez.add_adapter("hci0", "B8:27:EB:00:00:01")
    return bluez


@needs_bus
async def test_nothing_is_heard_unless_somebody_scans(client):
    bluez = await daemon()
    assert await bluez.advertise(MAC, -60, manufacturer_data=DATA) is False
    assert await client.call("StartDiscovery") == []
    assert await client.call("StartDiscovery") == "org.bluez.Error.InProgress"
    assert await bluez.advertise(MAC, -60, manufacturer_data=DATA) is True
    assert await client.call("StopDiscovery") == []
    assert await client.call("StopDiscovery") == "org.bluez.Error.Failed"
    assert await bluez.advertise(MAC, -60, manufacturer_data=DATA) is False
    assert len(await client.settled()) == 2  # the adapter itself, and one device
    await bluez.stop()


@needs_bus
@pytest.mark.parametrize(
    ("step_db", "duplicates", "told"),
    [
        (0, False, [{"RSSI"}, {"RSSI"}, {"RSSI", "ManufacturerData"}]),
        (0, True, [{"RSSI", "ManufacturerData"}] * 3),
        (8, False, [{"RSSI", "ManufacturerData"}]),
        (8, True, [{"ManufacturerData"}, {"ManufacturerData"}, {"RSSI", "ManufacturerData"}]),
    ],
)
async def test_two_ways_of_reporting_rssi(client, step_db, duplicates, told):
    bluez = await daemon(rssi_step_db=step_db)
    await client.ask_for_duplicates(duplicates)
    await client.call("StartDiscovery")
    await bluez.advertise(MAC, -60, manufacturer_data=DATA)
    del (await client.settled())[:]
    await bluez.advertise(MAC, -60, manufacturer_data=DATA)
    await bluez.advertise(MAC, -63, manufacturer_data=DATA)
    await bluez.advertise(MAC, -70, manufacturer_data={0x004C: b"two"})
    heard = await client.settled()
    assert [set(changed) for changed in heard] == told
    assert heard[-1]["ManufacturerData"].value == {0x0059: Variant("ay", b"one"), 0x004C: Variant("ay", b"two")}
    await bluez.stop()


@needs_bus
async def test_a_client_that_leaves_no_longer_scans(client):
    bluez = await daemon()
    await client.call("StartDiscovery")
    assert bluez.discovering()
    client.bus.disconnect()
    async with asyncio.timeout(10):
        while bluez.discovering():
            await asyncio.sleep(0.01)
    await bluez.stop()


@needs_bus
async def test_scripted_errors_come_in_order_and_end(client):
    bluez = await daemon()
    bluez.script("StartDiscovery", "org.bluez.Error.InProgress", "org.bluez.Error.NotReady")
    answers = [await client.call("StartDiscovery") for _ in range(3)]
    assert answers == ["org.bluez.Error.InProgress", "org.bluez.Error.NotReady", []]
    bluez.power("hci0", on=False)
    assert await client.call("StartDiscovery") == "org.bluez.Error.NotReady"
    bluez.remove_adapter("hci0")
    assert await client.call("StartDiscovery") == "org.freedesktop.DBus.Error.UnknownObject"
    await bluez.stop()


@needs_bus
async def test_a_burst_of_a_thousand_devices_arrives_whole(client):
    bluez = await daemon()
    await client.call("StartDiscovery")
    for number in range(1000):
        await bluez.advertise(f"C1:00:00:00:{number // 256:02X}:{number % 256:02X}", -60, manufacturer_data=DATA)
    assert len(await client.settled()) == 1001
    await bluez.stop()


@needs_bus
async def test_a_walk_is_played_in_real_time(client):
    bluez = await daemon()
    await client.call("StartDiscovery")
    walk = crowd(2, seconds=1.0)
    started = asyncio.get_running_loop().time()
    await play(bluez, walk)
    assert asyncio.get_running_loop().time() - started > 0.5
    assert len(await client.settled()) >= 4
    await bluez.stop()


@needs_bus
async def test_the_process_serves_until_it_is_ended(client, bus):
    async with bluetoothd(bus, "--adapter", "00:1A:7D:DA:71:13", "--people", "1") as process:
        (objects,) = await client.call("GetManagedObjects", "org.freedesktop.DBus.ObjectManager", "/")
        assert objects[PATH][ADAPTER]["Address"].value == "00:1A:7D:DA:71:13"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await client.call("StartDiscovery") == "org.freedesktop.DBus.Error.ServiceUnknown"


async def test_without_dbus_daemon_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SourceUnavailable) as caught:
        async with private_bus():
            pass
    assert caught.value.code == "tags.no-dbus-daemon"
    assert "apt install" in catalogue("tags", "ja")["no-dbus-daemon"]["remedy"]


async def test_a_program_that_ends_at_once_is_an_error_not_a_wait(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/bin/false")
    with pytest.raises(SourceUnavailable) as caught:
        async with private_bus():
            pass
    assert caught.value.code == "tags.dbus-daemon-failed"


def test_the_same_seed_is_the_same_walk_in_order_of_time():
    first, again = list(crowd(4, seconds=60).frames()), list(crowd(4, seconds=60).frames())
    assert first == again != list(crowd(4, seconds=60, seed=2).frames())
    assert [frame.at_s for frame in first] == sorted(frame.at_s for frame in first)


def test_a_walker_is_loudest_when_nearest_and_truth_follows_the_distance():
    walker = Walker("ibeacon:7b44b47b-52a1-5381-90c2-f09b6838c5d4:1:1", MAC, passes_s=30)
    rssi = {round(frame.at_s): frame.rssi for frame in walker.frames(60, random.Random(1))}
    assert rssi[30] > rssi[10] + 8 and rssi[30] > rssi[50] + 8
    walk = Walk((walker,), 0, 60, 1)
    assert walk.present(30) == {walker.tag} and walk.present(0) == walk.present(60) == frozenset()


def test_only_the_people_of_a_walk_are_on_its_allow_list():
    walk = crowd(3, seconds=30)
    heard = [decode(f.manufacturer_data, f.service_data, address=f.address) for f in walk.frames()]
    ids = {identity for sighting in heard if sighting for identity in sighting.ids}
    assert set(walk.allow_list) < ids  # strangers' beacons are there too
    assert None in heard  # and their finder tags
    assert sum(sighting.pressed for sighting in heard if sighting) > 0


def test_ibeacon_frames_are_what_the_decoder_reads():
    found = decode({APPLE: ibeacon(uuid.UUID(int=1), 258, 3)}, {})
    assert found.ids == ("ibeacon:00000000-0000-0000-0000-000000000001:258:3",)
