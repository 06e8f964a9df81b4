"""The trial seen from inside the agent, on a fake clock."""

import pytest

from edgeagent.daemon.health import Health, SourceHealth, UplinkHealth
from edgeagent.daemon.keeper import Keeper, memory_mb
from edgeagent.daemon.opening import NOTHING
from edgeagent.ngsi.entities import entity
from edgeagent.ports import Site
from edgeagent.reading import Kind, Quality, Quantity, Reading, Unit
from edgeagent.security_log import SecurityLog
from edgeagent.update import trial
from edgeagent.update.section import UpdateSection
from edgeagent.update.slots import Slots
from edgeagent.update.trial import Record, Release
from tests.fakes import FakeClock, water

OLD, NEW = Release("old", 1), Release("new", 2)


class Agent:
    """A keeper with its surroundings."""

    def __init__(self, tmp_path, record, *, memory=50.0, slowest_s=0.0):
        self.clock, self.ended, self.told = FakeClock(), 0, []
        self.slots = Slots(tmp_path / "update")
        self.slots.write(record)
        self.health = Health({"a": SourceHealth("a", "x")}, {"u": UplinkHealth("u", "x")})
        self.keeper = Keeper(
            tmp_path / "update",
            UpdateSection(url="x", city="c", window_s=600),
            gateway="GW-1",
            health=self.health,
            stats=self.stats,
            emit=self.emit,
            clock=self.clock,
            end=self.end,
            memory=lambda: memory,
            slowest_s=slowest_s,
        )
        self.log = SecurityLog(tmp_path, self.clock)

    async def stats(self):
        return NOTHING

    async def emit(self, reading):
        self.told.append(reading)

    def end(self):
        self.ended += 1

    async def run(self, seconds):
        for _ in range(int(seconds // 60)):
            self.clock.advance(60)
            await self.keeper.look()

    def well(self):
        self.health.sources["a"].proved([water(source="a")], water(source="a"))
        self.health.uplinks["u"].delivered(self.clock.now(), 1)

    @property
    def record(self):
        return self.slots.record()


def on_trial():
    return trial.start(trial.stage(Record(current=OLD), NEW), boot_id="b", end="clean", wall_ms=0)


async def test_all_well_for_the_window_is_kept(tmp_path):
    agent = Agent(tmp_path, on_trial())
    agent.well()
    await agent.run(540)
    assert agent.record.state == "trial" and not agent.ended
    await agent.run(60)
    assert (agent.record.state, agent.record.current) == ("probation", NEW) and not agent.ended
    assert [e.event for e in agent.log.events()] == ["config-committed"]


async def test_a_silent_source_goes_back_and_the_agent_ends(tmp_path):
    agent = Agent(tmp_path, on_trial())
    agent.health.uplinks["u"].delivered(agent.clock.now(), 1)
    await agent.run(600)
    assert agent.record.current == OLD and agent.ended == 1
    assert agent.record.last.facts == {"source": "a"}
    assert [e.event for e in agent.log.events()] == ["config-rolled-back"]


async def test_a_slow_gauge_has_time_to_speak(tmp_path):
    agent = Agent(tmp_path, on_trial(), slowest_s=600)
    agent.health.uplinks["u"].delivered(agent.clock.now(), 1)
    await agent.run(1440)
    assert agent.record.state == "trial"
    agent.well()
    await agent.run(120)
    assert agent.record.state == "probation"


def test_tags_are_valid_when_they_could_be_heard():
    seen = SourceHealth("tags", "ble-tags")
    at = FakeClock().now()
    for listening in (False, True):
        quantities = {"people": Quantity(0), "listening": Quantity(listening)}
        seen.saw(Reading(source="tags", kind=Kind.CROWD, entity="tags", at=at, quantities=quantities))
        assert bool(seen.valid) is listening


async def test_a_day_of_running_ends_the_probation(tmp_path):
    agent = Agent(tmp_path, trial.commit(on_trial(), 0))
    agent.well()
    await agent.run(23 * 3600)
    assert agent.record.state == "probation"
    await agent.run(2 * 3600)
    assert agent.record.state == "idle" and agent.record.current == NEW


async def test_what_is_staged_meanwhile_ends_the_agent(tmp_path):
    agent = Agent(tmp_path, Record(current=OLD))
    await agent.run(60)
    assert not agent.ended
    agent.slots.write(trial.stage(agent.record, NEW))
    await agent.run(60)
    assert agent.ended == 1


async def test_on_a_card_that_takes_nothing_it_does_not_end_over_and_over(tmp_path, monkeypatch):
    agent = Agent(tmp_path, trial.stage(Record(current=OLD), NEW))

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("edgeagent.update.durable.write", read_only)
    await agent.run(600)
    assert agent.ended == 0


async def test_the_city_is_told_of_changes_and_once_an_hour(tmp_path):
    agent = Agent(tmp_path, on_trial())
    agent.well()
    await agent.run(540)
    assert len(agent.told) == 1
    await agent.run(60)
    assert [r.facts["config_state"] for r in agent.told] == ["trial", "probation"]
    await agent.run(3 * 3600)
    assert 4 <= len(agent.told) <= 6
    made = entity(agent.told[-1], Site("GW-1"))
    assert made.id == "urn:ngsi-ld:Device:GW-1:config"
    assert {n: made.attributes[n].value for n in ("configApplied", "configState", "configReason", "quality")} == {
        "configApplied": 2,
        "configState": "probation",
        "configReason": "none",
        "quality": "good",
    }
    assert "softwareVersion" in made.attributes


async def test_a_jump_of_the_clock_is_noted(tmp_path):
    agent = Agent(tmp_path, Record())
    await agent.run(120)
    agent.clock.wall_ms += 3_600_000
    await agent.run(60)
    agent.clock.wall_ms += 1000  # what NTP does all day
    await agent.run(60)
    assert [(e.event, e.facts) for e in agent.log.events()] == [("clock-step", {"by_s": "3600.0"})]


def quality(of):
    return Reading(
        source="a",
        kind=Kind.WATER,
        entity="a",
        at=FakeClock().now(),
        quantities={"level": Quantity(1.0, Unit.METRE, of)},
    )


@pytest.mark.parametrize(
    ("made", "raw", "valid"),
    [
        ([quality(Quality.GOOD)], water(source="a"), True),
        ([quality(Quality.SUSPECT)], water(source="a"), True),
        ([quality(Quality.FAIL)], water(source="a"), False),  # the rules do not believe it
        ([], water(source="a"), True),  # kept back by a window: the raw value counts
        ([], water(source="a", level=None), False),
        ([water(source="a", level=None)], water(source="a", level=None), False),
    ],
)
def test_what_a_valid_value_is(made, raw, valid):
    raw = raw if raw.quantities["level"].value is not None else quality_missing()
    made = [quality_missing() if m.quantities["level"].value is None else m for m in made]
    seen = SourceHealth("a", "x")
    seen.proved(made, raw)
    assert bool(seen.valid) is valid and seen.well(raw.at.mono_ms + 1000) is valid


def quality_missing():
    return Reading(
        source="a",
        kind=Kind.WATER,
        entity="a",
        at=FakeClock().now(),
        quantities={"level": Quantity.missing(Unit.METRE)},
    )


def test_memory_counts_children():
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    alone = memory_mb()
    child = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(60_000_000); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        assert 50 < memory_mb() - alone < 120
    finally:
        child.communicate(b"\n", 10)
