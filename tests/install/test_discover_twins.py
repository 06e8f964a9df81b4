"""Two adapters that look alike: the one that is unplugged tells its name."""

import functools
import json

import pytest

from edgeagent import messages
from edgeagent.cli import scan_identify
from edgeagent.errors import SourceUnavailable
from edgeagent.install import discover_twins
from edgeagent.install.discover_twins import identify
from edgeagent.install.serial_ports import Port, twins

USB = {"usb": "1a86:7523", "product": "USB Serial"}


class Sockets:
    """A /dev with adapters in sockets; each pause is a moment in which a hand does the next thing."""

    def __init__(self, folder, *sockets):
        self.dev, self.links = folder, folder / "serial/by-path"
        self.links.mkdir(parents=True)
        self.said, self.hand, self.pauses = [], [], 0
        for number, socket in enumerate(sockets):
            self.plug(socket, f"ttyUSB{number}")

    def name(self, socket):
        return str(self.links / f"pci-usb-0:{socket}:1.0-port0")

    def plug(self, socket, tty):
        (self.dev / tty).touch()
        (self.links / f"pci-usb-0:{socket}:1.0-port0").symlink_to(f"../../{tty}")

    def unplug(self, socket):
        (self.links / f"pci-usb-0:{socket}:1.0-port0").unlink()

    def pause(self, seconds):
        self.pauses += 1
        if self.hand and self.pauses % 2 == 0:
            action, *words = self.hand.pop(0)
            getattr(self, action)(*words)

    async def identify(self, candidates=(), timeout_s=4.0):
        tell = lambda code, facts: self.said.append((code, facts))  # noqa: E731
        return await identify(candidates, tell, timeout_s=timeout_s, dev=self.dev, pause=self.pause)

    def port(self, socket, tty, **more):
        return Port(name=self.name(socket), device=f"/dev/{tty}", **{**USB, **more})


@pytest.fixture
def sockets(tmp_path):
    return Sockets(tmp_path, "1.1", "1.2", "1.4")


def test_twins_are_alike_and_nameless(sockets):
    two = [sockets.port("1.1", "ttyUSB0"), sockets.port("1.2", "ttyUSB1")]
    named = sockets.port("1.4", "ttyUSB2", serial_number="A5", usb="0403:6001")
    other = sockets.port("1.3", "ttyUSB3", usb="10c4:ea60")
    board = Port(name="/dev/ttyAMA0", device="/dev/ttyAMA0")
    assert twins([*two, named, other, board]) == [tuple(two)]
    assert twins([two[0], named, other]) == []


async def test_the_one_that_was_unplugged(sockets):
    sockets.hand = [("unplug", "1.2"), ("plug", "1.2", "ttyUSB7")]
    one = await sockets.identify()
    assert one.name == one.was == sockets.name("1.2") and one.device.endswith("/ttyUSB7")
    assert [code for code, _ in sockets.said] == ["scan.unplug", "scan.plug-in"]


async def test_it_came_back_elsewhere(sockets):
    sockets.hand = [("unplug", "1.1"), ("plug", "1.3", "ttyUSB0")]
    one = await sockets.identify()
    assert (one.was, one.name) == (sockets.name("1.1"), sockets.name("1.3"))


async def test_another_adapter_is_none_of_our_business(sockets):
    """Only candidates count: the modem was pulled by mistake, then the right one."""
    sockets.hand = [("unplug", "1.4"), ("unplug", "1.1"), ("plug", "1.4", "ttyUSB2"), ("plug", "1.1", "ttyUSB0")]
    two = [sockets.port("1.1", "ttyUSB0"), sockets.port("1.2", "ttyUSB1")]
    assert (await sockets.identify(two)).name == sockets.name("1.1")


@pytest.mark.parametrize(
    ("hand", "code"),
    [
        ([], "scan.none-unplugged"),
        ([("unplug", "1.1")], "scan.not-plugged-in"),
        ([("hub",)], "scan.several-unplugged"),
    ],
)
async def test_what_can_go_wrong(sockets, hand, code):
    sockets.hub = lambda: (sockets.unplug("1.1"), sockets.unplug("1.2"))
    sockets.hand = hand
    with pytest.raises(SourceUnavailable) as caught:
        await sockets.identify(timeout_s=3)
    assert caught.value.code == code
    for lang in messages.LANGUAGES:
        said = messages.text(caught.value.code, caught.value.facts, lang)
        assert "?" not in said.what and said.remedy


def test_the_verb(sockets, monkeypatch, capsys):
    two = [sockets.port("1.1", "ttyUSB0"), sockets.port("1.2", "ttyUSB1")]
    monkeypatch.setattr(scan_identify.serial_ports, "ports", lambda: [*two, sockets.port("1.4", "x", usb="0403:6001")])
    watched = functools.partial(discover_twins.identify, dev=sockets.dev, pause=sockets.pause)
    monkeypatch.setattr(scan_identify.discover_twins, "identify", watched)
    monkeypatch.setenv("EDGEAGENT_LANG", "ja")
    sockets.hand = [("unplug", "1.2"), ("plug", "1.2", "ttyUSB1")]
    assert scan_identify.run(4, as_json=False) == 0
    told = capsys.readouterr()
    assert told.out.startswith(sockets.name("1.2") + "\n  ✓ この名前は") and "候補 2 本" in told.err
    sockets.hand = [("unplug", "1.1"), ("plug", "1.1", "ttyUSB5")]
    assert scan_identify.run(4, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["name"] == sockets.name("1.1")

    async def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scan_identify.discover_twins, "identify", interrupted)
    assert scan_identify.run(4, as_json=True) == 6
