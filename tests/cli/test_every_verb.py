"""Every verb that there is, in both languages, on a phone's terminal and on a laptop's.

The verbs come from the command tree itself.  One that has no call in CALLS yet is met with `--help` and
with a mistake all the same, so none can be forgotten.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import msgspec
import pytest
import typer.main
from typer.core import TyperGroup

from edgeagent import cli, messages
from edgeagent.cli import help_page
from edgeagent.cli.columns import fit, width
from edgeagent.clock import SystemClock
from edgeagent.daemon import control
from edgeagent.daemon.disclosed import Left
from edgeagent.daemon.health import Privacy, Problem, SourceStatus, Status, UplinkStatus
from edgeagent.fleet.enrol_ca import Authority
from edgeagent.fleet.enrol_desk import Desk
from edgeagent.install import doctor
from edgeagent.ports import OutboxStats
from edgeagent.reading import Quantity, Unit
from tests.install.test_doctor_judge import WORLDS

JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e]")
ENGLISH = re.compile(r"\b(the|is|are|and|not|of|with|for|this|what|that|an?)\b")
FOREIGN = {os.strerror(number) for number in range(1, 134)}  # the system says it in its own language
UNBROKEN = re.compile(r"^\s*(?:[✓✗!→•·–…] |sudo edgeagent claim )?\S+$")  # a path, a hash, a command to copy

CONFIG = """
[gateway]
id = "GW-1"
state_dir = "{state}"
[[sources]]
id = "miyagawa"
driver = "modbus-gauge"
host = "127.0.0.1"
tcp_port = 9
profile = "geolux-lx80-modbus"
unit = 1
[[sources]]
id = "box"
driver = "host"
[[uplinks]]
id = "nagano"
driver = "jsonl"
path = "{state}/out.jsonl"
"""
BAD = CONFIG.replace('driver = "host"', 'driver = "hots"').replace("unit = 1", "unyt = 1")


MADE = {}
MAKE = typer.main.get_command


def tree(app=cli.app):
    """The commands, once per language: making them anew for each of a thousand calls would take minutes."""
    lang = help_page.spoken()
    return MADE.get((app, lang)) or MADE.setdefault((app, lang), MAKE(app))


def verbs(group=None, path=()):
    """(words of a verb, its command), groups too."""
    for name, command in (group or tree()).commands.items():
        here = (*path, name)
        yield here, command
        if isinstance(command, TyperGroup):
            yield from verbs(command, here)


C = ("--config", "{config}")
CALLS = {
    "run": [("--config", "{bad}")],
    "check": [C, ("--config", "{bad}"), ("--config", "{state}/none.toml")],
    "status": [C, ("--config", "{state}/none.toml")],
    "version": [(), ("--security-info",)],
    "doctor": [C, (*C, "--plain")],
    "claim": [(*C, "--status"), C, ("K7QF", *C), (*C, "--renew")],
    "wipe": [C],
    "demo": [("--video", "{state}/none.mp4", "--seconds", "1")],
    "read": [("nobody", *C)],
    "calibrate": [("miyagawa", *C, "--history"), ("miyagawa", *C, "--undo"), ("nobody", *C, "--staff", "1")],
    "manual": [()],
    "outbox stats": [C],
    "outbox plan": [C],
    "outbox prove": [C, (*C, "--day", "2026-13-45")],
    "outbox export": [("{state}/none/file.jsonl", *C)],
    "outbox import": [("{state}/none.jsonl", *C)],
    "outbox dead list": [C],
    "outbox dead retry": [C],
    "outbox dead export": [("{state}/none/file.jsonl", *C)],
    "count watch": [("{state}/none.mp4", "--minutes", "0.01", "--out", "{state}/aim.png")],
    "count lines": [("{state}/none.mp4",), ("a.mp4", "--line", "rubbish")],
    "count tap": [("{state}/none.mp4", "--line", "l:0,10,90,10:down"), ("miyagawa", *C)],
    "count eval": [("{state}/none.mp4", "{state}/none.json")],
    "count model": [("{state}/none.onnx",)],
    "scan serial": [()],
    "scan modbus": [("--port", "{state}/ttyNONE")],
    "update poll": [C],
    "update status": [C],
    "update explain": [C, ("sources.miyagawa.every_s", *C)],
    "fleet init": [("--repo", "{config}")],
    "fleet gateways": [("--repo", "{state}/none")],
    "fleet diff": [("--repo", "{state}/none")],
    "fleet check": [("--repo", "{state}/none")],
    "fleet put": [("city/x", "--repo", "{state}/none")],
    "fleet add-city": [("nagano", "--repo", "{state}/none")],
    "fleet add-gateway": [("GW-1", "--city", "nagano", "--repo", "{state}/none")],
    "fleet publish": [("--repo", "{state}/none")],
    "fleet promote": [("nagano", "--ring", "all", "--repo", "{state}/none")],
    "fleet halt": [("nagano", "--repo", "{state}/none")],
    "fleet refresh": [("--repo", "{state}/none")],
    "fleet resign": [("nagano", "--repo", "{state}/none")],
    "fleet rotate": [("nagano", "--repo", "{state}/none")],
    "fleet sign": [("--repo", "{state}/none")],
    "setup": [("--answers", "{state}/none.toml", "--yes"), C],
    "web": [(*C, "--listen", "127.0.0.1", "--port", "0", "--minutes", "0.01"), ("--config", "{state}/none.toml")],
    "scan camera": [("--seconds", "1", "--timeout", "1")],
    "update verify": [("{config}", *C)],
    "fleet enrol-server": [("--dir", "{state}/ca", "--listen", "192.0.2.1", "--port", "1")],
    "fleet enrol-code": [("GW-0147", "--dir", "{state}/ca"), ("GW 0147", "--dir", "{state}/ca")],
    "fleet enrolled": [("--dir", "{state}/ca")],
    "privacy audit": [C],
    "privacy key": [("GW-1", "--city-key", "{state}/none")],
    "privacy hash": [("{state}/none", "--key", "{state}/none")],
    "privacy resolve": [("abc", "-", "--key", "{state}/none", "--gateway", "GW-1", "--day", "someday")],
    "report": [(*C, "--site", "Miyagawa", "--installer", "Sato", "--staff", "miyagawa=1.4"), (*C, "--site", "a")],
    "report verify": [("{state}/none.html",), ("{config}",)],
}
STATUS = Status(
    gateway="GW-1", version="0.1.0", pid=1, up_s=93784, clock="unsynced", queue=0, held_in_ram=12, dropped_from_ram=0,
    outbox=OutboxStats(1_234_567, 1_234_000, 567, 12, 3, 99_999.0, 409_600_000, {}),
    outbox_problem=Problem("outbox.no-answer", {"path": "/var/lib/edgeagent/control.sock"}, "x"),
    sources=[
        SourceStatus(
            id="miyagawa", driver="modbus-gauge", name="Miyagawa", state="running", readings=3, age_s=65.0,
            last={name: Quantity(12.345, Unit.METRE) for name in ("level", "distance", "intensity", "temperature", "quality", "voltage")},
            problems={"gauges.no-port": 2, "gauges.port-busy": 10}, last_problem=Problem("gauges.no-port", {"port": "/dev/x", "present": "-"}, "x"),
            last_problem_age_s=1.0,
        )
    ],
    uplinks=[
        UplinkStatus(
            id="nagano", driver="ngsi-ld", state="down", acknowledged=1_234_000, waiting=567, dead=3, oldest_s=99_999, last_ok_s=1,
            problems={}, last_problem=Problem("uplinks.timeout", {"where": "https://city.example"}, "x"), sent_bytes=6_000_000,
            bytes_per_reading=1200.0, month_bytes=5_000_000, monthly_bytes=500_000_000, forecast_bytes=700_000_000, thrift="barely",
        )
    ],
)  # fmt: skip


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A config, a broken one, and an agent that answers about itself but has no store."""
    facts = {"state": tmp_path, "config": tmp_path / "config.toml", "bad": tmp_path / "bad.toml"}
    facts["config"].write_text(CONFIG.format(state=tmp_path))
    facts["bad"].write_text(BAD.format(state=tmp_path))

    authority = Authority(tmp_path / "ca", time.time(), "", str)
    Desk(tmp_path / "ca", authority, SystemClock()).called("https://enrolment.nagano.example:8443")

    async def examined(world):
        for _, _, _, made in WORLDS:
            for item in made():
                if not JAPANESE.search(str(item.facts)):
                    yield item

    monkeypatch.setattr(doctor, "examine", examined)
    return facts


