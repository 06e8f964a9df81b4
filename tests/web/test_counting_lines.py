"""Lines drawn on the page -> the gateway's own file: these lines change, and nothing else does."""

import os
import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.cli.web_offers import _save, offers
from edgeagent.clock import SystemClock
from edgeagent.config import load
from edgeagent.daemon.build import catalogue
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install.counting_lines import put, rewritten
from edgeagent.web.offers import Drawn

HEAD = '[gateway]\nid = "GW-1"\n\n'
ROAD = '[[sources]]\nid = "road"\ndriver = "traffic-camera"\ncamera = "clip.mp4"\n'
LINES = 'lines = [ { id = "a", from = [0, 10], to = [100, 10], forward = "down" } ]\n'
NEW = [{"id": "north", "from": (4.0, 30.5), "to": (60.0, 30.0), "forward": "up"}]
PLAIN = [{"id": "north", "from": [4, 30.5], "to": [60, 30], "forward": "up"}]

SPELLINGS = {
    "one line": LINES,
    "many lines": 'lines = [\n  { id = "a", from = [0, 10], to = [100, 10], forward = "down" },\n]\n',
    "points on lines of their own": 'lines = [ { id = "a", from = [\n[0, 10][0],\n10 ], to = [100, 10], forward = "down" } ]\n'.replace("[0, 10][0]", "0"),
    "brackets in strings and comments": 'lines = [ # not ] here\n { id = "]a[", from = [0, 10], to = [100, 10], forward = "down" }, # nor ]\n]\n',
    "none": "",
    "odd blanks": '  lines=[{id="a",from=[0,10],to=[100,10],forward="down"}]  # measured 2026-10-01\n',
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(
    "behind", ["", 'window_s = 60 # a minute\n\n[[uplinks]]\nid = "u"\ndriver = "jsonl"\npath = "-"\n']
)
def test_only_these_lines_change(tmp_path, spelling, behind):
    before = f'# Miyagawa\n{HEAD}[[sources]]\nid = "h"\ndriver = "host" # the box\n\n{ROAD}{spelling}{behind}'
    after = rewritten(before, "road", NEW, tmp_path / "c.toml")
    old, new = tomllib.loads(before), tomllib.loads(after)
    assert new["sources"][1].pop("lines") == PLAIN
    old["sources"][1].pop("lines", None)
    assert new == old
    for kept in (
        "# Miyagawa",
        "# the box",
        *(["# a minute"] if behind else []),
        *(["# measured"] if "measured" in spelling else []),
    ):
        assert kept in after


def test_the_right_camera_of_several(tmp_path):
    before = (
        HEAD + ROAD + LINES + ROAD.replace('"road"', '"second"') + LINES + ROAD.replace('"road"', '"third"') + LINES
    )
    new = tomllib.loads(rewritten(before, "second", NEW, tmp_path / "c.toml"))
    assert [one["lines"][0]["id"] for one in new["sources"]] == ["a", "north", "a"]


def test_a_camera_that_the_city_configures_gets_a_section_with_its_lines_alone(tmp_path):
    new = tomllib.loads(rewritten(HEAD, "road", NEW, tmp_path / "c.toml"))
    assert new["sources"] == [{"id": "road", "lines": PLAIN}]


@pytest.mark.parametrize(
    "text",
    [
        'sources = [ { id = "road", driver = "traffic-camera", camera = "c.mp4" } ]\n' + HEAD,
        HEAD + ROAD + '[[sources.lines]]\nid = "a"\nfrom = [0, 10]\nto = [100, 10]\nforward = "down"\n',
        HEAD + ROAD + 'name = """\n[[sources]]\n"""\n' + LINES,
        HEAD + "this is no toml",
    ],
    ids=["sources in one value", "lines as tables", "a header in a string", "no toml"],
)
def test_what_cannot_be_changed_for_sure_is_left_alone(tmp_path, text):
    with pytest.raises(EdgeAgentError) as caught:
        rewritten(text, "road", NEW, tmp_path / "c.toml")
    assert caught.value.code == "web.lines-elsewhere"


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    x=st.floats(-1e6, 1e6),
    comment=st.text("][#\"'x", max_size=10),
)
def test_whatever_it_is_called_the_rest_of_the_file_stays(name, x, comment):
    before = f"{HEAD}{ROAD}lines = [ # {comment}\n]\nwindow_s = 30\n"
    after = rewritten(before, "road", [{"id": name, "from": (x, 0.5), "to": (1.0, 2.0), "forward": "up"}], "f")
    made = tomllib.loads(after)["sources"][0]
    assert made["lines"] == [{"id": name, "from": [x, 0.5], "to": [1, 2], "forward": "up"}]
    assert made["window_s"] == 30


