"""The whole way with real processes: published, polled, tried by the real agent, kept or gone back from."""

import contextlib

import pytest

from edgeagent.clock import SystemClock
from tests.update.gateway import CITY, Field
from tests.update.rig import Unit, cli, until

pytestmark = pytest.mark.slow


@pytest.fixture
def field(tmp_path):
    made = Field(tmp_path, window_s=1.5)
    made.clock.wall_ms = SystemClock().now().wall_ms
    made.city()
    return made


def state(field, wanted, sequence):
    return until(
        lambda: field.record.state in wanted and field.record.current.sequence == sequence and field.record,
        f"{wanted} at {sequence}: {field.record}",
    )


@contextlib.contextmanager
def committed(field):
    """The agent runs the first release."""
    with Unit(field) as unit:
        unit.answers()
        assert cli("update", "poll", "--config", field.config, "--json")["what"] == "staged"
        state(field, ("probation",), 1)
        yield unit


def test_a_good_release_is_tried_and_kept_and_a_bad_one_is_not(field):
    with committed(field) as unit:
        assert unit.starts == 2 and unit.answers()["uplinks"][0]["id"] == "out"
        assert until(lambda: field.out.exists() and field.out.read_text(), "readings arrive")
        told = until(
            lambda: [line for line in field.out.read_text().splitlines() if '"config"' in line], "the city is told"
        )
        assert "probation" in told[-1] or "trial" in told[-1]

        # an uplink that can never acknowledge
        field.city(CITY.format(out=field.folder / "no such folder" / "x.jsonl"))
        cli("update", "poll", "--config", field.config)
        until(lambda: field.record.refused, "it is refused")
        record = state(field, ("idle",), 1)
        assert record.last.code == "update.uplink-silent" and record.last.facts == {"uplink": "out"}
        assert unit.answers()["uplinks"][0]["waiting"] >= 0, "back on the air"
        said = cli("update", "status", "--config", field.config, "--json")
        assert (said["state"], said["applied"], said["reason"]) == ("idle", 1, "update.uplink-silent")
        assert "out acknowledged nothing" in cli("update", "status", "--config", field.config)
        assert cli("update", "poll", "--config", field.config, "--json", code=5)["code"] == "update.quarantined"

        # published again, right: a higher sequence
        field.city(CITY.format(out=field.out).replace("1.5", "3"))
        cli("update", "poll", "--config", field.config)
        state(field, ("probation",), 3)
        assert "Traceback" not in unit.log()


def test_a_release_that_kills_the_agent_is_gone_after_three_starts(field):
    with committed(field) as unit:
        field.config.write_text(field.own.replace("window_s = 1.5", "window_s = 600"))
        field.city(CITY.format(out=field.out).replace("1.5", "2.5"))
        cli("update", "poll", "--config", field.config)
        for left in (2, 1, 0):
            until(
                lambda left=left: field.record.boots_left == left and field.record.state == "trial",
                f"{left} starts left",
            )
            unit.kill()
        record = state(field, ("idle",), 1)
        assert record.last.code == "update.died"
        assert unit.answers()["sources"][0]["state"] == "running"


def test_what_was_down_before_does_not_hold_a_release_back(field):
    field.repo.put("nagano/city.toml", CITY.format(out=field.folder / "gone" / "x.jsonl").encode())
    field.repo.publish(at_once=True)
    field.config.write_text(
        field.own + f'[[uplinks]]\nid = "out"\ndriver = "jsonl"\npath = "{field.folder}/gone/x.jsonl"\n'
    )
    with Unit(field) as unit:
        until(lambda: unit.answers()["uplinks"][0]["state"] == "down", "the link is down")
        cli("update", "poll", "--config", field.config)
        assert state(field, ("probation",), 2).down == ("out",)


def test_memory_beyond_the_limit_goes_back(field):
    field.config.write_text(field.own.replace("window_s = 1.5", "window_s = 600\nmemory_mb = 16"))
    with Unit(field):
        cli("update", "poll", "--config", field.config)
        until(lambda: field.record.last, "the trial ends")
        assert field.record.last.code == "update.memory"
        assert field.record.current.name == ""


def test_explain_says_where_a_value_is_from(field):
    cli("update", "poll", "--config", field.config)
    rows = cli("update", "explain", "sources.box.every_s", "--config", field.config, "--json")["settings"]
    assert [(r["value"], r["layer"], r["over"]) for r in rows] == [(1, "local", [["city", 1.5]])]
    assert "Did you mean sources.box.every_s?" in cli(
        "update", "explain", "sources.box.evry_s", "--config", field.config, code=5
    )
