"""The fault matrix, one test per row: what must happen is the name of the test.

Rows 1-13 and 31 on devices in memory and in warped time (`virtual_bus`, not ours, not pymodbus'), the
same product code above the cable; rows where the operating system matters on real ptys.  The same
faults on ptys and TCP with a second slave are in tests/sources, the random mixture in test_campaign.
Rows 34-40 are about tags: tests/sources/test_ble_tags.py.
"""

import ast
import asyncio
import contextlib
import itertools
import os
import subprocess
import sys

import pytest

from edgeagent import messages, profiles
from edgeagent.clock import SystemClock
from edgeagent.errors import FrameError, SourceUnavailable
from edgeagent.reading import Quality, TimeTrust
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from edgeagent.simulate.pty_line import PtyLine
from edgeagent.sources.modbus_bus import RtuBus, SerialLine
from edgeagent.sources.modbus_gauge import ModbusGaugeConfig
from edgeagent.sources.serial_gauge import SerialGauge, SerialGaugeConfig
from edgeagent.wire.gauge_lines import Lines
from edgeagent.wire.registers import decode
from edgeagent.wire.rtu import Request
from edgeagent.wire.sdi12 import Done, Failed
from tests.fakes import Collector, surroundings
from tests.matrix.rig import Gauge, play
from tests.source_tree import trees
from tests.sources.test_modbus_gauge import running, until
from tests.wire.test_pulses import HALF, Contact, tip
from tests.wire.test_sdi12 import CHECKED, PLAIN, talk

BUSES = pytest.mark.parametrize("tcp", [False, True], ids=["rtu", "tcp"])


def test_01_bad_crc_once_is_asked_again_and_always_is_missing(tmp_path):
    once = play(tmp_path, {1: ["sound", "sound", "bad-crc"]})
    assert not once.wrong and once.codes() == {"gauges.crc"} and None not in once.values()
    always = play(tmp_path, {1: "bad-crc"})
    assert set(always.values()) == {None} and always.codes() == {"gauges.crc"}
    assert always.readings[0].facts["reason:level"] == "crc" and always.bus.dropped["crc"] > 2


def test_02_after_a_truncated_frame_the_next_poll_is_right(tmp_path):
    seen = play(tmp_path, {1: ["sound", "sound", "truncated"]})
    assert not seen.wrong and len(seen.problems) == 1 and len(seen.values()) > 20


def test_03_a_silent_unit_is_offline_in_three_polls_and_the_others_keep_their_cadence(tmp_path):
    seen = play(tmp_path, {2: "absent"}, units=3, seconds=120)
    assert not seen.wrong and seen.codes("g2") == {"gauges.timeout"} and not seen.codes("g1") | seen.codes("g3")
    first_missing = next(r for r in seen.readings if r.source == "g2")
    assert first_missing.at.mono_ms / 1000 - 1000 < 3 * (1.0 + 1.0 + 0.4), "three polls, each with its quarantine"
    for healthy in ("g1", "g3"):
        slips = [b - a - 1.0 for a, b in itertools.pairwise(seen.times(healthy))]
        assert max(slips) < 0.34, "less than one timeout"
    polls = [at for at, unit in seen.device.asked if unit == 2]
    assert polls[-1] - polls[-2] >= 5, "and an offline unit is only probed"


def test_04_a_late_answer_is_never_another_ones(tmp_path):
    seen = play(tmp_path, {1: ["sound", "sound"] + ["late", "sound", "sound"] * 8}, units=2, seconds=90, late_s=3.0)
    assert not seen.wrong and seen.bus.dropped["late"] > 2 and len(seen.values()) > 10


def test_05_if_every_answer_is_late_there_is_no_value_and_the_text_says_so(tmp_path):
    seen = play(tmp_path, {1: "later"}, seconds=60)
    assert not seen.wrong and set(seen.values()) == {None}
    assert seen.codes() == {"gauges.timeout"}


@BUSES
def test_06_duplicates_and_unsolicited_frames_are_dropped(tmp_path, tcp):
    script = ["duplicate", "previous"] * 20 if tcp else ["duplicate", "duplicate-later", "unsolicited", "previous"] * 10
    seen = play(tmp_path, {1: script, 2: script}, tcp=tcp, units=2)
    assert not seen.wrong and len(seen.values()) > 15
    assert sum(seen.bus.dropped.values()) >= 10


