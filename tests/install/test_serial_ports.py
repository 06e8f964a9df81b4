"""Serial ports in a made-up /dev, /sys and /proc: udev's links, twins without numbers, who holds what."""

import json

import pytest

from edgeagent.cli import show_install
from edgeagent.clock import SystemClock
from edgeagent.install import discover
from edgeagent.install.serial_ports import Holder, ports


@pytest.fixture
def machine(tmp_path):
    """A Pi with an FTDI adapter, two CH340 that look alike, the board's port and an absent ttyS1."""
    dev, sys, proc = (tmp_path / name for name in ("dev", "sys", "proc"))
    for folder in (dev / "serial/by-id", dev / "serial/by-path", sys / "class/tty", proc):
        folder.mkdir(parents=True)

    def tty(name, usb=None, kind=None):
        (dev / name).touch()
        node = sys / "class/tty" / name
        node.mkdir()
        at = sys / "devices" / (f"usb/{name}-dev/{name}-if/{name}" if usb else f"platform/{name}")
        at.mkdir(parents=True)
        if usb:
            for key, value in usb.items():
                (sys / f"devices/usb/{name}-dev" / key).write_text(value + "\n")
        (node / "device").symlink_to(at)
        if kind:
            (node / "type").write_text(kind + "\n")

    tty("ttyUSB0", {"idVendor": "1a86", "idProduct": "7523", "product": "USB Serial"})
    tty("ttyUSB1", {"idVendor": "1a86", "idProduct": "7523", "product": "USB Serial"})
    tty(
        "ttyUSB2",
        {"idVendor": "0403", "idProduct": "6001", "manufacturer": "FTDI", "product": "FT232R", "serial": "A50285BI"},
    )
    tty("ttyAMA0", kind="32")
    tty("ttyS1", kind="0")
    (sys / "class/tty/tty1").mkdir()
    (sys / "class/tty/console").mkdir()
    (sys / "class/tty/console/active").write_text("ttyAMA0 tty1\n")
    # udev has one by-id link for both twins: the last one plugged in wins
    (dev / "serial/by-id/usb-1a86_USB_Serial-if00-port0").symlink_to("../../ttyUSB1")
    (dev / "serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0").symlink_to("../../ttyUSB2")
    for number, socket in enumerate(("1.1", "1.2", "1.4")):
        (dev / f"serial/by-path/pci-usb-0:{socket}:1.0-port0").symlink_to(f"../../ttyUSB{number}")
    return dev, sys, proc


def hold(proc, dev, pid, program, name):
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(program + "\n")
    (proc / str(pid) / "fd/3").symlink_to(dev / name)
    (proc / str(pid) / "fd/4").symlink_to("/dev/null")


def found(machine):
    dev, sys, proc = machine
    return {p.device.rpartition("/")[2]: p for p in ports(dev=dev, sys=sys, proc=proc)}


def test_every_port_by_its_lasting_name(machine):
    seen = found(machine)
    assert set(seen) == {"ttyUSB0", "ttyUSB1", "ttyUSB2", "ttyAMA0"}, "no reserved numbers, no terminals"
    assert seen["ttyUSB2"].name.endswith("by-id/usb-FTDI_FT232R_A50285BI-if00-port0")
    assert (seen["ttyUSB2"].product, seen["ttyUSB2"].usb) == ("FTDI FT232R", "0403:6001")
    assert seen["ttyUSB2"].notes == ()


def test_twins_without_a_number_are_told_by_their_socket(machine):
    seen = found(machine)
    for name, socket in (("ttyUSB0", "1.1"), ("ttyUSB1", "1.2")):
        assert seen[name].name.endswith(f"by-path/pci-usb-0:{socket}:1.0-port0")
        assert seen[name].notes == ("install.no-serial-number",)


def test_the_console_is_named(machine):
    board = found(machine)["ttyAMA0"]
    assert board.notes == ("install.console-on-port",) and board.usb == ""
    assert board.name == board.device


async def test_a_modem_is_left_alone(machine):
    _, sys, _ = machine
    drivers = sys / "bus/usb-serial/drivers/option1"
    drivers.mkdir(parents=True)
    (sys / "devices/usb/ttyUSB0-dev/ttyUSB0-if/ttyUSB0/driver").symlink_to(drivers)
    modem = found(machine)["ttyUSB0"]
    assert "scan.modem-port" in modem.notes and "scan.modem-port" not in found(machine)["ttyUSB1"].notes
    (blank,) = await discover._port(modem, discover.Discover(), SystemClock(), lambda *_: None)
    assert blank.code == "scan.modem-port", "nothing was sent: the port is not even there"


def test_who_holds_a_port(machine):
    dev, _, proc = machine
    hold(proc, dev, 812, "edgeagent", "ttyUSB2")
    hold(proc, dev, 77, "ModemManager", "ttyUSB2")
    seen = found(machine)
    assert seen["ttyUSB2"].holders == (Holder(77, "ModemManager"), Holder(812, "edgeagent"))
    assert seen["ttyUSB0"].holders == ()


def test_what_cannot_be_seen_is_said(machine, monkeypatch):
    dev, sys, proc = machine
    hold(proc, dev, 5, "getty", "ttyUSB2")
    iterdir = type(proc).iterdir

    def denied(self):
        if self.name == "fd":
            raise PermissionError
        return iterdir(self)

    monkeypatch.setattr(type(proc), "iterdir", denied)
    assert "install.holders-hidden" in found((dev, sys, proc))["ttyUSB2"].notes


def test_nothing_is_plugged_in(tmp_path):
    assert ports(dev=tmp_path, sys=tmp_path, proc=tmp_path) == []


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_as_text_and_json(machine, monkeypatch, lang):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    dev, _, proc = machine
    hold(proc, dev, 812, "edgeagent", "ttyUSB2")
    seen = list(found(machine).values())
    text = show_install.ports(seen)
    assert "edgeagent (pid 812)" in text and "by-path" in text and "FTDI FT232R" in text
    assert ("使用中" in text) == (lang == "ja")
    assert ("シリアルポートがありません" if lang == "ja" else "There is no serial port") in show_install.ports([])
    told = json.loads(show_install.ports_json(seen))["ports"]
    assert "A50285BI" in {p["serial_number"] for p in told}
