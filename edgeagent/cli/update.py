"""update poll, status, explain: this gateway's config from afar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import ask
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

if TYPE_CHECKING:
    from edgeagent.update.layers import Leaf
    from edgeagent.update.poll import Agent
    from edgeagent.update.report import PollNote, Reported

__all__ = ["app"]

app = typer.Typer(help="Config over the air. 設定の遠隔更新。", no_args_is_help=True)
From = Annotated[str, typer.Option("--from", help="URL or folder (USB stick) instead of the configured one. 取得元。")]
Key = Annotated[str, typer.Argument(help="e.g. sources.miyagawa.every_s; none for all. 省略時はすべて。")]

WORDS = {
    "current": {"ja": "最新です", "en": "up to date"},
    "staged": {
        "ja": "新しい設定を取り込みました。再起動して試行します",
        "en": "fetched; it is tried with the next start",
    },
    "in-trial": {"ja": "試行中です", "en": "on trial"},
    "waits": {"ja": "試行待ち", "en": "waits for its trial"},
    "signed": {"ja": "署名済み", "en": "as it was signed"},
    "state": {"ja": "状態", "en": "state"},
    "desired": {"ja": "目標", "en": "desired"},
    "applied": {"ja": "適用", "en": "applied"},
    "release": {"ja": "リリース", "en": "release"},
    "own file": {"ja": "本機のファイルのみ", "en": "own file alone"},
    "reason": {"ja": "理由", "en": "reason"},
    "asked": {"ja": "確認", "en": "asked"},
    "signatures": {"ja": "署名", "en": "signatures"},
    "days": {"ja": "日間有効", "en": "days left"},
    "clock": {"ja": "時計", "en": "clock"},
    "refused": {"ja": "拒否済み", "en": "refused"},
    "over": {"ja": "上書き", "en": "instead of"},
    "idle": {"ja": "通常", "en": "idle"},
    "trial": {"ja": "試行中", "en": "on trial"},
    "probation": {"ja": "採用後の見守り中", "en": "kept, still watched"},
    "ring": {"ja": "配布区分", "en": "ring"},
}


@app.command()
def poll(
    config: ConfigOption = DEFAULT_CONFIG, place: From = "", as_json: JsonOption = False, lang: LangOption = None
) -> None:
    """Fetch, verify and stage what is signed for this gateway. 更新を確認して取り込む。"""
    from edgeagent.clock import SystemClock
    from edgeagent.daemon import build
    from edgeagent.update.poll import poll as once

    note = once(
        config, clock=SystemClock(), check=lambda path: build.read_config(path)[1], agent=_running(config), place=place
    )
    _show_poll(note, as_json=as_json)


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """What runs, what is tried, what was refused and why. 適用中の設定と試行の状態。"""
    import msgspec

    from edgeagent import __version__
    from edgeagent.clock import SystemClock
    from edgeagent.config import read_toml
    from edgeagent.errors import ConfigError
    from edgeagent.update import boot, report
    from edgeagent.update.slots import Slots

    data = read_toml(config)
    section = boot.section_of(data)
    if section is None:
        raise ConfigError("update.not-configured", path="update", file=str(config))
    folder, now = boot.folder_of(data), SystemClock().now()
    said = report.report(
        folder,
        gateway=str(data["gateway"]["id"]),
        version=__version__,
        ring=section.ring,
        wall_ms=now.wall_ms,
        trust=now.trust,
    )
    if as_json:
        refused = msgspec.to_builtins(Slots(folder).record().refused)
        print(json.dumps({**msgspec.to_builtins(said), "refused": refused}, ensure_ascii=False))
    else:
        tell(_status(said, folder))


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="A package, its parts list. パッケージと部品表。")],
    config: ConfigOption = DEFAULT_CONFIG,
    place: From = "",
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Are these files the ones that were signed? 署名されたファイルか確認する。"""
    import msgspec

    from edgeagent.clock import SystemClock
    from edgeagent.update.verify import verify as held_against

    found = held_against(config, files, clock=SystemClock(), place=place)
    if as_json:
        print(json.dumps({"ok": True, "files": msgspec.to_builtins(found)}, ensure_ascii=False))
        return
    for one in found:
        tell(f"✓ {one.file}  {_w('signed')}\n    {one.sha256}")


