"""The tag listener against bleak's real BlueZ backend, a real D-Bus daemon and a virtual bluetoothd."""

import asyncio
import contextlib
import dataclasses
import logging
import uuid

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from edgeagent.clock import SystemClock
from edgeagent.config import decode as decode_section
from edgeagent.daemon import pump
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import Health, SourceHealth
from edgeagent.messages import catalogue
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.reading import Kind
from edgeagent.rules.chain import Chain
from edgeagent.rules.presence import Presence, PresenceConfig
from edgeagent.simulate.bluez import HANG, VirtualBluez
from edgeagent.simulate.private_bus import ADDRESS_VARIABLE, bluetoothd, private_bus
from edgeagent.simulate.tags import crowd, ibeacon
from edgeagent.sources.ble_tags import BleTags, BleTagsConfig, Patience, TagConfig
from edgeagent.sources.pseudonym import keyed_hash, list_key
from edgeagent.sources.tag_radio import Ears, Radio, Wanted
from edgeagent.wire.beacons import APPLE, BTHOME, LINE
from tests.fakes import Collector, surroundings

needs_bus = pytest.mark.tool("dbus-daemon")
ADAPTER = "B8:27:EB:00:00:01"
CITY = uuid.UUID("7b44b47b-52a1-5381-90c2-f09b6838c5d4")
BEACON = f"ibeacon:{CITY}:1:7"
BEACON_MAC, BUTTON_MAC, STRANGER = "C0:DE:00:00:00:07", "C0:DE:00:00:00:08", "C1:5A:11:22:33:44"
BUTTON = f"bthome:{BUTTON_MAC}"
FRAME = {APPLE: ibeacon(CITY, 1, 7)}
FRAME_OF_NOBODY = {APPLE: ibeacon(CITY, 1, 8)}
IMPATIENT = Patience(start_s=10.0, stop_s=0.5, retry_s=0.05, longest_s=0.2, check_s=0.02, climb_s=0.1)
HURRIED = Patience(start_s=0.7, stop_s=0.5, retry_s=0.05, longest_s=0.2, check_s=0.02, climb_s=60)


def config(**more):
    tags = (TagConfig(id=BEACON), TagConfig(id=BUTTON, alias="T-008"))
    return BleTagsConfig(**{"id": "square", "driver": "ble-tags", "tags": tags, "every_s": 0.1, **more})


@contextlib.asynccontextmanager
async def running(tmp_path, emit, *, patience=IMPATIENT, **more):
    source = BleTags(config(**more), surroundings(tmp_path, SystemClock()), patience=patience)
    task = asyncio.create_task(source.run(emit))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition, seconds=60.0):
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
    return [r for r in emit.readings if r.kind is Kind.TAG and "rssi" in r.quantities]


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


def codes(emit):
    return [error.code for _, error in emit.problems]


async def trouble(tmp_path, code, *, patience=IMPATIENT, **more):
    """The first error with this code; the source goes on trying, and does not claim to listen."""
    emit = Collector()
    async with running(tmp_path, emit, patience=patience, **more) as task:
        await until(lambda: code in codes(emit))
        assert not task.done() and (listening(emit) or [False])[-1] is False
    return next(error for _, error in emit.problems if error.code == code)


@needs_bus
async def test_bluetoothd_killed_and_started_again_is_heard_again(tmp_path, bus):
    """kill -9 is silent death for a bleak scanner; ours notices at once and goes on by itself."""
    walk, emit = crowd(1, seconds=120), Collector()
    settings = {"tags": tuple(TagConfig(id=tag) for tag in walk.allow_list)}
    walking = ("--people", "1", "--seconds", "120")
    async with running(tmp_path, emit, **settings) as task:
        async with bluetoothd(bus, *walking) as daemon:
            await until(lambda: sightings(emit))
            daemon.kill()
            await until(lambda: listening(emit)[-1:] == [False] and "tags.lost" in codes(emit))
        await until(lambda: "tags.no-bluetoothd" in codes(emit))
        heard = len(sightings(emit))
        async with bluetoothd(bus, *walking):
            await until(lambda: len(sightings(emit)) > heard + 1 and listening(emit)[-1])
        assert not task.done()
    assert len({reading.entity for reading in sightings(emit)}) == 1


