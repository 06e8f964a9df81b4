"""Gauges over real bytes: ptys and TCP, sound and with every fault the virtual slave knows."""

import asyncio
import contextlib
import dataclasses
import itertools
import string
import time
from pathlib import Path

import pytest

from edgeagent import messages
from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError, FrameError, SourceUnavailable
from edgeagent.ports import Pace
from edgeagent.reading import Kind, Quality, ReadingClass, Unit
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from edgeagent.sources import driver
from edgeagent.sources.modbus_bus import RtuBus, SerialLine, TcpBus
from edgeagent.sources.modbus_gauge import ModbusGaugeConfig, ModbusGauges
from edgeagent.sources.serial_port import explain
from edgeagent.wire.mbap import Stream
from edgeagent.wire.rtu import Line, Request
from tests.fakes import Collector, surroundings

LEVEL = 0x20
PROFILE = """
[profile]
id = "two"
kind = "level"
rung = "bench"
source = "a desk"
[link]
transport = "modbus"
timeout_s = {timeout}
late_s = 0.12
[[read]]
name = "level"
address = {level}
unit = "mm"
sane = [0.0, 30.0]
[[read]]
name = "temperature"
address = {level} + 1
type = "i16"
unit = "degC"
scale = 0.1
"""


@pytest.fixture
def profile(tmp_path) -> str:
    """Two neighbouring registers; time enough for a busy machine."""
    return written(tmp_path / "two.toml", PROFILE)


@pytest.fixture
def hasty(tmp_path) -> str:
    """The same, for tests that wait for timeouts."""
    return written(tmp_path / "hasty.toml", PROFILE, timeout_s=0.06)


def written(file: Path, text: str, *, timeout_s=0.8, temperature=LEVEL + 1) -> str:
    for name, value in {"{level} + 1": temperature, "{level}": LEVEL, "{timeout}": timeout_s}.items():
        text = text.replace(name, str(value))
    file.write_text(text, encoding="utf-8")
    return str(file)


def holding(level_mm=1234, tenths=185):
    return registers_from({LEVEL: level_mm, LEVEL + 1: tenths & 0xFFFF})


def section(slave, profile, *, name="miyagawa", unit=1, every_s=0.15, **more):
    where = {"host": "127.0.0.1", "tcp_port": slave.port} if slave.port else {"port": slave.path}
    return ModbusGaugeConfig(
        id=name, driver="modbus-gauge", profile=profile, unit=unit, every_s=every_s, **where, **more
    )


@contextlib.asynccontextmanager
async def running(configs, tmp_path):
    """The source of these sections, running; yields what it emits."""
    collector = Collector()
    source = ModbusGauges.make(configs, surroundings(tmp_path, SystemClock()))
    collector.source = source
    task = asyncio.create_task(source.run(collector))
    try:
        yield collector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 2)
    for _, error in collector.problems:
        explained(error)


def explained(error):
    """Whatever is complained of has a text in both languages, and every fact the text names."""
    area, _, name = error.code.partition(".")
    for lang in messages.LANGUAGES:
        entry = messages.catalogue(area, lang)[name]
        wanted = {field for part in entry.values() for _, field, _, _ in string.Formatter().parse(part) if field}
        assert wanted <= set(error.facts), error


