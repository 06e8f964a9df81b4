import pytest

from edgeagent.outbox.pace import Pace
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from tests.fakes import FakeClock, water


def test_nothing_measured_is_no_promise():
    assert Pace(0.0).plan(100.0, 1000).hours is None


def test_the_pace_of_the_last_hour():
    pace = Pace(0.0)
    for minute in range(600):
        pace.stored(minute * 60.0, 1000 if minute < 500 else 10, 2000)
    plan = pace.plan(36_000.0, 1 << 20)
    assert plan.per_hour == pytest.approx(600, rel=0.05) and plan.measured_s == pytest.approx(3600, abs=61)
    assert plan.hours == pytest.approx((1 << 20) / (plan.per_hour * plan.bytes_each))


async def test_the_plan_comes_true(tmp_path):
    """Fill a store at a steady pace until the first reading is thinned: the plan said when."""
    clock = FakeClock()
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite", clock, OutboxConfig(max_bytes=6 << 20), ("a",))
    said, began = None, clock.mono()
    while not (await outbox.stats()).thinned:
        clock.advance(60)
        readings = [water(float(i), source=f"g{i}", at=clock.now(), facts={"raw": "f" * 300}) for i in range(50)]
        await outbox.put(readings)
        if said is None and clock.mono() - began > 1000:
            said = clock.mono() - began + (await outbox.plan()).hours * 3600
    assert clock.mono() - began == pytest.approx(said, rel=0.15)
    await outbox.close()
