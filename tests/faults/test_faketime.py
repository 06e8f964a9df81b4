"""The real daemon on a box whose wall clock is wrong until somebody sets it (libfaketime under it).

Only one thing is not real: whether the kernel calls the clock synchronised, which libfaketime cannot
fake, comes from a file.  The receiver appears when the clock is right, so everything measured before
is still unsent then and must arrive with the true time, in order.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeagent.simulate.modbus_slave import ModbusSlave

CHILD = """
import os, sys
from pathlib import Path
from edgeagent import clock
from edgeagent.reading import TimeTrust
clock._TRUST_FOR_MS = 100
clock.SystemClock._ask_kernel = lambda self: (
    TimeTrust.SYNCED if os.path.exists(sys.argv[2]) else TimeTrust.UNSYNCED)
from edgeagent.daemon.build import read_config
from edgeagent.daemon.run import run
run(read_config(Path(sys.argv[1]))[0])
"""
LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
YEAR_S = 365 * 86_400
SCENARIOS = {
    "boot in 1970": ("@1970-01-01 00:10:00", 4),
    "an hour back": ("-3600", 4),
    "2.8 years ahead": (f"+{int(2.8 * YEAR_S)}", 4),
    "three months old, and set late": (f"-{90 * 86_400}", 16),
}


@pytest.mark.slow
@pytest.mark.tool("faketime")
def test_what_was_measured_before_the_clock_was_set_arrives_with_the_true_time(tmp_path):
    """All at once, for they mostly wait."""
    folders = [tmp_path / str(n) for n in range(len(SCENARIOS))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        for name, came in zip(SCENARIOS, pool.map(play, folders, SCENARIOS.values()), strict=True):
            assert came, name


def play(tmp_path, scenario):
    wrong, before = scenario
    clock_file, trusted, out = tmp_path / "clock", tmp_path / "trusted", tmp_path / "later/out.jsonl"
    clock_file.write_text(wrong)
    count = iter(range(1, 30_000))
    with ModbusSlave({1: lambda _, n: [next(count)] * n}) as slave:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "g"\ndriver = "modbus-gauge"\n'
            f'port = "{slave.path}"\nprofile = "geolux-lx80-modbus"\nevery_s = 0.2\ntimeout_s = 5\n'
            f'[[uplinks]]\nid = "f"\ndriver = "jsonl"\npath = "{out}"\n'
        )
        env = {
            **os.environ,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock_file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        began = time.time()
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, config, trusted], env=env, stderr=subprocess.PIPE, text=True
        ) as agent:
            try:
                wait(lambda: len(slave.asked) >= before, agent)
                clock_file.write_text("+0")  # NTP has answered
                trusted.touch()
                asked = len(slave.asked)
                wait(lambda: len(slave.asked) >= asked + 3, agent)
                out.parent.mkdir()
                wait(lambda: out.exists() and len(out.read_text().splitlines()) >= before + 4, agent)
            finally:
                agent.send_signal(signal.SIGTERM)
                said = agent.communicate(timeout=30)[1]
        ended = time.time()
    assert "Traceback" not in said, said
    told = [json.loads(line) for line in out.read_text().splitlines()]
    waters = sorted((r for r in told if r["kind"] == "water"), key=lambda r: r["sequence"])
    values = [r["quantities"]["level"]["value"] for r in waters]
    assert values == sorted(values) and len(values) >= before, "in the order of measuring"
    times = [r["at"]["wall_ms"] / 1000 for r in waters]
    assert times == sorted(times)
    assert began - 1 <= times[0] and times[-1] <= ended + 1, "the true time, learnt afterwards"
    assert {r["at"]["trust"] for r in waters} == {"synced"}
    return len(waters)


def wait(condition, agent, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert agent.poll() is None, "it ended"
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
