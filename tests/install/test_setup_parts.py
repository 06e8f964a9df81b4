"""Pieces of the wizard: addresses, TOML, answers files, systemd, and how it looks."""

import contextlib
import json
import os
import subprocess
import sys
import tomllib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent import messages
from edgeagent.cli import setup_terminal
from edgeagent.cli.columns import width
from edgeagent.config import load
from edgeagent.daemon.build import catalogue
from edgeagent.errors import ConfigError, EdgeAgentError, SourceUnavailable
from edgeagent.install import answers, setup_config, setup_devices
from edgeagent.install.discover import Found
from edgeagent.install.discover_twins import Identified
from edgeagent.install.serial_ports import Port
from edgeagent.install.setup_city import addresses, host_of, receivers
from edgeagent.install.setup_service import Service
from edgeagent.install.setup_talk import Question
from edgeagent.simulate.pty_line import PtyLine
from tests.cli.test_verbs import ENV, ROOT, edgeagent
from tests.install.setup_rig import ALL, KEYS, SONAR, Desk, Person
from tests.install.site import COMMAND
from tests.install.terminal import Terminal


def test_addresses_as_they_are_typed():
    made = receivers("https://city.example/ nagano mqtts://river@mqtt.example:8884 mqtt://localhost")
    assert made == [
        {"id": "city", "driver": "ngsi-ld", "url": "https://city.example/", "tenant": "nagano"},
        {"id": "city-2", "driver": "iota-json", "host": "mqtt.example", "port": 8884, "apikey": "river"},
        {"id": "city-3", "driver": "iota-json", "host": "localhost", "apikey": "edgeagent", "tls": False},
    ]
    assert [host_of(one) for one in made] == [
        ("city.example", 443, True),
        ("mqtt.example", 8884, True),
        ("localhost", 1883, False),
    ]
    assert receivers(" ".join(addresses(made))) == made, "what is shown as default means the same"
    assert receivers("-") == [] and addresses([{"driver": "jsonl", "path": "x"}, "rubbish"]) == []
    for wrong in ("city.example", "https://", "https://a:b/", "mqtts://h?x=1", "mqtts://h tenant", "https://h a b"):
        with pytest.raises(ConfigError) as caught:
            receivers(wrong)
        assert caught.value.code == "setup.bad-city"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
TABLES = st.dictionaries(TEXT, VALUES, max_size=5)


@settings(max_examples=25)
@given(TABLES, st.lists(TABLES, min_size=1, max_size=3), st.text(st.characters(categories=["L"]), max_size=9))
def test_what_is_written_can_be_read(gateway, sources, note):
    config = {"gateway": gateway, "sources": [{"id": f"s{n}", **one} for n, one in enumerate(sources)]}
    text = setup_config.render(config, [note], {"s0": note})
    assert tomllib.loads(text) == config


def test_a_camera_or_a_gauge_moves_and_its_section_follows():
    old = {
        "sources": [{"id": "a", "port": "x", "unit": 1}, {"id": "b", "camera": "c"}, {"id": "t", "driver": "ble-tags"}]
    }
    new = {"gateway": {}, "sources": [{"id": "z", "port": "x", "unit": 1}], "uplinks": []}
    made = setup_config.merged(old, new, gone=[{"camera": "c"}])
    assert [one["id"] for one in made["sources"]] == ["z", "t", "box"], "renamed, not wanted, kept"


def judge(data):
    return load(data, catalogue())


BAD = """
lang = "fr"
instaler = "佐藤"
[discover]
frames = ["8X1"]
"""
WORSE = """
[[sources]]
id = "miyagawa"
driver = "modbus-gauge"
staff_m = "1.42"
evry_s = 3
[[sources]]
id = "road"
driver = "traffic-camra"
[[uplinks]]
id = "u"
driver = "ngsi-ld"
"""


def test_a_file_of_answers_is_judged_as_a_whole(tmp_path):
    file = tmp_path / "site.toml"
    for text, paths in (
        (BAD, {"lang", "instaler", "discover.frames[0]"}),
        (WORSE, {"sources[0].staff_m", "sources[0].evry_s", "sources[1].driver", "uplinks[0].url"}),
        ("lang = ", {""}),
    ):
        file.write_text(text)
        made, problems = answers.read(file, judge)
        assert made is None and {str(p.facts.get("path", "")) for p in problems} == paths
    made, problems = answers.read(tmp_path / "none.toml", judge)
    assert made is None and problems[0].code == "config.no-file"


