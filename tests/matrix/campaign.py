"""The random campaign: every answer may be spoilt, and no published value may be a wrong one."""

import asyncio
import random
import struct
from collections import Counter
from dataclasses import dataclass, field

from edgeagent import profiles
from edgeagent.ports import Site, Surroundings
from edgeagent.sources.modbus_bus import RtuBus, SerialLine, TcpBus
from edgeagent.sources.modbus_gauge import ModbusGaugeConfig, ModbusGauges
from edgeagent.sources.modbus_poll import GaugePoll
from tests.matrix import warp
from tests.matrix.virtual_bus import RtuDevice, TcpDevice, plug

# Two questions of one shape, so that the answer to one could pass for the answer to the other.
PROFILE = """
[profile]
id = "campaign"
kind = "level"
rung = "bench"
source = "a virtual device"
[link]
transport = "modbus"
timeout_s = 0.3
late_s = 3.0
[[read]]
name = "level"
address = 32
type = "u32"
unit = "1"
[[read]]
name = "other"
address = 100
type = "u32"
unit = "1"
"""
_PLACES = {"level": 32, "other": 100}
AT_THAT_TIME_S = 1.0  # half of the polling period: an answer from this very poll, not from the one before


@dataclass
class Outcome:
    """What came of a campaign.

    Attributes:
        values: published as good, and found to be what the device held when it was asked.
        wrong: the others.
        missing: quantities said to be missing.
    """

    values: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    drawn: Counter[str] = field(default_factory=Counter)
    functions: Counter[int] = field(default_factory=Counter)
    polls: int = 0


class _Witness:
    """An Emit that compares every value with what the device held at its last question."""

    def __init__(self, device, outcome):
        self._device, self._outcome = device, outcome

    async def __call__(self, *readings):
        for reading in readings:
            unit = int(reading.source[1:])
            for name, quantity in reading.quantities.items():
                if name not in _PLACES:
                    continue
                if quantity.value is None:
                    self._outcome.missing += 1
                    continue
                said = struct.unpack(">2H", struct.pack(">I", int(quantity.value)))
                oldest = reading.at.mono_ms / 1000 - AT_THAT_TIME_S
                held = [words for when, words in self._device.held[unit, _PLACES[name]] if when >= oldest]
                if said in held:
                    self._outcome.values += 1
                else:
                    self._outcome.wrong.append(f"{reading.at.mono_ms} unit {unit} {name}: {said}, held {held}")

    def problem(self, source, error):
        self._outcome.problems[error.code] += 1


def campaign(seed, polls, tmp_path, *, tcp=False, share=0.6, units=3, every_s=2.0, **more):
    """Let three gauges be polled until the device has heard `polls` questions."""
    file = tmp_path / "campaign.toml"
    file.write_text(PROFILE, encoding="utf-8")
    profile, problems = profiles.load(str(file))
    assert not problems, problems

    random.seed(seed)  # the jitter of reconnecting, and the first transaction id

    async def play(clock):
        loop = asyncio.get_running_loop()
        make = TcpDevice if tcp else RtuDevice
        device = make(loop, seed, share=share, **more)
        bus = TcpBus("virtual", 502) if tcp else RtuBus(SerialLine("virtual", 9600, "8N1"), late_s=3.0, clock=clock)
        plug(bus, device)
        where = {"host": "virtual"} if tcp else {"port": "virtual"}
        configs = [
            ModbusGaugeConfig(id=f"g{n}", driver="modbus-gauge", profile=str(file), unit=n, every_s=every_s, **where)
            for n in range(1, units + 1)
        ]
        outcome = Outcome()
        gauges = ModbusGauges(
            [GaugePoll(c, profile) for c in configs], bus, Surroundings(clock, Site("GW-T"), tmp_path)
        )
        running = asyncio.create_task(gauges.run(_Witness(device, outcome)))
        while device.answers < polls:
            await asyncio.sleep(60)
            assert not running.done(), running.exception()
        running.cancel()
        await asyncio.wait([running])
        outcome.drawn, outcome.functions, outcome.polls = device.drawn, device.functions, device.answers
        return outcome

    return warp.run(play)
