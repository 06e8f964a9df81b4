"""Presence: the walk past the gateway, flicker, deafness, midnight, SOS; time is what readings say."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.rules.presence import Presence, PresenceConfig
from edgeagent.simulate.tags import crowd
from edgeagent.sources.allow_list import AllowList, Listed
from edgeagent.sources.pseudonym import Names, keyed_hash, list_key
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.wire.beacons import decode

DAY = "2026-11-23"
ANN, BEN = "square:00000000000000aa", "square:00000000000000bb"


def at(seconds, wall_s=0):
    """A moment; the wall clock is nonsense unless given, because the rule must not look at it."""
    return Moment(wall_s * 1000, 1_000_000 + round(seconds * 1000), "b00700000001")


class Street:
    """A rule that listens, and what it said so far."""

    def __init__(self, **config):
        self.rule = Presence(PresenceConfig(**config), "square")
        self.said: list[Reading] = []
        self.now = 0.0
        self.listening(0, heard=True)

    def listening(self, seconds, *, heard):
        self.advance(seconds)
        self._feed(Kind.CROWD, "square", {"listening": Quantity(heard)}, {})

    def hear(self, seconds, who=ANN, rssi=-60, *, frames=1, sos=False, battery=None, day=DAY, **facts):
        self.advance(seconds)
        quantities = {"rssi": Quantity(rssi, Unit.DECIBEL), "frames": Quantity(frames), "sos": Quantity(sos)}
        if battery is not None:
            quantities["battery"] = Quantity(battery)
        self._feed(Kind.TAG, who, quantities, {"day": day, **facts})

    def advance(self, seconds):
        """Tick once a second up to that time."""
        while self.now < seconds:
            self.now = min(self.now + 1, seconds)
            self.said += self.rule.tick(at(self.now))

    def _feed(self, kind, entity, quantities, facts):
        reading = Reading(
            source="square", kind=kind, entity=entity, at=at(self.now), quantities=quantities, facts=facts
        )
        self.said += self.rule.feed(reading)

    def states(self, who=ANN):
        said = [r.quantities["state"].value for r in self.said if r.kind is Kind.TAG and r.entity == who]
        return [s for n, s in enumerate(said) if n == 0 or said[n - 1] != s]

    def people(self):
        return [r.quantities["people"].value for r in self.said if r.kind is Kind.CROWD]

    def alerts(self):
        return [r for r in self.said if r.kind is Kind.ALERT]


def test_a_tag_enters_on_its_third_frame_and_leaves_after_silence():
    street = Street()
    street.hear(1)
    street.hear(3)
    assert street.states() == []
    street.hear(5)
    assert street.states() == ["present"] and street.people() == [0, 1]
    street.advance(65)
    assert street.states() == ["present"]
    street.advance(66)
    assert street.states() == ["present", "left"] and street.people() == [0, 1, 0]
    assert street.rule._tags == {}


def test_frames_of_one_window_count_and_old_ones_do_not():
    street = Street()
    street.hear(1, frames=3)
    assert street.states() == ["present"]
    street.hear(1, BEN)
    street.hear(12, BEN)
    street.hear(23, BEN)
    assert street.states(BEN) == []


def test_a_weak_tag_never_enters_and_is_forgotten():
    street = Street()
    for second in range(1, 60, 2):
        street.hear(second, rssi=-88, frames=5)
    assert street.states() == []
    street.advance(200)
    assert street.rule._tags == {} and street.people() == [0]


def test_flicker_around_the_threshold_is_one_stay():
    street = Street()
    luck = random.Random(1)
    street.hear(1, rssi=-80, frames=5)
    for second in range(2, 600, 2):
        street.hear(second, rssi=-86 + luck.choice((-4, 4)))
    assert street.states() == ["present"]


def test_only_frames_stronger_than_the_exit_margin_keep_a_tag_here():
    street = Street()
    street.hear(1, frames=5)
    for second in range(2, 100, 2):
        street.hear(second, rssi=-100)
    assert street.states() == ["present", "left"]


def test_a_tag_that_speaks_seldom_is_given_ten_of_its_intervals():
    street = Street()
    for second in range(0, 121, 20):
        street.hear(second, frames=3 if second < 1 else 1)
    street.advance(120 + 190)
    assert street.states() == ["present"]
    street.advance(120 + 230)
    assert street.states() == ["present", "left"]


def test_a_long_absence_is_not_learnt_as_an_interval():
    street = Street()
    for second in (*range(0, 101, 20), 290):  # away for 190 s, less than ten intervals
        street.hear(second, frames=3 if second < 1 else 1)
    street.advance(290 + 250)
    assert street.states() == ["present", "left"]


def test_deaf_means_unknown_and_missing_not_left_and_zero():
    street = Street()
    street.hear(1, frames=3)
    street.listening(10, heard=False)
    street.advance(400)
    assert street.states() == ["present", "unknown"]
    crowd_readings = [r for r in street.said if r.kind is Kind.CROWD]
    assert crowd_readings[-1].quantities["people"] == Quantity(None, quality=Quality.MISSING)
    assert crowd_readings[-1].facts == {"reason:people": "deaf"}
    street.listening(401, heard=True)
    street.hear(410)
    assert street.states() == ["present", "unknown", "present"]
    assert street.people()[-1] == 1


def test_who_is_not_heard_again_after_deafness_has_left_a_full_leave_time_later():
    street = Street()
    street.hear(1, frames=3)
    street.listening(10, heard=False)
    street.listening(300, heard=True)
    assert [r.quantities["people"].quality for r in street.said if r.kind is Kind.CROWD][-1] is Quality.SUSPECT
    street.advance(359)
    assert street.states()[-1] == "unknown"
    street.advance(361)
    assert street.states()[-1] == "left" and street.people()[-1] == 0


def test_midnight_changes_names_and_nobody_has_left():
    street = Street()
    for second in range(0, 20, 2):
        street.hear(second, ANN)
        street.hear(second, BEN, rssi=-89 if second > 4 else -80)  # within the exit margin later
    tomorrow = {"day": "2026-11-24"}
    street.hear(20, "square:00000000000000cc", **tomorrow)
    assert street.states(ANN) == street.states(BEN) == ["present", "unknown"]
    closed = [r for r in street.said if r.facts.get("reason") == "new-day"]
    assert [r.entity for r in closed] == [ANN, BEN] and {r.facts["day"] for r in closed} == {DAY}
    assert street.states("square:00000000000000cc") == ["present"]
    street.hear(30, "square:00000000000000dd", rssi=-89, **tomorrow)
    for second in range(32, 120, 2):
        street.hear(second, "square:00000000000000cc", **tomorrow)
        street.hear(second, "square:00000000000000dd", rssi=-89, **tomorrow)
    assert street.people() == [0, 1, 2, 2, 2]  # said again as suspect, then as certain: never fewer
    assert not any(r.quantities.get("state") == Quantity("left") for r in street.said)


def test_who_leaves_at_midnight_is_counted_no_longer_than_usual():
    street = Street()
    street.hear(1, ANN, frames=3)
    street.hear(1, BEN, frames=3)
    for second in range(2, 100, 2):
        street.hear(second, "square:00000000000000cc", day="2026-11-24")
    assert street.people()[-1] == 1
    assert street.states(BEN) == ["present", "unknown"]


def test_sos_is_told_at_once_even_weak_and_once():
    street = Street()
    street.hear(1, rssi=-99, sos=True, alias="T-008")
    (alert,) = street.alerts()
    assert (alert.cls, alert.entity, alert.facts) == (ReadingClass.ALARM, ANN, {"day": DAY, "alias": "T-008"})
    assert alert.quantities["active"].value is True and alert.quantities["sub_category"].value == "sos"
    assert street.states() == []
    street.hear(3, sos=True)
    street.hear(29, sos=True)
    assert len(street.alerts()) == 1
    street.hear(45, sos=True)
    assert len(street.alerts()) == 2


def test_an_sos_ends_by_itself_only_after_an_hour_and_outlives_midnight():
    street = Street()
    street.hear(1, sos=True)
    street.hear(10, "square:00000000000000cc", day="2026-11-24")
    street.advance(3590)
    assert [a.quantities["active"].value for a in street.alerts()] == [True]
    street.advance(3610)
    assert [a.quantities["active"].value for a in street.alerts()] == [True, False]
    assert street.alerts()[1].entity == ANN


def test_battery_is_told_by_steps_of_five_percent():
    street = Street()
    for second, battery in enumerate((0.90, 0.90, 0.89, 0.86, 0.85, 0.84, 0.80), start=1):
        street.hear(second, frames=3, battery=battery)
    told = [r.quantities["battery"].value for r in street.said if r.kind is Kind.TAG]
    assert told == [0.90, 0.85, 0.80]


def test_heartbeats_repeat_state_and_people():
    street = Street()
    for second in range(0, 650, 5):
        street.hear(second, frames=3)
    states = [r for r in street.said if r.kind is Kind.TAG]
    assert [r.cls for r in states] == [ReadingClass.LIVE, ReadingClass.ROUTINE, ReadingClass.ROUTINE]
    assert street.people() == [0, 1, 1, 1]


def test_a_stay_is_one_passage_with_first_last_strongest_and_how_many():
    street = Street()
    for second, rssi in ((10, -80), (14, -62), (20, -71), (40, -90)):
        street.hear(second, rssi=rssi, frames=2)
    street.advance(200)
    left = [r for r in street.said if r.kind is Kind.TAG][-1]
    assert left.quantities["state"].value == "left"
    told = {name: q.value for name, q in left.quantities.items()}
    ends = left.at.mono_ms / 1000 - 1000
    assert (ends - told["first_ago"], ends - told["last_ago"]) == (10, 40)
    assert (told["frames"], told["rssi"]) == (8, -62)
    entered = next(r for r in street.said if r.kind is Kind.TAG)
    assert set(entered.quantities) == {"state", "last_ago"}  # no series of strengths


def test_an_sos_told_before_a_restart_is_not_told_again_and_ends_in_time():
    street = Street()
    street._feed(Kind.TAG, ANN, {"sos_told_s": Quantity(3000.0, Unit.SECOND)}, {"day": DAY, "alias": "T-008"})
    assert street.alerts() == [] and street.said[-1].kind is Kind.CROWD
    street.advance(599)
    assert street.alerts() == []
    street.advance(602)
    (ended,) = street.alerts()
    assert ended.quantities["active"].value is False and ended.facts == {"day": DAY, "alias": "T-008"}


def test_before_the_source_spoke_the_number_of_people_is_not_claimed():
    rule = Presence(PresenceConfig(), "square")
    assert list(rule.tick(at(1))) == []


def test_sightings_end_here_and_strangers_to_the_rule_pass():
    street = Street()
    street.hear(1, frames=3)
    assert not any("rssi" in r.quantities for r in street.said)
    other = Reading(source="x", kind=Kind.WATER, entity="x", at=at(0), quantities={"level": Quantity(1.0)})
    assert list(street.rule.feed(other)) == [other]


@pytest.mark.parametrize("key", ["enter_dbm", "enter_n", "leave_s", "heartbeat_s", "battery_step"])
def test_values_out_of_range_are_refused(key):
    (problem,) = PresenceConfig(**{key: -1000}).problems()
    assert problem.facts["path"] == key
    assert list(PresenceConfig().problems()) == []


def test_memory_is_bounded():
    street = Street()
    for number in range(3000):
        street.hear(0, f"square:{number:016x}", sos=True)
    assert len(street.rule._tags) <= 2000 and len(street.rule._calls) <= 2000
    assert len(street.alerts()) == 3000


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-127, 20), st.booleans(), st.sampled_from("ab")), max_size=60)
)
@settings(deadline=None, max_examples=60)
def test_every_stay_that_begins_ends_and_people_is_never_negative(steps):
    street = Street()
    for pause, rssi, sos, who in steps:
        street.hear(street.now + pause, f"square:{who}", rssi, sos=sos, frames=2)
    street.advance(street.now + 1000)
    for who in ("square:a", "square:b"):
        states = street.states(who)
        assert states == ["present", "left"] * (len(states) // 2)
    assert street.people()[-1] == 0 and min(street.people()) >= 0


def test_a_simulated_walk_is_told_as_it_was():
    """Radio frames of people walking by, through decoder, windows and rule, against the truth."""
    walk = crowd(3, seconds=300)
    key = b"k" * 16
    lines = [Listed(keyed_hash(list_key(key), tag).hex()) for tag in walk.allow_list]
    windows = TagWindows("square", AllowList(list_key(key), lines), every_s=2.0)
    names = Names(key, "GW")
    entity = {tag: f"square:{names.of_day(1_000_000_000).pseudonym(tag)}" for tag in walk.allow_list}
    street, wrong, checked = Street(), 0, 0
    for frame in walk.frames():
        street.advance(frame.at_s)
        sighting = decode(frame.manufacturer_data, frame.service_data, address=frame.address)
        if sighting:
            windows.note(sighting, frame.rssi, frame.at_s, lambda seconds=frame.at_s: at(seconds))
        for reading in windows.due(frame.at_s, at(frame.at_s, wall_s=1_000_000), names):
            street.said += street.rule.feed(reading)
        for tag, who in entity.items():
            surely_here = (
                frame.at_s > 12 and tag in walk.present(frame.at_s, 14) and tag in walk.present(frame.at_s - 12, 14)
            )
            surely_gone = not any(tag in walk.present(frame.at_s - before, 60) for before in range(0, 75, 5))
            if surely_here or surely_gone:
                checked += 1
                wrong += surely_here != (street.states(who)[-1:] == ["present"])
    assert checked > 500 and wrong == 0
    assert len([a for a in street.alerts() if a.quantities["active"].value]) == 1
