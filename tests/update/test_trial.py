"""The state machine: what is kept, what is gone back from, and that nothing is kept by silence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeagent.errors import UpdateRefused
from edgeagent.update import trial
from edgeagent.update.trial import BOOTS, CRASHES, PROBATION_S, Evidence, Record, Release

OLD, NEW, NEXT = Release("old", 4), Release("new", 5), Release("next", 6)
BASE = Record(current=OLD)


def started(record, end="clean", boot="b1"):
    return trial.start(record, boot_id=boot, end=end, wall_ms=1)


def on_trial(**more):
    return started(trial.stage(BASE, NEW, **more))


def seen(*, elapsed_s=600, memory_mb=50, sources=None, uplinks=None):
    return Evidence(elapsed_s, sources or {"a": True, "b": True}, uplinks or {"u": True}, memory_mb)


def judged(record, evidence):
    return trial.judge(record, evidence, window_s=600, memory_mb=400)


def test_staged_runs_at_the_next_start_not_before():
    staged = trial.stage(BASE, NEW)
    assert staged.state == "staged" and staged.current == OLD
    assert on_trial().runs == NEW and on_trial().boots_left == BOOTS - 1


@pytest.mark.parametrize(
    ("before", "evidence", "verdict"),
    [
        ({}, seen(elapsed_s=599), None),
        ({}, seen(), ""),
        ({}, seen(sources={"a": True, "b": False}), "update.source-silent"),
        ({"failing": ("b",)}, seen(sources={"a": True, "b": False}), ""),
        ({"failing": ("b",)}, seen(sources={"a": False, "b": False}), "update.source-silent"),
        ({}, seen(uplinks={"u": False}), "update.uplink-silent"),
        ({"down": ("u",)}, seen(uplinks={"u": False}), ""),
        ({"down": ("u",)}, seen(uplinks={"u": False, "v": False}), "update.uplink-silent"),
        ({}, seen(elapsed_s=3, memory_mb=401), "update.memory"),
        ({}, seen(sources={"a": False}, elapsed_s=10), None),
    ],
)
def test_judgement(before, evidence, verdict):
    found = judged(on_trial(**before), evidence)
    assert (found is None) if verdict is None else (found.code == verdict and found.keep == (verdict == ""))


def test_commit_then_a_day_of_probation():
    record = trial.commit(on_trial(), 2)
    assert (record.state, record.current, record.previous, record.last.what) == ("probation", NEW, OLD, "committed")
    record = trial.steady(record, PROBATION_S - 1)
    assert record.state == "probation"
    assert trial.steady(record, 1).state == "idle"


def test_three_starts_without_an_end_go_back_and_say_why():
    record = trial.stage(BASE, NEW)
    for _ in range(BOOTS):
        record = started(record, "power")
        assert record.runs == NEW
    record = started(record, "power")
    assert record.runs == OLD and record.last.code == "update.died" and record.refused[0].release == NEW


def test_one_watchdog_restart_in_the_trial_is_enough():
    record = started(on_trial(), "watchdog")
    assert record.runs == OLD and record.last.code == "update.watchdog"


@pytest.mark.parametrize("end", ["died", "watchdog"])
def test_a_crash_loop_in_the_first_day_goes_back_once_more(end):
    record = trial.commit(on_trial(), 2)
    for n in range(CRASHES):
        assert record.runs == NEW, n
        record = trial.steady(started(record, end), 3600)
    assert record.runs == OLD and record.last.code == "update.crash-loop"
    for _ in range(9):
        record = started(record, end)
    assert record.runs == OLD, "and no further back"


def test_power_cuts_and_restarts_in_the_first_day_do_not_count():
    record = trial.commit(on_trial(), 2)
    for end in ("power", "clean") * 9:
        record = started(record, end)
    assert record.runs == NEW


@pytest.mark.parametrize(
    ("running", "boot", "watchdog", "end"),
    [
        (False, "b1", False, "clean"),
        (True, "b2", False, "power"),
        (True, "b1", True, "watchdog"),
        (True, "b1", False, "died"),
        (True, "b2", True, "power"),
    ],
)
def test_how_a_run_ended(running, boot, watchdog, end):
    record = Record(running=running, boot_id="b1")
    assert record.ended(boot, by_watchdog=watchdog) == end


def test_quarantine_until_a_higher_sequence():
    record = trial.roll_back(on_trial(), "update.source-silent", {"source": "a"}, 3)
    with pytest.raises(UpdateRefused) as caught:
        trial.stage(record, NEW)
    assert caught.value.code == "update.quarantined"
    assert trial.stage(record, Release("new", 6)).state == "staged"
    assert trial.stage(record, Release("another", 5)).state == "staged"


def test_no_lower_sequence_and_one_trial_at_a_time():
    for lower in (Release("x", 3), Release("old", 3)):
        with pytest.raises(UpdateRefused) as caught:
            trial.stage(BASE, lower)
        assert caught.value.code == "update.lower-sequence"
    with pytest.raises(UpdateRefused) as caught:
        trial.stage(on_trial(), NEXT)
    assert caught.value.code == "update.busy"
    assert trial.stage(trial.stage(BASE, NEW), NEXT).candidate == NEXT, "not started yet: the newer one"


def test_the_first_release_goes_back_to_the_gateways_own_file():
    record = trial.roll_back(started(trial.stage(Record(), NEW)), "update.died", {}, 1)
    assert record.runs == Release()


class Life(RuleBasedStateMachine):
    """Anything may happen in any order: what runs was committed, or is the one on trial."""

    def __init__(self):
        super().__init__()
        self.record, self.committed, self.sequence, self.starts = Record(), {Release()}, 0, 0

    @rule(name=st.sampled_from("abc"), higher=st.integers(-1, 2))
    def publish(self, name, higher):
        release = Release(name, max(self.record.current.sequence + higher, 0))
        try:
            self.record = trial.stage(self.record, release)
        except UpdateRefused:
            return
        self.starts = 0
        refused = {r.release.name: r.release.sequence for r in self.record.refused}
        assert release.sequence > refused.get(name, -1), "what was refused needs a higher number"

    @rule(end=st.sampled_from(["clean", "power", "watchdog", "died"]))
    def start(self, end):
        self.record = trial.start(self.record, boot_id="b", end=end, wall_ms=0)
        self.starts += self.record.state == "trial"
        assert self.starts <= BOOTS, "a trial has three starts"

    @rule(good=st.booleans(), elapsed_s=st.sampled_from([1, 600]))
    def look(self, good, elapsed_s):
        if self.record.state != "trial":
            return
        found = judged(self.record, seen(elapsed_s=elapsed_s, sources={"a": good}))
        if found is None:
            assert elapsed_s < 600, "silence is not waited for for ever"
        elif found.keep:
            assert good
            self.record = trial.commit(self.record, 0)
            self.committed.add(self.record.current)
        else:
            self.record = trial.roll_back(self.record, found.code, found.facts, 0)
        self.starts = 0 if self.record.state != "trial" else self.starts

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours):
        self.record = trial.steady(self.record, hours * 3600)

    @precondition(lambda self: self.record.state == "idle")
    @rule()
    def commit_out_of_place(self):
        assert trial.commit(self.record, 0) == self.record

    @invariant()
    def only_what_was_committed_is_trusted(self):
        assert self.record.current in self.committed
        if self.record.state not in ("staged", "trial"):
            assert self.record.runs == self.record.current and self.record.candidate is None
        assert len(self.record.refused) <= 8


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_judging_depends_on_nothing_but_its_arguments(elapsed_s, memory_mb):
    evidence = seen(elapsed_s=elapsed_s, memory_mb=memory_mb)
    assert judged(on_trial(), evidence) == judged(on_trial(), evidence)
