"""What an installer is shown, which tag is held, how a walk is judged: told times, no radio."""

import pytest

from edgeagent.install.tag_survey import Row, Survey, Walk, bar
from edgeagent.sources.allow_list import AllowList, Listed
from edgeagent.sources.pseudonym import keyed_hash, list_key
from edgeagent.wire.beacons import Sighting

OF_LIST = list_key(b"0123456789abcdef")
OURS, OTHER = "line:8adfaf4326", "bthome:c0:de:00:00:00:01"


def survey():
    listed = Listed(keyed_hash(OF_LIST, OURS).hex(), "T-1")
    return Survey(OF_LIST, AllowList(OF_LIST, [listed]))


def test_ours_come_first_then_the_strongest_and_ids_are_not_shown():
    around = survey()
    around.note(Sighting((OTHER,)), -50, 0)
    around.note(Sighting((OURS,)), -80, 1)
    first, second = around.rows(2)
    assert (first.alias, first.listed, first.rssi, first.silent_s, first.format) == ("T-1", True, -80, 1.0, "line")
    assert not second.listed and second.hash == keyed_hash(OF_LIST, OTHER).hex()
    assert "c0:de" not in repr(around.rows(2))
    assert around.rows(60) == [] and around._seen == {}


def test_strangers_are_bounded():
    around = survey()
    for number in range(1000):
        around.note(Sighting((f"line:{number:010x}",)), -60, 0)
    assert len(around.rows(0)) == 200


def hold(around, near, far, *, seconds=5.0):
    now = 0.0
    while now < seconds:
        around.note(Sighting((OTHER,)), near, now)
        if far is not None:
            around.note(Sighting((OURS,)), far, now)
        found = around.held(now)
        if found is not None:
            return now, found.hash
        now += 0.5
    return None


def test_the_held_tag_is_clearly_the_nearest_for_some_seconds():
    at, found = hold(survey(), -40, -70)
    assert 3 <= at <= 3.5 and found == keyed_hash(OF_LIST, OTHER).hex()
    assert hold(survey(), -40, None) is not None
    assert hold(survey(), -40, -44) is None  # two tags in one hand
    assert hold(survey(), -60, None) is None  # lies somewhere in the room


def test_a_tag_that_comes_near_only_for_a_moment_is_not_held():
    around = survey()
    for tick in range(40):
        around.note(Sighting((OTHER,)), -40 if tick % 16 < 8 else -75, tick * 0.25)
        assert around.held(tick * 0.25) is None


def row(rssi, silent_s=0.2):
    return Row("ab" * 16, "line", rssi, 9, listed=False, alias="", silent_s=silent_s)


def test_a_walk_is_told_by_what_was_heard_and_what_was_present():
    walk = Walk()
    for one in (row(-60), row(-80), row(-90), None, row(-70, 3.0), None, row(-84)):
        walk.second(one)
    told = walk.result(5)
    assert (told.seconds, told.heard, told.here) == (7, 0.57, 0.43)
    assert (told.weakest_dbm, told.longest_gap_s, told.wall_ms) == (-90, 3, 5)
    assert Walk().result(0).heard == 0


@pytest.mark.parametrize(("rssi", "full"), [(-20, 10), (-40, 10), (-70, 5), (-100, 0), (-127, 0)])
def test_the_bar(rssi, full):
    assert bar(rssi) == "█" * full + "·" * (10 - full)
