"""Finding devices on a line that is really there: a pty with a slave."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from edgeagent import messages
from edgeagent.cli.scan_modbus import numbers
from edgeagent.clock import SystemClock
from edgeagent.errors import ConfigError
from edgeagent.install.modbus_scan import Found, Line, likely_units, scan
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from tests.cli.test_verbs import edgeagent

FMR20 = {5105: 0x4016, 5106: 0x147B}


async def found(slave, **more):
    out = []
    more = {"bauds": (9600,), "frames": ("8N1",), **more}
    async for one in scan(slave.path, clock=SystemClock(), progress=lambda *_: None, **more):
        out.append(one)  # noqa: PERF401
    return out


async def test_a_device_its_setting_and_what_it_may_be():
    with ModbusSlave({7: registers_from(FMR20)}) as slave:
        (device,) = await found(slave, units=(5, 7))
        assert {f for _, _, f, _, _ in slave.asked} <= {3, 4}, "read-only"
    assert (device.unit, device.baud, device.frame) == (7, 9600, "8N1")
    assert device.guesses[0].profile == "eh-fmr20-modbus"
    assert device.guesses[0].values["distance"] == pytest.approx(2.345)


async def test_a_refusal_is_an_answer():
    with ModbusSlave({3: registers_from({})}) as slave:
        assert await found(slave, units=(2, 3, 4)) == [Found(unit=3, baud=9600, frame="8N1", guesses=())]


async def test_bytes_in_a_wrong_setting_are_told():
    with ModbusSlave({7: registers_from(FMR20)}) as slave:
        slave.faults[7] = "babble"
        heard = await found(slave, units=(7,))
    assert heard and isinstance(heard[0], Line) and sum(heard[0].heard.values()) > 0


def test_the_likely_ones_first():
    assert likely_units()[:3] == [1, 2, 3] and 246 in likely_units() and 12 not in likely_units()


def test_lists_of_numbers():
    assert numbers("1-3,246", "--units", 247) == (1, 2, 3, 246) and numbers("", "--units", 247) == ()
    for wrong in ("0", "5-1", "x", "248"):
        with pytest.raises(ConfigError) as caught:
            numbers(wrong, "--units", 247)
        for lang in messages.LANGUAGES:
            assert wrong in messages.text(caught.value.code, caught.value.facts, lang).what


def test_as_a_person_and_a_script_meet_it():
    with ModbusSlave({7: registers_from(FMR20)}) as slave:
        options = ("--port", slave.path, "--units", "6,7", "--baud", "9600", "--frame", "8N1")
        done = edgeagent("scan", "modbus", *options, "--lang", "ja")
        assert done.returncode == 0 and "装置番号 7" in done.stdout and "eh-fmr20-modbus" in done.stdout
    done = edgeagent("scan", "modbus", "--port", "/dev/ttyNone")
    assert done.returncode == 3 and "/dev/ttyNone" in done.stderr


def test_ctrl_c_stops_and_keeps_what_was_found():
    with ModbusSlave({1: registers_from({}), 12: registers_from({})}) as slave:
        args = [sys.executable, "-m", "edgeagent", "scan", "modbus", "--port", slave.path, "--json"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ}) as running:
            while not any(unit == 12 for _, unit, *_ in slave.asked):  # the second sweep has begun
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=30)
    told = json.loads(out.splitlines()[-1])
    assert running.returncode == 6 and told["stopped"] and told["devices"][0]["unit"] == 1
