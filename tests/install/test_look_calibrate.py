"""read and calibrate on a gauge that is really there."""

import json
import os
import subprocess
import sys
import time

import pytest

from edgeagent import calibrations
from edgeagent.calibrations import Entry, History
from edgeagent.cli import read_live, show_install
from edgeagent.daemon.build import build, read_config
from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.install import calibrate
from edgeagent.install.look import words
from edgeagent.profiles import load
from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.rules.calibrate import CalibrateConfig
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from tests.cli.test_verbs import edgeagent
from tests.fakes import FakeClock, water

NOW = FakeClock().now()


def config_of(tmp_path, port, *, profile="geolux-lx80-modbus", driver="modbus-gauge", more=""):
    file = tmp_path / "config.toml"
    file.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "g"\ndriver = "{driver}"\n'
        f'port = "{port}"\nprofile = "{profile}"\n{more}\n'
    )
    return file


def test_read_shows_values_registers_and_errors(tmp_path, capsys):
    with ModbusSlave({1: registers_from({0x20: 1234})}) as slave:
        config = config_of(tmp_path, slave.path)
        done = edgeagent("read", "g", "--config", config, "-n", "2")
        assert done.returncode == 0 and done.stdout.count("level 1.234 m") == 2
        assert "04d2" in done.stdout and "ABCD*" in done.stdout and "✓" in done.stdout
        assert read_live.run("g", config, count=0, plot=False, as_json=True) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["reading"]["quantities"]["level"] == {"value": 1.234, "unit": "MTR", "quality": "good"}
        assert told["registers"][0]["raw"] == "04d2" and told["registers"][0]["inside"] == ["ABCD", "BADC"][:1]
        slave.faults[1] = ["bad-crc"]
        done = edgeagent("read", "g", "--config", config, "-n", "1", "--lang", "ja")
        assert (done.returncode == 0 and "CRC" in done.stderr) or "壊れ" in done.stderr or "破損" in done.stderr


