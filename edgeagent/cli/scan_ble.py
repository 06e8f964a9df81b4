"""scan ble: tags around, enrolment by holding one to the antenna, walk test."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import read_or_exit
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, JsonOption, LangOption
from edgeagent.errors import ConfigError, EdgeAgentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from edgeagent.install.tag_scan import Listener
    from edgeagent.install.tag_survey import Row, WalkTest
    from edgeagent.sources.tags_config import BleTagsConfig

__all__ = ["ble"]

WORDS = {
    "tags": {
        "ja": "タグ {tags} 個 · 電波 {anybody} 回 · 残り {left:.0f} 秒",
        "en": "{tags} tags · {anybody} frames · {left:.0f} s left",
    },
    "hold": {"ja": "登録するタグをアンテナに近づけてください…", "en": "Hold the tag to the antenna now…"},
    "walk": {
        "ja": "歩いてください。受信するたびに音が鳴ります。Ctrl-C で終了",
        "en": "Walk. It beeps while the tag is heard. Ctrl-C ends it",
    },
    "enrolled": {"ja": "✓ 登録しました: {hash} {alias}", "en": "✓ enrolled: {hash} {alias}"},
    "again": {"ja": "✓ 登録済みです: {hash} {alias}", "en": "✓ was enrolled already: {hash} {alias}"},
    "restart": {
        "ja": "  → エージェントを再起動すると有効になります: sudo systemctl restart edgeagent",
        "en": "  → It counts from the next start: sudo systemctl restart edgeagent",
    },
    "set": {
        "ja": "  → 設定のタグの欄に enrolled = true を加えてください。",
        "en": "  → Add enrolled = true to the tag section of the config.",
    },
    "walked": {
        "ja": "{seconds} 秒中 受信 {heard:.0%} · 在圏 {here:.0%} · 最長の無音 {gap} 秒 · 最弱 {weakest} dBm",
        "en": "{seconds} s: heard {heard:.0%} · present {here:.0%} · longest silence {gap} s · weakest {weakest} dBm",
    },
    "none": {"ja": "タグは見つかりませんでした", "en": "no tags found"},
}
_TICK_S = 0.25


def ble(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Config file. 設定ファイル。")] = None,
    source: Annotated[str, typer.Option("--source", help="Id of the tag section. タグの欄の id。")] = "",
    adapter: Annotated[str, typer.Option("--adapter", help="Address of the radio. アダプターのアドレス。")] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=600, help="How long. 秒数。")] = 60,
    enrol: Annotated[bool, typer.Option("--enrol", help="Put the held tag on the list. タグを登録する。")] = False,
    alias: Annotated[str, typer.Option("--alias", help="Its name with the city. 別名。")] = "",
    walk: Annotated[bool, typer.Option("--walk", help="Walk test with beeps. 歩行試験。")] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Show tags around with their strength; enrol one; test the coverage. 周囲のタグ、登録、歩行試験。"""
    import asyncio

    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    if config is None and (enrol or walk):
        raise ConfigError("tags.scan-needs-config", path="--config")
    section, state_dir = _section(config, source)
    scan = _Scan(section, state_dir, adapter, seconds, as_json=as_json)
    job = scan.enrol(alias) if enrol else scan.walk() if walk else scan.look()
    raise typer.Exit(asyncio.run(job))


def _section(config: Path | None, source: str) -> tuple[BleTagsConfig | None, Path | None]:
    from edgeagent.sources.tags_config import BleTagsConfig

    if config is None:
        return None, None
    made = read_or_exit(config)
    found = [s.config for s in made.sources if isinstance(s.config, BleTagsConfig) and source in ("", s.config.id)]
    if source and not found:
        ids = ", ".join(s.config.id for s in made.sources)
        raise ConfigError("config.not-a-choice", path="--source", got=source, choices=ids, hint="")
    return (found[0] if found else None), Path(made.gateway.state_dir)


