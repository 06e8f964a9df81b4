import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent import messages
from edgeagent.config import decode
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.alarm import Alarm, AlarmConfig, Levels
from tests.fakes import FakeClock, water

LEVELS = Levels(standby=1.0, caution=1.5, evacuate=2.1, danger=2.6)
USUAL = AlarmConfig(levels_m=LEVELS)
PATIENT = AlarmConfig(levels_m=LEVELS, rate_m_per_10min=1000)  # always two readings
lossless = settings(deadline=None, max_examples=60)


class River:
    """Feeds an Alarm a level every `every_s`, a tick every so often, and keeps what it said."""

    def __init__(self, config=USUAL, every_s=60):
        self.rule, self.clock, self.every_s = Alarm(config, "miyagawa"), FakeClock(), every_s
        self.alerts: list[Reading] = []
        self.shown: list[str] = []

    def flow(self, *levels):
        for level in levels:
            quantity = Quantity.missing(Unit.METRE) if level is None else Quantity(level, Unit.METRE)
            self.measure(quantity)
            self.wait(self.every_s)
        return self

    def measure(self, quantity):
        at = self.clock.now()
        reading = Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=at, quantities={"level": quantity})
        first, *alerts = self.rule.feed(reading)
        assert first.quantities["level"] == quantity and first.at == at
        self.shown.append(first.quantities["alarm_level"].value)
        self.alerts += alerts

    def wait(self, seconds):
        for _ in range(max(int(seconds // 30), 1)):
            self.clock.advance(seconds / max(int(seconds // 30), 1))
            self.alerts += self.rule.tick(self.clock.now())
        return self

    def said(self, kind="floodLevel"):
        """Changes of (active, level name), without the restatements."""
        seen = [
            (a.quantities["active"].value, a.quantities["level_name"].value)
            for a in self.alerts
            if a.quantities["sub_category"].value == kind
        ]
        return [one for i, one in enumerate(seen) if i == 0 or one != seen[i - 1]]


CALM = (False, "normal")


def test_up_through_all_levels():
    river = River(PATIENT).flow(0.5, 1.2, 1.2, 1.6, 1.6, 2.2, 2.2, 3.0, 3.0)
    assert river.said() == [CALM, (True, "standby"), (True, "caution"), (True, "evacuate"), (True, "danger")]
    assert river.shown == [
        "normal",
        "normal",
        "standby",
        "standby",
        "caution",
        "caution",
        "evacuate",
        "evacuate",
        "danger",
    ]


def test_what_an_alert_says():
    river = River().flow(0.5, 2.7, 2.75)
    calm, alert = (a for a in river.alerts if a.entity == "miyagawa")
    assert alert.kind is Kind.ALERT and alert.cls is ReadingClass.ALARM and alert.source == "miyagawa"
    assert alert.quantities == {
        "active": Quantity(True),
        "sub_category": Quantity("floodLevel"),
        "severity": Quantity("critical"),
        "level_name": Quantity("danger"),
        "level": Quantity(2.75, Unit.METRE),
    }
    assert calm.quantities["severity"] == Quantity("informational")
    assert alert.at.mono_ms == 1_120_000


@pytest.mark.parametrize(("level", "severity"), [(1.0, "low"), (1.5, "medium"), (2.1, "high"), (2.6, "critical")])
def test_severity_follows_the_level(level, severity):
    assert River().flow(level, level).alerts[-1].quantities["severity"].value == severity


def test_a_single_spike_is_none():
    assert River().flow(0.5, 5.0, 0.5, 0.5, 3.0, 0.5).said() == [CALM]


def test_missing_between_two_readings_does_not_unmake_them():
    assert River().flow(0.5, 1.2, None, 1.2).said() == [CALM, (True, "standby")]


def test_failed_values_raise_nothing_and_suspect_ones_do():
    river = River()
    for quality in (Quality.FAIL, Quality.FAIL, Quality.FAIL):
        river.measure(Quantity(9.0, Unit.METRE, quality))
    assert river.said() == []
    for _ in range(2):
        river.measure(Quantity(2.8, Unit.METRE, Quality.SUSPECT))
    assert river.said() == [(True, "danger")]
    assert river.alerts[-1].quantities["level"].quality is Quality.SUSPECT


def test_down_one_threshold_after_half_an_hour_below_it():
    river = River().flow(0.5, 2.2, 2.2)  # evacuate
    river.flow(*[2.06] * 60)  # within the hysteresis: for ever
    assert river.shown[-1] == "evacuate"
    river.flow(*[2.04] * 30)
    assert river.shown[-1] == "evacuate"
    river.flow(2.04)
    assert river.shown[-1] == "caution"
    river.flow(*[0.5] * 30)
    assert river.shown[-1] == "caution"
    river.flow(0.5)
    assert river.shown[-1] == "normal"
    assert river.said() == [CALM, (True, "evacuate"), (True, "caution"), CALM]


def test_touching_the_hysteresis_starts_the_half_hour_again():
    river = River().flow(0.5, 1.2, 1.2, *[0.9] * 25, 0.96, *[0.9] * 30)
    assert river.shown[-1] == "standby"
    assert river.flow(0.9).shown[-1] == "normal"


def test_a_gap_starts_the_half_hour_again():
    river = River().flow(0.5, 1.2, 1.2, *[0.9] * 25, *[None] * 11, *[0.9] * 30)
    assert river.shown[-1] == "standby"
    assert river.flow(0.9).shown[-1] == "normal"


def test_the_alert_is_said_again_every_ten_minutes():
    river = River().flow(0.5, 1.2, 1.3)
    began = len(river.alerts)
    river.flow(*[1.3 + i / 1000 for i in range(60)])
    again = river.alerts[began:]
    assert len(again) in (5, 6)
    assert {a.quantities["level_name"].value for a in again} == {"standby"}
    assert [b.at.mono_ms - a.at.mono_ms for a, b in itertools.pairwise(again)] == [600_000] * (len(again) - 1)
    assert again[-1].quantities["level"].value > again[0].quantities["level"].value
    assert not [a for a in again if a.entity != "miyagawa"]


def test_a_calm_river_is_said_once():
    assert len([a for a in River().flow(*[0.3] * 60).alerts if a.entity == "miyagawa"]) == 1


def test_just_below_a_threshold_nothing_is_claimed_at_the_start():
    assert River().flow(0.97).said() == []


def test_blind_above_caution_is_an_alert_of_its_own():
    river = River().flow(0.5, 1.6, 1.6)
    assert river.said("sensorBlind") == [CALM]
    river.flow(*[None] * 12)
    assert river.said("sensorBlind") == [CALM, (True, "caution")]
    assert river.shown[-1] == "caution" and river.said()[-1] == (True, "caution")
    blind = [a for a in river.alerts if a.entity == "miyagawa:blind"][-1]
    assert blind.quantities["severity"].value == "medium"
    assert "level" not in blind.quantities
    river.flow(1.7)
    assert river.said("sensorBlind") == [CALM, (True, "caution"), CALM]


def test_silence_is_blindness_too():
    river = River().flow(0.5, 2.7, 2.7).wait(700)
    assert river.said("sensorBlind") == [CALM, (True, "danger")]


def test_blind_below_caution_is_none():
    river = River().flow(0.5, 1.2, 1.2, *[None] * 60).wait(3600)
    assert river.said("sensorBlind") == [CALM]
    assert river.said()[-1] == (True, "standby")


def test_a_gauge_that_speaks_every_ten_minutes_is_not_blind_in_between():
    river = River(every_s=600).flow(0.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6)
    assert river.said("sensorBlind") == [CALM]
    river.flow(None)
    assert river.said("sensorBlind") == [CALM]
    river.flow(None)
    assert river.said("sensorBlind") == [CALM, (True, "caution")]
    assert River(every_s=600).flow(0.5, 1.2, 1.2, *[0.5] * 4).shown[-2:] == ["standby", "normal"]


def test_one_long_gap_does_not_make_it_patient():
    river = River().flow(0.5, 1.6, 1.6, 1.6).wait(7200).flow(1.6, 1.6)
    assert river.said("sensorBlind") == [CALM, (True, "caution"), CALM]
    assert river.flow(*[None] * 12).said("sensorBlind")[-1] == (True, "caution")


def test_a_rise_that_lasts_confirms_at_once():
    config = AlarmConfig(levels_m=LEVELS, rate_m_per_10min=0.3)
    rising = [0.64, 0.7, 0.76, 0.82, 0.88, 0.94]  # 0.6 m in ten minutes
    assert River(config).flow(*rising, 1.0).said()[-1] == (True, "standby")
    assert River(PATIENT).flow(*rising, 1.0).said() == [CALM]
    assert River(config).flow(0.5, 0.5, 0.5, 0.5, 0.5, 5.0, 0.5).said() == [CALM]  # a spike vouches not for itself
    assert River(config).flow(0.5, 5.0, 0.5, 0.5, 5.0, 0.5).said() == [CALM]  # nor do two


def test_some_thresholds_may_be_absent():
    river = River(AlarmConfig(levels_m=Levels(danger=2.0))).flow(0.5, 1.9, 1.9, 2.0, 2.0)
    assert river.said() == [CALM, (True, "danger")]


def test_other_things_pass():
    rule = Alarm(USUAL, "miyagawa")
    for other in (
        water(9.0, source="chikuma"),
        Reading(source="miyagawa", kind=Kind.RAIN, entity="miyagawa", at=FakeClock().now(), quantities={}),
    ):
        assert list(rule.feed(other)) == [other]


# -- for any river -------------------------------------------------------------------------------

any_level = st.floats(-0.5, 4.0)
any_reading = st.one_of(any_level, st.none(), st.just(float("nan")), st.just(float("inf")))
threshold = st.sampled_from([1.0, 1.5, 2.1, 2.6])


@lossless
@given(threshold, st.lists(st.floats(-0.03, 0.03), min_size=10, max_size=150))
def test_oscillating_round_a_threshold_is_one_alarm(metres, wobble):
    river = River().flow(metres - 0.2, *(round(metres + w, 3) for w in wobble))
    name = {m: n for n, m in LEVELS.given}[metres]
    changes = [said for said in river.said() if said[1] == name]
    assert len(changes) <= 1


@lossless
@given(st.lists(st.floats(0, 0.99), min_size=3, max_size=30), st.floats(1.0, 50.0), st.data())
def test_one_spike_is_none(wild, spike, data):
    wild.insert(data.draw(st.integers(1, len(wild) - 1)), spike)
    assert not [said for said in River(PATIENT).flow(*wild).said() if said[0]]


@lossless
@given(
    st.floats(0, 0.9),
    st.lists(st.floats(-0.03, 0.03), min_size=3, max_size=30),
    st.floats(1.0, 50.0),
    st.data(),
    st.sampled_from([1, 10, 60, 120, 600]),
)
def test_one_spike_in_a_calm_river_is_none(base, noise, spike, data, every_s):
    calm = [base + n for n in noise]
    calm.insert(data.draw(st.integers(1, len(calm) - 1)), spike)
    assert not [said for said in River(every_s=every_s).flow(*calm).said() if said[0]]


@lossless
@given(st.lists(st.floats(0, 4.0), max_size=20), threshold, st.floats(0, 1.0))
def test_a_jump_alarms_within_two_readings(before, metres, above):
    river = River().flow(*before, metres + above, metres + above)
    names = [name for name, _ in LEVELS.given]
    reached = next(n for n, m in reversed(LEVELS.given) if metres + above >= m)
    assert river.shown[-1] in names[names.index(reached) :]
    assert river.said()[-1] == (True, river.shown[-1])


@lossless
@given(threshold, st.lists(st.sampled_from([None, float("nan"), float("inf"), "fail"]), min_size=1, max_size=100))
def test_missing_never_clears(metres, gaps):
    river = River().flow(metres, metres)
    name = river.shown[-1]
    for gap in gaps:
        if gap == "fail":
            river.measure(Quantity(0.0, Unit.METRE, Quality.FAIL))
            river.wait(60)
        else:
            river.flow(gap)
    assert name != "normal" and set(river.shown[1:]) == {name} and river.said() == [(True, name)]


@lossless
@given(st.lists(any_reading, max_size=120), st.sampled_from([10, 60, 600]))
def test_what_is_said_is_what_is_shown_and_clearing_takes_its_time(levels, every_s):
    river = River(every_s=every_s)
    order = ["normal", *(name for name, _ in LEVELS.given)]
    metres = dict(LEVELS.given)
    fed: list[tuple[float | None, str]] = []
    for level in levels:
        river.flow(level)
        fed.append((level, river.shown[-1]))
    if river.said():
        assert river.said()[-1][1] == river.shown[-1]
    for at, ((_, before), (level, after)) in enumerate(itertools.pairwise(fed), 1):
        if order.index(after) > order.index(before):
            assert level >= metres[after]
        if order.index(after) < order.index(before):  # for half an hour nothing usable stood above the clearing line
            recent = [v for v, _ in fed[max(at - 1800 // every_s, 0) : at + 1] if v is not None]
            assert all(v < metres[before] - 0.05 for v in recent)


@pytest.mark.parametrize(
    ("table", "code", "path"),
    [
        ({"levels_m": {"standby": 1.5, "caution": 1.5}}, "rules.levels-order", "s.alarm.levels_m.caution"),
        ({"levels_m": {"standby": 3.0, "danger": 2.0}}, "rules.levels-order", "s.alarm.levels_m.danger"),
        ({"levels_m": {}}, "rules.no-levels", "s.alarm.levels_m"),
        ({"levels_m": {"cautoin": 1.0}}, "config.misspelt-key", "s.alarm.levels_m.cautoin"),
        ({}, "config.missing", "s.alarm.levels_m"),
        ({"levels_m": {"standby": 1.0}, "confirm": 0}, "config.wrong-type", "s.alarm.confirm"),
    ],
)
def test_mistakes_in_the_config(table, code, path):
    made, (problem,) = decode(AlarmConfig, table, "s.alarm")
    assert made is None and (problem.code, problem.facts["path"]) == (code, path)
    for lang in messages.LANGUAGES:
        assert path in messages.text(problem.code, problem.facts, lang).what


def test_the_texts_are_the_same_in_both_languages():
    assert messages.catalogue("rules", "ja").keys() == messages.catalogue("rules", "en").keys()


def test_time_is_the_monotonic_clock():
    river = River().flow(0.5, 1.6, 1.6)
    now = river.clock.now()
    assert river.rule.tick(Moment(now.wall_ms + 86_400_000, now.mono_ms, now.boot_id)) == []


# -- what is to come -----------------------------------------------------------------------------


def rising(per_minute, minutes, start=0.3, **config):
    river = River(msgspec.convert({"levels_m": dict(LEVELS.given), **config}, AlarmConfig))
    last = {}
    for n in range(minutes):
        at = river.clock.now()
        quantities = {"level": Quantity(start + n * per_minute, Unit.METRE)}
        first, *alerts = river.rule.feed(
            Reading(source="miyagawa", kind=Kind.WATER, entity="miyagawa", at=at, quantities=quantities)
        )
        river.alerts += alerts
        last = first.quantities
        river.wait(60)
    return river, last


def test_rates_and_the_time_to_the_next_level():
    _, last = rising(0.01, 41)  # 0.3 m to 0.7 m, 0.6 m/h
    assert last["rate"] == Quantity(0.6, Unit.METRE_PER_HOUR) == last["rate_30min"]
    assert last["next_level"] == Quantity("standby")
    assert last["next_level_s"] == Quantity(1800, Unit.SECOND), "0.3 m are missing"


def test_a_calm_or_falling_river_reaches_nothing():
    for per_minute in (0.0, 0.0005, -0.01):
        assert "next_level_s" not in rising(per_minute, 41, start=0.9)[1]


def test_no_rate_from_a_few_minutes():
    assert "rate" not in rising(0.01, 4)[1]
    assert "rate_30min" not in rising(0.01, 12)[1]


def test_an_alert_says_how_fast_it_rises_and_what_it_is_called_here():
    river, _ = rising(0.02, 63, names_ja={"caution": "警戒水位"}, names_en={"caution": "watch"})
    alert = next(a for a in river.alerts if a.quantities["level_name"].value == "caution")
    assert alert.quantities["rate"] == Quantity(1.2, Unit.METRE_PER_HOUR)
    assert alert.quantities["next_level"] == Quantity("evacuate")
    assert alert.facts == {"level_ja": "警戒水位", "level_en": "watch"}
    standby = next(a for a in river.alerts if a.quantities["level_name"].value == "standby")
    assert standby.facts == {}


@lossless
@given(threshold, st.floats(0.0, 1.0), st.sampled_from([10, 60, 120, 600]))
def test_no_true_step_is_missed(metres, above, every_s):
    """Two good readings at most, whatever the cadence; and it stays while the water does."""
    river = River(every_s=every_s).flow(*[0.3] * 5, *[metres + above] * 4)
    assert "normal" not in river.shown[6:]
