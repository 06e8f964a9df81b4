"""A receiver in a process of its own, so that it can live behind a network that is not there.

Usage: far_end http|mqtt HOST FOLDER: says its port on stdout; a line on stdin asks for what has arrived,
which is told in FOLDER/arrived and then said on stdout.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec

from edgeagent.simulate.city import City
from tests.faults.proxy import Proxy
from tests.faults.verdict import Arrived, of_city
from tests.uplinks.mosquitto import Agent, Mosquitto


class Told(msgspec.Struct):
    """Everything that arrived, the number of the current state by thing, and how often it became an older one."""

    arrived: list[Arrived]
    current: dict[str, int]
    regressions: int = 0


@contextlib.contextmanager
def http(_folder):
    city = City()
    city.start()
    try:
        yield int(city.url.rpartition(":")[2]), lambda: Told(*of_city(city), city.snapshot().regressions)
    finally:
        city.stop()


@contextlib.contextmanager
def mqtt(folder):
    with contextlib.closing(Mosquitto(folder)) as broker:
        broker.start()
        with contextlib.closing(Agent(broker.port)) as agent:
            yield broker.port, lambda: measures(agent)


def measures(agent: Agent) -> Told:
    """What an IoT Agent heard; devices are `Type:entity`."""
    arrived = [
        Arrived(device.split(":", 1)[1], m["sequenceNumber"], m.get("waterLevel")) for device, m in list(agent.measures)
    ]
    return Told(arrived, {one.thing: one.sequence for one in arrived})


async def main(kind: str, host: str, folder: Path) -> None:
    with {"http": http, "mqtt": mqtt}[kind](folder) as (port, told):
        async with Proxy(port, host) as door:
            print(door.port, flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                (folder / "arrived").write_bytes(msgspec.json.encode(told()))
                print("told", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
