"""Rows 34 to 40 of the fault matrix: a real D-Bus daemon, bleak's real backend, a virtual bluetoothd."""

import asyncio
import contextlib
import random

import pytest

from edgeagent.clock import SystemClock
from edgeagent.reading import Kind
from edgeagent.rules.presence import Presence, PresenceConfig
from edgeagent.simulate.bluez import HANG, VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, private_bus
from edgeagent.sources.ble_tags import BleTags, BleTagsConfig, Patience, TagConfig
from edgeagent.wire.beacons import APPLE, BTHOME, EDDYSTONE, LINE
from edgeagent.wire.bthome_cipher import seal
from tests.fakes import Collector, surroundings
from tests.sources.test_ble_tags import (
    ADAPTER,
    BEACON,
    BEACON_MAC,
    BUTTON,
    BUTTON_MAC,
    FRAME,
    HURRIED,
    IMPATIENT,
    codes,
    listening,
    on_air,
    repeat,
    running,
    sightings,
    until,
)

pytestmark = pytest.mark.tool("dbus-daemon")


async def daemon(**more):
    made = VirtualBluez(**more)
    await made.start()
    made.add_adapter("hci0", ADAPTER)
    return made


@pytest.fixture
async def bus(monkeypatch):
    async with private_bus() as address:
        monkeypatch.setenv(ADDRESS_VARIABLE, address)
        yield address


async def test_row_34_bluetoothd_dies_restarts_and_the_bus_dies(tmp_path, monkeypatch):
    """Scanning again, and unknown in between; the bus comes back under the same address, as dbus.service does."""
    emit, rule = Collector(), Presence(PresenceConfig(enter_n=2, leave_s=5), "square")

    def states():
        out = [made for reading in emit.readings for made in rule.feed(reading)]
        return [made.quantities["state"].value for made in out if "state" in made.quantities]

    async with running(tmp_path, emit) as task:
        for end in ("kill", "restart", "bus"):
            async with private_bus() as address:
                monkeypatch.setenv(ADDRESS_VARIABLE, address)
                bluez = await daemon()
                async with on_air(repeat(bluez)):
                    heard = len(sightings(emit))
                    await until(lambda heard=heard: len(sightings(emit)) > heard + 3 and listening(emit)[-1])
                if end == "kill":
                    await bluez.stop()
                    await until(lambda: listening(emit)[-1] is False)
                elif end == "restart":
                    await bluez.stop()
                    bluez = await daemon()
                    await until(lambda: listening(emit)[-1] is False)
                    async with on_air(repeat(bluez)):
                        await until(lambda: listening(emit)[-1])
            await until(lambda: listening(emit)[-1] is False)
        assert not task.done()
    told = states()
    assert told[:2] == ["present", "unknown"] and "left" not in told


async def test_row_35_the_adapter_comes_back_under_another_number(tmp_path, bus):
    bluez, emit = await daemon(), Collector()
    async with running(tmp_path, emit, adapter=ADAPTER):
        async with on_air(repeat(bluez)):
            await until(lambda: sightings(emit) and listening(emit)[-1])
        bluez.remove_adapter("hci0")
        bluez.add_adapter("hci0", "00:1A:7D:DA:71:13")  # its number now belongs to another
        await until(lambda: listening(emit)[-1] is False)
        await until(lambda: "tags.adapter-missing" in codes(emit))
        bluez.add_adapter("hci5", ADAPTER)
        heard = len(sightings(emit))
        async with on_air(repeat(bluez, adapter="hci5", manufacturer_data=FRAME)):
            await until(lambda: len(sightings(emit)) > heard and listening(emit)[-1])
        assert not bluez.discovering("hci0")
    await bluez.stop()


@pytest.mark.parametrize(
    ("fault", "code"),
    [("org.bluez.Error.InProgress", "tags.busy"), ("org.bluez.Error.NotReady", "tags.not-ready"), (HANG, "tags.hung")],
)
async def test_row_36_start_fails_for_good_and_the_ladder_is_climbed(tmp_path, bus, fault, code):
    """Off and on, USB, then bluetoothd: each once, with pauses; afterwards it hears."""
    bluez, emit = await daemon(), Collector()
    await bluez.serve_systemd()
    bluez.script("StartDiscovery", *[fault] * 1000)
    patience = HURRIED if fault == HANG else IMPATIENT
    async with running(tmp_path, emit, patience=patience) as task, on_air(repeat(bluez)):
        await until(lambda: bluez.restarts)
        members = [member for _, member in bluez.calls]
        assert members.count("Set") == (0 if fault == HANG else 2) and bluez.restarts == 1
        assert ("tags.not-usb" in codes(emit)) == (fault != HANG)
        assert members.count("StartDiscovery") < 60 and code in codes(emit)
        assert True not in listening(emit)
        bluez._script.clear()
        await until(lambda: sightings(emit) and listening(emit)[-1])
        assert not task.done() and bluez.restarts == 1
    await bluez.stop()


