"""Gauges that talk by themselves, on ptys."""

import asyncio
import contextlib
import time

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError
from edgeagent.reading import Kind, Quality, Unit
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.pty_line import PtyLine
from edgeagent.sources import driver
from edgeagent.sources.burst import Burst
from edgeagent.sources.serial_gauge import LineSamples, SerialGauge, SerialGaugeConfig
from edgeagent.wire.registers import Value
from tests.fakes import Collector, surroundings
from tests.sources.test_modbus_gauge import explained, until


def section(port, **more):
    keys = {"id": "kamo", "driver": "serial-gauge", "profile": "maxbotix-hrxl-wr", "every_s": 0.3, "port": str(port)}
    return SerialGaugeConfig(**(keys | more))


@contextlib.asynccontextmanager
async def running(config, tmp_path):
    collector = Collector()
    source = SerialGauge.make([config], surroundings(tmp_path, SystemClock()))
    task = asyncio.create_task(source.run(collector))
    try:
        yield collector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 2)
    for _, error in collector.problems:
        explained(error)


def codes(out):
    return {error.code for _, error in out.problems}


def distances(out):
    return [r.quantities["distance"].value for r in out.readings]


async def test_lines_become_medians(tmp_path):
    with AsciiGauge(lambda _: 2.345, lines_per_s=50) as gauge:
        async with running(section(gauge.path), tmp_path) as out:
            await until(lambda: len(out.readings) >= 2)
    reading = out.readings[0]
    assert (reading.kind, reading.entity, reading.span_ms) == (Kind.WATER, "kamo", 300)
    distance = reading.quantities["distance"]
    assert (distance.value, distance.unit, distance.quality) == (2.345, Unit.METRE, Quality.GOOD)
    assert reading.quantities["n_valid"].value >= 2 and reading.quantities["mad"].value == 0
    assert reading.facts["low"] == reading.facts["high"] == "2.345"
    assert reading.facts["raw"] == "R2345" and reading.facts["rung"] == "manual"
    assert out.problems == []


async def test_every_value_was_said(tmp_path):
    with AsciiGauge(lambda t: 1.0 + t / 10, lines_per_s=40) as gauge:
        async with running(section(gauge.path), tmp_path) as out:
            await until(lambda: len(out.readings) >= 4)
    said = [mm / 1000 for _, mm in gauge.said]
    for value in distances(out):
        assert min(said) <= value <= max(said)
    assert distances(out) == sorted(distances(out))


async def test_no_echo_is_missing_and_not_far_water(tmp_path):
    with AsciiGauge(lambda _: None, lines_per_s=40) as gauge:
        async with running(section(gauge.path), tmp_path) as out:
            await until(lambda: out.readings)
    assert out.readings[0].quantities["distance"].quality is Quality.MISSING
    assert out.readings[0].facts["reason:distance"] == "no-target"


async def test_silence_is_said_and_ends(tmp_path):
    with AsciiGauge(lambda _: 2.0, lines_per_s=40) as gauge:
        async with running(section(gauge.path), tmp_path) as out:
            await until(lambda: 2.0 in distances(out))
            gauge.silent.set()
            await until(lambda: None in distances(out))
            await until(lambda: len(out.problems) >= 3)
            assert distances(out).count(None) == 1, "once a minute, not once a period"
            gauge.silent.clear()
            await until(lambda: distances(out)[-1] == 2.0)
    assert codes(out) == {"gauges.silent"}
    silent = next(r for r in out.readings if r.quantities["distance"].value is None)
    assert silent.facts["reason:distance"] == "silent"


async def test_another_device_or_a_wrong_baud_rate(tmp_path):
    line = PtyLine()
    async with running(section(line.path), tmp_path) as out:
        for noise in (b"$GPGGA,1\r$GPGGA,2\r$GPGGA,3\r", b"\x80\xfe" * 40):
            seen = len(out.problems)
            while len(out.problems) == seen:
                line.write(noise)
                await asyncio.sleep(0.05)
        await until(lambda: len(codes(out)) >= 2)
    line.unplug()
    assert {"gauges.no-match", "gauges.no-lines"} <= codes(out)
    assert set(distances(out)) == {None}
    shown = [e.facts["line"] for _, e in out.problems if e.code == "gauges.no-match"]
    assert "$GPGGA" in shown[0]


