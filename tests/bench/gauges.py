"""The gauge path: polls beside libmodbus and plain pymodbus, a dead unit's neighbours, alarms, the campaign."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from edgeagent.clock import SystemClock
from edgeagent.daemon.health import Health, SourceHealth
from edgeagent.daemon.pump import Pump
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind, Moment, Quantity, Reading, Unit
from edgeagent.rules.alarm import Alarm, AlarmConfig, Levels
from edgeagent.rules.chain import Chain
from edgeagent.sources.modbus_bus import RtuBus, SerialLine, TcpBus
from edgeagent.wire.rtu import Request
from tests.bench.figures import say
from tests.matrix.campaign import campaign
from tests.matrix.rig import play

POLLS = 2000
RTU_POLLS = 300
SLAVE = """
import sys
from edgeagent.simulate.modbus_slave import ModbusSlave
with ModbusSlave({1: lambda a, n: range(a, a + n)}, tcp=sys.argv[1] == "tcp") as slave:
    print(slave.port or slave.path, flush=True)
    sys.stdin.read()
"""
CLIENT = """
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static double at(clockid_t c) { struct timespec t; clock_gettime(c, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int argc, char **argv) {
  int polls = atoi(argv[3]), good = 0;
  modbus_t *m = strcmp(argv[1], "tcp") ? modbus_new_rtu(argv[2], 9600, 'N', 8, 1)
                                       : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
  modbus_set_slave(m, 1);
  if (modbus_connect(m)) return 1;
  double wall = at(CLOCK_MONOTONIC), cpu = at(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < polls; i++) {
    uint16_t r[2];
    if (modbus_read_registers(m, 100, 2, r) == 2 && r[0] == 100) good++;
  }
  printf("[%d, %f, %f]", good, at(CLOCK_MONOTONIC) - wall, at(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  return good != polls;
}
"""


def gauge_polls():
    """Two registers a poll on one connection: ours (judged, RTU with its silences), pymodbus, libmodbus.

    On a line the silence of 20 ms before and behind every answer is what belief costs; at 9600 baud
    the wire alone takes 19.5 ms for such a poll.
    """
    for kind, polls in (("tcp", POLLS), ("pty", RTU_POLLS)):
        with _slave(kind) as place:
            results = {"ours": asyncio.run(_ours(kind, place, polls))}
            results["pymodbus"] = asyncio.run(_pymodbus(kind, place, polls))
            results["libmodbus"] = _libmodbus(kind, place, polls)
        for name, result in results.items():
            if result is None:
                continue
            good, wall_s, cpu_s = result
            say(f"gauge_polls_{kind}_{name}", good / wall_s, "polls/s", good)
            say(f"gauge_cpu_{kind}_{name}", cpu_s / good * 1e6, "CPU microseconds per poll", good)


def gauge_dead_unit():
    """Three units on one line, one of them dead: how much later than due the healthy ones are asked."""
    with tempfile.TemporaryDirectory() as folder:
        seen = play(Path(folder), {2: "absent"}, units=3, seconds=600)
    slips = [b - a - 1.0 for g in ("g1", "g3") for a, b in itertools.pairwise(seen.times(g))]
    say("gauge_slip_p50", statistics.median(slips) * 1000, "ms", len(slips))
    say("gauge_slip_worst", max(slips) * 1000, "ms (timeout 330)", len(slips))


def gauge_alarm():
    """From the reading that crosses a threshold to its alert in the fsynced outbox."""
    asyncio.run(_alarm())


def gauge_wrong():
    """The random campaign: values published, and how many of them were wrong."""
    with tempfile.TemporaryDirectory() as folder:
        for tcp in (False, True):
            outcome = campaign(1, 20_000, Path(folder), tcp=tcp)
            name = "tcp" if tcp else "rtu"
            say(f"gauge_wrong_{name}", len(outcome.wrong), f"wrong of {outcome.values} values", outcome.polls)


def gauge_matrix():
    """Rows of the fault matrix whose tests pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/matrix/test_rows.py", "-rA"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = {}
    for line in done.stdout.splitlines():
        verdict, _, test = line.partition(" ")
        number = test.partition("::test_")[2][:2]
        if verdict in ("PASSED", "FAILED", "ERROR") and number.isdigit():
            rows[number] = rows.get(number, True) and verdict == "PASSED"
    say("gauge_matrix", sum(rows.values()), f"of {len(rows)} rows pass", len(rows))


async def _ours(kind, place, polls):
    clock = SystemClock()
    bus = (
        TcpBus("127.0.0.1", int(place))
        if kind == "tcp"
        else RtuBus(SerialLine(place, 9600, "8N1"), late_s=3, clock=clock)
    )
    await bus.open()
    ask, good = Request(1, 3, 100, 2), 0
    await bus.ask(ask, 1.0)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(polls):
        good += (await bus.ask(ask, 1.0)).registers == (100, 101)
    result = good, time.perf_counter() - wall, time.process_time() - cpu
    bus.close()
    return result


async def _pymodbus(kind, place, polls):
    client = AsyncModbusTcpClient("127.0.0.1", port=int(place)) if kind == "tcp" else AsyncModbusSerialClient(place)
    await client.connect()
    wall, cpu, good = time.perf_counter(), time.process_time(), 0
    for _ in range(polls):
        good += (await client.read_holding_registers(100, count=2, device_id=1)).registers == [100, 101]
    result = good, time.perf_counter() - wall, time.process_time() - cpu
    client.close()
    return result


def _libmodbus(kind, place, polls):
    """None where there is no compiler or no libmodbus."""
    gcc = shutil.which("gcc")
    if gcc is None or not Path("/usr/include/modbus/modbus.h").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "c.c", Path(folder) / "c"
        source.write_text(CLIENT)
        subprocess.run([gcc, "-O2", "-o", program, source, "-lmodbus"], check=True)
        done = subprocess.run(
            [program, kind, place, str(polls)], capture_output=True, text=True, timeout=120, check=True
        )
    return json.loads(done.stdout)


async def _alarm():
    clock, took = SystemClock(), []
    with tempfile.TemporaryDirectory() as folder:
        outbox = SqliteOutbox(Path(folder) / "outbox.db", clock, OutboxConfig(), ["u"])
        rule = Alarm(AlarmConfig(levels_m=Levels(standby=1.0), clear_after_s=0, confirm=1), "g")
        health = Health(sources={"g": SourceHealth("g", "bench")}, uplinks={})
        pump = Pump(chains={"g": Chain([rule])}, outbox=outbox, health=health, clock=clock)
        running = asyncio.create_task(pump.run())
        for n in range(200):
            crossed = clock.mono()
            level = 1.5 if n % 2 else 0.5
            await pump.inlet.put(_water(level, clock.now()))
            while True:
                batch = await outbox.lease("u", 100)
                if any(row.reading.kind is Kind.ALERT for row in batch.rows):
                    took.append(clock.mono() - crossed)
                await outbox.settle(batch, _all(batch))
                if took and len(took) == n + 1:
                    break
        await pump.inlet.put(None)
        await running
        await outbox.close()
    took.sort()
    say("gauge_alarm_p50", statistics.median(took) * 1000, "ms", len(took))
    say("gauge_alarm_p99", took[int(len(took) * 0.99)] * 1000, "ms", len(took))


def _all(batch):
    return Delivery(frozenset(row.id for row in batch.rows))


def _water(level, at: Moment):
    return Reading(source="g", kind=Kind.WATER, entity="g", at=at, quantities={"level": Quantity(level, Unit.METRE)})


@contextlib.contextmanager
def _slave(kind):
    with subprocess.Popen(
        [sys.executable, "-c", SLAVE, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    ) as slave:
        yield slave.stdout.readline().strip()
        slave.stdin.close()
        slave.wait(timeout=10)
