"""The report of a site that is there: a gauge on TCP, a claimed identity, and the verb as an installer types it."""

import json
import os
import re
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from edgeagent.cli import app
from edgeagent.errors import ConfigError
from edgeagent.install import doctor_probe_devices, report, report_gather, report_seal, report_verify
from edgeagent.install.identity import Identity
from edgeagent.install.tag_scan import write_walk_test
from edgeagent.install.tag_survey import WalkTest
from edgeagent.simulate.modbus_slave import ModbusSlave
from tests.cli.test_verbs import Daemon
from tests.install.reports import Signing
from tests.install.test_doctor import config_of, edgeagent, gauge, level, world

WALK = WalkTest(1_795_000_000_000, 183, 0.97, 0.91, -88.0, 4)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(doctor_probe_devices, "_COMPLAINTS", 2)
    monkeypatch.setattr(doctor_probe_devices, "_QUICK_S", 0.05)


def claimed(state_dir, pem):
    identity = Identity(state_dir)
    identity.folder.mkdir()
    identity.current.write_bytes(pem.read_bytes())
    identity.current.chmod(0o400)
    return identity.current


async def made(tmp_path, body, *, staff_m=None, **more):
    said = {"site": "宮川橋", "installer": "佐藤 健", "lang": "ja", "staff_m": staff_m or {}, **more}
    there = world(tmp_path, body)
    return await report.make(there.file, world=there, **said)


async def test_a_signed_report_with_what_the_staff_gauge_shows(tmp_path):
    (tmp_path / "city").mkdir()
    city = Signing(tmp_path / "city")
    secret = claimed(tmp_path, city.gateway("GW-1"))
    write_walk_test(tmp_path, WALK)
    calibrate = 'calibrate = { offset_m = 0.10, datum = "T.P." }\n'
    with ModbusSlave({1: level(1420)}, tcp=True) as slave:
        done = await made(
            tmp_path, gauge(slave) + calibrate, staff_m={"miyagawa": 1.51}, serials={"miyagawa": "LX-80-77123"}
        )
        assert {function for _, _, function, _, _ in slave.asked} <= {3, 4}, "a report never writes to a device"
    assert done.signed and done.why is None
    assert done.html.parent == tmp_path / "report" and done.html.stat().st_mode & 0o77 == 0
    for file in (done.html, done.json):
        found = report_verify.verify(file, ca=Path(city.ca))
        assert found.gateway == "GW-1" and found.vouched and found.in_time
    told = found.report
    (one,) = told["devices"]
    assert (one["level_m"], one["staff_m"], one["difference_m"], one["agrees"]) == (1.52, 1.51, 0.01, True)
    assert one["serial"] == "LX-80-77123" and one["about"] == "geolux-lx80-modbus" and one["reads"] == 3
    assert told["config_sha256"] == report_gather.sha256_of(tmp_path / "config.toml")
    assert told["walk"]["heard"] == 0.97 and told["versions"]["edgeagent"]
    assert {c["state"] for c in told["doctor"]} <= {"ok", "warning", "failed", "skipped"} and len(told["doctor"]) > 20
    (curve,) = told["hydrographs"]
    assert curve["points"] == 0 and curve["why"]["code"] == "daemon.not-running", "nothing is made up"
    page = done.html.read_text()
    for text in ("宮川橋", "佐藤 健", "1.520 m", "1.51 m", "+1.0 cm", "LX-80-77123", "97%", found.sha256[:8]):
        assert text in page, text
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import|<script(?! type=\"application/json\")", page)
    key = serialization.load_pem_private_key(secret.read_bytes(), None).private_numbers().private_value
    lines = secret.read_text().partition("-----END PRIVATE")[0].splitlines()[1:]
    for file in (done.html, done.json):
        text = file.read_text()
        assert f"{key:x}" not in text and "PRIVATE KEY" not in text and not any(one in text for one in lines if one)


