"""setup: from a new box to a site that measures, question by question or from a file of answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeagent import messages
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeagent.cli.setup_terminal import Terminal
    from edgeagent.install.answers import Answers
    from edgeagent.install.setup_site import Site

__all__ = ["setup"]

_DEFAULT_ROOT = Path("/etc/edgeagent/root.json")  # as `[update] root`
_USAGE, _STOPPED, _WARNINGS = 2, 130, 6


def setup(
    claim: Annotated[str, typer.Option("--claim", help="Claim code, or the link with it. 登録コード。")] = "",
    answers: Annotated[Path | None, typer.Option("--answers", help="TOML with answers. 回答ファイル。")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, take defaults. 質問せずに進める。")] = False,
    port: Annotated[list[str] | None, typer.Option("--port", help="Look at these ports only. 調べるポート。")] = None,
    camera: Annotated[list[str] | None, typer.Option("--camera", help="rtsp://… to try too. カメラの URL。")] = None,
    server: Annotated[str, typer.Option(help="https://… of the enrolment server. 登録サーバー。")] = "",
    root: Annotated[Path | None, typer.Option(help="Where the update root goes. 更新 root の保存先。")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Of the agent. 状態ディレクトリ。")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier answers. 最初から。")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="A line per item, no symbols. 記号なし・1 行 1 件。")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Set this box up: find, try, write the config, test; Ctrl-C loses nothing. この機器を設定する。"""
    from edgeagent.cli.setup_terminal import Terminal
    from edgeagent.update import durable

    given = _answers(answers, as_json=as_json)
    given = _with_options(given, lang=lang, claim=claim, server=server, ports=port or (), cameras=camera or ())
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("setup.no-terminal")
    screen = Terminal(asks=not yes, plain=plain, quiet=as_json and yes)
    site = _site(config, given, screen, state_dir=state_dir, root=root, fresh=fresh)
    site.save()  # says now, not after the last question, that nothing can be written
    with durable.held(site.state_dir / "setup.lock") as alone:
        if not alone:
            raise Refused("setup.busy")
        code = _run(site, screen)
    if as_json:
        print(json.dumps({"ok": code in (0, _WARNINGS), "exit": code, **site.told}, ensure_ascii=False))
    raise typer.Exit(code)


def _answers(file: Path | None, *, as_json: bool) -> Answers:
    """The file; exit 2 with every mistake in it."""
    from edgeagent.install import answers

    if file is None:
        return answers.Answers()
    made, problems = answers.read(file, _load)
    if made is not None:
        return made
    said = [messages.text(one.code, one.facts, messages.language()) for one in problems]
    if as_json:
        errors = [
            {"path": str(error.facts.get("path", "")), "message": str(text)}
            for error, text in zip(problems, said, strict=True)
        ]
        print(json.dumps({"ok": False, "exit": _USAGE, "errors": errors}, ensure_ascii=False))
    for text in said:
        tell(f"✗ {file}: {text.what}" + (f"\n  → {text.remedy}" if text.remedy else ""), file=sys.stderr)
    raise typer.Exit(_USAGE)


def _with_options(
    given: Answers, *, lang: str | None, claim: str, server: str, ports: Sequence[str], cameras: Sequence[str]
) -> Answers:
    """What was typed behind the verb wins."""
    import msgspec

    from edgeagent.install import camera_scan

    for index, one in enumerate(cameras):
        problem = camera_scan.address_problem(one, f"--camera[{index}]")
        if problem is not None:
            raise problem
    look = given.discover
    look = msgspec.structs.replace(look, ports=tuple(ports) or look.ports, cameras=(*look.cameras, *cameras))
    return msgspec.structs.replace(
        given,
        lang=lang or given.lang,
        claim=claim or given.claim,
        server=server or given.server,
        discover=look,
    )


def _site(
    config: Path, given: Answers, screen: Terminal, *, state_dir: Path | None, root: Path | None, fresh: bool
) -> Site:
    from edgeagent.clock import SystemClock
    from edgeagent.config import GatewayConfig, read_toml
    from edgeagent.install import doctor_world, setup_state
    from edgeagent.install.setup_service import Service
    from edgeagent.install.setup_site import Site
    from edgeagent.install.setup_state import Progress

    old: dict[str, Any] = {}
    broken: ConfigError | None = None
    if config.exists():
        try:
            old = read_toml(config)
        except ConfigError as error:
            broken = error
    _writable(config)
    gateway = old.get("gateway") if isinstance(old.get("gateway"), dict) else {}
    told = given.gateway.get("state_dir") or (gateway or {}).get("state_dir")
    folder = state_dir or Path(str(told or GatewayConfig(id="-").state_dir))
    update = given.update or old.get("update") or {}
    root_file = root or Path(str(update.get("root", _DEFAULT_ROOT)) if isinstance(update, dict) else _DEFAULT_ROOT)
    progress = (None if fresh else setup_state.load(folder)) or Progress()
    if given.lang:
        screen.use(given.lang)
    elif "language" in progress.answers:
        screen.use(progress.answers["language"] if progress.answers["language"] in messages.LANGUAGES else "en")
    screen.title()
    if progress.answers:
        screen.say("·", "setup.resumed", {"n": len(progress.answers)})
    if broken is not None:
        screen.say("!", "setup.old-broken", {"file": config, "why": broken.facts.get("why", "")})
    return Site(
        file=config,
        state_dir=folder,
        root_file=root_file,
        answers=given,
        screen=screen,
        clock=SystemClock(),
        progress=progress,
        service=Service(),
        load=_load,
        world=doctor_world.world,
        old=old,
        old_broken=broken is not None,
    )


def _run(site: Site, screen: Terminal) -> int:
    from edgeagent.install import setup as room

    try:
        code = room.run(site)
    except KeyboardInterrupt:
        print()
        screen.say("!", "setup.stopped", {})
        raise typer.Exit(_STOPPED) from None
    facts = {"gateway": site.told["gateway"], "seconds": site.told["seconds"], "questions": site.told["questions"]}
    facts["n"] = len(site.troubles)
    if code in (0, _WARNINGS):
        screen.say("!" if code else "✓", "setup.done-warnings" if code else "setup.done", facts)
        if site.service.there:
            screen.say("·", "setup.next-cycle", {})
    else:
        screen.say("✗", "setup.done-trouble", facts)
    if site.told["enrol"]:
        screen.say("·", "setup.next-tags", {})
    return code


def _load(data: Any) -> Any:  # noqa: ANN401  answers.Load
    from edgeagent.config import load
    from edgeagent.daemon.build import catalogue

    return load(data, catalogue())


def _writable(config: Path) -> None:
    """Say before the first question that the last step would fail.

    Raises:
        ConfigError: `setup.cannot-write`.
    """
    folder = config.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError("setup.cannot-write", path="", file=str(config), why=os.strerror(13))