@needs_bus
async def test_while_bluetoothd_is_away_a_tag_is_unknown_and_never_left(tmp_path, bus):
    """Listener and presence rule together."""
    emit, rule = Collector(), Presence(PresenceConfig(leave_s=5, enter_n=2), "square")
    states, people = [], []

    def told():
        out = [made for reading in emit.readings for made in rule.feed(reading)]
        emit.readings.clear()
        out += rule.tick(SystemClock().now())
        states.extend(made.quantities["state"].value for made in out if "state" in made.quantities)
        people.extend(made.quantities["people"].value for made in out if "people" in made.quantities)
        return states[-1:]

    async with running(tmp_path, emit):
        for _ in range(2):
            daemon = VirtualBluez()
            await daemon.start()
            daemon.add_adapter("hci0", ADAPTER)
            async with on_air(repeat(daemon)):
                await until(lambda: told() == ["present"])
                await daemon.stop()
                await until(lambda: told() == ["unknown"])
    assert states == ["present", "unknown"] * 2
    assert people[-1] is None and 1 in people


@needs_bus
async def test_one_listener_outlives_several_daemons(tmp_path, bus):
    """bleak's cached adapters do not matter."""
    emit = Collector()
    async with running(tmp_path, emit, adapter=ADAPTER):
        for number in range(3):  # the adapter comes back under another number each time
            daemon = VirtualBluez()
            await daemon.start()
            daemon.add_adapter(f"hci{number}", ADAPTER)
            heard = len(sightings(emit))
            async with on_air(repeat(daemon, manufacturer_data=FRAME, adapter=f"hci{number}")):
                await until(lambda more=heard + 2: len(sightings(emit)) >= more)
                await until(lambda: listening(emit)[-1])
                await daemon.stop()
                await until(lambda: listening(emit)[-1] is False)
    assert listening(emit)[-6:] == [True, False] * 3


@needs_bus
async def test_the_configured_adapter_is_used_whatever_its_number(tmp_path, bluez):
    bluez.add_adapter("hci7", "00:1A:7D:DA:71:13")
    emit = Collector()
    async with running(tmp_path, emit, adapter="00:1a:7d:da:71:13"):
        await until(lambda: bluez.discovering("hci7"))
        assert not bluez.discovering("hci0")


@needs_bus
async def test_no_adapter_the_wrong_adapter_and_one_without_power(tmp_path, bluez):
    missing = await trouble(tmp_path, "tags.adapter-missing", adapter="00:1A:7D:DA:71:13")
    assert missing.facts["present"] == ADAPTER
    bluez.remove_adapter("hci0")
    await trouble(tmp_path, "tags.no-adapter")
    bluez.add_adapter("hci0", ADAPTER, powered=False)
    bluez.script("Set", *["org.bluez.Error.Blocked"] * 1000)
    await trouble(tmp_path, "tags.powered-off")


@needs_bus
async def test_an_adapter_without_power_is_switched_on(tmp_path, bluez):
    bluez.power("hci0", on=False)
    emit = Collector()
    async with running(tmp_path, emit), on_air(repeat(bluez)):
        await until(lambda: sightings(emit))
    assert codes(emit)[0] == "tags.powered-off"


