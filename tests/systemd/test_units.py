"""The units: systemd takes them, and says how exposed they are."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
TOOL = shutil.which("systemd-analyze")
EXPOSURE = {"edgeagent.service": 1.1, "edgeagent-update.service": 1.1, "edgeagent-renew.service": 1.1}
pytestmark = pytest.mark.tool("systemd-analyze")


@pytest.fixture
def installed(tmp_path):
    """The units as they lie on a gateway, with a program that is there."""
    for file in UNITS.iterdir():
        if file.suffix in (".service", ".timer"):
            text = file.read_text().replace("/opt/edgeagent/bin/edgeagent", "/bin/true")
            (tmp_path / file.name).write_text(text)
    return tmp_path


def analyze(folder, *words):
    return subprocess.run([TOOL, *words, "--no-pager"], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    "unit", sorted(p.name for p in UNITS.glob("edgeagent*.*") if p.suffix in (".service", ".timer"))
)
def test_systemd_takes_the_unit(installed, unit):
    done = analyze(installed, "verify", f"./{unit}")
    ours = [line for line in done.stderr.splitlines() if "edgeagent" in line]
    assert done.returncode == 0 and not ours, done.stderr


@pytest.mark.parametrize("unit", EXPOSURE)
def test_sec_13_exposure_is_low(installed, unit):
    done = analyze(installed, "security", "--offline=true", "--threshold=15", f"./{unit}")
    assert done.returncode == 0, done.stdout[-600:]
    score = float(re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)[1])
    assert score <= EXPOSURE[unit]


def test_a_laxer_unit_would_be_seen(installed):
    unit = installed / "edgeagent.service"
    unit.write_text(
        "\n".join(
            line for line in unit.read_text().splitlines() if not line.startswith(("Protect", "Restrict", "SystemCall"))
        )
    )
    assert analyze(installed, "security", "--offline=true", "--threshold=15", "./edgeagent.service").returncode != 0


def section(unit, name):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string((UNITS / unit).read_text())
    return parser[name]


def test_what_a_gateway_that_nobody_visits_needs():
    service = section("edgeagent.service", "Service")
    assert (service["Type"], service["Restart"], service["WatchdogSec"]) == ("notify", "always", "60")
    assert section("edgeagent.service", "Unit")["StartLimitIntervalSec"] == "0"
    assert "time-sync" not in section("edgeagent.service", "Unit")["After"], "would block a start without NTP"
    assert service["SocketBindDeny"] == "any" and service["User"] == "edgeagent"
    timer = section("edgeagent-update.timer", "Timer")
    assert timer["OnUnitActiveSec"] == "6h" and timer["RandomizedDelaySec"] == "72min"
    assert section("edgeagent-refresh.timer", "Timer")["OnCalendar"] == "daily"


def test_what_lies_beside_the_units_is_well_formed():
    lines = {
        p.suffix: [x for x in p.read_text().splitlines() if x and not x.startswith("#")]
        for p in UNITS.glob("edgeagent.*")
    }
    assert all(re.fullmatch(r"[um] \S+( .*)?", line) for line in lines[".sysusers"])
    assert all(re.fullmatch(r"d /\S+ 0\d{3} \w+ \w+ -", line) for line in lines[".tmpfiles"])
    assert all(re.fullmatch(r"[a-z0-9_]+", line) for line in lines[".modules-load"])
    assert "RuntimeMaxUse=32M" in lines[".journald"]
