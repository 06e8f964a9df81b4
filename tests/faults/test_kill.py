"""kill -9 on the whole daemon, again and again, under load, with the city there or not.

Gauges on Modbus TCP never show the same value twice and remember when they showed it, so it can be
said what must be at the city: everything that was measured longer than the loss bound before a kill.
"""

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec
import pytest

from edgeagent.clock import SystemClock
from edgeagent.daemon import control
from edgeagent.errors import EdgeAgentError
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.simulate.city import City
from edgeagent.simulate.modbus_slave import ModbusSlave
from tests.faults.pipe import Order, Said, give, started
from tests.faults.verdict import compare, of_city, rounds

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
KILLS = rounds(4, 30)  # of the whole daemon
PIPE_KILLS = rounds(166, 970)  # of what keeps the promises; `tests/outbox` kills the store alone
STRIDE = 100_000  # numbers of one life
GAUGES = {"miyagawa": 1, "chikuma": 2, "sai": 3}
LOSS_BOUND_S = 2.0 + 1.0  # a group commit waits 2 s for company; and what a busy machine adds

PROFILE = """
[profile]
id = "counter"
kind = "level"
rung = "bench"
source = "a test"
[link]
transport = "modbus"
timeout_s = 5.0
[[read]]
name = "level"
address = 0
type = "u32"
unit = "mm"
"""

CONFIG = """
[gateway]
id = "GW-1"
state_dir = "{state}"
{sources}
[[sources]]
id = "box"
driver = "host"
every_s = 1
[[uplinks]]
id = "city"
driver = "ngsi-ld"
url = "{city}"
history = "temporal"
timeout_s = 2
backfill_bytes_per_s = 0
"""

GAUGE = """
[[sources]]
id = "{name}"
driver = "modbus-gauge"
profile = "{profile}"
host = "127.0.0.1"
tcp_port = {port}
unit = {unit}
every_s = 0.04
"""


class Daemon:
    """`edgeagent run`, from start to kill."""

    def __init__(self, config, log):
        command = [sys.executable, "-m", "edgeagent", "run", "--config", str(config)]
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)

    def kill(self):
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait(10)

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(20) == 0


def counter():
    """Registers that hold a number never shown before."""
    numbers = itertools.count(1)

    def read(_address, count):
        number = next(numbers)
        return [number >> 16, number & 0xFFFF][:count]

    return read


def asked(state):
    """The daemon's own counts; None while it does not answer."""
    try:
        return msgspec.json.decode(control.ask(control.socket_path(state), "status"))["outbox"]
    except (EdgeAgentError, OSError, msgspec.DecodeError, KeyError):
        return None