@needs_bus
async def test_an_adapter_pulled_out_or_switched_off_under_the_scan_is_noticed_and_comes_back(tmp_path, bluez):
    emit = Collector()
    async with running(tmp_path, emit), on_air(repeat(bluez)):
        for end in ("remove", "power"):
            await until(lambda: listening(emit)[-1:] == [True])
            emit.problems.clear()
            bluez.remove_adapter("hci0") if end == "remove" else bluez.power("hci0", on=False)
            await until(lambda: "tags.lost" in codes(emit))
            if end == "remove":
                await until(lambda: "tags.no-adapter" in codes(emit))
                bluez.add_adapter("hci0", ADAPTER)
            heard = len(sightings(emit))
            await until(lambda heard=heard: len(sightings(emit)) > heard + 1)


@needs_bus
async def test_in_progress_is_waited_out(tmp_path, bluez):
    bluez.script("StartDiscovery", "org.bluez.Error.InProgress", "org.bluez.Error.NotReady")
    emit = Collector()
    async with running(tmp_path, emit, patience=HURRIED), on_air(repeat(bluez)):
        await until(lambda: sightings(emit) and listening(emit)[-1])
    assert codes(emit)[:2] == ["tags.busy", "tags.not-ready"]
    assert [member for _, member in bluez.calls].count("Set") == 0


@needs_bus
@pytest.mark.parametrize("call", ["GetManagedObjects", "SetDiscoveryFilter", "StartDiscovery"])
async def test_a_call_that_is_never_answered_has_a_deadline(tmp_path, bluez, call):
    bluez.script(call, HANG)
    emit = Collector()
    async with running(tmp_path, emit, patience=HURRIED), on_air(repeat(bluez)):
        await until(lambda: sightings(emit))
    hung = next(error for _, error in emit.problems if error.code == "tags.hung")
    assert hung.facts["seconds"] == HURRIED.start_s


@needs_bus
async def test_a_stop_that_hangs_does_not_hold_the_end_up(tmp_path, bluez):
    bluez.script("StopDiscovery", HANG)
    source = BleTags(config(), surroundings(tmp_path, SystemClock()), patience=IMPATIENT)
    task = asyncio.create_task(source.run(Collector()))
    await until(bluez.discovering)
    task.cancel()
    ended, _ = await asyncio.wait({task}, timeout=30)
    assert ended and task.cancelled()


@needs_bus
@pytest.mark.parametrize(("name", "code"), [("AccessDenied", "tags.denied"), ("Failed", "tags.scan-failed")])
async def test_other_refusals_keep_their_reason(tmp_path, bluez, name, code):
    scripted = f"org.freedesktop.DBus.Error.{name}" if name == "AccessDenied" else f"org.bluez.Error.{name}"
    bluez.script("StartDiscovery", *[scripted] * 1000)
    error = await trouble(tmp_path, code)
    assert scripted in error.facts["why"]


async def test_without_a_bus_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv(ADDRESS_VARIABLE, f"unix:path={tmp_path}/nothing-here")
    await trouble(tmp_path, "tags.no-bus")


@needs_bus
@pytest.mark.parametrize("rssi_step_db", [0, 8])
async def test_a_tag_that_stands_still_goes_on_being_heard(tmp_path, bus, rssi_step_db):
    """Newer BlueZ signals RSSI only when it changes by 8 dB; the filter asks for repeated data."""
    daemon = VirtualBluez(rssi_step_db=rssi_step_db)
    await daemon.start()
    daemon.add_adapter("hci0", ADAPTER)
    emit = Collector()
    async with running(tmp_path, emit), on_air(repeat(daemon)):
        await until(lambda: len(sightings(emit)) >= 5)
    await daemon.stop()


@needs_bus
async def test_silence_gets_fresh_scanners_and_then_counts_as_deaf(tmp_path, bluez):
    emit = Collector()
    async with running(tmp_path, emit, silence_s=0.1):
        await until(lambda: listening(emit) == [True, False])
        assert codes(emit) == ["tags.silent"] * 3
        members = [member for _, member in bluez.calls]
        assert members.count("StartDiscovery") >= 3
        assert "Set" not in members  # at a quiet place nothing is known to be wrong
        async with on_air(repeat(bluez, STRANGER, manufacturer_data=FRAME_OF_NOBODY)):  # anybody proves that we hear
            await until(lambda: listening(emit) == [True, False, True])
    assert sightings(emit) == []