class _Scan:
    """The three things that can be done with a radio."""

    def __init__(
        self, section: BleTagsConfig | None, state_dir: Path | None, adapter: str, seconds: float, *, as_json: bool
    ) -> None:
        self._section, self._state_dir, self._adapter = section, state_dir, adapter
        self._seconds, self._json = seconds, as_json
        self._say = {name: text[messages.language()] for name, text in WORDS.items()}

    async def look(self) -> int:
        """A live table until the time is over."""
        rows: Sequence[Row] = ()
        async with contextlib.aclosing(self._ticks()) as ticks:
            async for listener, now_s, _ in ticks:
                rows = listener.survey.rows(now_s)
        if self._json:
            import msgspec

            print(json.dumps({"tags": [msgspec.to_builtins(row) for row in rows]}))
        elif rows:
            import shutil

            print("\n".join(_line(row, shutil.get_terminal_size().columns) for row in rows))
        else:
            tell(self._say["none"])
        return 0 if rows else 1

    async def enrol(self, alias: str) -> int:
        """Wait for a tag that is held to the antenna, and store its keyed hash."""
        from edgeagent.sources.enrolled_tags import FILE, add_enrolled

        assert self._state_dir is not None
        held = None
        async with contextlib.aclosing(self._ticks(self._say["hold"])) as ticks:
            async for listener, now_s, _ in ticks:
                held = listener.survey.held(now_s)
                if held is not None:
                    break
        if held is None:
            raise EdgeAgentError("tags.nobody-held", seconds=round(self._seconds))
        try:
            new = add_enrolled(self._state_dir, held.hash, alias)
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigError("tags.cannot-write", path=self._state_dir / FILE, why=why) from error
        if self._json:
            print(json.dumps({"hash": held.hash, "alias": alias, "new": new}, ensure_ascii=False))
            return 0
        tell("\a" + self._say["enrolled" if new else "again"].format(hash=held.hash[:8], alias=alias).rstrip())
        tell(self._say["restart"])
        if self._section is None or not self._section.enrolled:
            tell(self._say["set"])
        return 0

    async def walk(self) -> int:
        """Follow the tag that is held first; beep while it is heard; keep the result for the report."""
        import asyncio

        from edgeagent.clock import SystemClock
        from edgeagent.install.tag_scan import write_walk_test
        from edgeagent.install.tag_survey import Walk

        assert self._state_dir is not None
        walk, tag, next_s = Walk(), None, 0.0
        try:
            async with contextlib.aclosing(self._ticks(self._say["hold"])) as ticks:
                async for listener, now_s, show in ticks:
                    if tag is None:
                        held = listener.survey.held(now_s)
                        if held is not None:
                            tag, next_s = held.hash, now_s
                            show(self._say["walk"], tag)
                    elif now_s >= next_s:
                        next_s += 1.0
                        if walk.second(listener.survey.find(tag, now_s)) and not self._json:
                            print("\a", end="", file=sys.stderr, flush=True)
        except asyncio.CancelledError:  # Ctrl-C: what was walked counts
            if tag is None:
                raise
        if tag is None:
            raise EdgeAgentError("tags.nobody-held", seconds=round(self._seconds))
        result = walk.result(SystemClock().now().wall_ms)
        write_walk_test(self._state_dir, result)
        self._tell(result)
        return 0 if result.here else 1

    def _tell(self, result: WalkTest) -> None:
        if self._json:
            import msgspec

            print(json.dumps(msgspec.to_builtins(result)))
            return
        weakest = "-" if result.weakest_dbm is None else f"{result.weakest_dbm:.0f}"
        tell(
            self._say["walked"].format(
                seconds=result.seconds, heard=result.heard, here=result.here, gap=result.longest_gap_s, weakest=weakest
            )
        )

    async def _ticks(self, line: str = "") -> AsyncGenerator[tuple[Listener, float, Callable[[str, str], None]], None]:
        """Four times a second until the time is over, with the table on the screen."""
        import asyncio

        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        from edgeagent.clock import SystemClock
        from edgeagent.install.tag_scan import listening

        clock, shown = SystemClock(), {"line": line, "only": ""}

        def show(text: str, only: str) -> None:
            shown.update(line=text, only=only)

        console = Console(stderr=True)
        async with listening(self._section, self._state_dir, adapter=self._adapter, clock=clock) as listener:
            ends_s = clock.mono() + self._seconds
            with contextlib.ExitStack() as stack:
                live = None
                if console.is_terminal and not self._json:
                    live = stack.enter_context(Live(console=console, auto_refresh=False, transient=True))
                while (now_s := clock.mono()) < ends_s:
                    listener.check()
                    if live is not None:
                        page = self._page(listener, now_s, ends_s - now_s, shown, console.width)
                        live.update(Text(page), refresh=True)
                    yield listener, now_s, show
                    await asyncio.sleep(_TICK_S)
            if listener.trouble is not None and not listener.survey.anybody:
                raise listener.trouble

    def _page(self, listener: Listener, now_s: float, left_s: float, shown: dict[str, str], width: int) -> str:
        rows = listener.survey.rows(now_s)
        lines = [self._say["tags"].format(tags=len(rows), anybody=listener.survey.anybody, left=left_s)]
        if listener.trouble is not None:
            lines.append(f"! {messages.text(listener.trouble.code, listener.trouble.facts, messages.language())}")
        if shown["line"]:
            lines.append(shown["line"])
        only = [row for row in rows if row.hash == shown["only"]] if shown["only"] else rows
        return "\n".join([*lines, *(_line(row, width) for row in only[:15])])


def _line(row: Row, width: int) -> str:
    """One tag on one line, of 40 columns or more."""
    from edgeagent.install.tag_survey import bar

    mark = "✓" if row.listed else " "
    wide = width >= 60  # noqa: PLR2004  columns
    name = (row.alias or row.hash[:8])[:12]
    strength = bar(row.rssi, 20 if wide else 10)
    line = f"{mark} {name:<12} {strength} {row.rssi:>4.0f}"
    return f"{line} dBm  {row.format:<10} n={row.frames}  {row.silent_s:.0f}s" if wide else f"{line} n={row.frames}"
