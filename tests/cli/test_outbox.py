"""`edgeagent outbox` as a person meets it, against a running agent."""

import asyncio
import json

import pytest

from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from tests.cli.test_verbs import Daemon, config_of, edgeagent, jsonl
from tests.fakes import FakeClock, water


async def refused(path, count):
    outbox = SqliteOutbox(path, FakeClock(), OutboxConfig(), ("file",))
    await outbox.put([water(float(i), source=f"g{i}") for i in range(count)])
    batch = await outbox.lease("file", count)
    await outbox.settle(batch, Delivery(frozenset(), {row.id: "400 bad attribute" for row in batch.rows}))
    await outbox.close()


@pytest.mark.slow
def test_refused_readings_are_listed_exported_and_sent_again(tmp_path):
    asyncio.run(refused(tmp_path / "outbox.db", 120))
    out = tmp_path / "out.jsonl"
    config = config_of(tmp_path, jsonl(out))
    daemon = Daemon(config)
    try:
        daemon.status(lambda told: told["uplinks"][0]["dead"] == 120)
        listed = edgeagent("outbox", "dead", "list", "--config", config)
        assert listed.returncode == 0
        assert "400 bad attribute" in listed.stdout and "water:g119 #1" in listed.stdout and "120" in listed.stdout
        letters = json.loads(edgeagent("outbox", "dead", "list", "--json", "--config", config).stdout)["letters"]
        assert len(letters) == 120 and letters[0]["reading"]["quantities"]["level"][0] == 0.0
        exported = tmp_path / "dead.jsonl"
        assert edgeagent("outbox", "dead", "export", exported, "--config", config).returncode == 0
        assert [json.loads(line) for line in exported.read_text().splitlines()] == letters
        one = edgeagent("outbox", "dead", "retry", str(letters[5]["number"]), "--json", "--config", config)
        assert json.loads(one.stdout) == {"retried": 1}
        rest = edgeagent("outbox", "dead", "retry", "--lang", "ja", "--config", config)
        assert "119 / 119" in rest.stdout and "再送" in rest.stdout
        daemon.status(lambda told: told["uplinks"][0]["acknowledged"] == 120)
        told = edgeagent("outbox", "stats", "--config", config)
        assert "power cut" in told.stdout
        planned = edgeagent("outbox", "plan", "--json", "--config", config)
        assert json.loads(planned.stdout)["free_bytes"] > 0
        assert edgeagent("outbox", "plan", "--lang", "ja", "--config", config).stdout
    finally:
        daemon.stop()
    assert len(out.read_text().splitlines()) == 120


def test_nobody_answers(tmp_path):
    done = edgeagent("outbox", "dead", "list", "--config", config_of(tmp_path))
    assert done.returncode == 1 and "→" in done.stderr