@needs_bus
async def test_a_scanner_that_falls_silent_is_deaf_until_the_next_one(tmp_path, bluez):
    emit = Collector()
    async with running(tmp_path, emit, silence_s=0.3):
        async with on_air(repeat(bluez)):
            await until(lambda: len(sightings(emit)) > 2)
        await until(lambda: listening(emit)[:3] == [True, False, True])


@needs_bus
async def test_a_passive_scan_hears_without_a_discovery(tmp_path, bus):
    daemon = VirtualBluez(experimental=True)
    await daemon.start()
    daemon.add_adapter("hci0", ADAPTER)
    emit = Collector()
    async with running(tmp_path, emit, mode="passive"), on_air(repeat(daemon)):
        await until(lambda: len(sightings(emit)) > 3)
        members = [member for _, member in daemon.calls]
        assert "RegisterMonitor" in members and "StartDiscovery" not in members
    await daemon.stop()


@needs_bus
async def test_where_there_is_no_passive_scan_it_listens_actively(tmp_path, bluez):
    emit = Collector()
    async with running(tmp_path, emit, mode="passive"), on_air(repeat(bluez)):
        await until(lambda: sightings(emit))
    assert codes(emit) == ["tags.no-passive"]


@needs_bus
async def test_a_passive_scan_that_hears_nobody_becomes_an_active_one(tmp_path, bus):
    daemon = VirtualBluez(experimental=True)
    await daemon.start()
    daemon.add_adapter("hci0", ADAPTER)
    emit = Collector()
    async with running(tmp_path, emit, mode="passive", silence_s=0.1):
        await until(lambda: "tags.passive-deaf" in codes(emit))
        await until(lambda: "StartDiscovery" in [member for _, member in daemon.calls])
    await daemon.stop()


OTHER = "00:1A:7D:DA:71:13"


@needs_bus
async def test_two_adapters_are_one_source_and_one_of_them_is_enough(tmp_path, bluez):
    bluez.add_adapter("hci1", OTHER)
    emit = Collector()
    weak, strong = repeat(bluez, rssi=-80), repeat(bluez, rssi=-50, adapter="hci1", manufacturer_data=FRAME)
    async with running(tmp_path, emit, adapter=(ADAPTER, OTHER)):
        async with on_air(weak, strong):
            await until(lambda: sightings(emit) and sightings(emit)[-1].quantities["rssi"].value == -50)
            bluez.remove_adapter("hci1")
            await until(lambda: "tags.adapter-missing" in codes(emit))
            await until(lambda: sightings(emit)[-1].quantities["rssi"].value == -80)
    assert len({r.entity for r in sightings(emit)}) == 1 and listening(emit) == [True]


@needs_bus
async def test_tags_are_found_by_hash_by_profile_and_by_enrolment(tmp_path, bluez):
    key = b"a key of at least sixteen bytes"
    (tmp_path / "tags-key").write_bytes(key)
    ids = [BEACON, "vendor-service:00112233", "line:8adfaf4326"]
    first, second, third = (keyed_hash(list_key(key), one).hex() for one in ids)
    (tmp_path / "tags-enrolled").write_text(f"{third} T-3\n")
    frames = [
        {"manufacturer_data": FRAME},
        {"service_data": {"0000ffff-0000-1000-8000-00805f9b34fb": bytes.fromhex("57010011223301550201")}},
        {"service_data": {LINE: bytes.fromhex("028adfaf43267f20170228")}},
    ]
    emit = Collector()
    tags = (TagConfig(hash=first), TagConfig(hash=second))
    on = on_air(*(repeat(bluez, f"C0:DE:00:00:01:0{n}", **frame) for n, frame in enumerate(frames)))
    async with running(tmp_path, emit, tags=tags, profiles=("vendor-service",), enrolled=True), on:
        await until(lambda: len({r.entity for r in sightings(emit)}) == 3)
        await until(lambda: any(r.quantities["sos"].value for r in sightings(emit)))