async def test_row_36_stop_in_progress_and_stop_that_hangs(tmp_path, bus):
    bluez, emit = await daemon(), Collector()
    bluez.script("StopDiscovery", "org.bluez.Error.InProgress", HANG, "org.bluez.Error.Failed")
    async with running(tmp_path, emit, silence_s=0.2):
        await until(lambda: codes(emit).count("tags.silent") >= 3)
        async with on_air(repeat(bluez)):
            await until(lambda: sightings(emit) and listening(emit)[-1])
    await bluez.stop()


@pytest.mark.parametrize("cure", ["Powered", "RestartUnit"])
async def test_row_36_a_radio_that_hears_nobody_is_cured_by_the_rung_that_helps(tmp_path, bus, cure):
    """Everything looks healthy and nothing arrives; the canary in the cabinet tells it from a quiet night."""
    bluez, emit = await daemon(), Collector()
    await bluez.serve_systemd()
    canary = repeat(bluez, "C0:DE:00:00:00:99", -30, service_data={LINE: bytes.fromhex("028adfaf43267f2017")})
    settings = {"canary": "line:8adfaf4326", "silence_s": 0.5}
    async with running(tmp_path, emit, **settings), on_air(canary):
        await until(lambda: listening(emit) == [True])
        await asyncio.sleep(0.3)
        bluez.deafen("hci0", cure=cure)
        await until(lambda: listening(emit) == [True, False])
        await until(lambda: listening(emit) == [True, False, True])
        assert bluez.restarts == (cure == "RestartUnit")
    assert sightings(emit) == []
    await bluez.stop()


