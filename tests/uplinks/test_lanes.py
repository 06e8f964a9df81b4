"""The order in which rows go out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.ports import Row
from edgeagent.reading import Moment, TimeTrust
from edgeagent.uplinks.lanes import Marks, compare, in_order, plan, replay
from tests.fakes import water

SYNCED, UNSYNCED = TimeTrust.SYNCED, TimeTrust.UNSYNCED


def row(number, *, wall=None, mono=None, boot="b1", trust=SYNCED, source="m", sequence=None):
    wall = number * 1000 if wall is None else wall
    at = Moment(wall, number * 1000 if mono is None else mono, boot, trust)
    return Row(number, water(source=source, at=at, sequence=number if sequence is None else sequence))


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (row(1), row(2)),
        (row(1, wall=9_000), row(2, wall=5_000)),  # the wall clock was set back within a boot
        (row(1, boot="b1", mono=9_000), row(2, boot="b2", mono=100)),  # a new boot begins at zero
        (row(1, wall=9_000_000, boot="b1", trust=UNSYNCED), row(2, wall=5_000, boot="b2")),  # a clock without battery
        (row(1, wall=9_000, boot="b1"), row(2, wall=0, boot="b2", trust=UNSYNCED)),
        (row(1, wall=1000, mono=0), row(2, wall=2000, mono=0)),
        (row(1, wall=1000, mono=0, sequence=4), row(2, wall=1000, mono=0, sequence=5)),
    ],
)
def test_newer_is_not_the_wall_clock_alone(older, newer):
    assert compare(older.reading, newer.reading) < 0 < compare(newer.reading, older.reading)
    assert compare(older.reading, older.reading) == 0
    assert list(in_order([newer, older])) == [older, newer]


def ids(rounds):
    return [[r.id for r in one] for one in rounds]


def test_a_round_holds_a_stream_once():
    rows = [row(1), row(2, source="n"), row(3), row(4)]
    assert ids(plan(rows, Marks(), "replay-ending-on-newest").rounds) == [[1, 2], [3], [4]]


def test_the_newest_goes_live_and_the_rest_to_history():
    made = plan([row(1), row(2, source="n"), row(3)], Marks(), "temporal")
    assert ids(made.rounds) == [[3, 2]]
    assert {s: [r.id for r in late] for s, late in made.history.items()} == {"water:m": [1]}
    assert made.unsent == []
    made = plan([row(1), row(2, source="n"), row(3)], Marks(), "drop")
    assert ids(made.rounds) == [[3, 2]] and [r.id for r in made.unsent] == [1]


def test_late_rows_never_go_live_where_there_is_history():
    marks = Marks({"water:m": row(5)})
    made = plan([row(1), row(2)], marks, "temporal")
    assert made.rounds == [] and [r.id for r in made.history["water:m"]] == [1, 2]
    made = plan([row(1), row(2)], marks, "drop")
    assert made.rounds == [] and [r.id for r in made.unsent] == [1, 2]


def test_a_replay_of_late_rows_ends_on_the_mark():
    marks = Marks({"water:m": row(5)})
    assert ids(replay([row(2), row(1)], marks)) == [[1, 2, 5]]
    assert ids(replay([row(2), row(6)], marks)) == [[2, 6]]


@pytest.mark.parametrize("history", ["replay-ending-on-newest", "temporal", "drop"])
def test_a_state_left_on_an_older_row_is_mended_first(history):
    marks = Marks({"water:m": row(5)})
    marks.written(row(3))
    assert marks.regressed == {"water:m"}
    assert ids(plan([row(7, source="n")], marks, history).rounds) == [[5, 7]]
    marks.written(row(5))
    assert not marks.regressed
    assert ids(plan([row(7, source="n")], marks, history).rounds) == [[7]]


def test_only_marks_with_older_rows_behind_them_must_outlive_a_restart():
    marks = Marks()
    for one in (row(5), row(6, source="n")):
        marks.written(one)
    assert set(marks.late([row(3), row(9, source="n")])) == {"water:m"}
    assert marks.late([]) == {}


def test_marks_are_bounded():
    marks = Marks()
    for number in range(5000):
        marks.written(row(number, source=f"s{number}"))
    assert marks.newest("water:s0") is None and marks.newest("water:s4999") is not None


rows_of = st.lists(st.tuples(st.integers(1, 30), st.sampled_from("mn")), max_size=20, unique=True)


@given(rows_of, st.integers(0, 30), st.sampled_from(["replay-ending-on-newest", "temporal", "drop"]))
def test_every_row_goes_somewhere_once_and_the_newest_last(pairs, mark, history):
    rows = [row(n, source=s, wall=n * 1000) for n, s in pairs]
    rows = [Row(index + 100, r.reading) for index, r in enumerate(rows)]
    marks = Marks({"water:m": row(mark)} if mark else {})
    made = plan(rows, marks, history)
    sent = [*itertools.chain(*made.rounds), *itertools.chain(*made.history.values()), *made.unsent]
    assert sorted(r.id for r in sent if r.id >= 100) == sorted(r.id for r in rows)
    state = {"water:m": row(mark)} if mark else {}
    for one in itertools.chain(*made.rounds):
        state[one.reading.stream] = one
    for r in (*rows, *marks._newest.values()):
        assert compare(state[r.reading.stream].reading, r.reading) >= 0
