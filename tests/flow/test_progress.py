"""Standstill: healed in stages, the watchdog last, and a dead instrument is none."""

import asyncio

import pytest

from edgeagent.daemon.health import Health, SourceHealth, UplinkHealth
from edgeagent.daemon.progress import BUSY_S, HEALS, KEEPER_S, PUMP_S, Progress, limit_s
from edgeagent.errors import SourceUnavailable
from edgeagent.sources import driver
from tests.flow.test_flow import City, Ticker, flow_of, run_for


class Watched:
    """A health whose clock is ours; every look is 5 s later."""

    def __init__(self, limit=300.0):
        self.health = Health(sources={"a": SourceHealth("a", "x")}, uplinks={"u": UplinkHealth("u", "x")})
        self.now_ms = 1_000_000
        self.progress = Progress(self.health, {"a": limit}, self.now_ms)

    def run(self, seconds, *, alive=False, pump=True):
        """(how often each part was healed, whether the watchdog was fed to the end)."""
        healed, fed = [], True
        for _ in range(int(seconds // 5)):
            self.now_ms += 5000
            if pump:
                self.health.pump_mono_ms = self.now_ms
            if alive:
                self.health.sources["a"].alive_mono_ms = self.now_ms
            stage = self.progress.look(self.now_ms)
            healed += stage.heal
            fed = stage.feed
        return healed, fed


def test_who_speaks_is_left_alone():
    assert Watched().run(7200, alive=True) == ([], True)


def test_silence_is_healed_three_times_before_the_watchdog_starves():
    one = Watched()
    assert one.run(300) == ([], True)
    assert one.run(300 * HEALS) == (["a"] * HEALS, True)
    assert one.run(310)[1] is False


def test_a_sign_of_life_starts_the_stages_again():
    one = Watched()
    one.run(700)
    one.run(10, alive=True)
    assert one.run(300) == ([], True)
    assert one.run(300 * HEALS)[0] == ["a"] * HEALS


def test_a_dead_instrument_that_its_driver_complains_of_is_no_standstill():
    one = Watched()
    for _ in range(50):
        one.run(100)
        one.health.sources["a"].failed(SourceUnavailable("gauges.no-answer"), type("At", (), {"mono_ms": one.now_ms})())
    assert one.run(100) == ([], True)


def test_being_healed_is_no_sign_of_life():
    seen = SourceHealth("a", "x")
    seen.failed(SourceUnavailable("daemon.healed", part="a"), type("At", (), {"mono_ms": 5})())
    assert seen.alive_mono_ms is None


def test_an_uplink_that_never_comes_back_from_a_delivery():
    one = Watched(limit=0)
    one.health.uplinks["u"].busy_since_mono_ms = one.now_ms
    healed, _ = one.run(BUSY_S + 10)
    assert healed == ["uplink u"]
    one.health.uplinks["u"].busy_since_mono_ms = None
    assert one.run(BUSY_S * 9) == ([], True)


def test_the_pump_has_no_stages():
    one = Watched()
    one.run(10, alive=True)
    assert one.run(PUMP_S + 10, alive=True, pump=False)[1] is False
    assert one.run(10, alive=True)[1] is True


def test_a_keeper_that_fell_silent_starves_the_watchdog():
    """Silence in a trial is a no: the restart by the watchdog brings the old config back."""
    one = Watched()
    one.health.keeper_mono_ms = one.now_ms
    assert one.run(KEEPER_S - 5, alive=True)[1] is True
    assert one.run(20, alive=True)[1] is False


@pytest.mark.parametrize(
    ("name", "keys", "limit"),
    [
        ("host", {"every_s": 10.0}, 300),
        ("host", {"every_s": 600.0}, 3600),
        ("traffic-camera", {"camera": "rtsp://x/", "lines": ()}, 360),
        ("traffic-camera", {"camera": "clip.mp4", "lines": ()}, 0),
        ("ble-tags", {"tags": ()}, 0),
        ("serial-gauge", {"port": "/dev/x", "profile": "maxbotix-hrxl-wr"}, 300),
    ],
)
def test_how_long_silence_may_last(name, keys, limit):
    assert limit_s(driver(name).Config(id="a", driver=name, **keys)) == limit


class Stuck(Ticker):
    """Emits once and then stands still; as good as new after a restart."""

    async def run(self, emit):
        self.runs = getattr(self, "runs", 0) + 1
        self.n += 1
        if self.runs > 1:
            await super().run(emit)
        await asyncio.Event().wait()


async def test_heal_starts_a_source_again_and_stops_no_other():
    stuck, well, city = Stuck("a"), Ticker("b"), City()
    flow, health, _ = flow_of([stuck, well], {"c": city})

    async def during():
        async with asyncio.timeout(30):
            while not well.n:
                await asyncio.sleep(0.01)
            flow.heal("a")
            while stuck.runs < 2 or health.sources["a"].readings == 0:
                await asyncio.sleep(0.01)

    await run_for(flow, 0.1, during)
    assert health.sources["a"].problems["daemon.healed"] == 1 and health.sources["a"].healed == 1
    assert not health.sources["b"].problems


async def test_heal_ends_a_delivery_that_hangs():
    city = City("hang")
    flow, health, outbox = flow_of([Ticker("a", every_s=0.05)], {"c": city})

    async def during():
        async with asyncio.timeout(30):
            while health.uplinks["c"].busy_since_mono_ms is None:
                await asyncio.sleep(0.01)
            city.mood = "well"
            flow.heal("uplink c")
            while not city.seen:
                await asyncio.sleep(0.01)

    await run_for(flow, 0.3, during)
    assert (await outbox.stats()).uplinks["c"].acknowledged > 0