@pytest.fixture
def answering(monkeypatch):
    """The running agent, as far as `status` and `privacy` ask it."""
    answers = {
        "status": STATUS,
        "outbox": STATUS.outbox,
        "privacy": Privacy(1800.0, {"nagano": [Left("water", "level", 12)]}, {"nagano": 1}),
    }
    real = control.ask

    def ask(path, question, **more):
        word = question.split()[0]
        return msgspec.json.encode(answers[word]) if word in answers else real(path, question, **more)

    monkeypatch.setattr(control, "ask", ask)


@pytest.fixture
def told(monkeypatch, capfd):
    """Run a command line as the console script does; (exit code, what was said on stdout, and on stderr)."""

    def run(words, lang, room):
        for name in ("LC_ALL", "LANG", "NO_COLOR", "EDGEAGENT_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("EDGEAGENT_LANG", lang)
        monkeypatch.setenv("COLUMNS", str(room))
        monkeypatch.setattr(sys, "argv", ["edgeagent", *words])
        monkeypatch.setattr(sys, "stdin", nothing)
        monkeypatch.setattr(typer.main, "get_command", tree)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    with Path(os.devnull).open() as nothing:
        yield run


def judged(words, lang, room, out, err):
    """What is wrong with what was said."""
    call, both = " ".join(words), out + err
    if "\x1b" in both or "Traceback" in both or "cli.bug" in both:
        yield f"{call}: escape codes or a traceback:\n{both}"
    for line in both.splitlines():
        if width(line) > room and not UNBROKEN.match(line):
            yield f"{call}: {width(line)} of {room} columns: {line}"
        plain = line
        for foreign in FOREIGN:
            plain = plain.replace(foreign, "")
        if lang == "en" and JAPANESE.search(plain):
            yield f"{call}: Japanese in English: {line}"
        if lang == "ja" and ENGLISH.search(re.sub(r"\S*[/=<>{}._-]\S*", "", plain)):
            yield f"{call}: English in Japanese: {line}"
    if lang == "ja" and not JAPANESE.search(both):
        yield f"{call}: no Japanese:\n{both}"


BOTH = [(lang, room) for lang in messages.LANGUAGES for room in (40, 80)]
SAME = {("version",), ("update", "explain")}  # numbers and keys, in any language
RAW = {("manual",)}  # roff, for man: lines are paragraphs; as they are with --plain


@pytest.mark.parametrize(("lang", "room"), BOTH)
def test_what_every_verb_says(told, site, answering, lang, room):
    wrong = []
    for name, calls in CALLS.items():
        for call in calls:
            words = (*name.split(), *(str(word).format(**site) for word in call))
            code, out, err = told(words, lang, room)
            assert code in range(7), words
            assert (out + err).strip() or name in ("outbox export", "outbox dead export"), words
            wide = 10_000 if words in RAW or "--plain" in words else room
            if words[:2] not in SAME:
                wrong += judged(words, lang, wide, out, err)
    assert not wrong, "\n".join(wrong)


class Terminal:
    """Standard output that says it is a terminal."""

    def __init__(self, inner):
        self._inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("colour", [False, True], ids=["NO_COLOR", "colours"])
def test_colours_are_for_terminals_and_nobody_who_said_no(told, site, answering, monkeypatch, colour):
    monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
    if not colour:
        real = os.environ.get
        monkeypatch.setattr(
            os.environ, "get", lambda name, other=None: "1" if name == "NO_COLOR" else real(name, other)
        )
    said = ""
    for name in ("doctor", "report", "status", "check", "fleet enrol-code", "outbox stats", "read"):
        for call in CALLS[name]:
            _, out, err = told((*name.split(), *(str(word).format(**site) for word in call)), "ja", 80)
            said += out + err
    assert ("\x1b[" in said) is colour, said


@pytest.mark.parametrize(("lang", "room"), BOTH)
def test_the_help_of_every_verb_and_what_is_said_about_a_mistake(told, lang, room):
    wrong = []
    for words, _ in [((), tree()), *verbs()]:
        code, out, err = told((*words, "--help"), lang, room)
        assert (code, err) == (0, ""), words
        assert ("使い方" if lang == "ja" else "Usage") in out
        wrong += judged((*words, "--help"), lang, room, out, err)
        code, out, err = told((*words, "--no-such-thing"), lang, room)
        assert code == 2 and "--no-such-thing" in err, words
        wrong += judged((*words, "--no-such-thing"), lang, room, out, err)
    assert not wrong, "\n".join(wrong)


def test_every_help_text_has_both_halves():
    """English, a full stop, Japanese: a new verb's author reads here what is missing."""
    without = []
    for words, command in [((), MAKE(cli.app)), *verbs(MAKE(cli.app))]:
        for one in (command, *command.params):
            en, ja = (help_page.half(one.help or "", lang) for lang in ("en", "ja"))
            if one.name != "help" and not (en and JAPANESE.search(ja) and not JAPANESE.search(en)):
                without.append(f"{' '.join(words)} {one.name}: {one.help!r}")
    assert not without, "\n".join(without)


def test_every_call_is_of_a_verb_that_there_is():
    there = {" ".join(words) for words, _ in verbs()}
    assert set(CALLS) <= there


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nonsense", "--json"), "cli.no-such-command", "nonsense"),
        (("check", "--json", "--confg", "x"), "cli.near-option", "--config"),
        (("report", "verify", "--json"), "cli.missing", "FILE"),
        (("check", "--json", "--lang", "fr"), "cli.not-among", "ja | en"),
        (("check", "--json", "--config"), "cli.option-value", "--config"),
        (("check", "--json", "x", "y"), "cli.too-much", "x y"),
        (("scan", "modbus", "--json", "--port", "p", "--units"), "cli.option-value", "--units"),
        (("demo", "--json", "--seconds", "many"), "cli.bad-value", "--seconds"),
    ],
)
def test_a_mistake_has_a_code_and_names_what_is_wrong(told, words, code, text):
    for lang in messages.LANGUAGES:
        ended, out, err = told(words, lang, 200)
        assert ended == 2 and text in err, err
        assert json.loads(out.splitlines()[-1])["code"] == code


