"""`edgeagent` with nothing behind it: the three commands that are worth typing next, here and now.

What is looked at is cheap and needs no rights: is there a config, can it be read, is there a control
socket.  Commands that this build does not have are never offered.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from edgeagent import __version__, messages
from edgeagent.cli.columns import columns, wrap

__all__ = ["Offer", "offers", "text"]

WORDS = {
    "title": {"ja": "次に役立つコマンド:", "en": "What to type next:"},
    "more": {"ja": "すべて: edgeagent --help", "en": "All of them: edgeagent --help"},
    "setup": {"ja": "この機器を設定する (質問に答えるだけ)", "en": "set this box up, question by question"},
    "scan": {"ja": "つながっている機器を探す", "en": "see which devices are plugged in"},
    "demo": {"ja": "仮想の川・タグ・道路で動きを見る", "en": "watch it work on a virtual river and road"},
    "write": {
        "ja": "設定ファイルを書いて検査する (例は README)",
        "en": "check a config you wrote (README has an example)",
    },
    "check": {"ja": "設定の誤りと直し方を見る", "en": "every mistake in the config, and how to mend it"},
    "doctor": {"ja": "電源・通信・機器をまとめて点検する", "en": "test power, network and every device"},
    "start": {"ja": "今から、停電後も自動で動かす", "en": "start it now and after every power cut"},
    "run": {"ja": "動かす (Ctrl-C で終了)", "en": "run it (Ctrl-C ends it)"},
    "status": {"ja": "今の値・待ち件数・送信先を見る", "en": "values, queue and receivers right now"},
    "plan": {"ja": "通信断に何時間耐えられるか", "en": "how long an outage may last"},
    "report": {"ja": "引き渡しの報告書を作る", "en": "make the acceptance report"},
}
_SHOWN = 3


class Offer(NamedTuple):
    """A command, and the word that says what for."""

    command: str
    word: str

    @property
    def verb(self) -> str:
        """`outbox` of `sudo edgeagent outbox plan`; "" for a command that is not ours."""
        words = self.command.removeprefix("sudo ").split()
        return words[1] if words[0] == "edgeagent" else ""


def offers(config: Path, verbs: Collection[str], *, systemd: bool) -> list[Offer]:
    """Three commands for the state this box is in.

    Args:
        config: where the config belongs.
        verbs: what this build has.
        systemd: runs here.
    """
    state_dir = _state_dir(config)
    if not config.exists():
        listed = [
            Offer("sudo edgeagent setup", "setup"),
            Offer("edgeagent demo", "demo"),
            Offer("edgeagent scan serial", "scan"),
            Offer("edgeagent check --config FILE", "write"),
        ]
    elif state_dir is None:
        listed = [
            Offer("sudo edgeagent check", "check"),
            Offer("sudo edgeagent doctor", "doctor"),
            Offer("edgeagent demo", "demo"),
        ]
    elif _may_run(state_dir):
        listed = [
            Offer("sudo edgeagent status", "status"),
            Offer("sudo edgeagent doctor", "doctor"),
            Offer("sudo edgeagent report", "report"),
            Offer("sudo edgeagent outbox plan", "plan"),
        ]
    else:
        start = Offer("sudo systemctl enable --now edgeagent", "start") if systemd else Offer("edgeagent run", "run")
        listed = [Offer("edgeagent check", "check"), Offer("sudo edgeagent doctor", "doctor"), start]
    return [one for one in listed if not one.verb or one.verb in verbs][:_SHOWN]


def text(listed: Collection[Offer]) -> str:
    """As a person reads it."""
    lang, room = messages.language(), columns()
    lines = [f"edgeagent {__version__}", "", *wrap(WORDS["title"][lang], room)]
    for one in listed:
        lines += [f"  {one.command}", *wrap(WORDS[one.word][lang], room, "      ", "      ")]
    return "\n".join([*lines, "", *wrap(WORDS["more"][lang], room)])


def _state_dir(config: Path) -> Path | None:
    """Of a config that is at least TOML with a [gateway]; None otherwise."""
    try:
        gateway = tomllib.loads(config.read_text(encoding="utf-8"))["gateway"]
        return Path(gateway.get("state_dir", "/var/lib/edgeagent"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _may_run(state_dir: Path) -> bool:
    """Whether there is a control socket, or the folder is closed to us (mode 0700: the service's own)."""
    try:
        return (state_dir / "control.sock").exists()
    except PermissionError:
        return True