@needs_bus
async def test_a_press_waits_for_no_timer_on_its_way_to_the_store(tmp_path, bluez, monkeypatch):
    """Radio, windows, rules and pump, each with timers of an hour: only the press itself can move them."""
    hourly = dataclasses.replace(IMPATIENT, check_s=3600)
    outbox, press = MemoryOutbox(SystemClock(), ["u"]), {BTHOME: bytes.fromhex("4000073a01")}
    source = BleTags(config(every_s=60), surroundings(tmp_path, SystemClock()), patience=hourly)
    chain = Chain([Presence(PresenceConfig(), "square")])
    flow = Flow(
        groups=[SourceGroup(("square",), lambda: source)], chains={"square": chain}, outbox=outbox, uplinks={},
        health=Health({"square": SourceHealth("square", "ble-tags")}, {}), clock=SystemClock(),
    )  # fmt: skip
    monkeypatch.setattr(pump, "COMMIT_S", 3600.0)
    monkeypatch.setattr(pump, "TICK_S", 3600.0)
    stop = asyncio.Event()
    living = asyncio.create_task(flow.run(stop))
    try:
        await until(bluez.discovering)
        await bluez.advertise(BUTTON_MAC, -60, service_data=press)
        async with asyncio.timeout(60):
            batch = await outbox.lease("u", 50)
        assert batch.lane == "alarm"
        assert [r.reading.quantities["sub_category"].value for r in batch.rows] == ["sos"]
    finally:
        stop.set()
        await living


@needs_bus
async def test_a_press_is_told_once_and_not_again_from_the_cache_of_bluez(tmp_path, bluez):
    emit, press = Collector(), {BTHOME: bytes.fromhex("400007 015f 3a01".replace(" ", ""))}

    def presses():
        return [r for r in sightings(emit) if r.quantities["sos"].value]

    async with running(tmp_path, emit, every_s=60):
        await until(bluez.discovering)
        async with on_air(repeat(bluez, BUTTON_MAC, service_data=press)):
            await until(presses)
            await asyncio.sleep(0.3)
        async with on_air(repeat(bluez, BUTTON_MAC, manufacturer_data={0x0059: b"x"})):
            await asyncio.sleep(0.3)
    assert len(presses()) == 1 and presses()[0].facts["alias"] == "T-008"
    assert presses()[0].quantities["battery"].value == 0.95
    async with running(tmp_path, emit):  # a new process: BlueZ still shows the press with every frame
        async with on_air(repeat(bluez, BUTTON_MAC, manufacturer_data={0x0059: b"x"})):
            await until(lambda: len(sightings(emit)) > 4)
            assert len(presses()) == 1
            await bluez.advertise(BUTTON_MAC, -60, service_data={BTHOME: bytes.fromhex("4000083a01")})
            await until(lambda: len(presses()) == 2)


@needs_bus
async def test_five_hundred_strangers_leave_nothing_behind(tmp_path, bluez):
    emit = Collector()
    source = BleTags(config(), surroundings(tmp_path, SystemClock()), patience=IMPATIENT)
    task = asyncio.create_task(source.run(emit))
    await until(bluez.discovering)
    for number in range(500):
        await bluez.advertise(
            f"C1:5A:00:00:{number // 256:02X}:{number % 256:02X}", -70, manufacturer_data=FRAME_OF_NOBODY
        )
    await bluez.advertise(BEACON_MAC, -60, manufacturer_data=FRAME)
    await until(lambda: sightings(emit))
    assert len(sightings(emit)) == 1 and set(source._windows._tags) == {BEACON}
    assert set(source._windows._allowed._known) == {BEACON} and set(source._windows._by_address) == {BEACON_MAC}
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def advertisement(rssi):
    return BLEDevice(BEACON_MAC, None, {}), AdvertisementData(None, FRAME, {}, [], None, rssi, ())


