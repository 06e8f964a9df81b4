"""How often a river is looked at: by stage, slope and rain, and back after an hour of quiet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.ports import Pace
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.cadence import Cadence, CadenceConfig
from edgeagent.rules.chain import Chain
from edgeagent.rules.plausible import Plausible, PlausibleConfig
from tests.fakes import FakeClock


class River:
    def __init__(self, **config):
        self.rule, self.clock, self.passed = Cadence(CadenceConfig(**config), "miyagawa"), FakeClock(), 0

    def sees(self, level=0.5, *, wait_s=60.0, **more):
        quantities = {"level": Quantity(level, Unit.METRE) if level is not None else Quantity.missing(Unit.METRE)}
        quantities |= {name: Quantity(value) for name, value in more.items()}
        at = self.clock.now()
        reading = Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=at, quantities=quantities)
        self.passed += len(list(self.rule.feed(reading)))
        self.clock.advance(wait_s)
        self.rule.tick(self.clock.now())
        return self.every_s

    @property
    def every_s(self):
        return self.rule.pace.every_s


@pytest.mark.parametrize(("river", "every_s"), [("large", 600), ("medium", 300), ("small", 120)])
def test_above_the_start_level_by_class_of_river(river, every_s):
    gauge = River(start_m=1.0, river=river)
    assert gauge.sees(0.9) == 600
    assert gauge.sees(1.0) == every_s


@pytest.mark.parametrize(
    ("seen", "every_s"),
    [
        ({}, 600),
        ({"rate": 0.5}, 600),
        ({"rate": 0.7}, 120),  # 0.7 m/h is more than 0.1 m in ten minutes
        ({"rate": 1.9}, 60),
        ({"rain_rate": 9.0}, 600),
        ({"rain_rate": 11.0}, 120),
        ({"alarm_level": "caution"}, 600),
        ({"alarm_level": "evacuate"}, 60),
        ({"alarm_level": "danger"}, 60),
    ],
)
def test_what_calls_for_more(seen, every_s):
    assert River().sees(0.5, **seen) == every_s


def test_back_step_by_step_after_an_hour_of_quiet():
    gauge = River(start_m=1.0)
    gauge.sees(1.2, rate=2.0, wait_s=0)
    seen = [gauge.sees(0.5, wait_s=600) for _ in range(13)]
    assert seen == [60] * 5 + [120] * 6 + [600] * 2


def test_a_gauge_that_says_nothing_is_asked_no_less():
    gauge = River(start_m=1.0)
    gauge.sees(1.2, rate=2.0)
    assert gauge.sees(None) == 60, "missing is not quiet: an hour must pass"


def test_a_calm_river_is_sent_once_a_day_and_a_rising_one_always():
    gauge = River(start_m=1.0, calm_send_s=86_400)
    for _ in range(144 * 2):
        gauge.sees(0.5, wait_s=600)
    assert gauge.passed == 2
    for _ in range(5):
        gauge.sees(1.1, wait_s=120)
    assert gauge.passed == 7


def test_news_is_sent_even_while_calm():
    gauge = River(calm_send_s=86_400)
    gauge.sees(0.5, alarm_level="normal")
    gauge.sees(0.5, alarm_level="standby")
    gauge.sees(None, alarm_level="standby")
    gauge.sees(None, alarm_level="standby")
    assert gauge.passed == 3


def test_alarms_pass():
    at = FakeClock().now()
    alert = Reading(source="a", kind=Kind.ALERT, entity="a", at=at, quantities={}, cls=ReadingClass.ALARM)
    assert list(Cadence(CadenceConfig(calm_send_s=100), "a").feed(alert)) == [alert]


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.floats(-1, 5)), st.floats(0, 5), st.sampled_from([10.0, 60.0, 600.0])),
        max_size=60,
    )
)
def test_it_measures_at_least_every_ten_minutes_whatever_happens(seen):
    gauge = River(start_m=1.0)
    for level, rate, wait_s in seen:
        assert 60 <= gauge.sees(level, rate=rate, wait_s=wait_s) <= 600


def test_a_chain_hands_on_the_most_impatient_wish():
    plausible, cadence = Plausible(PlausibleConfig(), "miyagawa"), Cadence(CadenceConfig(), "miyagawa")
    chain, clock = Chain([plausible, cadence]), FakeClock()
    assert chain.pace == Pace(every_s=600)
    assert Chain([]).pace == Pace()
    for level in (1.0, 1.0, 1.0, 4.0):
        at = clock.now()
        quantities = {"level": Quantity(level, Unit.METRE)}
        chain.feed(Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=at, quantities=quantities))
        clock.advance(600)
    assert chain.pace == Pace(every_s=600, again_s=15.0), "a wild value is looked at again"
