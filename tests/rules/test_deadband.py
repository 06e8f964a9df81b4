"""A calm river costs nothing to send, and nothing that matters is held back."""

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.reading import Kind, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.deadband import Deadband, DeadbandConfig
from tests.fakes import FakeClock


def passed(levels, *, every_s=10.0, change=0.01, heartbeat_s=600.0):
    """Which of these (level, or a dict of quantities) pass, by index."""
    rule, clock, out = Deadband(DeadbandConfig(change=change, heartbeat_s=heartbeat_s), "a"), FakeClock(), []
    for index, level in enumerate(levels):
        quantities = level if isinstance(level, dict) else {"level": Quantity(level, Unit.METRE)}
        made = Reading(source="a", kind=Kind.WATER, entity="a", at=clock.now(), quantities=quantities)
        out += [index for _ in rule.feed(made)]
        assert not list(rule.tick(clock.now()))
        clock.advance(every_s)
    return out


def test_small_changes_are_held_back_and_add_up():
    assert passed([1.0, 1.004, 1.008, 1.012, 1.013]) == [0, 3]


def test_a_gauge_that_grows_warm_is_no_news():
    def at(level, celsius):
        return {"temperature": Quantity(celsius, Unit.CELSIUS), "level": Quantity(level, Unit.METRE)}

    assert passed([at(1.0, 5.0), at(1.0, 9.0), at(1.02, 9.0)]) == [0, 2]
    assert passed([{"distance": Quantity(d)} for d in (3.0, 3.001, 3.5)]) == [0, 2]


def test_heartbeat():
    assert passed([1.0] * 130, heartbeat_s=600.0) == [0, 60, 120]


def test_what_came_went_or_changed_its_quality_or_word_passes():
    good = {"level": Quantity(1.0, Unit.METRE), "alarm_level": Quantity("normal")}
    changes = [
        {**good, "level": Quantity(1.0, Unit.METRE, Quality.SUSPECT)},
        {**good, "level": Quantity.missing(Unit.METRE)},
        {**good, "alarm_level": Quantity("caution")},
        {"level": good["level"]},
    ]
    for change in changes:
        assert passed([good, good, change, change, good]) == [0, 2, 4]


def test_alarms_and_other_streams_are_not_held_back():
    rule, at = Deadband(DeadbandConfig(), "a"), FakeClock().now()
    alarm = Reading(source="a", kind=Kind.ALERT, entity="a", at=at, quantities={}, cls=ReadingClass.ALARM)
    assert [len(list(rule.feed(alarm))) for _ in range(3)] == [1, 1, 1]
    water = Reading(source="a", kind=Kind.WATER, entity="a", at=at, quantities={"level": Quantity(1.0)})
    other = Reading(source="a", kind=Kind.WATER, entity="b", at=at, quantities={"level": Quantity(1.0)})
    assert [len(list(rule.feed(r))) for r in (water, other, water, other)] == [1, 1, 0, 0]


def test_a_new_boot_begins_anew():
    rule = Deadband(DeadbandConfig(), "a")
    for boot in ("b1", "b2"):
        at = FakeClock(boot_id=boot, mono_s=5.0).now()
        made = Reading(source="a", kind=Kind.WATER, entity="a", at=at, quantities={"level": Quantity(1.0)})
        assert len(list(rule.feed(made))) == 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_the_city_is_never_further_off_than_the_band(levels):
    sent = passed(levels)
    assert sent[0] == 0
    for index, level in enumerate(levels):
        newest = levels[max(i for i in sent if i <= index)]
        assert abs(level - newest) < 0.01
