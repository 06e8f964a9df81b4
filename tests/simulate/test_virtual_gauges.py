"""The virtual devices themselves: what they say, what they remember, and that they end."""

import os
import threading
import time
from pathlib import Path

import pytest

from edgeagent.simulate.ascii_gauge import AsciiGauge
from edgeagent.simulate.modbus_slave import FAULTS, ModbusSlave, registers_from
from edgeagent.wire.rtu import Answer, Request, encode, find

ASK = Request(1, 3, 0x20, 2)


def asked(slave, request=ASK, seconds=1.0):
    """Ask over the pty with plain reads and writes."""
    handle = os.open(slave.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(handle, encode(request))
        heard, end = b"", time.monotonic() + seconds
        while time.monotonic() < end and find(request, heard)[0] is None:
            try:
                heard += os.read(handle, 1024)
            except BlockingIOError:
                time.sleep(0.005)
        return heard
    finally:
        os.close(handle)


def test_it_remembers_what_it_held():
    words = {0x20: 1234, 0x21: 7}
    with ModbusSlave({1: registers_from(words)}) as slave:
        asked(slave)
        words[0x20] = 1300
        asked(slave)
    assert [(h.unit, h.address, h.values) for h in slave.held] == [(1, 0x20, (1234, 7)), (1, 0x20, (1300, 7))]
    assert slave.held[0].at < slave.held[1].at <= time.monotonic()


def test_an_absent_unit_is_silent():
    with ModbusSlave({1: registers_from({})}) as slave:
        assert asked(slave, Request(9, 3, 0, 1), 0.15) == b""


SOUND = {"leading-zero", "noise-before", "echo", "duplicate", "previous", "bytewise", "late"}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_faults(fault):
    with ModbusSlave({1: registers_from({0x20: 1, 0x21: 2})}, late_s=0.05) as slave:
        slave.faults[1] = [fault]
        spoilt = find(ASK, asked(slave, seconds=0.15))[0]
        assert isinstance(spoilt, Answer) == (fault in SOUND)
        time.sleep(0.05)
        if fault != "babble":
            assert find(ASK, asked(slave))[0].registers == (1, 2), "a script ends"


def test_ascii_gauge_says_what_the_river_does():
    with AsciiGauge(lambda t: 3.0 if t < 60 else None, lines_per_s=50) as gauge:
        handle = os.open(gauge.path, os.O_RDONLY | os.O_NOCTTY)
        heard = b""
        while heard.count(b"\r") < 3:
            heard += os.read(handle, 100)
        os.close(handle)
    assert b"R3000\r" in heard
    assert {mm for _, mm in gauge.said} == {3000}


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_they_end_and_leave_nothing(tmp_path):
    before = threading.active_count(), handles()
    with (
        ModbusSlave({}, path=tmp_path / "a"),
        ModbusSlave({}, tcp=True),
        AsciiGauge(lambda _: 1.0, path=tmp_path / "b"),
    ):
        assert (tmp_path / "a").is_symlink()
    assert not list(tmp_path.iterdir())
    assert (threading.active_count(), handles()) == before