def test_a_group_alone_shows_its_help(told):
    for words, command in verbs():
        if isinstance(command, TyperGroup) and not command.invoke_without_command:
            code, out, err = told(words, "ja", 60)
            assert code == 2 and "使い方" in out + err, words


@pytest.mark.parametrize(("lang", "room"), BOTH)
def test_edgeagent_alone(told, lang, room, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "DEFAULT_CONFIG", tmp_path / "config.toml")
    code, out, err = told((), lang, room)
    assert code == 0 and not list(judged(("edgeagent",), lang, room, out, err))


def test_lang_is_heard_wherever_it_stands(told):
    for words in (
        ("check", "--help", "--lang", "ja"),
        ("--lang=ja", "--help"),
        ("check", "--lang", "ja", "--nonsense"),
    ):
        _, out, err = told(words, "en", 80)
        assert JAPANESE.search(out + err) and not re.search(r"Usage|There is", out + err), words


@pytest.mark.parametrize(
    ("text", "en", "ja"),
    [
        ("Config file. 設定ファイル。", "Config file.", "設定ファイル。"),
        ("0: any free one. 0 で空きポート。", "0: any free one.", "0 で空きポート。"),
        ("One thing. Another. 一つ。", "One thing. Another.", "一つ。"),
        ("Show this message and exit.", "Show this message and exit.", "この説明を表示する。"),
        ("日本語だけ。", "日本語だけ。", "日本語だけ。"),
    ],
)
def test_the_half_of_a_help_text(text, en, ja):
    assert (help_page.half(text, "en"), help_page.half(text, "ja")) == (en, ja)