async def test_without_an_identity_it_is_made_and_says_so(tmp_path):
    with ModbusSlave({1: level(1420)}, tcp=True) as slave:
        done = await made(tmp_path, gauge(slave), staff_m={"miyagawa": 1.30}, lang="en", out=tmp_path / "out")
    assert not done.signed and done.why.code == "claim.not-claimed"
    page = done.html.read_text()
    assert page.count("NOT SIGNED") == 2 and 'role="alert"' in page and "differs" in page and "+12.0 cm" in page
    assert done.html.parent == tmp_path / "out"


async def test_what_cannot_be_measured_is_missing_with_its_reason(tmp_path):
    away = '[[sources]]\nid = "away"\ndriver = "modbus-gauge"\nport = "/dev/serial/by-id/none"\nprofile = "geolux-lx80-modbus"\n'
    camera = (
        '[[sources]]\nid = "road"\ndriver = "traffic-camera"\ncamera = "none.mp4"\n'
        'lines = [{ id = "l", from = [0, 10], to = [100, 10], forward = "down" }]\n'
    )
    done = await made(tmp_path, away + camera, staff_m={"away": 1.30})
    away, road = done.facts.devices
    assert away.why.code == "gauges.no-port" and away.level_m is None and away.agrees is None and away.values == ()
    assert road.why is not None
    (seen,) = done.facts.counting
    assert seen.picture_sha256 == "" and seen.why.code.startswith("camera.")
    assert "<img" not in done.html.read_text()
    assert done.facts.models[0].name == "vehicles" and len(done.facts.models[0].sha256) == 64


async def test_a_reading_for_nobody_and_a_folder_that_is_none(tmp_path):
    with pytest.raises(ConfigError) as told:
        await made(tmp_path, '[[sources]]\nid = "box"\ndriver = "host"\n', staff_m={"nagaragawa": 1.0})
    assert told.value.code == "report.no-source" and told.value.facts["choices"] == "box"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as told:
        await made(tmp_path, '[[sources]]\nid = "box"\ndriver = "host"\n', out=tmp_path / "file" / "x")
    assert told.value.code == "report.cannot-write"


def test_the_package_is_known_by_one_number(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("1")
    before = report_gather.package_sha256(tmp_path)
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "one.pyc").write_text("x")
    assert report_gather.package_sha256(tmp_path) == before
    (tmp_path / "a" / "one.py").rename(tmp_path / "a" / "two.py")
    assert report_gather.package_sha256(tmp_path) != before


