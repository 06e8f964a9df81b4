"""What `edgeagent check` says: every mistake at once, each with path, expectation and near miss."""

import msgspec
import pytest

from edgeagent.config import Catalogue, load, read_toml
from edgeagent.errors import ConfigError
from edgeagent.ports import SourceConfig, UplinkConfig


class Line(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    start: tuple[int, int] = msgspec.field(name="from")


class Gauge(SourceConfig, frozen=True, kw_only=True):
    port: str | None = None
    host: str | None = None
    every_s: float = 10.0
    lines: tuple[Line, ...] = ()

    def problems(self):
        if bool(self.port) == bool(self.host):
            yield ConfigError("config.missing", path="port", expected="port | host")


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    levels_m: dict[str, float]


class City(UplinkConfig, frozen=True, kw_only=True):
    url: str


class Store(msgspec.Struct, frozen=True, kw_only=True):
    max_bytes: int = 10


def known(name, wanted, kind):
    if name != wanted:
        raise ConfigError("config.not-a-choice", got=name, choices=wanted)
    return kind


CATALOGUE = Catalogue(
    source=lambda name: (known(name, "gauge", Gauge), ("alarm",)),
    rule=lambda name: Alarm,
    uplink=lambda name: known(name, "city", City),
    outbox=Store,
)
GOOD = {
    "gateway": {"id": "GW-1", "location": [138.2, 36.6]},
    "sources": [{"id": "a", "driver": "gauge", "port": "/dev/x", "alarm": {"levels_m": {"danger": 2}}}],
    "uplinks": [{"id": "c", "driver": "city", "url": "http://127.0.0.1/"}],
}


def test_good_config_is_typed():
    config, problems = load(GOOD, CATALOGUE)
    assert problems == []
    assert config.gateway.location == (138.2, 36.6)
    assert config.sources[0].config.every_s == 10.0
    assert config.sources[0].rules["alarm"].levels_m == {"danger": 2.0}


BAD = [
    ({"gatway": {}}, "gatway", "config.misspelt-key", "gateway"),
    ({"gateway": {"id": "GW-1", "sate_dir": "/x"}}, "gateway.sate_dir", "config.misspelt-key", "state_dir"),
    ({"gateway": {}}, "gateway.id", "config.missing", None),
    ({"gateway": {"id": "橋"}}, "gateway.id", "config.bad-id", None),
    ({"gateway": {"id": "a", "location": [36.6, 138.2]}}, "gateway.location", "config.bad-location", None),
    ({"gateway": {"id": "a", "location": [36.6]}}, "gateway.location", "config.wrong-type", None),
    ({"gateway": {"id": "a", "lang": "jp"}}, "gateway.lang", "config.not-a-choice", "ja"),
    ({"sources": [{"id": "a", "driver": "gauge", "port": "p", "evry_s": 1}]}, "sources[0].evry_s", "config.misspelt-key", "every_s"),
    ({"sources": [{"id": "a", "driver": "gauge", "port": "p", "alrm": {}}]}, "sources[0].alrm", "config.misspelt-key", "alarm"),
    ({"sources": [{"id": "a", "driver": "gage", "port": "p"}]}, "sources[0].driver", "config.not-a-choice", "gauge"),
    ({"sources": [{"id": "a", "port": "p"}]}, "sources[0].driver", "config.missing", None),
    ({"sources": [{"id": "a", "driver": "gauge"}]}, "sources[0].port", "config.missing", None),
    ({"sources": [{"id": "a", "driver": "gauge", "port": 1}]}, "sources[0].port", "config.wrong-type", None),
    ({"sources": [{"id": "a", "driver": "gauge", "port": "p", "lines": [{"id": "l", "frm": [1, 2]}]}]}, "sources[0].lines[0].frm", "config.misspelt-key", "from"),
    ({"sources": [{"id": "a", "driver": "gauge", "port": "p", "lines": [{"id": "l", "from": [1, "x"]}]}]}, "sources[0].lines[0].from[1]", "config.wrong-type", None),
    ({"sources": [{"id": "a", "driver": "gauge", "port": "p", "alarm": {"levels_m": {"x": "high"}}}]}, "sources[0].alarm.levels_m[...]", "config.wrong-type", None),
    ({"sources": "x"}, "sources", "config.wrong-type", None),
    ({"sources": ["x"]}, "sources[0]", "config.wrong-type", None),
    ({"uplinks": [GOOD["uplinks"][0] | {"sources": ["a", "mi"]}]}, "uplinks[0].sources[1]", "config.not-a-choice", ""),
    ({"uplinks": [GOOD["uplinks"][0] | {"classes": ["live", "alert"]}]}, "uplinks[0].classes", "config.not-a-choice", ""),
    ({"outbox": {"max_bytes": "big"}}, "outbox.max_bytes", "config.wrong-type", None),
]  # fmt: skip


@pytest.mark.parametrize(("change", "path", "code", "hint"), BAD)
def test_mistake_is_named_with_its_place(change, path, code, hint):
    config, problems = load({**GOOD, **change}, CATALOGUE)
    assert config is None
    named = [(p.facts["path"], p.code) for p in problems]
    assert (path, code) in named, named
    if hint:
        assert [p.facts["hint"] for p in problems if p.facts["path"] == path] == [hint]


def test_all_mistakes_at_once_and_ids_only_once():
    bad = {
        "gateway": {"id": "GW-1", "x": 1, "y": 2},
        "sources": [GOOD["sources"][0], GOOD["sources"][0]],
        "uplinks": [{"id": "c", "driver": "city"}],
    }
    _, problems = load(bad, CATALOGUE)
    assert {p.facts["path"] for p in problems} == {"gateway.x", "gateway.y", "sources[1].id", "uplinks[0].url"}


def test_a_file_that_cannot_be_read(tmp_path):
    for content, code in ((None, "config.no-file"), (b"a = ", "config.not-toml"), (b"a = '\xff'", "config.not-toml")):
        file = tmp_path / "c.toml"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_toml(file)
        assert caught.value.code == code