def wait_for(true, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "never so"
        time.sleep(0.01)
    return found


async def left(state):
    """The counts of the outbox when no daemon runs."""
    outbox = SqliteOutbox(state / "outbox.db", SystemClock(), OutboxConfig(), ["city"])
    try:
        assert outbox.notices == []
        return await outbox.stats()
    finally:
        await outbox.close()


async def test_kill_9_under_load(tmp_path):
    luck = Random(KILLS)
    state = tmp_path / "state"
    profile = tmp_path / "counter.toml"
    profile.write_text(PROFILE)
    city = City(remember=2_000_000)
    city.start()
    killed, highest = [], 0
    with ModbusSlave({unit: counter() for unit in GAUGES.values()}, tcp=True) as slave:
        held = Held(slave)
        config = tmp_path / "config.toml"
        sources = "".join(
            GAUGE.format(name=name, profile=profile, port=slave.port, unit=unit) for name, unit in GAUGES.items()
        )
        config.write_text(CONFIG.format(state=state, sources=sources, city=city.url))
        with (tmp_path / "log").open("wb") as log:
            for round_ in range(KILLS):
                luck.choice((city.cut, city.mend, city.mend))()
                began = time.monotonic()
                daemon = Daemon(config, log)
                long = round_ % 4 == 3  # enough for a measurement to be owed
                if long or luck.random() < 0.75:  # else it may be killed while it starts
                    wait_for(lambda t=began: slave.asked and slave.asked[-1][0] > t)
                    counts = wait_for(lambda: asked(state))
                    assert counts["accepted"] >= highest and counts["lost"] == 0
                    time.sleep(LOSS_BOUND_S + 0.5 if long else luck.uniform(0.0, 1.0))
                    counts = asked(state) or counts
                    highest = counts["accepted"]
                else:
                    time.sleep(luck.uniform(0.1, 1.0))
                daemon.kill()
                killed.append(time.monotonic())
                held.note()
            city.mend()
            daemon = Daemon(config, log)
            wait_for(lambda: (asked(state) or {"accepted": 0})["accepted"] > highest + 50, 40)
            wait_for(lambda: asked(state)["waiting"] < 60, 60)
            stopped = time.monotonic()
            daemon.stop()
            held.note()
    stats = await left(state)
    city.stop()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert stats.lost == 0 and stats.waiting == 0 and stats.accepted > highest
    check(city, stats.accepted, held, killed, stopped)


class Held:
    """What every gauge showed, and when; the slave forgets after a while."""

    def __init__(self, slave):
        self._slave = slave
        self._until = 0.0
        self.shown = {unit: {} for unit in GAUGES.values()}

    def note(self):
        known, self._until = self._until, time.monotonic()
        for one in itertools.takewhile(lambda held: held.at > known - 1.0, list(self._slave.held)[::-1]):
            self.shown[one.unit][(one.values[0] << 16) + one.values[1]] = one.at


def check(city, accepted, held, killed, stopped):
    """Accepted against received, and measured against received."""
    arrived, current = of_city(city)
    seen = {}
    for one in arrived:
        known = seen.setdefault(one.thing, {}).setdefault(one.sequence, one.level)
        assert known == one.level, f"{one} was {known} before"
    assert sum(map(len, seen.values())) == accepted
    for thing, levels in seen.items():
        assert sorted(levels) == list(range(1, len(levels) + 1)), f"{thing}: numbers are missing"
        assert current[thing] == len(levels), f"{thing}: the newest is not the current state"
    snapshot = city.snapshot()
    assert snapshot.regressions == 0
    missing = []
    for name, unit in GAUGES.items():
        levels = [level for _, level in sorted(seen[f"WaterObserved:{name}"].items()) if level is not None]
        values = [round(level * 1000) for level in levels]
        assert values == sorted(set(values)), f"{name}: out of order, or one measurement under two numbers"
        wrong = set(values) - held.shown[unit].keys()
        assert not wrong, f"{name}: never measured: {sorted(wrong)[:5]}"
        for value in held.shown[unit].keys() - set(values):
            at = held.shown[unit][value]
            next_end = min(end for end in (*killed, stopped) if end >= at - 0.1)
            if next_end - at > LOSS_BOUND_S:
                missing.append((name, value, round(next_end - at, 2)))
    print(f"{accepted} accepted, {len(killed)} kills, {snapshot.duplicates} repeated")
    assert not missing, f"measured, and gone longer than the loss bound before a kill: {missing[:5]}, {len(missing)}"


async def test_kill_9_of_the_pipe_alone_many_times(tmp_path):
    """The same without the daemon around it, which takes most of the time: outbox, courier, uplink, marks."""
    luck = Random(f"pipe {PIPE_KILLS}")
    state = tmp_path / "state"
    state.mkdir()
    said = Said(tmp_path / "said")
    city = City(remember=2_000_000)
    city.start()
    uplink = {
        "id": "city",
        "driver": "ngsi-ld",
        "url": city.url,
        "history": "temporal",
        "timeout_s": 2.0,
        "backfill_bytes_per_s": 0,
    }
    order = Order(str(state), str(said.path), uplink, pause_s=(0.0, 0.01))
    try:
        with started() as process:
            for kill in range(PIPE_KILLS):
                if kill % 8 == 0:
                    luck.choice((city.cut, city.mend, city.mend))()
                when = {
                    "first": kill * STRIDE,
                    "kill_after_said": luck.choice((0, 0, 1, 4_000, 20_000)),  # 0: while it starts
                    "kill_after_s": luck.uniform(0.0, 0.1),
                }
                give(process, msgspec.structs.replace(order, **when))
                assert int(process.stdout.readline()) == -signal.SIGKILL
                said.listen(ended=True)
                wait_for(lambda: heard_out(city))
        city.mend()
        with started() as process:
            give(process, msgspec.structs.replace(order, rivers=()))
            wait_for(lambda: said.listen() or said.waiting == 0, 120)
    finally:
        city.stop()
    stats = await left(state)
    arrived, current = of_city(city)
    verdict = compare(said.accepted, arrived, current, said.perhaps)
    print(f"{verdict.accepted} accepted, {PIPE_KILLS} kills, {len(said.perhaps)} cut off, {verdict.repeats} repeated")
    assert verdict.good, verdict
    assert stats.lost == stats.thinned == stats.waiting == 0
    assert stats.accepted == len({(one.thing, one.sequence) for one in arrived})
    assert verdict.accepted > 3 * PIPE_KILLS and said.perhaps, "too quick to be caught at anything"
    # what was still on its way to the city when its sender was killed may be written after the next life's first
    assert city.snapshot().regressions <= PIPE_KILLS // 50


def heard_out(city):
    """Whether nobody is connected to the city."""
    return city._server is None or not city._server._open
