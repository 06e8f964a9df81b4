"""The power goes at any moment of a gateway's updates: the next start runs the old release or the new one.

strace records what the real code does to the state directory through three releases that are kept and one that
is rolled back; after every operation a disk is built as a cut could have left it, and the gateway starts from it.
Longer with EDGEAGENT_ROUNDS.
"""

import json
from random import Random

import pytest

from edgeagent.daemon.build import read_config
from edgeagent.errors import EdgeAgentError
from edgeagent.security_log import SecurityLog
from edgeagent.update import boot, trial
from edgeagent.update.poll import poll
from edgeagent.update.slots import Slots
from edgeagent.update.trust import _read_floors
from tests.fakes import FakeClock
from tests.faults.verdict import in_ram, rounds
from tests.update.tree import Tree, record

pytestmark = [pytest.mark.slow, pytest.mark.tool("strace")]
POLL_EVERY = 1 if rounds(0, 1) else 8  # starts


class Promised:
    """What the next start has to run, and what may not be forgotten."""

    def __init__(self, ops):
        self._said = [json.loads(line) for op in ops if op.what == "say" for line in op.data.splitlines()]
        self._at = -1

    def hear(self, op):
        self._at += len(op.data.splitlines())

    @property
    def now(self):
        return self._said[self._at]

    @property
    def runs(self):
        """Of the last step that ended, or of the one that was under way."""
        return {one["runs"] for one in self._said[self._at : self._at + 2]}

    @property
    def newest(self):
        return self._said[-1]["runs"]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("life")
    return folder, record(folder / "state", folder / "trace", "tests.update.living", str(folder))


def harm(folder, ops, *, every, seed=1, poll_every=POLL_EVERY):
    """Cut the power after every so many-th operation; what is wrong with the gateway that then starts."""
    tree, promised, luck, found, starts = Tree(), Promised(ops), Random(seed), [], 0
    with in_ram() as ram:
        for at, op in enumerate(ops):
            tree.happens(op)
            if op.what == "say":
                promised.hear(op)
            if promised._at < 0 or (at + seed) % every:
                continue
            place = ram / f"{at}"
            place.mkdir()
            tree.cut(place, luck)
            starts += 1
            box = Box(folder, place, ram / "own.toml")
            broke = [*box.starts(promised), *(box.goes_on(promised) if starts % poll_every == 0 else ())]
            found += [f"{what} (after {at} of {len(ops)}: {op.what} {op.name})" for what in broke]
    return found, starts


class Box:
    """The gateway with what is left of its disk."""

    def __init__(self, folder, state, config):
        self.folder, self.state, self.config, self.clock = folder, state, config, FakeClock()
        self.clock.boot_id = "after the cut"
        self.clock.advance(12 * 3600)
        config.write_text((folder / "config.toml").read_text().replace(str(folder / "state"), str(state)))
        self.floors = _read_floors(state / "update/floors.json")

    def starts(self, promised):
        plan = boot.plan(self.config, self.clock, lambda path: read_config(path)[1])
        made, problems = read_config(plan.config)
        if made is None:
            yield f"does not start: {problems[0]}"
        if plan.why_not:
            yield f"a release was there and could not run: {plan.why_not}"
        if plan.release not in promised.runs:
            yield f"runs {plan.release[:8] or 'its own file'}, not one of {sorted(promised.runs)}"
        record = Slots(self.state / "update").record()
        if not set(promised.now["refused"]) <= {one.release.name for one in record.refused}:
            yield "forgot what was refused"
        for role, version in promised.now["floors"].items():
            floor = self.floors.roles.get(role)
            if floor is None or floor.version < version:
                yield f"forgot the floor of {role}: {floor} < {version}"
        numbers = [event.n for event in SecurityLog(self.state, self.clock).events()]
        if numbers != sorted(set(numbers)):
            yield f"numbers of the security log: {numbers}"

    def goes_on(self, promised):
        """A trial under way ends well, so does the next poll, and the newest release runs after it."""
        slots = Slots(self.state / "update")
        if slots.record().state == "trial":
            slots.write(trial.commit(slots.record(), 1))
        try:
            note = poll(self.config, clock=self.clock, check=lambda path: read_config(path)[1])
        except EdgeAgentError as error:
            yield f"the next poll: {error}"
            return
        plan = boot.plan(self.config, self.clock, lambda path: read_config(path)[1])
        if plan.release != promised.newest or plan.why_not:
            yield f"after the next poll ({note.what}): {plan.release[:8]}, {plan.why_not}"


def test_what_was_recorded_is_the_whole_story(lived):
    _, ops = lived
    said = [json.loads(op.data) for op in ops if op.what == "say"]
    assert [one["step"] for one in said] == [
        "new",
        *("polled", "started", "kept", "ended") * 2,
        "polled",
        "started",
        "back",
        "ended",
        "polled",
        "started",
        "kept",
        "ended",
    ]
    names = {op.name.partition("/")[2].split("/")[0] for op in ops if op.name.startswith("update/")}
    assert {"record.json.new", "floors.json.new", "metadata", "targets", "slots"} <= names, names
    assert sum(op.what == "sync" for op in ops) > 100


def test_a_power_cut_at_any_moment(lived):
    folder, ops = lived
    for seed in range(rounds(1, 20)):
        found, starts = harm(folder, ops, every=1, seed=seed)
        assert not found, "\n".join(found[:20])
        assert starts > 300


@pytest.mark.parametrize("fault", ["no-folder-sync", "record-first"])
def test_a_gateway_that_syncs_too_little_is_seen(tmp_path, fault):
    ops = record(tmp_path / "state", tmp_path / "trace", "tests.update.living", str(tmp_path), fault)
    found, _ = harm(tmp_path, ops, every=4, poll_every=10**9)
    assert any("forgot" in what or "runs" in what for what in found), found
