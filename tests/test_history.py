"""The last day of a gauge: what is kept, what is forgotten, and what is never made up."""

import asyncio
import math
import tracemalloc

import msgspec
import pytest

from edgeagent.daemon import control
from edgeagent.daemon.build import build, read_config
from edgeagent.history import MINUTES, History, Level, Ring
from edgeagent.reading import Kind, Quality, Quantity, Reading, TimeTrust, Unit
from tests.fakes import FakeClock, water


def level(value, quality=Quality.GOOD):
    return Quantity(value, Unit.METRE, quality)


def said(ring, clock, value, quality=Quality.GOOD, source="miyagawa"):
    quantity = level(value, quality)
    reading = Reading(source=source, kind=Kind.WATER, entity=source, at=clock.now(), quantities={"level": quantity})
    assert list(ring.feed(reading)) == [reading]


@pytest.fixture
def clock():
    return FakeClock(wall_ms=1_795_000_020_000, mono_s=1200.0)


def test_a_minute_is_one_point_with_its_lowest_mean_and_highest(clock):
    ring = Ring("miyagawa")
    for value in (1.0, 3.0, 2.0):
        said(ring, clock, value)
        clock.advance(10)
    (point,) = ring.trace(clock.now()).points
    assert (point.low_m, point.mean_m, point.high_m, point.quality) == (1.0, 2.0, 3.0, Quality.GOOD)
    assert point.at_ms == 1_795_000_020_000 + 30_000


def test_a_peak_of_one_reading_keeps_its_height(clock):
    ring = Ring("miyagawa")
    for second in range(60):
        said(ring, clock, 2.61 if second == 31 else 0.4)
        clock.advance(1)
    (point,) = ring.trace(clock.now()).points
    assert point.high_m == 2.61
    assert point.mean_m == pytest.approx((59 * 0.4 + 2.61) / 60, abs=0.001)


def test_missing_stays_missing_and_is_no_zero(clock):
    ring = Ring("miyagawa")
    said(ring, clock, 1.0)
    clock.advance(120)
    said(ring, clock, None, Quality.MISSING)
    clock.advance(120)
    said(ring, clock, 9.9, Quality.FAIL)
    clock.advance(60)
    good, missing, failed = ring.trace(clock.now()).points
    assert good.mean_m == 1.0
    assert (missing.mean_m, missing.low_m, missing.quality, missing.missing) == (None, None, Quality.MISSING, 1)
    assert (failed.mean_m, failed.quality, failed.failed) == (None, Quality.FAIL, 1)


def test_the_worst_quality_of_a_minute_is_told_and_refused_readings_are_counted(clock):
    ring = Ring("miyagawa")
    for value, quality in ((1.0, Quality.GOOD), (1.2, Quality.SUSPECT), (8.0, Quality.FAIL), (None, Quality.MISSING)):
        said(ring, clock, value, quality)
    (point,) = ring.trace(clock.now()).points
    assert (point.low_m, point.high_m, point.quality) == (1.0, 1.2, Quality.SUSPECT)
    assert (point.failed, point.missing) == (1, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300, "deep"])
def test_what_is_no_level_is_refused(clock, value):
    ring = Ring("miyagawa")
    said(ring, clock, value)
    (point,) = ring.trace(clock.now()).points
    assert (point.mean_m, point.failed) == (None, 1)


def test_a_day_is_kept_and_not_a_minute_more(clock):
    ring = Ring("miyagawa")
    for minute in range(MINUTES + 100):
        said(ring, clock, float(minute))
        clock.advance(60)
    points = ring.trace(clock.now()).points
    assert len(points) == MINUTES - 1  # the minute that has just begun has no reading yet
    assert points[0].mean_m == 101.0
    assert points[-1].mean_m == MINUTES + 99


def test_minutes_without_a_reading_are_no_points_even_where_the_ring_held_some(clock):
    ring = Ring("miyagawa")
    for _ in range(MINUTES):
        said(ring, clock, 1.0)
        clock.advance(60)
    clock.advance(3600 * 5)
    said(ring, clock, 2.0)
    points = ring.trace(clock.now()).points
    assert len(points) == MINUTES - 300
    silence_ms = points[-1].at_ms - points[-2].at_ms
    assert silence_ms == pytest.approx(301 * 60_000, abs=30_000)
    clock.advance(3600 * 48)
    said(ring, clock, 3.0)
    assert [p.mean_m for p in ring.trace(clock.now()).points] == [3.0]
    clock.advance(3600 * 30)
    assert ring.trace(clock.now()).points == []


