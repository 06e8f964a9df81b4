"""The pipe over a line that goes wrong in every way; the real uplinks, outbox and receivers."""

import asyncio
import contextlib
import time
from random import Random

import pytest

from edgeagent.clock import SystemClock
from edgeagent.daemon.flow import Flow, SourceGroup
from edgeagent.daemon.health import Health, SourceHealth, UplinkHealth
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Site, Surroundings
from edgeagent.simulate.city import City
from edgeagent.uplinks.iota_mqtt import IotaConfig, IotaJson
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig
from tests.faults.proxy import MODES, Proxy, weather
from tests.faults.rivers import River
from tests.faults.verdict import Arrived, compare, of_city, rounds
from tests.uplinks.mosquitto import Agent, Mosquitto

pytestmark = pytest.mark.slow
CLOCK = SystemClock()


class Witness:
    """A real outbox, and a list of what it accepted."""

    def __init__(self, outbox):
        self._outbox, self.accepted = outbox, []

    async def put(self, readings):
        stored = await self._outbox.put(readings)
        self.accepted += stored
        return stored

    def __getattr__(self, name):
        return getattr(self._outbox, name)


async def until(true, seconds):
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.05)


async def live_through(tmp_path, proxy, make, luck):
    """Run the pipe through the weather, then until nothing waits; what was accepted."""
    outbox = Witness(SqliteOutbox(tmp_path / "outbox.db", CLOCK, OutboxConfig(), ["city"]))
    names = ("miyagawa", "chikuma", "sai")
    health = Health(
        sources={name: SourceHealth(name, "river") for name in names},
        uplinks={"city": UplinkHealth("city", "ngsi")},
    )
    rivers = {name: River(name, Random(luck.random()), CLOCK) for name in names}
    flow = Flow(
        groups=[SourceGroup((name,), lambda r=river: r) for name, river in rivers.items()],
        chains={},
        outbox=outbox,
        uplinks={"city": make},
        health=health,
        clock=CLOCK,
        luck=luck.random,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(flow.run(stop))
    try:
        await proxy.follow(weather(luck, turns=1))
        for river in rivers.values():
            river.dry = True

        async def all_of_it():
            return not any(s.running for s in health.sources.values()) and (await outbox.stats()).waiting == 0

        await until(all_of_it, 90)  # the line is well again: whatever waits has to arrive, however busy this machine
    finally:
        stop.set()
        await task
    stats = await outbox.stats()
    assert stats.waiting == stats.lost == stats.uplinks["city"].dead == 0
    assert not any(code == "daemon.bug" for code in health.uplinks["city"].problems), health.uplinks["city"]
    assert stats.accepted == len(outbox.accepted)
    await outbox.close()
    return outbox.accepted


def told(proxy, verdict):
    print(f"{verdict.accepted} accepted, {verdict.repeats} repeated; {dict(proxy.harmed)}")
    assert verdict.good, verdict
    assert set(proxy.harmed) == set(MODES), "every mode has met somebody"


@pytest.mark.parametrize("history", ["temporal", "replay-ending-on-newest"])
@pytest.mark.parametrize("seed", range(rounds(1, 50)))
async def test_a_context_broker_behind_a_bad_line(tmp_path, history, seed):
    luck = Random(f"{history} {seed}")
    city = City()
    city.start()
    try:
        async with Proxy(int(city.url.rpartition(":")[2])) as proxy:
            config = NgsiLdConfig(
                id="city",
                driver="ngsi-ld",
                url=f"http://127.0.0.1:{proxy.port}",
                history=history,
                timeout_s=0.8,
                backfill_bytes_per_s=0,
            )
            around = Surroundings(CLOCK, Site("GW-1"), tmp_path)
            accepted = await live_through(tmp_path, proxy, lambda: NgsiLd.make(config, around), luck)
        verdict = compare(accepted, *of_city(city))
        told(proxy, verdict)
        snapshot = city.snapshot()
        assert snapshot.repeated == 0, "an entity twice in one request"
        if history == "temporal":
            assert snapshot.regressions == 0, "an older value over a newer one"
    finally:
        city.stop()


@pytest.mark.tool("mosquitto")
@pytest.mark.parametrize("seed", range(rounds(1, 50)))
async def test_an_mqtt_broker_behind_a_bad_line(tmp_path, seed):
    luck = Random(f"mqtt {seed}")
    with contextlib.closing(Mosquitto(tmp_path)) as broker:
        broker.start()
        with contextlib.closing(Agent(broker.port)) as agent:
            async with Proxy(broker.port) as proxy:
                config = IotaConfig(
                    id="city",
                    driver="iota-json",
                    host="127.0.0.1",
                    port=proxy.port,
                    apikey="k",
                    tls=False,
                    timeout_s=0.8,
                    keepalive_s=5,
                    backfill_bytes_per_s=0,
                )
                around = Surroundings(CLOCK, Site("GW-1"), tmp_path)
                accepted = await live_through(tmp_path, proxy, lambda: IotaJson.make(config, around), luck)
            deadline = time.monotonic() + 5  # acknowledged by the broker; the subscriber's thread may be behind
            while True:
                arrived = [
                    Arrived(device.split(":", 1)[1], m["sequenceNumber"], m.get("waterLevel"))
                    for device, m in list(agent.measures)
                ]
                verdict = compare(accepted, arrived, {one.thing: one.sequence for one in arrived})
                if verdict.good or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.1)
    told(proxy, verdict)
