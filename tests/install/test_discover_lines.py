"""Gauges that talk by themselves at a speed nobody knows, on a pty that minds the speed."""

import threading

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import SourceUnavailable
from edgeagent.install.discover_lines import Stranger, Talker, listen
from edgeagent.install.modbus_scan import scan
from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from edgeagent.simulate.pty_line import PtyLine, garbled


async def heard_on(path, *, bauds=(9600, 19200), **more):
    return await listen(path, clock=SystemClock(), progress=lambda *_: None, bauds=bauds, **more)


@pytest.mark.parametrize("baud", [9600, 19200])
async def test_a_gauge_is_known_by_its_words(baud):
    with AsciiGauge(lambda _: 1.234, lines_per_s=20, baud=baud) as gauge:
        talker = await heard_on(gauge.path)
    assert talker == Talker(
        baud=baud, frame="8N1", profile="maxbotix-hrxl-wr", values={"distance": 1.234}, said="R1234"
    )


async def test_no_echo_is_a_gauge_without_a_value():
    with AsciiGauge(lambda _: None, lines_per_s=20) as gauge:
        talker = await heard_on(gauge.path)
    assert (talker.profile, talker.values) == ("maxbotix-hrxl-wr", {})


async def test_a_silent_port_is_left_after_the_first_speed():
    tried = []
    with ModbusSlave({1: registers_from({})}) as slave:
        told = lambda what, *_: tried.append(what)  # noqa: E731
        assert await listen(slave.path, clock=SystemClock(), progress=told) is None
        assert not slave.asked, "nothing is sent"
    assert len(tried) == 1


async def test_a_stranger_is_told():
    line, stop = PtyLine(), threading.Event()

    def talk():
        while not stop.wait(0.05):
            line.write(b"$GPGGA,1\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        stranger = await heard_on(line.path, bauds=(9600,))
    finally:
        stop.set()
        thread.join()
        line.unplug()
    assert isinstance(stranger, Stranger) and stranger.heard and "GPGGA" in stranger.sample


async def test_no_port():
    with pytest.raises(SourceUnavailable) as caught:
        await heard_on("/dev/ttyNone")
    assert caught.value.code == "gauges.no-port"


async def test_a_slave_of_another_speed_is_found_by_scanning():
    """The pty minds the speed: a question at 9600 is noise to a slave at 19200."""
    with ModbusSlave({7: registers_from({0x20: 1420})}, baud=19200) as slave:
        more = {"clock": SystemClock(), "progress": lambda *_: None, "frames": ("8N1",), "units": (7,)}
        found = [one async for one in scan(slave.path, bauds=(9600,), **more)]
        assert found == []
        (device,) = [one async for one in scan(slave.path, bauds=(9600, 19200), **more)]
    assert (device.unit, device.baud) == (7, 19200) and device.guesses[0].profile == "geolux-lx80-modbus"


def test_noise_is_noise():
    assert len(garbled(b"R1234\r")) == 6 and not set(garbled(b"R1234\r")) & set(range(128))
