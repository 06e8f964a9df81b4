"""SDI-12 over a real pty: two sensors, every fault the virtual ones know."""

import asyncio
import contextlib

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError
from edgeagent.reading import Quality
from edgeagent.simulate.sdi12_sensor import Sdi12Sensors
from edgeagent.sources import driver
from edgeagent.sources.serial_sdi12 import Sdi12Config, Sdi12Gauges
from tests.fakes import Collector, surroundings
from tests.sources.test_modbus_gauge import explained, until

PROFILE = """
[profile]
id = "quick"
kind = "level"
rung = "bench"
source = "a virtual sensor"
[link]
transport = "sdi12"
baud = 1200
frame = "7E1"
[sdi12]
crc = true
[[field]]
name = "level"
at = 0
unit = "m"
sane = [-5.0, 60.0]
"""


@contextlib.asynccontextmanager
async def running(port, tmp_path, *addresses):
    file = tmp_path / "quick.toml"
    file.write_text(PROFILE)
    configs = [
        Sdi12Config(id=f"s{a}", driver="sdi12-gauge", port=port, profile=str(file), address=a, every_s=1.0)
        for a in addresses
    ]
    out = Collector()
    task = asyncio.create_task(Sdi12Gauges.make(configs, surroundings(tmp_path, SystemClock())).run(out))
    try:
        yield out
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 2)
    for _, error in out.problems:
        explained(error)


def levels(out, source):
    return [r.quantities["level"].value for r in out.readings if r.source == source]


async def test_two_sensors_on_one_line_one_of_them_slow(tmp_path):
    with Sdi12Sensors({"0": lambda: (1.234, 11.5), "3": lambda: (2.5, 9.0)}, seconds=1) as sensors:
        sensors.faults["3"] = "echo"
        async with running(sensors.path, tmp_path, "0", "3") as out:
            await until(lambda: len(levels(out, "s0")) >= 2 and len(levels(out, "s3")) >= 2, 30)
    assert set(levels(out, "s0")) == {1.234} and set(levels(out, "s3")) == {2.5}
    assert out.readings[0].facts["raw"].startswith("+") and not out.problems


async def test_what_is_not_proven_is_missing_and_comes_back(tmp_path):
    async def refuses(fault):
        (tmp_path / fault).mkdir()
        with Sdi12Sensors({"0": lambda: (1.234, 11.5)}) as sensors:
            sensors.faults["0"] = fault
            async with running(sensors.path, tmp_path / fault, "0") as out:
                await until(lambda: out.readings, 30)
                assert out.readings[0].quantities["level"].quality is Quality.MISSING
                sensors.faults.clear()
                await until(lambda: levels(out, "s0")[-1] == 1.234, 40)
        assert "gauges.sdi12-refused" in {e.code for _, e in out.problems}
        assert set(levels(out, "s0")) == {None, 1.234}

    await asyncio.gather(refuses("bad-crc"), refuses("wrong-address"))


async def test_the_adapter_is_pulled_and_comes_back(tmp_path):
    with Sdi12Sensors({"0": lambda: (1.234, 11.5)}, path=str(tmp_path / "tty")) as sensors:
        async with running(sensors.path, tmp_path, "0") as out:
            await until(lambda: out.readings, 30)
            sensors.line.unplug()
            await until(lambda: {e.code for _, e in out.problems} & {"gauges.unplugged", "gauges.no-port"}, 30)
            sensors.line.plug()
            seen = len(out.readings)
            await until(lambda: 1.234 in levels(out, "s0")[seen:], 40)


def test_in_the_table_and_its_mistakes():
    assert driver("sdi12-gauge") is Sdi12Gauges
    good = {"id": "s", "driver": "sdi12-gauge", "port": "/dev/x"}
    assert list(Sdi12Config(**good).problems()) == []
    wrong = [Sdi12Config(**good, profile="maxbotix-hrxl-wr"), Sdi12Config(**good, every_s=2.0)]
    assert [p.code for c in wrong for p in c.problems()] == ["gauges.not-sdi12", "gauges.too-often"]
    with pytest.raises(ConfigError):
        Sdi12Gauges.make([wrong[0]], None)