def test_read_a_gauge_that_talks_by_itself(tmp_path, capsys):
    with AsciiGauge(lambda _: 2.345, lines_per_s=30) as gauge:
        config = config_of(tmp_path, gauge.path, profile="maxbotix-hrxl-wr", driver="serial-gauge")
        assert read_live.run("g", config, count=1, plot=True, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "distance 2.345 m" in shown and "█" in shown


def test_a_source_that_is_not_there(tmp_path):
    done = edgeagent("read", "x", "--config", config_of(tmp_path, "/dev/x"))
    assert done.returncode == 2 and "g" in done.stderr


def test_a_port_that_is_not_there(tmp_path):
    done = edgeagent("read", "g", "--config", config_of(tmp_path, tmp_path / "no"), "--json")
    assert done.returncode == 3 and "gauges.no-port" in json.loads(done.stdout.splitlines()[-1])["problems"]


@pytest.mark.parametrize(
    ("frame", "raw"),
    [("f60304147b4016", "147b 4016"), ("000100000007f60304147b4016", "147b 4016")],
    ids=["rtu", "tcp"],
)
def test_the_order_that_would_make_sense_is_marked(frame, raw):
    profile, _ = load("vega-c2x-modbus")
    (word,) = list(words(profile, frame + ("" if frame.startswith("00") else "0000")))
    assert word.raw == raw and word.order == "ABCD" and word.inside == ("CDAB",)
    assert word.numbers["CDAB"] == pytest.approx(2.345) and word.numbers["ABCD"] < 1e-20
    shown = show_install.registers([word])
    assert "CDAB          2.345 ✓" in shown and "ABCD*" in shown


def test_calibrate_from_the_staff_gauge_and_back(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("EDGEAGENT_LANG", "ja")

    def calibrate_(**more):
        options = {"staff": None, "far": False, "undo": False, "history": False, "as_json": False, **more}
        assert read_live.calibrate("g", config, **options) == 0
        return capsys.readouterr().out

    def level():
        read_live.run("g", config, count=1, plot=False, as_json=False)
        return capsys.readouterr().out.partition("水位 ")[2][:7]

    with ModbusSlave({1: registers_from({0x20: 2300})}) as slave:
        config = config_of(tmp_path, slave.path, more="calibrate = { offset_m = 0.01 }")
        said = calibrate_(staff=2.35)
        assert "+0.040" in said and "再起動" in said and level() == "2.350 m"
        calibrate_(staff=2.36)
        kept = json.loads(calibrate_(history=True, as_json=True))
        assert [e["added_m"] for e in kept["entries"]] == [0.04, 0.05]
        calibrate_(undo=True)
        assert level() == "2.350 m"
        calibrate_(undo=True)
        with pytest.raises(ConfigError, match=r"install.nothing-to-undo"):
            calibrate_(undo=True)
        assert calibrate_(history=True).count("取消済") == 2, "what was undone stays written down"
        with pytest.raises(ConfigError, match=r"install.calibration-far"):
            calibrate_(staff=9.99)
        with pytest.raises(ConfigError, match=r"config.missing"):
            calibrate_()
        assert "+7.680" in calibrate_(staff=9.99, far=True)


def good(level):
    return water(level)


def test_only_a_good_level_can_be_compared_with(tmp_path):
    for quantities in (
        {},
        {"level": Quantity(1.0, Unit.METRE, Quality.SUSPECT)},
        {"level": Quantity.missing(Unit.METRE)},
    ):
        with pytest.raises(SourceUnavailable, match=r"install.no-level"):
            calibrate.compare(tmp_path, "g", 1.0, _with(quantities), NOW)
    assert calibrations.load(tmp_path, "g") == History(source="g")


def _with(quantities):
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(water(), quantities=quantities)


def test_a_torn_file_falls_back_to_the_one_before(tmp_path):
    calibrate.compare(tmp_path, "g", 1.1, good(1.0), NOW)
    calibrate.compare(tmp_path, "g", 1.2, good(1.1), NOW)
    file = tmp_path / "calibrations/g.json"
    file.write_bytes(file.read_bytes()[:30])
    assert len(calibrations.load(tmp_path, "g").entries) == 1
    file.with_suffix(".bak").write_text("{")
    with pytest.raises(ConfigError, match=r"install.calibration-damaged"):
        calibrations.load(tmp_path, "g")


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "calibrations").write_text("in the way")
    with pytest.raises(ConfigError, match=r"install.calibration-(not-written|damaged)"):
        calibrate.compare(tmp_path, "g", 1.1, good(1.0), NOW)


def test_the_agent_starts_with_it_and_says_since_when(tmp_path):
    entry = Entry(at="2026-11-23T05:00:00+00:00", clock="synced", staff_m=2.35, read_m=2.3, added_m=0.05)
    calibrations.save(tmp_path, History(source="g", entries=(entry,)))
    assert calibrations.applied(None, tmp_path, "g") == CalibrateConfig(offset_m=0.05, since="2026-11-23")
    assert calibrations.applied(CalibrateConfig(offset_m=0.1), tmp_path, "g").offset_m == pytest.approx(0.15)
    config, problems = read_config(config_of(tmp_path, "/dev/x"))
    assert not problems
    chain = build(config, FakeClock()).flow._pump._chains["g"]
    (made,) = chain.feed(water(2.3, source="g"))
    assert made.quantities["level"].value == 2.35 and made.facts["calibrated"] == "2026-11-23"


def test_a_lost_history_makes_the_level_suspect_and_stops_nothing(tmp_path):
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations/g.json").write_text("{")
    config, _ = read_config(config_of(tmp_path, "/dev/x"))
    (made,) = build(config, FakeClock()).flow._pump._chains["g"].feed(water(2.3, source="g"))
    assert made.quantities["level"].quality is Quality.SUSPECT
    assert made.facts["reason:level"] == "calibration-lost"


def test_read_while_the_agent_holds_the_port(tmp_path):
    with ModbusSlave({1: registers_from({0x20: 1234})}) as slave:
        config = config_of(
            tmp_path, slave.path, more=f'every_s = 0.2\n[[uplinks]]\nid = "f"\ndriver = "jsonl"\npath = "{tmp_path}/o"'
        )
        with subprocess.Popen(
            [sys.executable, "-m", "edgeagent.daemon", str(config)], stderr=subprocess.DEVNULL, env={**os.environ}
        ) as agent:
            try:
                while not (tmp_path / "o").exists() or b"1.234" not in (tmp_path / "o").read_bytes():
                    assert agent.poll() is None
                    time.sleep(0.1)
                done = edgeagent("read", "g", "--config", config, "-n", "1")
            finally:
                agent.terminate()
                agent.wait(timeout=20)
    assert done.returncode == 0 and "level 1.234 m" in done.stdout
    assert "agent holds the port" in done.stderr
