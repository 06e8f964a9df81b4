"""One line per reading; whole or not there."""

import json
import os

import pytest

from edgeagent import messages
from edgeagent.errors import UplinkUnavailable
from edgeagent.ports import Row
from edgeagent.uplinks.jsonl import JsonLines, JsonLinesConfig
from tests.fakes import surroundings, water


def uplink(tmp_path, **config):
    return JsonLines.make(JsonLinesConfig(id="out", driver="jsonl", **config), surroundings(tmp_path))


def rows(*numbers):
    return [Row(n, water(n / 10, sequence=n)) for n in numbers]


@pytest.mark.parametrize("fsync", [False, True])
async def test_lines_are_appended(tmp_path, fsync):
    out = uplink(tmp_path, path="out.jsonl", fsync=fsync)
    assert (await out.deliver(rows(1, 2))).accepted == {1, 2}
    assert (await out.deliver(rows(3))).accepted == {3}
    await out.close()
    lines = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["sequence"] for one in lines] == [1, 2, 3]
    assert lines[0]["quantities"] == {"level": {"value": 0.1, "unit": "MTR", "quality": "good"}}
    assert lines[0]["at"]["wall_ms"] == 1_795_000_000_000


async def test_stdout(tmp_path, capfdbinary):
    out = uplink(tmp_path)
    await out.deliver(rows(1))
    await out.close()
    assert json.loads(capfdbinary.readouterr().out)["sequence"] == 1


async def test_a_line_that_a_power_cut_left_unended_spoils_nothing(tmp_path):
    (tmp_path / "out.jsonl").write_text('{"sequence":1')
    out = uplink(tmp_path, path="out.jsonl")
    await out.deliver(rows(2))
    await out.close()
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["sequence"] == 2


async def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    out = uplink(tmp_path, path="out.jsonl")
    await out.deliver(rows(1))
    real, room = os.write, [30]

    def write(file, data):
        if not room:
            raise OSError(28, "No space left on device")
        return real(file, data[: room.pop()])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(UplinkUnavailable) as caught:
        await out.deliver(rows(2))
    monkeypatch.undo()
    assert "No space left" in messages.text(caught.value.code, caught.value.facts).what
    assert (await out.deliver(rows(2))).accepted == {2}
    await out.close()
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(one)["sequence"] for one in lines] == [1, 2]


async def test_a_folder_that_is_not_there(tmp_path):
    out = uplink(tmp_path, path="nowhere/out.jsonl")
    with pytest.raises(UplinkUnavailable) as caught:
        await out.deliver(rows(1))
    assert caught.value.code == "uplinks.file"
    await out.close()