async def test_a_device_whose_rssi_was_cleared_was_not_heard(tmp_path):
    """BlueZ clears RSSI when a scan ends or the radio is switched off; bleak calls back then too."""
    ears = Listening()
    radio = Radio(0, "square", Wanted(""), ears, clock=SystemClock())
    radio._on_advertisement(*advertisement(-127))
    assert not radio.ladder.hears and ears.rssi == []
    radio._on_advertisement(*advertisement(-60))
    assert radio.ladder.hears and ears.rssi == [-60]


class Listening(Ears):
    def __init__(self):
        self.rssi, self.bugs = [], []

    def heard(self, radio, address, advertisement, now_s):
        self.rssi.append(advertisement.rssi)

    def bug(self, error):
        self.bugs.append(error)


async def test_a_bug_in_the_callback_does_not_raise_into_bleak():
    ears = Listening()
    Radio(0, "square", Wanted(""), ears, clock=SystemClock())._on_advertisement(None, None)
    assert isinstance(ears.bugs[0], AttributeError)


@needs_bus
async def test_a_bug_ends_the_run_so_that_the_supervisor_restarts_it(tmp_path, bluez):
    emit = Collector()
    source = BleTags(config(), surroundings(tmp_path, SystemClock()), patience=IMPATIENT)
    task = asyncio.create_task(source.run(emit))
    await until(lambda: listening(emit) == [True])
    source.bug(ZeroDivisionError())
    await until(task.done)
    assert isinstance(task.exception(), ZeroDivisionError) and listening(emit) == [True, False]


@pytest.mark.parametrize(
    ("more", "path", "code"),
    [
        ({"adapter": "hci0"}, "s.adapter", "tags.adapter-by-number"),
        ({"adapter": "B8:27:EB"}, "s.adapter", "tags.bad-adapter"),
        ({"tags": []}, "s.tags", "tags.no-tags"),
        ({"tags": [{"id": BEACON}, {"id": "AirTag"}]}, "s.tags[1].id", "tags.bad-tag"),
        (
            {"tags": [{"id": BEACON}, {"id": BEACON.upper().replace("IBEACON", "iBeacon")}]},
            "s.tags[1].id",
            "tags.same-tag",
        ),
        ({"key": "../key"}, "s.key", "config.wrong-type"),
        ({"tags": [{"hash": "ab" * 16, "id": BEACON}]}, "s.tags[0]", "tags.hash-or-id"),
        ({"tags": [{}]}, "s.tags[0]", "tags.hash-or-id"),
        ({"tags": [{"hash": "abc"}]}, "s.tags[0].hash", "tags.bad-hash"),
        ({"tags": [{"id": "ab" * 16}]}, "s.tags[0].id", "tags.bad-tag"),
        ({"canary": "AirTag"}, "s.canary", "tags.bad-tag"),
        ({"adapter": [ADAPTER, ADAPTER.lower()]}, "s.adapter[1]", "tags.same-adapter"),
        ({"adapter": [ADAPTER, "hci1"]}, "s.adapter[1]", "tags.adapter-by-number"),
        ({"profiles": ["vendor-servic"]}, "s.profiles[0]", "tags.no-profile"),
        ({"every_s": 0}, "s.every_s", "tags.bad-interval"),
        ({"silence_s": 1e6}, "s.silence_s", "tags.bad-interval"),
    ],
)
def test_config_mistakes_have_a_path_and_a_text_in_both_languages(more, path, code):
    section = {"id": "square", "driver": "ble-tags", "tags": [{"id": BEACON}], **more}
    made, (problem,) = decode_section(BleTagsConfig, section, "s")
    assert made is None and (problem.facts["path"], problem.code) == (path, code)
    area, _, name = code.partition(".")
    assert name in catalogue(area, "ja") and name in catalogue(area, "en")
