"""`edgeagent outbox` as a person meets it, against a running agent."""

import asyncio
import json
import os

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
        proved = edgeagent("outbox", "prove", "--config", config)
        assert proved.returncode == 0 and "everything was acknowledged" in proved.stdout, proved
        books = json.loads(edgeagent("outbox", "prove", "--json", "--config", config).stdout)
        assert books["complete"] and books["accepted"] >= 0 and books["uplinks"]["file"] == {"waiting": 0, "dead": 0}
        never = edgeagent("outbox", "prove", "--day", "2020-01-01", "--lang", "ja", "--config", config)
        assert never.returncode == 1 and "2020-01-01" in never.stderr and "→" in never.stderr
    finally:
        daemon.stop()
    assert len(out.read_text().splitlines()) == 120


@pytest.mark.slow
def test_what_waits_in_one_box_can_be_carried_to_another(tmp_path):
    away = '[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:9"\n'
    for name in "ab":
        (tmp_path / name).mkdir()
    asyncio.run(stored(tmp_path / "a" / "outbox.db", 130))
    carried, out = tmp_path / "carried.jsonl", tmp_path / "out.jsonl"
    config = config_of(tmp_path / "a", away)
    daemon = Daemon(config)
    try:
        daemon.status(lambda told: told["uplinks"][0]["waiting"] == 130)
        assert edgeagent("outbox", "export", carried, "--config", config).returncode == 0
        no = edgeagent("outbox", "export", tmp_path / "none" / "x", "--config", config)
        assert no.returncode == 1 and "→" in no.stderr
    finally:
        daemon.stop()
    assert len(carried.read_text().splitlines()) == 130
    config = config_of(tmp_path / "b", jsonl(out))
    daemon = Daemon(config)
    try:
        daemon.status(lambda told: told["uplinks"][0]["id"] == "file")
        done = edgeagent("outbox", "import", carried, "--json", "--config", config)
        assert json.loads(done.stdout) == {"taken": 130}
        daemon.status(lambda told: told["uplinks"][0]["acknowledged"] == 130)
        bad = tmp_path / "bad.jsonl"
        bad.write_text("{}\n")
        no = edgeagent("outbox", "import", bad, "--config", config)
        assert no.returncode == 1 and "line 1" in no.stderr.lower()
    finally:
        daemon.stop()
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(one["sequence"] for one in found if one["entity"] == "g0") == list(range(1, 14))


async def stored(path, count):
    outbox = SqliteOutbox(path, FakeClock(), OutboxConfig(), ("city",))
    await outbox.put([water(float(i), source=f"g{i % 10}", facts={"place": "宮川橋  上流"}) for i in range(count)])
    await outbox.close()


@pytest.mark.slow
def test_a_store_without_an_agent_is_read_and_filled(tmp_path):
    """The agent of a box may be what is broken; and a store as root leaves it must be the agent's still."""
    asyncio.run(stored(tmp_path / "outbox.db", 130))
    (tmp_path / "other").mkdir()
    asyncio.run(stored(tmp_path / "other" / "outbox.db", 10))
    if os.geteuid() == 0:
        for file in tmp_path.glob("outbox.db*"):
            os.chown(file, 12345, 12345)
    city = '[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:9"\n'
    config, other = config_of(tmp_path, city), config_of(tmp_path / "other", city)
    stats = json.loads(edgeagent("outbox", "stats", "--json", "--config", config).stdout)
    assert (stats["accepted"], stats["waiting"]) == (130, 130)
    carried = tmp_path / "carried.jsonl"
    assert edgeagent("outbox", "export", carried, "--config", config).returncode == 0
    done = edgeagent("outbox", "import", carried, "--json", "--config", other)
    assert json.loads(done.stdout) == {"taken": 130}
    proved = edgeagent("outbox", "prove", "--json", "--config", other)
    assert proved.returncode == 1 and json.loads(proved.stdout)["uplinks"]["city"]["waiting"] == 140
    edgeagent("outbox", "import", carried, "--config", config)
    owners = {(file.stat().st_uid, file.name) for file in tmp_path.glob("outbox.db*")}
    assert len({uid for uid, _ in owners}) == 1, owners


def test_nobody_answers(tmp_path):
    done = edgeagent("outbox", "dead", "list", "--config", config_of(tmp_path))
    assert done.returncode == 1 and "→" in done.stderr