async def test_the_port_is_pulled_and_comes_back(tmp_path):
    with AsciiGauge(lambda _: 2.0, path=tmp_path / "ttyKamo", lines_per_s=40) as gauge:
        async with running(section(gauge.path), tmp_path) as out:
            await until(lambda: out.readings)
            gauge.line.unplug()
            await until(lambda: {"gauges.unplugged", "gauges.no-port"} <= codes(out))
            gauge.line.plug()
            seen = len(out.readings)
            await until(lambda: 2.0 in distances(out)[seen:])


async def test_a_busy_port(tmp_path):
    with AsciiGauge(lambda _: 2.0, lines_per_s=40) as gauge:
        async with running(section(gauge.path), tmp_path) as first:
            await until(lambda: first.readings)
            async with running(section(gauge.path), tmp_path) as second:
                await until(lambda: second.problems)
            seen = len(first.readings)
            await until(lambda: len(first.readings) > seen)
    assert codes(second) == {"gauges.port-busy"} and not second.readings
    assert first.problems == []


async def test_a_port_that_stays_away(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeagent.sources.serial_gauge.delay_s", lambda *_, **__: 0.01)
    async with running(section(tmp_path / "no"), tmp_path) as out:
        await until(lambda: len(out.problems) >= 6)
    assert codes(out) == {"gauges.no-port"}
    assert [r.facts["reason:distance"] for r in out.readings] == ["no-port"]


async def test_stopping_is_quick(tmp_path):
    with AsciiGauge(lambda _: 2.0) as gauge:
        started = time.monotonic()
        async with running(section(gauge.path, every_s=3600), tmp_path):
            await asyncio.sleep(0.05)
    assert time.monotonic() - started < 2


class TestSamples:
    @pytest.fixture
    def samples(self, tmp_path):
        source = SerialGauge.make([section("/dev/null")], surroundings(tmp_path))
        return source._samples

    def test_one_stray_echo_moves_no_median(self, samples: LineSamples):
        for mm in (2000, 2001, 2002, 9000, 2001):
            samples.add(b"R%04d" % mm)
        assert samples.results()["distance"] == Burst(Value(2.001), 5, 0.001, 2.0, 9.0)

    def test_mostly_without_a_value_is_suspect(self, samples):
        for line in (b"R2000", b"R5000", b"R5000"):
            samples.add(line)
        assert samples.results()["distance"].value == Value(2.0, "few-values")

    def test_without_any_value_it_is_missing_for_the_commonest_reason(self, samples):
        for line in (b"R0300", b"R5000", b"R5000"):
            samples.add(line)
        assert samples.results()["distance"] == Burst(Value(None, "no-target"))

    def test_bounded(self, samples):
        for _ in range(12_000):
            samples.add(b"R2000")
        assert samples.lines == 10_000


def test_a_line_format_of_ones_own(tmp_path):
    config = section("/dev/x", profile="generic-ascii-lines")
    assert list(config.problems()) == []
    assert SerialGauge.make([config], surroundings(tmp_path))


@pytest.mark.parametrize(
    ("more", "path", "code"),
    [
        ({"profile": "geolux-lx80-modbus"}, "profile", "gauges.not-lines"),
        ({"profile": "maxbotix"}, "profile", "gauges.no-profile"),
        ({"frame": "8N3"}, "frame", "gauges.bad-frame"),
    ],
)
def test_mistakes_in_a_section(tmp_path, more, path, code):
    config = section("/dev/x", **more)
    assert [(p.facts["path"], p.code) for p in config.problems()] == [(path, code)]
    if path == "profile":
        with pytest.raises(ConfigError):
            SerialGauge.make([config], surroundings(tmp_path))


def test_it_is_in_the_table():
    assert driver("serial-gauge") is SerialGauge
    assert SerialGauge.group(section("/dev/a", id="a")) != SerialGauge.group(section("/dev/a", id="b"))