def test_the_computer_and_a_camera_are_known_by_what_they_say(tmp_path):
    assert report_gather.box(tmp_path).model == report_gather.box(tmp_path).serial == ""
    tree, etc = tmp_path / "proc" / "device-tree", tmp_path / "etc"
    for folder in (tree, etc):
        folder.mkdir(parents=True)
    (tree / "model").write_text("Raspberry Pi 4 Model B Rev 1.5\0")
    (tree / "serial-number").write_text("10000000a1b2c3d4\0")
    (etc / "os-release").write_text('# one\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    found = report_gather.box(tmp_path)
    assert (found.model, found.serial) == ("Raspberry Pi 4 Model B Rev 1.5", "10000000a1b2c3d4")
    assert found.system == "Debian GNU/Linux 12 (bookworm)"
    usb = tmp_path / "sys" / "devices" / "usb1" / "1-1"
    (usb / "1-1:1.0").mkdir(parents=True)
    (usb / "serial").write_text("7F2A9C10\n")
    (tmp_path / "sys" / "class" / "video4linux" / "video0").mkdir(parents=True)
    (tmp_path / "sys" / "class" / "video4linux" / "video0" / "device").symlink_to(usb / "1-1:1.0")
    (tmp_path / "video0").write_text("")
    (tmp_path / "usb-046d_C270-video-index0").symlink_to("video0")
    assert report_gather.serial_of(str(tmp_path / "usb-046d_C270-video-index0"), tmp_path / "sys") == "7F2A9C10"
    assert report_gather.serial_of("rtsp://192.168.1.20/stream", tmp_path / "sys") == ""


def test_the_verb_and_its_verification(tmp_path):
    (tmp_path / "city").mkdir()
    city = Signing(tmp_path / "city")
    claimed(tmp_path, city.gateway("GW-1"))
    with ModbusSlave({1: level(1420)}, tcp=True) as slave:
        config = config_of(tmp_path, gauge(slave))
        common = ("report", "--config", config, "--site", "Miyagawa", "--installer", "K. Sato", "--json")
        done = edgeagent(*common, "--staff", "miyagawa=1.42")
        told = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == 0 and told["signed"] and told["compared"] == {"miyagawa": True}
    good = edgeagent("report", "verify", told["html"], "--ca", city.ca)
    assert good.returncode == 0 and "GW-1" in good.stdout and "unchanged" in good.stdout
    ja = edgeagent("report", "verify", told["json"], "--lang", "ja")
    assert ja.returncode == 6 and "改変なし" in ja.stdout and "発行者は未確認" in ja.stdout
    file = Path(told["html"])
    file.write_bytes(file.read_bytes().replace(b"Miyagawa</h1>", b"Miyakawa</h1>"))
    bad = edgeagent("report", "verify", file, "--ca", city.ca, "--json")
    assert bad.returncode == 5 and "was changed" in bad.stderr
    assert json.loads(bad.stdout.splitlines()[-1])["code"] == "report.changed"


@pytest.mark.slow
def test_the_hydrograph_is_what_the_running_agent_remembers(tmp_path):
    alarm = "alarm = { levels_m = { caution = 1.5, danger = 2.6 } }\n"
    with ModbusSlave({1: level(1420)}, tcp=True) as slave:
        config = config_of(tmp_path, gauge(slave).replace("every_s = 600", "every_s = 1") + alarm)
        daemon = Daemon(config)
        try:
            daemon.status(lambda told: told["sources"][0]["readings"] >= 2)
            common = ("--site", "Miyagawa", "--installer", "K. Sato", "--staff", "miyagawa=1.42")
            done = edgeagent("report", "--config", config, *common, "--json", "--lang", "ja")
        finally:
            daemon.stop()
    made = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 6 and made["signed"] is False and made["compared"] == {"miyagawa": True}
    told = json.loads(Path(made["json"]).read_bytes())["report"]
    (curve,) = told["hydrographs"]
    assert curve["points"] >= 1 and curve["low_m"] == curve["high_m"] == 1.42 and curve["why"] is None
    page = Path(made["html"]).read_text()
    assert 'class="hydrograph"' in page and "氾濫危険 2.60 m" in page
    assert told["devices"][0]["level_m"] == 1.42 and told["devices"][0]["reads"] >= 1


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (("--site", " "), "--site"),
        (("--installer", ""), "--installer"),
        (("--staff", "miyagawa"), "--staff"),
        (("--staff", "miyagawa=high"), "--staff"),
        (("--staff", "miyagawa=nan"), "--staff"),
        (("--serial", "=12"), "--serial"),
    ],
)
def test_what_was_mistyped_is_named(tmp_path, more, path):
    given = {"--site": "a", "--installer": "b", "--config": str(tmp_path / "none.toml"), more[0]: more[1]}
    done = CliRunner().invoke(app, ["report", *(word for pair in given.items() for word in pair)])
    assert isinstance(done.exception, ConfigError) and done.exception.facts["path"] == path


async def test_what_root_makes_belongs_to_the_owner_of_the_state_directory():
    with tempfile.TemporaryDirectory() as name:
        folder, owner = Path(name), 1234 if os.geteuid() == 0 else os.geteuid()
        os.chown(folder, owner, -1)
        done = await made(folder, '[[sources]]\nid = "box"\ndriver = "host"\n')
        assert {one.stat().st_uid for one in (done.html, done.json, done.html.parent)} == {owner}


def test_the_qr_code_says_enough_to_compare_paper_with_a_file():
    from edgeagent.install import qr, report_page  # noqa: PLC0415

    text = report_page.qr_text("GW-0147", "ab" * 32)
    assert "GW-0147" in text and "ab" * 32 in text and qr.matrix(text)
    assert report_seal.digest({"a": 1, "b": "宮"}) == report_seal.digest({"b": "宮", "a": 1})
