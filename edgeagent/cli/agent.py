"""run, check, status, version: the daemon and its questions."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.daemon.asking import ask, state_dir_of
from edgeagent.errors import ConfigError

if TYPE_CHECKING:
    from edgeagent.config import Config

__all__ = ["ask", "check", "read_or_exit", "run", "state_dir_of", "status", "version"]


def run(config: ConfigOption = DEFAULT_CONFIG, lang: LangOption = None) -> None:
    """Run the agent until SIGTERM or Ctrl-C. エージェントを動かす。"""
    from edgeagent.clock import SystemClock
    from edgeagent.daemon import build
    from edgeagent.update import boot

    plan = boot.plan(config, SystemClock(), lambda path: build.read_config(path)[1])
    for code, facts in plan.why_not:
        tell(f"! {messages.text(code, facts, messages.language())}", file=sys.stderr)
    read_or_exit(plan.config)
    sys.stderr.flush()
    os.environ.update(plan.environment)
    os.execv(sys.executable, [sys.executable, "-m", "edgeagent.daemon", str(plan.config)])  # noqa: S606  same process id, without typer


def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Read a config file and report every mistake in it. 設定を検査する。"""
    from edgeagent.daemon import build

    made, problems = build.read_config(config)
    if as_json:
        errors = [{"path": str(e.facts.get("path", "")), "message": str(_text(e))} for e in problems]
        print(json.dumps({"ok": not problems, "errors": errors}, ensure_ascii=False))
    elif made is None:
        _tell(config, problems)
    else:
        said = {"ja": "計測 {} 件、送信先 {} 件", "en": "{} sources, {} uplinks"}[messages.language()]
        tell(f"✓ {config}: {said.format(len(made.sources), len(made.uplinks))}")
    raise typer.Exit(2 if problems else 0)


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Ask the running agent how it is. 動作状況を見る。"""
    from edgeagent.cli import show

    answer = ask(config, "status")
    print(answer.decode(), end="") if as_json else tell(show.status(answer), end="")


def version(
    security_info: Annotated[
        bool, typer.Option("--security-info", help="Support period, how to report a weakness. サポート期間と連絡先。")
    ] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Print the version. バージョン。"""
    from edgeagent import __version__
    from edgeagent.cli import security_info as info

    if security_info:
        print(json.dumps(info.document(), ensure_ascii=False)) if as_json else tell(info.text())
        return
    print(json.dumps({"version": __version__, "model": info.MODEL}) if as_json else f"edgeagent {__version__}")


def read_or_exit(config: Path) -> Config:
    """A whole config; exit 2 with every mistake in it."""
    from edgeagent.daemon import build

    made, problems = build.read_config(config)
    if made is None:
        _tell(config, problems)
        raise typer.Exit(2)
    return made


def _text(error: ConfigError) -> messages.Text:
    return messages.text(error.code, error.facts, messages.language())


def _tell(config: Path, problems: list[ConfigError]) -> None:
    many = {"ja": "件の誤り", "en": "mistakes"}[messages.language()]
    tell(f"✗ {config}: {len(problems)} {many}", file=sys.stderr)
    for error in problems:
        said = _text(error)
        tell(f"  • {said.what}", file=sys.stderr)
        if said.remedy:
            tell(f"    → {said.remedy}", file=sys.stderr)
