"""run, check, status, version, outbox: the daemon and its questions."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import typer

from edgeagent import messages
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError

__all__ = ["check", "outbox", "run", "status", "version"]

outbox = typer.Typer(help="The store of readings. 蓄積データ。", no_args_is_help=True)


def run(config: ConfigOption = DEFAULT_CONFIG, lang: LangOption = None) -> None:
    """Run the agent until SIGTERM or Ctrl-C. エージェントを動かす。"""
    from edgeagent.daemon import build

    made, problems = build.read_config(config)
    if made is None:
        _tell(config, problems)
        raise typer.Exit(2)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "edgeagent.daemon", str(config)])  # noqa: S606  same process id, without typer


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
        print(f"✓ {config}: {len(made.sources)} sources, {len(made.uplinks)} uplinks")
    raise typer.Exit(2 if problems else 0)


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Ask the running agent how it is. 動作状況を見る。"""
    from edgeagent.cli import show

    answer = _ask(config, "status")
    print(answer.decode() if as_json else show.status(answer), end="")


@outbox.command()
def stats(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Accepted, acknowledged, waiting, thinned, lost. 蓄積と送信の件数。"""
    from edgeagent.cli import show

    answer = _ask(config, "outbox")
    print(answer.decode() if as_json else show.outbox(answer), end="")


def version(as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Print the version. バージョン。"""
    from edgeagent import __version__

    print(json.dumps({"version": __version__}) if as_json else f"edgeagent {__version__}")


def _ask(config: Path, question: str) -> bytes:
    from edgeagent.config import GatewayConfig, decode, read_toml
    from edgeagent.daemon import control

    gateway, problems = decode(GatewayConfig, read_toml(config).get("gateway", {}), "gateway")
    if gateway is None:
        raise problems[0]
    return control.ask(control.socket_path(Path(gateway.state_dir)), question)


def _text(error: ConfigError) -> messages.Text:
    return messages.text(error.code, error.facts, messages.language())


def _tell(config: Path, problems: list[ConfigError]) -> None:
    many = {"ja": "件の誤り", "en": "mistakes"}[messages.language()]
    print(f"✗ {config}: {len(problems)} {many}", file=sys.stderr)
    for error in problems:
        said = _text(error)
        print(f"  • {said.what}", file=sys.stderr)
        if said.remedy:
            print(f"    → {said.remedy}", file=sys.stderr)