REFUSED = {
    "wrong-unit": "gauges.wrong-unit",
    "wrong-function": "gauges.wrong-function",
    "short-count": "gauges.wrong-count",
    "long-count": "gauges.wrong-count",
    "odd-count": "gauges.wrong-count",
    "zero-count": "gauges.wrong-count",
}


@BUSES
@pytest.mark.parametrize("fault", REFUSED)
def test_07_another_unit_function_or_length_is_rejected_and_counted(tmp_path, fault, tcp):
    seen = play(tmp_path, {1: fault}, tcp=tcp)
    assert set(seen.values()) == {None} and seen.codes() == {REFUSED[fault]}


@pytest.mark.parametrize("fault", ["leading-zero", "leading-ff", "noise-before", "noise-after"])
def test_08_the_value_is_read_through_noise(tmp_path, fault):
    seen = play(tmp_path, {1: fault})
    assert not seen.wrong and not seen.problems and len(seen.values()) >= 29


def test_09_noise_with_a_valid_header_hangs_nothing(tmp_path):
    seen = play(tmp_path, {1: "header-noise"})
    assert not seen.wrong and len([v for v in seen.values() if v is not None]) >= 20


@BUSES
@pytest.mark.parametrize("number", [1, 2, 3])
def test_10_a_config_error_is_named_and_not_hammered(tmp_path, number, tcp):
    seen = play(tmp_path, {1: f"exception-{number}"}, tcp=tcp, seconds=60)
    assert set(seen.values()) == {None} and seen.codes() == {f"gauges.exception-{number}"}
    assert len(seen.device.asked) < 20, "sixty polls were due"
    assert len(seen.readings) <= 2, "said once a minute"


@BUSES
@pytest.mark.parametrize(("number", "name"), [(5, "5"), (6, "6"), (10, "10"), (11, "11")])
def test_11_a_busy_device_is_asked_again_later(tmp_path, number, name, tcp):
    seen = play(tmp_path, {1: ["sound", "sound", *[f"exception-{number}"] * 2]}, tcp=tcp)
    assert not seen.wrong and seen.codes() == {f"gauges.exception-{name}"}
    assert None not in seen.values() and len(seen.values()) > 20


@pytest.mark.parametrize("fault", ["echo-joined", "echo-apart"])
def test_12_our_own_echo_is_passed_over(tmp_path, fault):
    seen = play(tmp_path, {1: fault})
    assert not seen.wrong and not seen.problems and len(seen.values()) >= 29


def test_13_a_babbling_bus_is_said_within_five_seconds_and_costs_no_memory(tmp_path):
    async def babble(device, bus, task):
        await asyncio.sleep(5)
        cable = device.cables[-1]
        for n in range(5000):
            cable.say(0.004 * n, b"\xa5\x5a" * 4)

    seen = play(tmp_path, {}, act=babble, seconds=25)
    said = [e for _, e in seen.problems]
    assert said and {e.code for e in said} <= {"gauges.babble", "gauges.noise", "gauges.timeout"}
    assert "gauges.babble" in seen.codes()
    assert len(seen.bus._line._heard) <= 1024
    assert not seen.wrong


async def test_14_a_stop_in_mid_question_takes_no_two_seconds_and_the_next_start_reads_right(tmp_path):
    with ModbusSlave({1: registers_from({0x20: 1234})}, latency_s=0.2) as slave:
        config = ModbusGaugeConfig(
            id="g", driver="modbus-gauge", profile="geolux-lx80-modbus", port=slave.path, every_s=0.3, timeout_s=2.0
        )
        async with running([config], tmp_path) as out:  # its end waits two seconds at most
            await until(lambda: slave.asked)
        assert {r.quantities["level"].value for r in out.readings} <= {1.234}
        async with running([config], tmp_path) as out:
            await until(lambda: out.readings)
        assert out.readings[0].quantities["level"].value == 1.234


async def test_15_unplugged_in_mid_frame_and_plugged_in_as_another_number_under_the_same_name(tmp_path):
    name = tmp_path / "usb-FTDI_x"
    with ModbusSlave({1: registers_from({0x20: 1234})}, path=name) as slave:
        config = ModbusGaugeConfig(
            id="g", driver="modbus-gauge", profile="geolux-lx80-modbus", port=str(name), every_s=0.2, timeout_s=1.0
        )
        async with running([config], tmp_path) as out:
            await until(lambda: out.readings)
            number = os.path.realpath(name)
            slave.line.unplug()
            await until(lambda: "gauges.no-port" in {e.code for _, e in out.problems})
            taken = []  # somebody else takes its number, so that the cable comes back as another one
            while not any(os.ttyname(near) == number for _, near in taken) and len(taken) < 50:
                taken.append(os.openpty())
            slave.line.plug()
            other = os.path.realpath(name)
            seen = len(out.readings)
            await until(lambda: 1.234 in [r.quantities["level"].value for r in out.readings[seen:]], 20)
            for handle in itertools.chain(*taken):
                os.close(handle)
    assert number != other


