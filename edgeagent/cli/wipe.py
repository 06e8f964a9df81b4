"""wipe: everything the agent keeps, removed."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import ask, state_dir_of
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import EdgeAgentError, Refused

__all__ = ["wipe"]

WORDS = {
    "nothing": {"ja": "削除するものはありません", "en": "nothing to remove"},
    "ask": {
        "ja": "{n} 個のファイル ({mb:.1f} MB) を {path} から削除します。未送信の測定値と鍵も失われます。続けますか",
        "en": "{n} files ({mb:.1f} MB) in {path} will be removed, unsent readings and keys included. Go on",
    },
    "done": {"ja": "✓ {n} 個のファイルを削除しました: {path}", "en": "✓ {n} files removed from {path}"},
    "flash": {
        "ja": "  → SD カードには古いデータが残ることがあります。この機器の鍵を自治体側で無効にしてください。",
        "en": "  → An SD card may keep old pages. Have the city retire this gateway's key.",
    },
}


def wipe(
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. 確認しない。")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Remove everything the agent keeps: readings, keys, tags. 保存データと鍵をすべて削除する。"""
    from edgeagent.install import wipe as room

    state_dir = state_dir_of(config)
    if _runs(config):
        raise Refused("wipe.running", path=state_dir)
    found = room.look(state_dir)
    say = {name: text[messages.language()] for name, text in WORDS.items()}
    size = sum(one.bytes for one in found) / 1e6
    if found and not yes:
        if not sys.stdin.isatty():
            raise Refused("wipe.not-confirmed", path=state_dir)
        for one in found:
            tell(f"  {one.bytes:>10}  {one.file}")
        if not typer.confirm(say["ask"].format(n=len(found), mb=size, path=state_dir)):
            raise Refused("wipe.not-confirmed", path=state_dir)
    removed = room.empty(state_dir)
    if as_json:
        print(json.dumps({"ok": True, "state_dir": str(state_dir), "removed": [one.file for one in removed]}))
        return
    if not removed:
        tell(say["nothing"])
        return
    for one in removed:
        tell(f"  {one.bytes:>10}  {one.file}")
    tell(say["done"].format(n=len(removed), path=state_dir))
    tell(say["flash"])


def _runs(config: ConfigOption) -> bool:
    try:
        ask(config, "status")
    except EdgeAgentError as error:
        if error.code == "daemon.not-allowed":
            raise
        return False
    return True
