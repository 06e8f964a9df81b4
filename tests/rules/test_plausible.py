import json
from pathlib import Path

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


# -- the other tests of QARTOD -------------------------------------------------------------------


def run(config, levels, *, every_s=600.0, mad=None):
    """(quality, reason, flags) of each level."""
    rule, clock, out = Plausible(config, "miyagawa"), FakeClock(), []
    for level in levels:
        quantities = {"level": Quantity(level, Unit.METRE)}
        if mad is not None:
            quantities |= {"n_valid": Quantity(20), "mad": Quantity(mad, Unit.METRE)}
        at = clock.now()
        (made,) = rule.feed(
            Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=at, quantities=quantities)
        )
        assert made.quantities["level"].value == level, "marks, never deletes"
        out.append((made.quantities["level"].quality, made.facts.get("reason:level"), made.facts.get("qartod")))
        clock.advance(every_s)
    return out


PASSED = (Quality.GOOD, None, None)


def test_a_spike_and_the_two_that_clear_it():
    assert run(PlausibleConfig(), [1.0, 1.0, 1.0, 3.0, 1.0]) == [
        *[PASSED] * 3,
        (Quality.FAIL, "spike", "spike:4"),
        PASSED,
    ]


def test_a_true_step_is_confirmed_within_a_minute():
    rule = Plausible(PlausibleConfig(), "miyagawa")
    assert rule.pace.again_s is None
    seen = run(PlausibleConfig(), [1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0], every_s=15)
    assert [quality for quality, *_ in seen[3:]] == [Quality.FAIL, Quality.FAIL, Quality.GOOD, Quality.GOOD]


def test_a_stuck_value_is_suspect_after_three_hours_and_fails_after_a_day_above_base_flow():
    moving = [1.0 + 0.01 * (n % 3) for n in range(6)]
    seen = run(PlausibleConfig(base_flow_m=0.5), [*moving, *[1.02] * 160])
    stuck = seen[6:]
    first = next(n for n, one in enumerate(stuck) if one[0] is Quality.SUSPECT)
    assert 17 <= first <= 20 and stuck[first] == (Quality.SUSPECT, "flat-line", "flat_line:3"), "three hours"
    failed = next(n for n, one in enumerate(stuck) if one[0] is Quality.FAIL)
    assert 143 <= failed <= 146, "a day"
    assert run(PlausibleConfig(base_flow_m=1.1), [1.02] * 160)[-1] == PASSED, "at base flow it may stand still"
    assert run(PlausibleConfig(), [1.02] * 160)[-1][0] is Quality.SUSPECT, "nobody said what is base flow: never failed"


def test_a_frozen_burst():
    config = PlausibleConfig(base_flow_m=0.5)
    seen = run(config, [1.0] * 11, mad=0.0, every_s=60)
    assert seen[8] == PASSED and seen[9] == (Quality.SUSPECT, "attenuated", "attenuated:3")
    assert run(config, [1.0] * 11, mad=0.002, every_s=60)[-1] == PASSED
    assert run(PlausibleConfig(), [1.0] * 11, mad=0.0, every_s=60)[-1] == PASSED


def test_a_gap_is_told_and_marks_nothing():
    assert run(PlausibleConfig(gap_s=1200), [1.0, 1.0], every_s=1300)[1] == (Quality.GOOD, None, "gap:3")


def test_several_reasons():
    seen = run(PlausibleConfig(suspect_max_m=2.0, max_rate_m_per_10min=0.5), [1.0, 1.0, 1.0, 3.0])
    assert seen[-1] == (Quality.FAIL, "unusually-high spike rate", "gross_range:3 spike:4 rate_of_change:3")


def test_limits_in_the_wrong_order():
    assert [p.facts["path"] for p in PlausibleConfig(spike_m=0.3).problems()] == ["spike_fail_m"]
    assert [p.facts["path"] for p in PlausibleConfig(flat_fail_s=60).problems()] == ["flat_fail_s"]


# -- against ioos_qc -----------------------------------------------------------------------------
# Its flags for these series were recorded once (it brings 365 MB of libraries along).

RECORDED = json.loads((Path(__file__).parents[1] / "recordings/ioos_qc_flags.json").read_text())
SAME = {
    "gross_range": PlausibleConfig(min_m=-1, max_m=3, suspect_min_m=0, suspect_max_m=2),
    "rate_of_change": PlausibleConfig(max_rate_m_per_10min=0.5),
    "flat_line": PlausibleConfig(base_flow_m=-100.0),
}


@pytest.mark.parametrize("name", SAME)
def test_the_flags_are_those_of_ioos_qc(name):
    flags = set()
    for series in RECORDED["series"]:
        ours = ""
        for _, _, told in run(SAME[name], series["levels"]):
            ours += dict(one.split(":") for one in (told or "").split()).get(name, "1")
        assert ours == series[name]
        flags |= set(ours)
    assert flags >= {"1", "3"}, "the series have something to flag"