def test_16_unplugged_for_good_is_said_and_stops_nothing(tmp_path):
    async def unplug(device, bus, task):
        await asyncio.sleep(5)
        device.cables[-1].break_off(0)

        async def gone():
            raise OSError(2, "No such file or directory")

        make = bus._make_client

        def without():
            client = make()
            client.ctx.call_create = gone
            return client

        bus._make_client = without
        await asyncio.sleep(300)
        assert not task.done()

    seen = play(tmp_path, {}, act=unplug)
    assert "gauges.unplugged" in seen.codes() and seen.values()[-1] is None
    last = seen.readings[-1]
    assert last.quantities["level"].quality is Quality.MISSING
    gauge = Gauge().measures(*[1.6] * 4, *[None] * 70)
    assert gauge.alerts("sensorBlind")[-1][:2] == (True, "caution"), "and above caution it is an alarm"


def test_17_a_second_program_on_the_port_is_refused_in_clear_words(tmp_path):
    line = PtyLine()
    code = (
        "import asyncio, sys\nfrom edgeagent.sources.serial_port import open_port\n"
        f"held = open_port({line.path!r}, 9600, '8N1')\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        bus = RtuBus(SerialLine(line.path, 9600, "8N1"), late_s=1, clock=SystemClock())
        with pytest.raises(SourceUnavailable, match=r"gauges.port-busy"):
            asyncio.run(bus.open())
        other.stdin.close()
        other.wait(timeout=10)
    line.unplug()


def test_18_the_wrong_baud_rate_is_named_as_the_likely_cause(tmp_path):
    seen = play(tmp_path, {1: "garbled"}, seconds=20)
    assert set(seen.values()) == {None} and "gauges.noise" in seen.codes()
    for lang, word in (("en", "baud rate"), ("ja", "ボーレート")):
        assert word in messages.text("gauges.noise", {}, lang).remedy


SENTINELS = [
    ("lambrecht-raine-modbus", "rain_total", [0xFF67, 0x6981], "sensor-error"),
    ("keller-s30-modbus", "pressure", [0x7FC0, 0], "not-a-number"),
    ("keller-s30-modbus", "pressure", [0xFF80, 0], "not-a-number"),
    ("geolux-lx80-modbus", "level", [0xFFFF], "out-of-range"),
    ("analog-4-20ma-modbus", "current", [0], "out-of-range"),
]


@pytest.mark.parametrize(("name", "quantity", "words", "reason"), SENTINELS)
def test_19_a_sentinel_is_missing_with_a_reason(name, quantity, words, reason):
    profile, _ = profiles.load(name)
    register = next(r for b in profile.blocks for _, r in b.registers if r.name == quantity)
    assert decode(register, words) == (None, reason)


@pytest.mark.parametrize(("line", "reason"), [("R5000", "no-target"), ("R9999", "no-target"), ("R0300", "blind-zone")])
def test_19_a_sentinel_in_a_line(line, reason):
    assert profiles.load("maxbotix-hrxl-wr")[0].lines.read(line.encode())["distance"] == (None, reason)
    sr50 = profiles.load("campbell-sr50a-serial")[0].lines.read(b"\x0233;0.000;0;11011;40")
    assert isinstance(sr50, str) or sr50["distance"] == (None, "no-target")


def test_20_the_wrong_word_order_or_unit_is_not_published():
    for name, words in (("vega-c2x-modbus", [0x147B, 0x4016]), ("proscan-oem-80ghz", [0x4016, 0x147B])):
        profile, _ = profiles.load(name)
        register = next(r for b in profile.blocks for _, r in b.registers if r.name == "distance")
        assert decode(register, words) == (None, "word-order")
        value, reason = decode(register, [0x447A, 0] if register.order == "ABCD" else [0, 0x447A])
        assert (value, reason) == (None, "out-of-range"), "1000 m: millimetres taken for metres"


async def test_21_a_plausible_value_the_device_itself_does_not_believe(tmp_path):
    float_words = {2303: 0x4016, 2304: 0x147B, 2314: 0x41FC, 2315: 0, 100: 1}
    with ModbusSlave({246: registers_from(float_words)}) as slave:
        config = ModbusGaugeConfig(
            id="g", driver="modbus-gauge", profile="vega-c2x-modbus", port=slave.path, every_s=1.0, timeout_s=2.0
        )
        async with running([config], tmp_path) as out:
            await until(lambda: out.readings)
    assert out.readings[0].quantities["distance"].quality is Quality.MISSING
    assert out.readings[0].facts["reason:distance"] == "bad-status"


def test_22_a_stuck_value_is_flagged_in_time_and_clears_no_alarm():
    gauge = Gauge(every_s=60.0, plausible={"base_flow_m": 0.5}).measures(*[1.6, 1.61, 1.6, 1.6], *[1.6] * 200)
    flagged = [r.facts.get("reason:level", "") for r in gauge.waters]
    assert "flat-line" in flagged[190] and not flagged[100]
    assert gauge.alerts()[-1][:2] == (True, "caution")


def test_23_a_single_spike_over_the_highest_level_is_no_alarm_and_is_looked_at_again():
    gauge = Gauge(every_s=600.0, cadence={}).measures(0.5, 0.5, 0.51, 0.5, 9.0)
    assert gauge.chain.pace.again_s <= 20
    spiked = gauge.waters[-1]
    assert spiked.quantities["level"].quality is Quality.FAIL and spiked.facts["reason:level"] == "spike"
    gauge.measures(0.5, 0.5)
    assert gauge.waters[-2].at.mono_ms - spiked.at.mono_ms <= 20_000
    assert not [a for a in gauge.alerts() if a[0]] and gauge.chain.pace.again_s is None


@pytest.mark.parametrize("every_s", [10.0, 600.0])
def test_24_a_true_jump_of_two_metres_alarms_within_a_minute(every_s):
    gauge = Gauge(every_s=every_s, cadence={}).measures(*[0.7] * 5)
    jumped = gauge.clock.mono_s
    gauge.measures(*[2.7] * 6)
    active = [a for a in gauge.alerts() if a[0]]
    assert active[0][1] == "danger" and active[0][2] - jumped <= 60


def test_25_round_a_threshold_there_is_one_alarm():
    wobble = [1.5 + 0.03 * (-1) ** n for n in range(200)]
    gauge = Gauge(every_s=60.0).measures(1.3, 1.35, 1.4, 1.45, *wobble)
    assert [a[:2] for a in gauge.alerts() if a[1] == "caution"] == [(True, "caution")]


def test_26_a_sensor_lost_above_caution_keeps_the_alarm_and_is_one():
    gauge = Gauge(every_s=60.0).measures(*[1.6] * 4, *[None] * 120)
    assert gauge.alerts()[-1][:2] == (True, "caution")
    assert gauge.alerts("sensorBlind")[-1][:2] == (True, "caution")


DESTRUCTIVE = """
[profile]
id = "rain"
kind = "rain"
rung = "bench"
source = "a virtual device"
[link]
transport = "modbus"
timeout_s = 0.3
late_s = 0.5
[[read]]
name = "rain_total"
address = 31101
type = "i32"
unit = "mm-rain"
[[read]]
name = "level"
address = 31103
unit = "1"
destructive = true
"""


def test_27_a_destructive_register_is_never_asked_twice(tmp_path):
    times = {}

    async def watch(device, bus, task):
        hear = device.hear

        def note(question, cable):
            times.setdefault(int.from_bytes(question[2:4], "big"), []).append(device._loop.time())
            return hear(question, cable)

        device.hear = note

    # the total and its handshake, then the destructive one; in between the total fails and is asked again
    step, poll = ["sound", "sound"], ["sound"]
    script = [*step, "silent", *step, "sound", *poll, "silent", "bad-crc", *step, "sound", *poll, "bad-crc"]
    play(tmp_path, {1: script}, every_s=10.0, seconds=200, profile=DESTRUCTIVE, act=watch)
    assert len(times[31103]) >= 15 and len(times[31101]) > len(times[31103]), "the total is asked again after a fault"
    assert min(b - a for a, b in itertools.pairwise(times[31103])) >= 9.0, "once per period, whatever became of it"
    shipped, _ = profiles.load("lambrecht-raine-modbus")
    assert [b.address for b in shipped.blocks] == [31101]


def test_28_a_bouncing_contact_is_one_tip_and_a_stuck_one_a_fault():
    contact = Contact(HALF)
    for bounce in (0.0, 0.003, 0.007, 0.02):
        tip(contact, 100.0 + bounce, 0.002)
    assert contact.tips == 1
    contact.closed(200.0)
    assert contact.fault(261.0) == "stuck-closed"


def test_29_boot_with_an_old_clock_then_ntp_keeps_the_order_and_the_grid():
    """The re-stamping itself is in tests/faults/test_clock.py; here: nothing of the rules is upset by it."""
    gauge = Gauge(every_s=600.0, trust=TimeTrust.UNSYNCED, cadence={}).measures(*[1.2] * 4)
    gauge.clock.wall_ms += 90 * 86_400_000
    gauge.clock.trust = TimeTrust.SYNCED
    gauge.measures(*[1.2] * 4)
    monos = [r.at.mono_ms for r in gauge.waters]
    assert monos == sorted(monos) and len(gauge.waters) == 8
    assert [a[:2] for a in gauge.alerts()] == [(True, "standby")], "one alarm, not two"


def test_30_a_clock_that_steps_back_an_hour_changes_no_cadence_and_no_alarm():
    gauge = Gauge(every_s=60.0, cadence={"base_s": 60}).measures(*[1.2] * 10)
    gauge.clock.wall_ms -= 3_600_000
    gauge.measures(*[1.2] * 10)
    monos = [r.at.mono_ms for r in gauge.waters]
    assert len(set(monos)) == 20 and max(b - a for a, b in itertools.pairwise(monos)) <= 60_000
    assert len({(r.stream, r.at.boot_id, r.at.mono_ms) for r in gauge.waters}) == 20, "no key twice"


@pytest.mark.parametrize(
    "fault", ["id-zero", "id-wrong", "late", "closed", "closed-midway", "torn-slow", "garbage", "truncated", "previous"]
)
def test_31_tcp_half_open_reset_zero_ids_and_split_frames(tmp_path, fault):
    seen = play(tmp_path, {1: ["sound", *[fault, "sound"] * 10]}, tcp=True, seconds=60)
    assert not seen.wrong and len([v for v in seen.values() if v is not None]) > 10
    half_open = play(tmp_path, {1: ["sound", *["silent"] * 4]}, tcp=True, seconds=40)
    assert "gauges.bus-silent" in {e.code for _, e in half_open.problems} and half_open.values()[-1] is not None


def test_32_sdi12_bad_crc_lost_service_request_and_wrong_address():
    assert talk(CHECKED, b"00022", None, b"0+1AAA", b"0+1AAA", b"0+1AAA")[-1] == Failed("crc")
    assert talk(PLAIN, b"00022", None, b"0+1.5+11")[-1] == Done([1.5, 11.0]), "wait ttt, then read"
    assert talk(PLAIN, b"10022", b"10022", b"10022")[-1] == Failed("wrong-address")


def test_33_half_a_line_a_bad_checksum_and_two_lines_in_one_read():
    lines = Lines(b"\r")
    assert lines.feed(b"234\rR1234\rR1235\r") == [b"R1234", b"R1235"], "the first, partial one is dropped"
    form = profiles.load("campbell-sr50a-serial")[0].lines
    assert form.read(b"\x0233;1838;194;11011;2D") == "checksum"


async def test_33_on_a_line(tmp_path):
    line = PtyLine()
    config = SerialGaugeConfig(id="k", driver="serial-gauge", port=line.path, profile="maxbotix-hrxl-wr", every_s=0.3)
    out = Collector()
    task = asyncio.create_task(SerialGauge.make([config], surroundings(tmp_path, SystemClock())).run(out))
    while not out.readings:
        line.write(b"34\rR1234\rR1236\r")
        await asyncio.sleep(0.05)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    line.unplug()
    assert 1.234 <= out.readings[0].quantities["distance"].value <= 1.236


async def test_writing_is_reachable_from_nowhere(tmp_path):
    """Every function code there is, through every door there is."""
    with ModbusSlave({1: registers_from({0x20: 1})}) as slave:
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.1, clock=SystemClock())
        await bus.open()
        for function in {*range(256)} - {3, 4}:
            with pytest.raises((ValueError, FrameError)):
                await bus.ask(Request(1, function, 0x20, 1), 0.2)
        bus.close()
        assert {f for _, _, f, _, _ in slave.asked} <= {3}


def test_no_module_names_a_write():
    """Not one line of the package calls a writing function of a Modbus library."""
    called = {
        f"{path.name}:{node.lineno} {node.attr}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith(("write_coil", "write_register", "mask_write", "readwrite", "write_file"))
    }
    assert not called
