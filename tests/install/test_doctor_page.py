"""How `doctor` and a bare `edgeagent` look: 40 and 80 columns, both languages, without colour, by ear."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from edgeagent import cli, messages
from edgeagent.cli import first
from edgeagent.cli.columns import width, wrap
from edgeagent.cli.manual import page as man_page
from edgeagent.cli.show_doctor import Page
from edgeagent.install.doctor_item import State, failed, good, left_out
from tests.install.test_doctor_judge import GOOD, WORLDS

ROOT = Path(__file__).resolve().parents[2]
ENV = {k: v for k, v in os.environ.items() if k not in ("EDGEAGENT_LANG", "LC_ALL", "LANG", "NO_COLOR", "COLUMNS")}


def everything():
    """All that `doctor` can ever say."""
    return [item for _, _, _, world in WORLDS for item in world()] + [item for world in GOOD for item in world()]


@pytest.mark.parametrize("lang", messages.LANGUAGES)
@pytest.mark.parametrize("room", [40, 80])
def test_nothing_is_wider_than_the_terminal(monkeypatch, lang, room):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    monkeypatch.setenv("COLUMNS", str(room))
    page, items = Page(plain=False), everything()
    lines = [line for item in items for line in page.item(item)] + page.end(items)
    assert len(lines) > 100
    assert [line for line in lines if width(line) > room] == []
    assert "\x1b" not in "".join(lines), "no colour where there is no terminal"


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_plain_is_a_line_per_check_with_words_for_marks(monkeypatch, lang):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    page, items = Page(plain=True), everything()
    for item in items:
        (line,) = page.item(item)
        assert not re.search(r"[✓✗–→│─]|^\s", line) and item.code in line
        assert {"ja": "異常", "en": "failed"}[lang] in line or item.state is not State.FAILED
    assert all(line.strip() for line in page.end(items))


def test_checks_left_out_for_one_reason_share_a_line(monkeypatch):
    monkeypatch.setenv("EDGEAGENT_LANG", "en")
    monkeypatch.setenv("COLUMNS", "80")
    page = Page(plain=False)
    items = [left_out(f"E-STORE-0{n}", "config") for n in (1, 2, 3)] + [good("E-IDENT-04")]
    lines = [line for item in items for line in page.item(item)]
    assert [line for line in lines if "STORE" in line] == [
        "  – E-STORE-01, 02, 03 left out: the config cannot be read."
    ]
    held = page.item(left_out("E-OTA-01", "no-updates"))
    assert held == [] and any("E-OTA-01" in line for line in page.end(items)), "the last one is told at the end"


def test_the_end_says_what_to_do_next(monkeypatch):
    monkeypatch.setenv("EDGEAGENT_LANG", "en")
    page = Page(plain=False)
    page.item(failed("E-POWER-01"))
    assert "mend the lines" in page.end([])[-1]
    page = Page(plain=False)
    page.item(good("E-POWER-01"))
    assert "--after-power-cycle" in " ".join(page.end([]))


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("水位計", 6), ("E-POWER-02 電圧", 15), ("が", 2), ("e\u0301", 1), ("✓", 1), ("ｱ", 1), ("—", 1)],
)
def test_widths_of_east_asian_text(text, columns):
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("水位計が応答しません。", 12, ["水位計が応答", "しません。"]),
        ("水位。計", 4, ["水", "位。", "計"]),  # 。 does not begin a line
        ("/dev/serial/by-id/x", 10, ["/dev/seria", "l/by-id/x"]),
        ("", 10, [""]),
    ],
)
def test_lines_are_broken_where_one_may(text, room, lines):
    assert wrap(text, room) == lines


def test_the_indent_belongs_to_the_width():
    assert wrap("one two three", 10, "- ", "    ") == ["- one two", "    three"]
    assert wrap("水位計が応答しません。", 12, "  → ", "    ")[0] == "  → 水位計が"


def on_a_terminal(*args, **env):
    """What a person sees: the verb on a pty of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", *args], cwd=ROOT, stdout=theirs, stderr=theirs, env={**ENV, **env}
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # EIO: the other end was closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    process.wait(60)
    return seen.decode()