def judge(data):
    return load(data, catalogue())[1]


@pytest.fixture
def file(tmp_path):
    one = tmp_path / "config.toml"
    one.write_text(HEAD + ROAD + LINES)
    one.chmod(0o640)
    return one


def test_it_is_written_whole_with_its_mode_and_the_one_before_kept(file):
    before = file.read_text()
    put(file, "road", NEW, judge)
    assert tomllib.loads(file.read_text())["sources"][0]["lines"] == PLAIN
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.with_name("config.toml.bak").read_text() == before
    assert sorted(p.name for p in file.parent.iterdir()) == ["config.toml", "config.toml.bak"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"id": "x", "from": (1, 1), "to": (1, 2), "forward": "down"}, "camera.line-short"),
        ({"id": "x", "from": (1, 1), "to": (90, 1), "forward": "left"}, "camera.line-forward"),
        ({"id": "a:b", "from": (1, 1), "to": (90, 1), "forward": "up"}, "camera.line-id"),
    ],
)
def test_the_checks_are_those_of_the_agent_and_nothing_is_written(file, line, code):
    before = file.read_text()
    with pytest.raises(ConfigError) as caught:
        put(file, "road", [line], judge)
    assert caught.value.code == code
    with pytest.raises(ConfigError):
        put(file, "road", [], judge)  # a camera needs a line
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_said(file, monkeypatch):
    before = file.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgeAgentError) as caught:
        put(file, "road", NEW, judge)
    assert (caught.value.code, caught.value.facts["why"]) == ("web.cannot-save", "No space left on device")
    assert file.read_text() == before


def test_the_verb_saves_into_the_file_it_was_given(file):
    made = offers(file, SystemClock(), lambda *_, **__: None)
    assert [(c.id, c.lines[0].id) for c in made.cameras()] == [("road", "a")]
    made.save("road", [Drawn(id="north", start=(4.0, 30.5), end=(60.0, 30.0), forward="up")])
    assert [(c.id, c.lines[0].id) for c in made.cameras()] == [("road", "north")]


def test_lines_of_a_camera_from_the_air_are_checked_with_what_the_air_says(tmp_path, monkeypatch):
    """The own file alone would be no config: driver and camera come from a published layer."""
    from edgeagent.update import layers  # noqa: PLC0415

    own = tmp_path / "config.toml"
    own.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n[update]\nurl = "https://c.example/"\ncity = "nagano"\n'
    )
    city = layers.parse((ROAD + LINES).encode(), name="city", path="nagano/city.toml", sequence=1)
    folder = tmp_path / "update"
    folder.mkdir()
    from edgeagent.update.slots import Slots  # noqa: PLC0415
    from edgeagent.update.trial import Record, Release  # noqa: PLC0415

    class Held(Record):
        @property
        def runs(self):
            return Release("a" * 64, 1)

    monkeypatch.setattr(Slots, "record", lambda _: Held())
    monkeypatch.setattr(Slots, "layers", lambda *_: [city])
    made = offers(own, SystemClock(), lambda *_, **__: None)
    assert [c.lines[0].id for c in made.cameras()] == ["a"]
    _save(own, "road", [Drawn(id="north", start=(4.0, 30.5), end=(60.0, 30.0), forward="up")])
    assert tomllib.loads(own.read_text())["sources"] == [{"id": "road", "lines": PLAIN}]
    assert [c.lines[0].id for c in made.cameras()] == ["north"]
    with pytest.raises(ConfigError):
        _save(own, "road", [Drawn(id="bad one", start=(4.0, 30.5), end=(60.0, 30.0), forward="up")])