@app.command()
def explain(
    key: Key = "", config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    """Every setting with the layer it comes from. 設定値がどの層から来たか。"""
    from edgeagent.config import read_toml
    from edgeagent.update import boot, layers
    from edgeagent.update.slots import Slots, local_layer

    data = read_toml(config)
    section = boot.section_of(data)
    said = [local_layer(data, config)]
    if section is not None:
        slots = Slots(boot.folder_of(data))
        release = slots.record().runs.name
        said = [*(slots.layers(release) if release else []), *said]
    found = layers.merge(said, section.unlocked if section else ()).explain(key)
    if as_json:
        rows = [
            {"key": f.key, "value": f.value, "layer": f.layer, "file": f.path, "sequence": f.sequence, "over": f.under}
            for f in found
        ]
        print(json.dumps({"settings": rows}, ensure_ascii=False, default=str))
    else:
        tell("\n".join(line for leaf in found for line in _leaf(leaf)))


def _running(config: Path) -> Agent:
    """The running agent, asked over its control socket."""
    import msgspec

    from edgeagent.daemon.health import Status
    from edgeagent.errors import EdgeAgentError
    from edgeagent.update.poll import Agent as Nobody

    class Running(Nobody):
        def unwell(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
            try:
                now = msgspec.json.decode(ask(config, "status"), type=Status)
            except (EdgeAgentError, msgspec.DecodeError):
                return None
            failing = tuple(s.id for s in now.sources if not s.well)
            return failing, tuple(u.id for u in now.uplinks if not u.well)

    return Running()


def _show_poll(note: PollNote, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        print(msgspec.json.encode(note).decode())
    else:
        tell(f"✓ {_w(note.what)}  ({note.where}, {_w('desired')} {note.seen_sequence}, {note.fetched} B)")


def _status(said: Reported, folder: Path) -> str:
    from edgeagent.update import report
    from edgeagent.update.slots import Slots
    from edgeagent.words import span

    mark = "✗" if said.stale or said.reason else "✓"
    state = _w("waits" if said.state == "staged" else said.state)
    lines = [f"{mark} {_w('state')} {state}  {_w('desired')} {said.desired}  {_w('applied')} {said.applied}"]
    lines.append(f"  {_w('release')} {said.release[:12] or _w('own file')}  {_w('ring')} {said.ring}")
    note = report.read_note(folder)
    if note is not None:
        ago = span(max(said.wall_ms - note.wall_ms, 0) / 1000)
        lines.append(f"  {_w('asked')} {note.where}  {ago}")
    if said.expires_s:
        days = (said.expires_s - said.wall_ms / 1000) / 86_400
        lines.append(f"  {_w('signatures')} root v{said.root}  {days:.0f} {_w('days')}  {_w('clock')} {said.clock}")
    if said.reason:
        text = messages.text(said.reason, said.facts, messages.language())
        lines += [f"  {_w('reason')}: {text.what}", f"    → {text.remedy}"]
    for one in Slots(folder).record().refused:
        lines.append(f"  {_w('refused')} {one.release.name[:12]} #{one.release.sequence} {one.code}")
    return "\n".join(lines)


def _leaf(leaf: Leaf) -> list[str]:
    version = f" #{leaf.sequence}" if leaf.sequence else ""
    lines = [f"{leaf.key} = {_short(leaf.value)}", f"    {leaf.layer}{version}  {leaf.path}"]
    return lines + [f"    {_w('over')} {layer}: {_short(value)}" for layer, value in leaf.under]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"  # noqa: PLR2004  one terminal line


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
