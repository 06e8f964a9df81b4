import asyncio
import sys
from pathlib import Path

import pytest

from edgeagent import messages, sources
from edgeagent.clock import SystemClock
from edgeagent.config import decode
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Kind, Quality, Quantity, ReadingClass, TimeTrust, Unit
from edgeagent.sources.host import Host, HostConfig
from tests.fakes import Collector, FakeClock, surroundings

CONFIG = HostConfig(id="gateway", driver="host")
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
PI = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
    THROTTLED: "0\n",
    "proc/uptime": "3397.58 3143.56\n",
    "proc/loadavg": "0.15 0.81 0.96 3/96 21463\n",
    "proc/meminfo": "MemTotal:        3884092 kB\nMemFree:         20715 kB\nMemAvailable:    2163934 kB\n",
    "proc/sys/kernel/osrelease": "6.12.47+rpt-rpi-v8\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
}


def board(root: Path, **changed: str | None) -> Path:
    """A file tree like a board's; `changed` by path, None takes a file away."""
    for place, text in (PI | changed).items():
        if text is not None:
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text)
    return root


def measured(tmp_path, **changed):
    return Host(CONFIG, surroundings(tmp_path), root=board(tmp_path / "root", **changed)).measure()


def test_a_raspberry_pi(tmp_path):
    reading = measured(tmp_path)
    free = reading.quantities.pop("disk_free")
    assert free.unit is Unit.BYTE and free.value > 0
    assert reading.quantities == {
        "cpu_temperature": Quantity(48.312, Unit.CELSIUS),
        "under_voltage": Quantity(value=False),
        "memory_available": Quantity(2163934 * 1024, Unit.BYTE),
        "uptime": Quantity(3397.58, Unit.SECOND),
        "load": Quantity(0.15),
        "clock_synced": Quantity(value=True),
    }
    assert (reading.kind, reading.entity, reading.cls) == (Kind.GATEWAY, "gateway", ReadingClass.ROUTINE)
    assert reading.facts["board"] == "Raspberry Pi 4 Model B Rev 1.5"
    assert reading.facts["kernel"] == "6.12.47+rpt-rpi-v8"
    assert reading.facts["python"] == sys.version.split()[0]
    assert reading.facts["edgeagent"]


def test_what_the_board_has_not_is_missing_never_zero(tmp_path):
    reading = Host(CONFIG, surroundings(tmp_path / "gone"), root=tmp_path / "empty").measure()
    for name, quantity in reading.quantities.items():
        if name != "clock_synced":
            assert quantity.value is None and quantity.quality is Quality.MISSING
            assert reading.facts[f"reason:{name}"] == "not-on-this-board"
    assert "board" not in reading.facts


@pytest.mark.parametrize(
    ("zones", "celsius"),
    [
        ({"gpu": "70000", "cpu_thermal": "41000"}, 41.0),
        ({"x86_pkg_temp": "41000", "acpitz": "27800"}, 41.0),
        ({"acpitz": "27800", "iwlwifi": "33000"}, 33.0),
        ({"cpu": "-274000"}, None),
        ({"cpu": "nonsense"}, None),
        ({"cpu": "-5000"}, -5.0),
    ],
)
def test_the_processors_zone_is_chosen(tmp_path, zones, celsius):
    changed = {}
    for number, (kind, temp) in enumerate(zones.items()):
        changed[f"sys/class/thermal/thermal_zone{number}/type"] = kind
        changed[f"sys/class/thermal/thermal_zone{number}/temp"] = temp
    assert measured(tmp_path, **changed).quantities["cpu_temperature"].value == celsius


def test_a_dip_between_two_readings_is_told_once(tmp_path):
    root = board(tmp_path / "root")
    host = Host(CONFIG, surroundings(tmp_path), root=root)
    seen = []
    for flags in ("0", "50005", "50000", "50000", "50001"):
        (root / THROTTLED).write_text(flags + "\n")
        seen.append(host.measure().quantities["under_voltage"].value)
    assert seen == [False, True, False, False, True]
    late = Host(CONFIG, surroundings(tmp_path), root=root)
    (root / THROTTLED).write_text("50000\n")
    assert [late.measure().quantities["under_voltage"].value for _ in range(2)] == [True, False]


@pytest.mark.parametrize(("alarm", "expected"), [("0", False), ("1", True), ("?", None)])
def test_under_voltage_from_the_mainline_kernel(tmp_path, alarm, expected):
    hwmon = "sys/class/hwmon/hwmon1"
    reading = measured(
        tmp_path,
        **{THROTTLED: None, "sys/class/hwmon/hwmon0/name": "nvme\n", f"{hwmon}/name": "rpi_volt\n", f"{hwmon}/in0_lcrit_alarm": alarm + "\n"},
    )  # fmt: skip
    assert reading.quantities["under_voltage"].value is expected


def test_an_unset_clock_is_told(tmp_path):
    host = Host(CONFIG, surroundings(tmp_path, FakeClock(trust=TimeTrust.UNSYNCED)), root=board(tmp_path / "root"))
    assert host.measure().quantities["clock_synced"].value is False


async def test_it_reads_at_once_and_again_and_says_what_is_wrong(tmp_path):
    root = board(tmp_path / "root", **{THROTTLED: "50005", "sys/class/thermal/thermal_zone0/temp": "81500"})
    collected = Collector()
    around = surroundings(tmp_path / "not-there")
    host = Host(HostConfig(id="gateway", driver="host", every_s=1), around, root=root)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(host.run(collected), 1.5)
    assert len(collected.readings) == 2
    codes = [error.code for _, error in collected.problems]
    assert codes == ["host.under-voltage", "host.hot", "host.no-state-dir"] * 2
    for source, error in collected.problems:
        assert source == "gateway"
        for lang in messages.LANGUAGES:
            text = messages.text(error.code, error.facts, lang)
            assert text.what and text.remedy and "?" not in text.what


def test_the_texts_are_the_same_in_both_languages():
    assert messages.catalogue("host", "ja").keys() == messages.catalogue("host", "en").keys()


def test_this_very_machine(tmp_path):
    around = Surroundings(SystemClock(), Site("GW-TEST"), tmp_path)
    driver = sources.driver("host")
    assert driver.group(CONFIG) == "gateway" and driver.rules == ()
    reading = driver.make([CONFIG], around).measure()
    values = {name: quantity.value for name, quantity in reading.quantities.items()}
    assert values["uptime"] > 0 and values["load"] >= 0
    assert values["disk_free"] > 0 and 0 < values["memory_available"] < 1 << 45
    assert reading.facts["kernel"] == Path("/proc/sys/kernel/osrelease").read_text().strip()


def test_config():
    made, problems = decode(HostConfig, {"id": "gw", "driver": "host"}, "sources[0]")
    assert made.every_s == 60 and not problems
    made, (problem,) = decode(HostConfig, {"id": "gw", "driver": "host", "every_s": 0}, "sources[0]")
    assert made is None and problem.facts["path"] == "sources[0].every_s"
