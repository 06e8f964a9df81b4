import pytest

from edgeagent.config import decode
from edgeagent.reading import Kind, Quality, Quantity, Reading, Unit
from edgeagent.rules.plausible import Plausible, PlausibleConfig
from tests.fakes import FakeClock, water

RANGE = PlausibleConfig(min_m=-0.1, max_m=9.0, suspect_min_m=0.2, suspect_max_m=4.0)


def marks(config, levels, every_s=60):
    """(quality, reason) of each level fed in turn."""
    rule, clock, out = Plausible(config, "miyagawa"), FakeClock(), []
    for level in levels:
        (reading,) = rule.feed(water(level, at=clock.now()))
        assert reading.quantities["level"].value == level  # marks, never changes
        out.append((reading.quantities["level"].quality.value, reading.facts.get("reason:level")))
        clock.advance(every_s)
    return out


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-0.11, ("fail", "below-range")),
        (-0.1, ("suspect", "unusually-low")),
        (0.2, ("good", None)),
        (4.0, ("good", None)),
        (4.01, ("suspect", "unusually-high")),
        (9.0, ("suspect", "unusually-high")),
        (9.01, ("fail", "above-range")),
        (float("nan"), ("fail", "above-range")),
    ],
)
def test_range(level, expected):
    rule = Plausible(RANGE, "miyagawa")
    (reading,) = rule.feed(water(level))
    assert (reading.quantities["level"].quality.value, reading.facts.get("reason:level")) == expected


def test_without_limits_nothing_is_marked():
    assert marks(PlausibleConfig(), [-1e9, 1e9]) == [("good", None)] * 2


@pytest.mark.parametrize(
    ("every_s", "levels", "suspects"),
    [
        (600, [1.0, 1.5, 2.0], []),  # exactly the rate
        (600, [1.0, 1.51, 1.6], [1]),
        (1200, [1.0, 1.9, 2.8], []),
        (10, [1.0, 1.04, 1.0, 1.04], []),  # waves
        (60, [1.0, 3.0, 3.0, 3.0], [1]),  # a step is doubted once and then believed
        (60, [1.0, 3.0, 1.0], [1, 2]),
        (60, [1.0, 0.5, 0.5], [1]),  # a fall as well
    ],
)
def test_rate(every_s, levels, suspects):
    seen = marks(PlausibleConfig(max_rate_m_per_10min=0.5), levels, every_s)
    assert [i for i, mark in enumerate(seen) if mark == ("suspect", "rate")] == suspects
    assert [i for i, mark in enumerate(seen) if mark != ("good", None)] == suspects


def test_a_failed_value_is_no_base_for_a_rate():
    seen = marks(PlausibleConfig(max_m=9.0, max_rate_m_per_10min=0.5), [1.0, 50.0, 1.0])
    assert seen == [("good", None), ("fail", "above-range"), ("good", None)]


def test_quality_is_only_lowered_and_elevation_shares_it():
    def fed(quality, level):
        quantities = {n: Quantity(level, Unit.METRE, quality) for n in ("level", "elevation", "temperature")}
        (out,) = Plausible(RANGE, "g").feed(
            Reading(source="g", kind=Kind.WATER, entity="g", at=FakeClock().now(), quantities=quantities)
        )
        return [q.quality for q in out.quantities.values()]

    assert fed(Quality.SUSPECT, 1.0) == [Quality.SUSPECT] * 3
    assert fed(Quality.FAIL, 5.0) == [Quality.FAIL] * 3
    assert fed(Quality.SUSPECT, 10.0) == [Quality.FAIL, Quality.FAIL, Quality.SUSPECT]


def test_an_elevation_that_is_worse_stays_worse():
    quantities = {"level": Quantity(5.0, Unit.METRE), "elevation": Quantity(336.0, Unit.METRE, Quality.FAIL)}
    (out,) = Plausible(RANGE, "g").feed(
        Reading(source="g", kind=Kind.WATER, entity="g", at=FakeClock().now(), quantities=quantities)
    )
    assert [q.quality for q in out.quantities.values()] == [Quality.SUSPECT, Quality.FAIL]


def test_missing_and_other_kinds_pass():
    missing = Reading(
        source="g",
        kind=Kind.WATER,
        entity="g",
        at=FakeClock().now(),
        quantities={"level": Quantity.missing(Unit.METRE)},
    )
    rain = Reading(source="g", kind=Kind.RAIN, entity="g", at=FakeClock().now(), quantities={"level": Quantity(99.0)})
    rule = Plausible(RANGE, "g")
    assert [*rule.feed(missing), *rule.feed(rain)] == [missing, rain]
    assert list(rule.tick(FakeClock().now())) == []


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"min_m": 3.0, "max_m": 2.0}, "p.max_m"),
        ({"min_m": 3.0, "max_m": 3.0}, "p.max_m"),
        ({"min_m": 0.0, "suspect_min_m": -1.0, "max_m": 2.0}, "p.suspect_min_m"),
        ({"suspect_max_m": 3.0, "max_m": 2.0}, "p.max_m"),
    ],
)
def test_limits_out_of_order(table, path):
    made, (problem,) = decode(PlausibleConfig, table, "p")
    assert made is None and (problem.code, problem.facts["path"]) == ("rules.range-order", path)


def test_equal_outer_and_inner_limits_are_fine():
    made, problems = decode(
        PlausibleConfig, {"min_m": 0.0, "suspect_min_m": 0.0, "suspect_max_m": 3.0, "max_m": 3.0}, "p"
    )
    assert made and not problems