@pytest.mark.parametrize("room", [30, 40, 80])
def test_what_is_fitted_keeps_every_word(room):
    text = "✓ 宮川橋の水位計 (modbus-gauge) は正常です。 the level is 1.42 m\n    → /var/lib/edgeagent/a/very/long/path/that/nobody/breaks.toml を見てください。\n短い"
    shown = fit(text, room)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text)
    assert "/var/lib/edgeagent/a/very/long/path/that/nobody/breaks.toml" in shown
    for line in shown.splitlines():
        assert width(line) <= room or UNBROKEN.match(line), line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  a 1 · b 2 · c 3", "  a 1 · b 2 ·\n  c 3"),
        ("GW-1  up  clock synced", "GW-1  up\nclock synced"),
        ("  ! a 1 · long words here", "  ! a 1 ·\n    long words\n    here"),
        ("short · one", "short · one"),
    ],
)
def test_a_row_is_broken_between_its_parts(text, shown):
    assert fit(text, 14) == shown


def test_the_words_of_every_file_are_in_both_languages():
    """Screens keep their words beside their code, in WORDS; errors and checks are in `messages`."""
    found = 0
    for name, module in list(sys.modules.items()):
        words = (
            getattr(module, "WORDS", None) or getattr(module, "_WORDS", None) if name.startswith("edgeagent.") else None
        )
        if isinstance(words, dict) and all(isinstance(one, dict) for one in words.values()):
            for word, said in words.items():
                assert set(said) == set(messages.LANGUAGES), f"{name}: {word}"
                holes = {lang: sorted(re.findall(r"\{(\w*)[^}]*\}", text)) for lang, text in said.items()}
                assert holes["ja"] == holes["en"], f"{name}: {word}"
            found += 1
    assert found >= 5, "this file imports the verbs"