@pytest.mark.parametrize(("env", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)])
def test_colours_on_a_terminal_unless_somebody_said_no(tmp_path, env, coloured):
    shown = on_a_terminal("doctor", "--config", str(tmp_path / "none.toml"), "--lang", "en", **env)
    assert ("\x1b[31m✗\x1b[0m" in shown) is coloured
    assert "E-CONFIG-01" in shown and "✗ failed" in shown, "the mark and the word are there either way"


VERBS = ("check", "demo", "doctor", "outbox", "run", "scan", "status")


def offered(tmp_path, text=None, *, verbs=VERBS, systemd=False, sock=False):
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_text(text)
    if sock:
        (tmp_path / "control.sock").touch()
    return [one.command for one in first.offers(config, verbs, systemd=systemd)]


def test_alone_it_names_the_three_next_commands(tmp_path):
    assert offered(tmp_path) == ["edgeagent demo", "edgeagent scan serial", "edgeagent check --config FILE"]
    assert offered(tmp_path, verbs=(*VERBS, "setup"))[0] == "sudo edgeagent setup"
    assert offered(tmp_path, "rubbish [")[:2] == ["sudo edgeagent check", "sudo edgeagent doctor"]
    good_config = f'[gateway]\nid = "G"\nstate_dir = "{tmp_path}"\n'
    assert offered(tmp_path, good_config)[-1] == "edgeagent run"
    assert offered(tmp_path, good_config, systemd=True)[-1] == "sudo systemctl enable --now edgeagent"
    running = offered(tmp_path, good_config, sock=True)
    assert running == ["sudo edgeagent status", "sudo edgeagent doctor", "sudo edgeagent outbox plan"]


@pytest.mark.parametrize("lang", messages.LANGUAGES)
def test_what_it_offers_fits_and_exists(monkeypatch, lang):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    monkeypatch.setenv("COLUMNS", "40")
    known = typer.main.get_command(cli.app).commands
    shown = subprocess.run(
        [sys.executable, "-m", "edgeagent"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**ENV, "EDGEAGENT_LANG": lang, "COLUMNS": "40"},
    )
    assert shown.returncode == 0 and all(width(line) <= 40 for line in shown.stdout.splitlines())
    verbs = re.findall(r"^  (?:sudo )?edgeagent (\w+)", shown.stdout, re.MULTILINE)
    assert len(verbs) == 3 and set(verbs) <= set(known)


def verbs_of(group, path="edgeagent"):
    for name, command in group.commands.items():
        yield f"{path} {name}"
        if hasattr(command, "commands"):
            yield from verbs_of(command, f"{path} {name}")


def test_the_man_page_names_every_verb_and_every_option():
    root = typer.main.get_command(cli.app)
    text = man_page(root, "en").replace("\\-", "-")
    verbs = list(verbs_of(root))
    assert len(verbs) > 20
    assert [verb for verb in verbs if not re.search(rf"^\.(B|SS) {re.escape(verb)}\b", text, re.MULTILINE)] == []
    assert "--after-power-cycle" in text and "設定を検査する。" in man_page(typer.main.get_command(cli.app), "ja")


@pytest.mark.tool("groff")
def test_the_man_page_is_good_roff():
    page = subprocess.run(
        [sys.executable, "-m", "edgeagent", "manual"], cwd=ROOT, capture_output=True, check=True, env=ENV
    )
    done = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww"], input=page.stdout, capture_output=True)
    assert done.returncode == 0 and done.stderr == b"", done.stderr.decode()[:500]
    assert "edgeagent doctor" in re.sub("\x1b\\[\\d*m|.\x08", "", done.stdout.decode())


@pytest.mark.parametrize(
    ("shell", "words", "wanted"),
    [
        ("bash", "edgeagent do", "doctor"),
        ("bash", "edgeagent outbox pl", "plan"),
        ("zsh", "edgeagent doctor --aft", "--after-power-cycle"),
    ],
)
def test_completion(shell, words, wanted):
    env = {**ENV, "_EDGEAGENT_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "_TYPER_COMPLETE_ARGS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    code = "import sys; sys.argv[0] = 'edgeagent'; from edgeagent.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=env)
    assert wanted in done.stdout, done.stdout + done.stderr