async def until(condition, seconds=8.0):
    """Wait until something is true; slow machines get the time they need."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


def levels(collector, source="miyagawa"):
    return [r.quantities["level"].value for r in collector.readings if r.source == source]


def codes(collector, source="miyagawa"):
    return {error.code for name, error in collector.problems if name == source}


BUSES = pytest.mark.parametrize("tcp", [False, True], ids=["rtu", "tcp"])


@BUSES
async def test_a_gauge_becomes_readings(tmp_path, profile, tcp):
    with ModbusSlave({1: holding(1234, -15)}, tcp=tcp) as slave:
        async with running([section(slave, profile)], tmp_path) as out:
            await until(lambda: len(out.readings) >= 3)
    reading = out.readings[0]
    assert (reading.kind, reading.entity, reading.cls) == (Kind.WATER, "miyagawa", ReadingClass.LIVE)
    assert reading.quantities["level"].value == 1.234 and reading.quantities["level"].unit is Unit.METRE
    assert reading.quantities["temperature"].value == -1.5
    assert reading.facts["profile"] == "two" and reading.facts["rung"] == "bench"
    assert "04d2fff1" in reading.facts["raw"]
    assert out.problems == []
    assert {(f, a, n) for _, _, f, a, n in slave.asked} == {(3, LEVEL, 2)}, "neighbours share a question"


@BUSES
async def test_shipped_profile_with_a_bare_slave(tmp_path, tcp):
    with ModbusSlave({1: registers_from({LEVEL: 2345})}, tcp=tcp) as slave:
        async with running([section(slave, "geolux-lx80-modbus", unit=None, every_s=0.1)], tmp_path) as out:
            await until(lambda: len(out.readings) >= 2)
    assert levels(out)[:2] == [2.345, 2.345] and not out.problems


BELIEVED = ["leading-zero", "noise-before", "echo", "duplicate", "bytewise"]
REFUSED = {
    "silent": "timeout",
    "bad-crc": "crc",
    "truncated": "crc",
    "wrong-unit": "wrong-unit",
    "wrong-function": "wrong-function",
    "short-count": "wrong-count",
    "long-count": "wrong-count",
    "odd-count": "wrong-count",
    "zero-count": "wrong-count",
    "late": "timeout",
    "busy": "exception-6",
}


async def side_by_side(scenario, faults):
    """Play a scenario for every fault at once, each on a bus of its own: they mostly wait."""
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(scenario(fault), name=fault)


async def test_rtu_reads_through(tmp_path, profile):
    async def reads(fault):
        with ModbusSlave({1: holding()}) as slave:
            slave.faults[1] = fault
            async with running([section(slave, profile)], tmp_path) as out:
                await until(lambda: len(out.readings) >= 3)
        assert set(levels(out)) == {1.234}, fault
        assert out.problems == [], fault

    await side_by_side(reads, BELIEVED)


async def test_rtu_believes_nothing_else(tmp_path, hasty):
    async def refuses(fault):
        with ModbusSlave({1: holding()}, late_s=0.15) as slave:
            slave.faults[1] = fault
            async with running([section(slave, hasty, every_s=0.1)], tmp_path) as out:
                await until(lambda: len(out.readings) >= 1)
                assert set(levels(out)) == {None}, fault
                slave.faults.clear()
                await until(lambda: levels(out)[-1] is not None)
        assert f"gauges.{REFUSED[fault]}" in codes(out), fault
        assert set(levels(out)) == {None, 1.234}, fault
        assert out.readings[0].quantities["level"].quality is Quality.MISSING
        assert out.readings[0].facts["reason:level"] == REFUSED[fault], fault

    await side_by_side(refuses, REFUSED)


TCP_REFUSED = {
    "silent": "gauges.timeout",
    "late": "gauges.timeout",
    "echo": "gauges.timeout",  # transaction id 0
    "wrong-unit": "gauges.wrong-unit",
    "wrong-function": "gauges.wrong-function",
    "short-count": "gauges.wrong-count",
    "long-count": "gauges.wrong-count",
    "zero-count": "gauges.wrong-count",
    "truncated": "gauges.tcp-out-of-step",
    "babble": "gauges.tcp-out-of-step",
    "noise-before": "gauges.tcp-lost",  # hangs up
}


async def test_tcp_believes_nothing_else_and_comes_back(tmp_path, hasty):
    async def refuses(fault):
        with ModbusSlave({1: holding()}, tcp=True, late_s=0.15) as slave:
            slave.faults[1] = fault
            async with running([section(slave, hasty, every_s=0.1)], tmp_path) as out:
                await until(lambda: out.problems)
                assert set(levels(out)) <= {None}, fault
                slave.faults.clear()
                await until(lambda: levels(out) and levels(out)[-1] == 1.234)
        assert TCP_REFUSED[fault] in codes(out), fault
        assert set(levels(out)) <= {None, 1.234}, fault

    await side_by_side(refuses, TCP_REFUSED)


@pytest.mark.slow
async def test_a_late_answer_never_becomes_another_one(tmp_path):
    """Every value is its own address, so that an answer to another question shows."""
    with ModbusSlave({1: lambda a, n: range(a, a + n)}, late_s=0.2) as slave:
        slave.faults[1] = ["", "", "late", "", "late", "late", "", "late", ""] * 3
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.2, clock=SystemClock())
        await bus.open()
        read = 0
        for address in range(100, 1300, 100):
            with contextlib.suppress(FrameError):
                answer = await bus.ask(Request(1, 3, address, 2), 0.05)
                assert answer.registers == (address, address + 1)
                read += 1
            await asyncio.sleep(max(bus.may_ask_at(1) - SystemClock().mono(), 0))
        bus.close()
    assert read >= 3
    assert bus.dropped["late"] >= 2


@pytest.mark.parametrize("latency_s", [0.0, 0.06])
async def test_an_older_answer_in_front_of_the_true_one(tmp_path, latency_s):
    """It has the right shape and comes in time; that it is known already betrays it."""
    with ModbusSlave({1: lambda a, n: range(a, a + n)}, latency_s=latency_s) as slave:
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.05, clock=SystemClock())
        await bus.open()
        assert (await bus.ask(Request(1, 3, 100, 2), 0.5)).registers == (100, 101)
        slave.faults[1] = ["previous"]
        assert (await bus.ask(Request(1, 3, 200, 2), 0.5)).registers == (200, 201)
        assert bus.dropped["duplicate"] == 1
        slave.faults[1] = ["", "previous"]
        assert (await bus.ask(Request(1, 3, 300, 2), 0.5)).registers == (300, 301)
        assert (await bus.ask(Request(1, 3, 300, 1), 0.5)).registers == (300,)
        bus.close()


async def test_registers_that_hold_the_same_are_read():
    """The second answer equals the first, so it is asked for again; then it is believed."""
    with ModbusSlave({1: lambda _, n: [7] * n}) as slave:
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.05, clock=SystemClock())
        await bus.open()
        for address in (100, 200, 300):
            assert (await bus.ask(Request(1, 3, address, 2), 0.5)).registers == (7, 7)
        assert [address for *_, address, _ in slave.asked] == [100, 100, 200, 200, 300, 300]
        bus.close()


@pytest.mark.slow
async def test_three_units_one_dead(tmp_path, profile):
    every_s, timeout_s = 0.6, 0.25
    with ModbusSlave({1: holding(1000), 3: holding(3000)}) as slave:
        configs = [
            section(slave, profile, name=f"g{u}", unit=u, every_s=every_s, timeout_s=timeout_s) for u in (1, 2, 3)
        ]
        async with running(configs, tmp_path) as out:
            await until(lambda: "g2" in {r.source for r in out.readings}, 20)
            seen = len(out.readings)
            await until(lambda: len(out.readings) >= seen + 6, 20)
    assert set(levels(out, "g1")) == {1.0} and set(levels(out, "g3")) == {3.0} and set(levels(out, "g2")) == {None}
    assert codes(out, "g2") == {"gauges.timeout"} and not codes(out, "g1") and not codes(out, "g3")
    for healthy in ("g1", "g3"):
        at = [r.at.mono_ms / 1000 for r in out.readings if r.source == healthy]
        slips = sorted(b - a - every_s for a, b in itertools.pairwise(at))
        assert slips[len(slips) // 2] < 0.2, "the cadence holds"
        assert slips[-1] < timeout_s + 0.8, "the worst slip is one timeout (and a busy machine)"


@pytest.mark.slow
async def test_what_is_published_is_what_the_slave_held(tmp_path, hasty):
    """The level changes with every question, and faults rain: no reading shows another one."""
    count = iter(range(1, 30_000))

    def moving(address, n):
        return [next(count) % 30_000, 185][:n]

    with ModbusSlave({1: moving}, late_s=0.15) as slave:
        slave.faults[1] = [
            "",
            "duplicate",
            "bad-crc",
            "",
            "late",
            "leading-zero",
            "short-count",
            "",
            "silent",
            "echo",
        ] * 4
        async with running([section(slave, hasty, every_s=0.05)], tmp_path) as out:
            await until(lambda: len([x for x in levels(out) if x]) >= 5, 20)
    held = {h.values[0] for h in slave.held}
    good = [round(x * 1000) for x in levels(out) if x is not None]
    assert set(good) <= held
    assert good == sorted(good), "never an older value after a newer one"
    times = {h.values[0]: h.at for h in slave.held}
    offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    for reading in out.readings:
        value = reading.quantities["level"].value
        if value is not None:
            assert reading.at.mono_ms / 1000 - offset - times[round(value * 1000)] < 0.2, "held when it was asked"


async def test_the_port_is_pulled_and_comes_back(tmp_path, profile):
    with ModbusSlave({1: holding()}, path=tmp_path / "ttyGauge") as slave:
        async with running([section(slave, profile)], tmp_path) as out:
            await until(lambda: len(out.readings) >= 2)
            slave.line.unplug()
            await until(lambda: "gauges.unplugged" in codes(out))
            await until(lambda: "gauges.no-port" in codes(out))
            slave.line.plug()
            seen = len(out.readings)
            await until(lambda: 1.234 in levels(out)[seen:])
    assert set(levels(out)) <= {1.234, None}


async def test_a_port_that_stays_away_is_said_once_a_minute(tmp_path, profile, monkeypatch):
    monkeypatch.setattr("edgeagent.sources.modbus_gauge.delay_s", lambda *_, **__: 0.02)
    config = ModbusGaugeConfig(id="miyagawa", driver="modbus-gauge", profile=profile, port=str(tmp_path / "no"))
    async with running([config], tmp_path) as out:
        await until(lambda: len(out.problems) >= 6)
    assert codes(out) == {"gauges.no-port"}
    assert [r.facts["reason:level"] for r in out.readings] == ["no-port"]


async def test_a_busy_port_and_other_files(tmp_path, profile):
    clock = SystemClock()
    plain = tmp_path / "plain"
    plain.write_text("")
    with ModbusSlave({1: holding()}) as slave:
        first = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=1, clock=clock)
        await first.open()
        for port, code in ((slave.path, "port-busy"), (str(plain), "not-serial"), ("/dev/null", "not-serial")):
            with pytest.raises(SourceUnavailable, match=f"gauges.{code}") as caught:
                await RtuBus(SerialLine(port, 9600, "8N1"), late_s=1, clock=clock).open()
            explained(caught.value)
        first.close()
        second = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=1, clock=clock)
        await second.open()
        second.close()


def test_a_port_one_may_not_open(monkeypatch):
    monkeypatch.setattr("edgeagent.sources.serial_port.os.access", lambda *_: False)
    error = explain("/dev/null", PermissionError(13, "Permission denied"))
    assert error.code == "gauges.port-denied"
    explained(error)


def test_what_is_plugged_in_is_named(monkeypatch, tmp_path):
    (tmp_path / "usb-FTDI_x").touch()
    monkeypatch.setattr("edgeagent.sources.serial_port.BY_ID", tmp_path)
    assert explain("/dev/gone").facts["found"] == str(tmp_path / "usb-FTDI_x")


async def test_a_babbling_line_is_said_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeagent.sources.modbus_bus._BABBLE_S", 0.3)
    with ModbusSlave({1: holding()}) as slave:
        slave.faults[1] = "babble"
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.1, clock=SystemClock())
        await bus.open()
        found = set()
        for _ in range(20):  # a busy machine may tear holes into the babble, then it is noise
            with pytest.raises(FrameError, match=r"noise|babble") as caught:
                await bus.ask(Request(1, 3, LEVEL, 1), 0.1)
            found.add(caught.value.code)
            explained(caught.value)
            if "gauges.babble" in found:
                break
        bus.close()
    assert found == {"gauges.noise", "gauges.babble"}


async def test_nobody_listens_on_tcp(tmp_path, unused_tcp_port):
    with pytest.raises(SourceUnavailable, match="tcp-no-connection"):
        await TcpBus("127.0.0.1", unused_tcp_port).open()


async def test_a_silent_bus_is_reopened(tmp_path, hasty, monkeypatch):
    monkeypatch.setattr(RtuBus, "patience", 2)
    with ModbusSlave({1: holding()}) as slave:
        slave.faults[1] = "silent"
        async with running([section(slave, hasty, every_s=0.1)], tmp_path) as out:
            await until(lambda: "gauges.bus-silent" in codes(out))
            slave.faults.clear()
            await until(lambda: 1.234 in levels(out))


async def test_a_connection_that_only_looks_alive_is_replaced(tmp_path, hasty):
    with ModbusSlave({1: holding()}, tcp=True) as slave:
        async with running([section(slave, hasty, every_s=0.1)], tmp_path) as out:
            await until(lambda: 1.234 in levels(out))
            slave.faults[1] = "silent"
            await until(lambda: "gauges.bus-silent" in codes(out))
            seen = len(out.readings)
            slave.faults.clear()
            await until(lambda: 1.234 in levels(out)[seen:])


async def test_a_gateway_that_closes_idle_connections(tmp_path, profile):
    with ModbusSlave({1: holding()}, tcp=True) as slave:
        async with running([section(slave, profile, every_s=0.4)], tmp_path) as out:
            for seen in (1, 2, 3):
                await until(lambda seen=seen: len(out.readings) >= seen)
                slave.hang_up()
            await until(lambda: len(out.readings) >= 5)
    assert out.problems == [] and set(levels(out)) == {1.234}


async def test_who_breaks_the_connection_does_not_starve_the_others(tmp_path, hasty):
    with ModbusSlave({1: holding(), 2: holding()}, tcp=True) as slave:
        slave.faults[2] = "noise-before"  # hangs up
        configs = [section(slave, hasty, name=f"g{u}", unit=u, every_s=0.2) for u in (1, 2)]
        async with running(configs, tmp_path) as out:
            await until(lambda: levels(out, "g1").count(1.234) >= 12, 20)
            asked = [unit for _, unit, *_ in slave.asked]
    assert asked.count(1) > 2 * asked.count(2)
    assert set(levels(out, "g2")) <= {None}


async def test_a_refused_register_does_not_take_the_others_along(tmp_path):
    apart = written(tmp_path / "apart.toml", PROFILE, temperature=1000)
    with ModbusSlave({1: registers_from({LEVEL: 1234})}) as slave:
        async with running([section(slave, apart)], tmp_path) as out:
            await until(lambda: len(out.readings) >= 2)
    reading = out.readings[0]
    assert reading.quantities["level"].value == 1.234
    assert reading.quantities["temperature"].quality is Quality.MISSING
    assert reading.facts["reason:temperature"] == "exception-2"
    assert codes(out) == {"gauges.exception-2"}


async def test_a_silent_device_is_asked_once_per_poll(tmp_path):
    apart = written(tmp_path / "apart.toml", PROFILE, temperature=1000, timeout_s=0.06)
    with ModbusSlave({1: holding()}) as slave:
        slave.faults[1] = "silent"
        async with running([section(slave, apart)], tmp_path) as out:
            await until(lambda: len(out.problems) >= 3)
    assert {address for _, _, _, address, _ in slave.asked} == {LEVEL}


async def test_who_is_out_of_step_is_asked_twice():
    """The first answer after the port was opened, or after a timeout, may be an older one."""
    with ModbusSlave({1: holding()}) as slave:
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.05, clock=SystemClock())
        await bus.open()
        questions = []
        for fault in ("", "", "silent", "", ""):
            slave.faults[1] = [fault]
            slave.asked.clear()
            with contextlib.suppress(FrameError):
                await bus.ask(Request(1, 3, LEVEL, 1), 0.5)
            questions.append(len(slave.asked))
        bus.close()
    assert questions == [2, 1, 1, 2, 1]


async def test_values_that_are_none(tmp_path, profile):
    with ModbusSlave({1: holding(30_001)}) as slave:
        async with running([section(slave, profile)], tmp_path) as out:
            await until(lambda: out.readings)
    reading = out.readings[0]
    assert reading.quantities["level"].quality is Quality.MISSING
    assert reading.facts["reason:level"] == "out-of-range"
    assert reading.quantities["temperature"].value == 18.5


STATUS = (PROFILE + '[[read]]\nname = "status"\naddress = 10\nunit = "1"\npublished = false\n').replace(
    "sane = [0.0, 30.0]", 'sane = [0.0, 30.0]\nvalid_if = { read = "status", mask = 1, equals = 0 }'
)


@pytest.mark.parametrize(
    ("status", "level", "reason"), [(2, 1.234, None), (3, None, "bad-status"), (None, None, "no-status")]
)
async def test_the_device_says_whether_it_believes_itself(tmp_path, status, level, reason):
    file = written(tmp_path / "status.toml", STATUS, temperature=9)
    words = {LEVEL: 1234, 9: 185} | ({} if status is None else {10: status})
    with ModbusSlave({1: registers_from(words)}) as slave:
        async with running([section(slave, file)], tmp_path) as out:
            await until(lambda: out.readings)
    assert levels(out)[0] == level
    assert out.readings[0].facts.get("reason:level") == reason
    assert "status" not in out.readings[0].quantities


async def test_shutdown_in_mid_question_then_a_right_value(tmp_path, profile):
    with ModbusSlave({1: lambda a, n: [1000, 185][:n]}, latency_s=0.08) as slave:
        for _ in range(3):
            async with running([section(slave, profile, timeout_s=0.3)], tmp_path) as out:
                await until(lambda: slave.asked)
                slave.asked.clear()
            assert set(levels(out)) <= {1.0}
        async with running([section(slave, profile, timeout_s=0.3)], tmp_path) as out:
            await until(lambda: out.readings)
        assert levels(out)[0] == 1.0


@BUSES
async def test_a_stop_in_the_very_turn_of_the_answer(tmp_path, profile, tcp, monkeypatch):
    """`asyncio.wait_for` of Python 3.11 swallows this cancellation; the source must not."""
    judge = Stream if tcp else Line
    received = judge.received
    task = None

    def received_and_stopped(self, *args):
        found = received(self, *args)
        if found is not None:
            task.cancel()
        return found

    monkeypatch.setattr(judge, "received", received_and_stopped)
    with ModbusSlave({1: holding()}, tcp=tcp) as slave:
        source = ModbusGauges.make([section(slave, profile)], surroundings(tmp_path, SystemClock()))
        task = asyncio.create_task(source.run(Collector()))
        done, _ = await asyncio.wait([task], timeout=5)
        assert done and task.cancelled()


async def test_writing_cannot_be_reached(tmp_path):
    with ModbusSlave({1: holding()}) as slave:
        bus = RtuBus(SerialLine(slave.path, 9600, "8N1"), late_s=0.1, clock=SystemClock())
        await bus.open()
        assert not [name for name in dir(bus) if "write" in name]
        for write in (
            bus._client.write_register(LEVEL, 7, device_id=1),
            bus._client.write_coils(0, [True], device_id=1),
        ):
            with pytest.raises(ValueError, match="Request"):
                await write
        await asyncio.sleep(0.1)
        bus.close()
    assert not slave.asked


def sections(**more):
    return ModbusGaugeConfig(**({"id": "a", "driver": "modbus-gauge", "profile": "geolux-lx80-modbus"} | more))


@pytest.mark.parametrize(
    ("more", "path", "code"),
    [
        ({}, "port", "gauges.port-or-host"),
        ({"port": "/dev/x", "host": "h"}, "port", "gauges.port-or-host"),
        ({"port": "/dev/x", "frame": "8X1"}, "frame", "gauges.bad-frame"),
        ({"port": "/dev/x", "unit": 0}, "unit", "gauges.bad-unit"),
        ({"port": "/dev/x", "profile": "maxbotix-hrxl-wr"}, "profile", "gauges.not-modbus"),
        ({"port": "/dev/x", "profile": "nothing"}, "profile", "gauges.no-profile"),
        ({"port": "/dev/x", "profile": "eh-fmr20-modbus", "every_s": 0.2}, "every_s", "gauges.too-often"),
    ],
)
def test_mistakes_in_a_section(more, path, code):
    assert [(p.facts["path"], p.code) for p in sections(**more).problems()] == [(path, code)]


def test_gauges_on_one_port_are_one_group(tmp_path):
    same = [sections(port="/dev/a"), sections(port="/dev/a", unit=7), sections(port="/dev/b")]
    groups = [ModbusGauges.group(s) for s in same]
    assert groups[0] == groups[1] != groups[2]
    assert ModbusGauges.group(sections(host="h")) != ModbusGauges.group(sections(host="h", tcp_port=503))
    with pytest.raises(ConfigError, match="bus-settings"):
        ModbusGauges.make([sections(port="/dev/a"), sections(port="/dev/a", baud=19200)], surroundings(tmp_path))


def test_it_is_in_the_table():
    assert driver("modbus-gauge") is ModbusGauges
    assert list(sections(port="/dev/x").problems()) == []


async def test_a_burst_is_one_reading_with_its_spread(tmp_path, profile):
    told = itertools.cycle([1000, 1002, 9000, 1001, 1000])
    with ModbusSlave({1: lambda _, n: [next(told), 185][:n]}) as slave:
        config = section(slave, profile, every_s=0.5, samples=5, sample_gap_s=0.02)
        async with running([config], tmp_path) as out:
            await until(lambda: len(out.readings) >= 2)
    reading = out.readings[1]
    assert reading.quantities["n_valid"].value == 5 and 1.0 <= reading.quantities["level"].value <= 1.002
    assert reading.quantities["mad"].value <= 0.002 and reading.facts["high"] == "9" and reading.span_ms > 0


async def test_a_burst_with_holes_counts_them(tmp_path, hasty):
    with ModbusSlave({1: holding()}) as slave:
        slave.faults[1] = ["", "", "busy", "busy", "busy", ""] * 9
        config = section(slave, hasty, every_s=0.6, samples=4, sample_gap_s=0.02)
        async with running([config], tmp_path) as out:
            await until(lambda: any(v is not None for v in levels(out)))
    good = next(r for r in out.readings if r.quantities["level"].value is not None)
    assert good.quantities["n_valid"].value < 4 and good.quantities["level"].value == 1.234


def test_a_burst_that_does_not_fit(tmp_path):
    config = sections(port="/dev/x", samples=20, sample_gap_s=1.0, every_s=10.0)
    assert [(p.facts["path"], p.code) for p in config.problems()] == [("samples", "gauges.burst-too-long")]


async def test_the_rules_wish_is_obeyed(tmp_path, profile):
    wish = {"every_s": 0.6}
    with ModbusSlave({1: holding()}) as slave:
        around = surroundings(tmp_path, SystemClock())
        around = dataclasses.replace(around, pace=lambda _: Pace(every_s=wish["every_s"]))
        collector = Collector()
        task = asyncio.create_task(ModbusGauges.make([section(slave, profile, every_s=0.1)], around).run(collector))
        await until(lambda: len(collector.readings) >= 3)
        wish["every_s"] = 3600.0
        for _ in range(30):  # the rules are asked once a second; then an hour is to pass
            seen = len(collector.readings)
            await asyncio.sleep(1.2)
            if len(collector.readings) == seen:
                break
        assert len(collector.readings) == seen
        wish["every_s"] = 0.2
        await until(lambda: len(collector.readings) > seen)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