def test_a_late_reading_belongs_to_its_minute_and_a_very_late_one_to_none(clock):
    ring = Ring("miyagawa")
    early = clock.now()
    clock.advance(600)
    said(ring, clock, 2.0)
    ring.feed(water(1.0, at=early))
    assert [p.mean_m for p in ring.trace(clock.now()).points] == [1.0, 2.0]
    clock.advance(90_000)
    said(ring, clock, 3.0)
    ring.feed(water(1.0, at=early))
    assert [p.mean_m for p in ring.trace(clock.now()).points] == [3.0]


def test_a_clock_that_is_set_moves_the_whole_curve(clock):
    ring = Ring("miyagawa")
    said(ring, clock, 1.0)
    clock.advance(60)
    said(ring, clock, 2.0)
    clock.wall_ms += 3 * 365 * 86_400_000
    first, second = ring.trace(clock.now()).points
    assert second.at_ms - first.at_ms == pytest.approx(60_000, abs=30_000)
    assert second.at_ms <= clock.wall_ms


def test_other_entities_and_other_sorts_do_not_count(clock):
    ring = Ring("miyagawa")
    at = clock.now()
    for kind, entity in ((Kind.RAIN, "miyagawa"), (Kind.ALERT, "miyagawa"), (Kind.WATER, "miyagawa:2")):
        ring.feed(Reading(source="miyagawa", kind=kind, entity=entity, at=at, quantities={"level": level(1.0)}))
    assert ring.trace(at).points == []


def test_a_gauge_takes_little_memory_and_never_more(clock):
    tracemalloc.start()
    try:
        ring = Ring("miyagawa")
        after_making = tracemalloc.get_traced_memory()[0]
        for minute in range(3 * MINUTES):
            said(ring, clock, minute / 100)
            clock.advance(60)
        grown = tracemalloc.get_traced_memory()[0] - after_making
    finally:
        tracemalloc.stop()
    assert after_making < 50_000
    assert grown < 20_000


CONFIG = """
[gateway]
id = "GW-1"
state_dir = "{state}"
[[sources]]
id = "miyagawa"
name = "宮川橋"
driver = "modbus-gauge"
host = "127.0.0.1"
tcp_port = 1
profile = "geolux-lx80-modbus"
unit = 1
plausible = {{ min_m = -0.1, max_m = 6.0 }}
calibrate = {{ zero_point_m = 331.2 }}
alarm = {{ levels_m = {{ standby = 1.0, danger = 2.6 }}, names_ja = {{ standby = "通報水位" }} }}
deadband = {{ change = 0.5, heartbeat_s = 3600 }}
[[sources]]
id = "box"
driver = "host"
"""


def agent_of(tmp_path, clock):
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(state=tmp_path))
    config, problems = read_config(file)
    assert config, problems
    return build(config, clock)


async def test_the_agent_answers_with_what_the_rules_saw_before_they_thinned_it(tmp_path, clock):
    agent = agent_of(tmp_path, clock)
    pump = agent.flow._pump
    for metres in (1.00, 1.05, 1.10):  # the dead band lets only the first of these out
        pump._take(water(metres, at=clock.now()))
        clock.advance(60)
    assert len(pump._unstored) < 6
    clock.trust = TimeTrust.UNSYNCED
    async with control.serve(tmp_path / "c.sock", agent.answers()):
        asked = [await asyncio.to_thread(control.ask, tmp_path / "c.sock", f"history {w}") for w in ("", "nobody")]
    told = msgspec.json.decode(asked[0], type=History)
    assert (told.now_ms, told.since_ms) == (clock.wall_ms, clock.wall_ms - 180_000)
    assert told.clock == "unsynced"
    (trace,) = told.traces
    assert (trace.source, trace.name) == ("miyagawa", "宮川橋")
    assert trace.levels == [Level("standby", 1.0, "通報水位", ""), Level("danger", 2.6, "", "")]
    assert [p.mean_m for p in trace.points] == [1.0, 1.05, 1.1]
    assert msgspec.json.decode(asked[1], type=History).traces == []


async def test_what_plausibility_refused_is_told_as_failed(tmp_path, clock):
    agent = agent_of(tmp_path, clock)
    agent.flow._pump._take(water(9.9, at=clock.now()))
    (trace,) = (await agent.history()).traces
    assert [(p.mean_m, p.quality) for p in trace.points] == [(None, Quality.FAIL)]


async def test_before_a_day_is_over_it_says_since_when_it_looked(tmp_path, clock):
    agent = agent_of(tmp_path, clock)
    clock.advance(3 * 86_400)
    assert (await agent.history()).since_ms == clock.wall_ms - 86_400_000