def test_the_holes_of_a_file_of_answers_are_no_mistakes(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(
        "".join(
            f'[[sources]]\nid = "s{n}"\ndriver = "{driver}"\n'
            for n, driver in enumerate(("modbus-gauge", "serial-gauge", "traffic-camera", "ble-tags", "host"))
        )
    )
    made, problems = answers.read(file, judge)
    assert problems == [] and len(made.sources) == 5


@pytest.mark.parametrize(("lang", "word"), [("en", "Did you mean"), ("ja", "誤りではありませんか")])
def test_exit_2_names_every_key_and_place(tmp_path, lang, word):
    (tmp_path / "site.toml").write_text(WORSE)
    options = ("--answers", tmp_path / "site.toml", "--yes", "--config", tmp_path / "c.toml", "--lang", lang)
    done = edgeagent("setup", *options, "--json")
    assert done.returncode == 2 and word in done.stderr and "site.toml" in done.stderr
    for place in ("sources[0].staff_m", "sources[0].evry_s", "sources[1].driver", "uplinks[0].url"):
        assert place in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ok"] is False and {e["path"] for e in told["errors"]} >= {"sources[0].evry_s"}
    assert not (tmp_path / "c.toml").exists()


def test_exit_2_nobody_to_ask_and_nowhere_to_write(tmp_path):
    done = edgeagent("setup", "--config", tmp_path / "c.toml", "--state-dir", tmp_path / "s", "--lang", "ja")
    assert done.returncode == 2 and "--yes" in done.stderr and "端末がありません" in done.stderr
    (tmp_path / "file").write_text("")
    done = edgeagent("setup", "--yes", "--config", tmp_path / "c.toml", "--state-dir", tmp_path / "file/s")
    assert done.returncode == 2 and "sudo" in done.stderr and "setup.json" in done.stderr
    done = edgeagent("setup", "--yes", "--camera", "rstp://x/", "--config", tmp_path / "c.toml")
    assert done.returncode == 2 and "--camera[0]" in done.stderr


def test_only_one_at_a_time(tmp_path):
    from edgeagent.update import durable  # noqa: PLC0415

    (tmp_path / "s").mkdir()
    with durable.held(tmp_path / "s/setup.lock"):
        done = edgeagent("setup", "--yes", "--config", tmp_path / "c.toml", "--state-dir", tmp_path / "s")
    assert done.returncode == 5 and "Another edgeagent setup" in done.stderr


# --- systemd ----------------------------------------------------------------------------------------

SYSTEMCTL = """#!/bin/sh
shift
echo "$@" >> "$CALLS"
case "$1" in
  is-active) test -e "$CALLS.active" ;;
  start|restart) if [ -e "$CALLS.broken" ]; then echo "Job failed" >&2; exit 1; fi; touch "$CALLS.active" ;;
  stop) rm -f "$CALLS.active" ;;
esac
"""


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A systemctl that behaves, and the folder that says that systemd runs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    (tmp_path / "root/run/systemd/system").mkdir(parents=True)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    return calls


def words(calls):
    return [
        line.replace(".service", "")
        for line in calls.read_text().splitlines()
        if line.split()[0] not in ("cat", "is-active")
    ]


def test_the_unit_is_enabled_and_started(systemd, tmp_path):
    service = Service(tmp_path / "root")
    assert service.there and not service.active and not Service(tmp_path).there
    service.enable()
    assert words(systemd) == ["enable edgeagent", "start edgeagent"] and service.active
    service.enable()
    assert words(systemd)[2:] == ["enable edgeagent", "restart edgeagent"]
    systemd.with_suffix(".broken").touch()
    with pytest.raises(EdgeAgentError) as caught:
        service.enable()
    assert caught.value.code == "setup.unit-failed" and "Job failed" in caught.value.facts["why"]


def test_an_agent_that_ran_runs_again_whatever_happens(systemd, tmp_path):
    service = Service(tmp_path / "root")
    with service.paused() as was:
        assert not was
    assert words(systemd) == []
    systemd.with_suffix(".active").touch()
    with contextlib.suppress(KeyboardInterrupt), service.paused() as was:
        assert was and not service.active
        raise KeyboardInterrupt
    assert service.active and words(systemd) == ["stop edgeagent", "start edgeagent"]


def test_the_wizard_starts_the_agent(systemd, tmp_path, monkeypatch):
    desk = Desk(tmp_path, monkeypatch, Found(gauges=ALL.gauges[:1]))
    person = Person({"gauges": "miyagawa=1.42", "claim": "id=GW-0147"})
    monkeypatch.setattr("edgeagent.install.setup_end._WELL_S", 0.0)
    _, code = desk.run(person)
    assert code == 0 and "setup.started" in person.codes() and words(systemd) == ["enable edgeagent", "start edgeagent"]
    systemd.write_text("")
    person = Person({"gauges": "-"})
    desk.run(person)
    stops = ["stop edgeagent", "start edgeagent"] * 2  # its ports are looked at, then its gauges read
    assert words(systemd) == [*stops, "enable edgeagent", "restart edgeagent"]
    systemd.with_suffix(".broken").touch()
    systemd.with_suffix(".active").unlink()
    site, code = desk.run(Person({"gauges": "-"}))
    assert code == 6 and [t.code for t in site.troubles] == ["setup.unit-failed"]


# --- twins, and how it looks ------------------------------------------------------------------------


def test_u_tells_adapters_apart(tmp_path, monkeypatch):
    twin = msgspec.structs.replace(SONAR, port="/dev/serial/by-path/b")
    usb = {"usb": "1a86:7523", "product": "USB Serial"}
    ports = [Port(name=one.port, device="/dev/ttyUSB0", **usb) for one in (SONAR, twin)]
    monkeypatch.setattr(setup_devices.serial_ports, "ports", lambda: ports)
    results = [Identified(twin.port, twin.port, "/dev/ttyUSB1"), SourceUnavailable("scan.none-unplugged", seconds=120)]

    async def identify(candidates, tell, *, timeout_s):
        result = results.pop(0)
        tell("scan.unplug", {"n": 2})
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(setup_devices.discover_twins, "identify", identify)
    desk = Desk(tmp_path, monkeypatch, Found(gauges=(SONAR, twin)))
    person = Person({"devices": ["u", "u", "2"], "gauges": "akutagawa=0.8", "claim": "id=GW-0147"})
    _, code = desk.run(person)
    assert code == 0 and person.refused == ["scan.none-unplugged"] and person.codes().count("setup.row-twin") >= 2
    assert ("✓", "setup.it-was", {"n": "2", "name": twin.port}) in person.said
    assert desk.source("akutagawa")["port"] == twin.port


def everything_said(monkeypatch, *, plain):
    """A run that shows every message there is, as a terminal prints it."""
    terminal = setup_terminal.Terminal(asks=True, plain=plain, quiet=False)
    monkeypatch.setattr("builtins.input", lambda prompt: print(prompt) or "")
    facts = {
        "id": "miyagawa",
        "port": "/dev/serial/by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.2:1.0-port0",
    }
    facts |= {"values": "distance 3.200 m", "profile": "maxbotix-hrxl-wr", "camera": "rtsp://192.168.1.30/stream2"}
    terminal.title()
    for number, name in enumerate(("language", "time", "network", "claim", "devices", "assign", "lines", "test"), 1):
        terminal.step(name, number, 9)
    for key in KEYS:
        terminal.ask(Question(key, "Enter", str, {"n": 2}))
    for name in messages.catalogue("setup", "en"):
        if not name.startswith(("ask-", "step-", "note-")):
            terminal.say("!", f"setup.{name}", facts)
            terminal.row("✓", f"setup.{name}", facts)


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize("columns", [40, 80])
def test_every_message_fits_the_terminal(monkeypatch, capsys, lang, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    monkeypatch.setenv("NO_COLOR", "1")
    everything_said(monkeypatch, plain=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100 and [line for line in lines if width(line) > columns] == []
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_plain_says_the_same_in_words(monkeypatch, capsys, lang):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    everything_said(monkeypatch, plain=True)
    out = capsys.readouterr().out
    for mark in ("✓", "✗", "!", "–", "·"):
        word = setup_terminal.WORDS[mark][lang]
        assert not any(line.lstrip().startswith(f"{mark} ") for line in out.splitlines()) and word
    assert setup_terminal.WORDS["!"][lang] in out and setup_terminal.WORDS["remedy"][lang] in out


def test_the_end_of_input_is_a_stop(monkeypatch):
    def closed(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(KeyboardInterrupt):
        setup_terminal.Terminal(asks=True, plain=False, quiet=False).ask(Question("name", "-", str))


def test_no_camera_library_enters_the_wizard():
    code = (
        "import sys\nimport edgeagent.cli.setup, edgeagent.install.setup\n"
        "print(sorted(set(sys.modules) & {'cv2', 'onnxruntime'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV)
    assert done.stdout.strip() == "[]"


def test_ctrl_c_while_devices_are_looked_for(tmp_path):
    """In the middle of a scan of a port on which nobody answers."""
    line = PtyLine(tmp_path / "tty")
    options = ("--config", tmp_path / "c.toml", "--state-dir", tmp_path / "s", "--root", tmp_path / "r.json")
    try:
        with Terminal(
            (*COMMAND, "setup", "--yes", "--port", tmp_path / "tty", *options), cwd=ROOT, env={**ENV, "TERM": "xterm"}
        ) as terminal:
            terminal.expect("8N1  unit")
            terminal.type(b"\x03")
            assert terminal.end(interrupted=True) == 130 and "Stopped; nothing is lost" in terminal.text
    finally:
        line.unplug()
    assert (tmp_path / "s/setup.json").exists() and not (tmp_path / "c.toml").exists()
