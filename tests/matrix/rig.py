"""What the rows of the matrix share: a scripted device in memory, a site in warped time, and a whole gauge."""

import asyncio
import contextlib

import msgspec

from edgeagent import profiles, rules
from edgeagent.ports import Site, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, TimeTrust, Unit
from edgeagent.rules.alarm import Levels
from edgeagent.rules.chain import Chain
from edgeagent.sources.modbus_bus import RtuBus, SerialLine, TcpBus
from edgeagent.sources.modbus_gauge import ModbusGaugeConfig, ModbusGauges
from edgeagent.sources.modbus_poll import GaugePoll
from tests.fakes import Collector, FakeClock
from tests.matrix import warp
from tests.matrix.virtual_bus import RTU_FAULTS, TCP_FAULTS, RtuDevice, TcpDevice, plug

LEVEL = """
[profile]
id = "row"
kind = "level"
rung = "bench"
source = "a virtual device"
[link]
transport = "modbus"
timeout_s = 0.3
late_s = {late_s}
[[read]]
name = "level"
address = 32
type = "u16"
unit = "1"
"""


class Seen:
    """What became of a row.

    Attributes:
        readings, problems: what the source said.
        device: what it was asked and held.
    """

    def __init__(self, collector, device, bus):
        self.readings, self.problems, self.device, self.bus = collector.readings, collector.problems, device, bus

    def values(self, source="g1", name="level"):
        return [r.quantities[name].value for r in self.readings if r.source == source]

    def codes(self, source="g1"):
        """What was complained of, besides that a bus on which nothing is believed is opened again."""
        return {e.code for s, e in self.problems if s == source} - {"gauges.bus-silent"}

    def times(self, source="g1"):
        return [r.at.mono_ms / 1000 for r in self.readings if r.source == source]

    @property
    def wrong(self):
        """Published values that the device did not hold within the second before."""
        found = []
        for reading in self.readings:
            value = reading.quantities["level"].value
            if value is None:
                continue
            held = self.device.held[int(reading.source[1:]), 32]
            if not any(words[0] == value and 0 <= reading.at.mono_ms / 1000 - at < 1.5 for at, words in held):
                found.append(reading)
        return found


def play(tmp_path, script, *, seconds=30.0, tcp=False, units=1, every_s=1.0, profile=LEVEL, late_s=1.0, act=None):
    """Poll a scripted device in warped time.

    Args:
        script: unit -> fault, or a list of faults used up one per answer; absent units are sound.
        act: `await act(device, bus, task)` runs beside the polling.
    """
    file = tmp_path / "row.toml"
    file.write_text(profile.replace("{late_s}", str(late_s)), encoding="utf-8")
    found, problems = profiles.load(str(file))
    assert not problems, problems
    faults = TCP_FAULTS if tcp else RTU_FAULTS

    async def run(clock):
        device = (TcpDevice if tcp else RtuDevice)(asyncio.get_running_loop(), 7, kinds=faults, late_s=late_s)
        device.keep_all()
        device.script = {unit: [*f] if isinstance(f, list | tuple) else f for unit, f in script.items()}
        bus = TcpBus("virtual", 502) if tcp else RtuBus(SerialLine("virtual", 9600, "8N1"), late_s=late_s, clock=clock)
        plug(bus, device)
        where = {"host": "virtual"} if tcp else {"port": "virtual"}
        configs = [
            ModbusGaugeConfig(id=f"g{n}", driver="modbus-gauge", profile=str(file), unit=n, every_s=every_s, **where)
            for n in range(1, units + 1)
        ]
        collector = Collector()
        around = Surroundings(clock, Site("GW-T"), tmp_path)
        gauges = ModbusGauges([GaugePoll(c, found) for c in configs], bus, around)
        task = asyncio.create_task(gauges.run(collector))
        if act is not None:
            await act(device, bus, task)
        await asyncio.sleep(seconds)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return Seen(collector, device, bus)

    return warp.run(run)


LEVELS = Levels(standby=1.0, caution=1.5, evacuate=2.1, danger=2.6)


class Gauge:
    """A gauge with its whole chain of rules, measured at the pace its rules wish; in time of its own."""

    def __init__(self, every_s=10.0, *, trust=TimeTrust.SYNCED, levels=LEVELS, **configs):
        sections = {"plausible": {}, "alarm": {"levels_m": dict(levels.given)}, **configs}
        made = []
        for name in rules.names():
            if name in sections:
                kind = rules.rule(name)
                made.append(kind(msgspec.convert(sections[name], kind.Config), "g"))
        self.chain, self.clock, self.every_s = Chain(made), FakeClock(trust=trust), every_s
        self.out: list[Reading] = []

    def measures(self, *levels):
        """Feed these levels (None: missing), each after the wait that the rules wish for."""
        for level in levels:
            quantity = Quantity.missing(Unit.METRE) if level is None else Quantity(level, Unit.METRE)
            at = self.clock.now()
            self.out += self.chain.feed(
                Reading(source="g", kind=Kind.WATER, entity="g", at=at, quantities={"level": quantity})
            )
            pace = self.chain.pace
            wait_s = min(max(self.every_s, pace.every_s or 0), pace.again_s or float("inf"))
            self.waits(wait_s)
        return self

    def waits(self, seconds):
        for _ in range(max(int(seconds // 10), 1)):
            self.clock.advance(seconds / max(int(seconds // 10), 1))
            self.out += self.chain.tick(self.clock.now())
        return self

    def alerts(self, kind="floodLevel"):
        """(active, level name, monotonic seconds) of every change."""
        seen = [
            (a.quantities["active"].value, a.quantities["level_name"].value, a.at.mono_ms / 1000)
            for a in self.out
            if a.kind is Kind.ALERT and a.quantities["sub_category"].value == kind
        ]
        return [one for i, one in enumerate(seen) if i == 0 or one[:2] != seen[i - 1][:2]]

    @property
    def waters(self):
        return [r for r in self.out if r.kind is Kind.WATER]