@pytest.mark.parametrize("rssi_step_db", [0, 8])
@pytest.mark.parametrize("mode", ["active", "passive"])
async def test_row_37_a_still_tag_stays_present_however_bluez_signals_rssi(tmp_path, bus, rssi_step_db, mode):
    bluez = await daemon(rssi_step_db=rssi_step_db, experimental=True)
    emit, rule = Collector(), Presence(PresenceConfig(leave_s=5, enter_n=2), "square")
    states = []

    def watch():
        out = [made for reading in emit.readings for made in rule.feed(reading)]
        emit.readings.clear()
        out += rule.tick(clock.now())
        states.extend(made.quantities["state"].value for made in out if "state" in made.quantities)

    class Fast(SystemClock):
        """Twenty times as fast, so that the leave time passes often."""

        def mono(self):
            return super().mono() * 20

        def now(self):
            real = super().now()
            return type(real)(real.wall_ms, int(self.mono() * 1000), real.boot_id, real.trust)

    clock = Fast()
    source = BleTags(
        BleTagsConfig(id="square", driver="ble-tags", tags=(TagConfig(id=BEACON),), every_s=0.1, mode=mode),
        surroundings(tmp_path, clock),
        patience=Patience(start_s=20, stop_s=0.5, retry_s=0.05, check_s=0.02),
    )
    task = asyncio.create_task(source.run(emit))
    async with on_air(repeat(bluez)):
        began = clock.mono()
        while clock.mono() - began < 30:  # six times the leave time
            watch()
            await asyncio.sleep(0.02)
    assert states == ["present"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await bluez.stop()


async def test_row_38_strangers_are_not_stored_not_sent_and_cost_no_memory(tmp_path, bus, caplog):
    """tests/privacy does it with 5,000 and the whole agent; here: nothing of theirs is kept in the listener."""
    caplog.set_level(1)
    bluez, emit, luck = await daemon(), Collector(), random.Random(38)
    source = BleTags(
        BleTagsConfig(id="square", driver="ble-tags", tags=(TagConfig(id=BEACON),), every_s=0.1),
        surroundings(tmp_path, SystemClock()),
        patience=IMPATIENT,
    )
    task = asyncio.create_task(source.run(emit))
    await until(bluez.discovering)
    addresses = []
    for number in range(600):
        address = ":".join(f"{b:02X}" for b in luck.randbytes(6))
        addresses.append(address)
        what = number % 4
        if what == 0:
            frame = {"manufacturer_data": {APPLE: b"\x12\x19\x00" + luck.randbytes(24)}}
        elif what == 1:
            frame = {"manufacturer_data": {APPLE: b"\x02\x15" + luck.randbytes(21)}}
        elif what == 2:
            frame = {"service_data": {BTHOME: b"\x40\x3a\x01"}}
        else:
            frame = {"service_data": {EDDYSTONE: b"\x00\xe7" + luck.randbytes(16)}}
        await bluez.advertise(address, -60, **frame)
    await bluez.advertise(BEACON_MAC, -60, manufacturer_data=FRAME)
    await until(lambda: sightings(emit))
    windows = source._windows
    assert set(windows._tags) == set(windows._allowed._known) == {BEACON} and set(windows._by_address) == {BEACON_MAC}
    told = repr(emit.readings) + repr(emit.problems) + caplog.text
    assert not [a for a in addresses if a in told or a.replace(":", "_") in told or a.lower() in told]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await bluez.stop()


@pytest.mark.parametrize("key", [b"", bytes(range(16))], ids=["plain", "encrypted"])
@pytest.mark.parametrize("numbered", [True, False])
async def test_row_39_one_sos_is_one_event_repeated_cached_and_across_restarts(tmp_path, bus, numbered, key):
    bluez, emit = await daemon(), Collector()
    rule = Presence(PresenceConfig(sos_repeat_s=0), "square")
    objects = bytes.fromhex(("0007" if numbered else "") + "015f3a01")
    press = {BTHOME: seal(objects, BUTTON_MAC, key, 4000) if key else b"\x40" + objects}
    if key:
        from edgeagent.sources.pseudonym import keyed_hash, list_key  # noqa: PLC0415

        (tmp_path / "tags-key").write_bytes(b"0123456789abcdef")
        hashed = keyed_hash(list_key(b"0123456789abcdef"), BUTTON.lower()).hex()
        (tmp_path / "tags-keys").write_text(f"{hashed} {key.hex()}\n")

    def alerts():
        out = [made for reading in emit.readings for made in rule.feed(reading)]
        emit.readings.clear()
        found.extend(made for made in out if made.kind is Kind.ALERT)
        return len(found)

    found = []
    async with running(tmp_path, emit), on_air(repeat(bluez, BUTTON_MAC, service_data=press)):
        await until(alerts)
        await until((tmp_path / "tags-told-square.json").exists)
        await asyncio.sleep(0.2)
    for restarted in ("agent", "bluetoothd too"):
        if restarted == "bluetoothd too":
            await bluez.stop()
            bluez = await daemon()
        heard = {"manufacturer_data": {0x0059: b"x"}} if restarted == "agent" else {"service_data": press}
        rule = Presence(PresenceConfig(sos_repeat_s=0), "square")  # a new process
        async with running(tmp_path, emit) as task, on_air(repeat(bluez, BUTTON_MAC, **heard)):
            await until(lambda: listening(emit) == [True])
            await asyncio.sleep(0.4)
            assert not task.done()
        assert alerts() == 1
    assert found[0].facts["alias"] == "T-008"
    again = bytes.fromhex(("0009" if numbered else "") + "015f3a01")
    calm = bytes.fromhex(("0008" if numbered else "") + "015f3a00")
    async with running(tmp_path, emit):
        await until(bluez.discovering)
        rule = Presence(PresenceConfig(sos_repeat_s=0), "square")
        for counter, one in ((4001, calm), (4002, again)):
            data = seal(one, BUTTON_MAC, key, counter) if key else b"\x40" + one
            await bluez.advertise(BUTTON_MAC, -60, service_data={BTHOME: data})
            await asyncio.sleep(0.3)
        await until(lambda: alerts() == 2)
    await bluez.stop()


async def test_row_40_malformed_frames_are_dropped_counted_and_raise_nothing(tmp_path, bus):
    bluez, emit = await daemon(), Collector()
    (tmp_path / "tags-key").write_bytes(b"0123456789abcdef")
    from edgeagent.sources.pseudonym import keyed_hash, list_key  # noqa: PLC0415

    hashed = keyed_hash(list_key(b"0123456789abcdef"), BUTTON.lower()).hex()
    (tmp_path / "tags-keys").write_text(f"{hashed} {'00' * 16}\n")
    frames = [
        {"manufacturer_data": {APPLE: b"\x02\x15" + bytes(10)}},  # short iBeacon
        {"manufacturer_data": {APPLE: b"\x02\x15" + bytes(251)}},  # extended advertisement, 255 bytes
        {"service_data": {BTHOME: b""}},  # length 0
        {"service_data": {EDDYSTONE: b"\x00"}},
        {"service_data": {LINE: b"\x02" + bytes(30)}},
    ]
    async with running(tmp_path, emit) as task:
        await until(bluez.discovering)
        for number, frame in enumerate(frames):
            await bluez.advertise(f"C1:5A:00:00:00:0{number}", -60, **frame)
        wrong = seal(b"\x3a\x01", BUTTON_MAC, bytes(range(16)), 7)
        await bluez.advertise(BUTTON_MAC, -60, service_data={BTHOME: wrong})
        async with on_air(repeat(bluez)):
            await until(lambda: sightings(emit) and "tags.bad-check" in codes(emit))
        assert not task.done()
    formats = {error.facts["format"] for _, error in emit.problems if error.code == "tags.malformed"}
    assert formats == {"ibeacon", "bthome", "eddystone-uid", "line"}
    assert len({r.entity for r in sightings(emit)}) == 1
