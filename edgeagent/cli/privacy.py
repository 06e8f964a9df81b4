"""privacy audit|key|hash|resolve: what is kept about people, and the city's side of the pseudonyms."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.agent import ask, read_or_exit
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError, EdgeAgentError

if TYPE_CHECKING:
    from edgeagent.daemon.health import Privacy
    from edgeagent.install.privacy_audit import Audit

__all__ = ["app"]

app = typer.Typer(help="What is kept and sent about people. 個人に関わる保存・送信の内容。", no_args_is_help=True)

WORDS = {
    "disk": {"ja": "保存 (ファイル)", "en": "on the disk"},
    "stored": {"ja": "保存中の測定値 (項目別)", "en": "readings that are stored, by field"},
    "left": {"ja": "送信済み (項目別、直近 {hours:.1f} 時間)", "en": "what left, by field, last {hours:.1f} h"},
    "off": {
        "ja": "エージェントが動いていないため、送信内容は分かりません",
        "en": "the agent does not run: what left is not known",
    },
    "fine": {"ja": "✓ 生の識別子は見つかりませんでした", "en": "✓ no raw identity found"},
    "raw": {"ja": "✗ 生の識別子が見つかりました", "en": "✗ raw identities found"},
    "none": {"ja": "なし", "en": "none"},
    "hint": {
        "ja": "  → 設定の id は edgeagent privacy hash で hash に置き換え、ファイルの分は edgeagent wipe で消せます。",
        "en": "  → Replace ids in the config by hashes (edgeagent privacy hash); edgeagent wipe removes files.",
    },
}
KeyFile = Annotated[Path, typer.Option("--key", help="File with the gateway's key (tags-key). 鍵ファイル。")]
Ids = Annotated[Path, typer.Argument(help="Tag ids, one a line; - for stdin. タグ id の一覧。")]


@app.command()
def audit(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """List what is stored and what left, by field; exit 1 if anything is raw. 保存・送信内容の監査。"""
    import msgspec

    from edgeagent.daemon.health import Privacy
    from edgeagent.install import privacy_audit

    found = privacy_audit.audit(read_or_exit(config))
    left: Privacy | None = None
    try:
        left = msgspec.json.decode(ask(config, "privacy"), type=Privacy)
    except EdgeAgentError as error:
        if error.code not in ("daemon.not-running", "outbox.no-answer"):
            raise
    sent_raw = sum(left.raw.values()) if left else 0
    ok = not found.raw and not sent_raw
    if as_json:
        document = {"ok": ok, **msgspec.to_builtins(found), "left": msgspec.to_builtins(left)}
        print(json.dumps(document, ensure_ascii=False))
    else:
        _show(found, left)
    raise typer.Exit(0 if ok else 1)


@app.command()
def key(
    gateway: Annotated[str, typer.Argument(help="Id of the gateway, e.g. GW-0147. ゲートウェイの id。")],
    city_key: Annotated[Path, typer.Option("--city-key", help="File with the city's own secret. 自治体の鍵。")],
    lang: LangOption = None,
) -> None:
    """City side: the key to hand to one gateway, as its tags-key. 自治体側: ゲートウェイに渡す鍵。"""
    from edgeagent.sources.pseudonym import gateway_key

    print(gateway_key(_read_key(city_key), gateway))


@app.command("hash")
def hash_(
    ids: Ids,
    key: KeyFile,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="Name of a tag profile of such ids. タグのプロファイル名。")
    ] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """City side: lines of the allow-list from tag ids ("id alias" a line). 自治体側: 許可リストを作る。"""
    from edgeagent.sources.pseudonym import keyed_hash, list_key

    of_list = list_key(_read_key(key))
    made = [(keyed_hash(of_list, tag).hex(), alias) for tag, alias in _tags(ids, profile or [])]
    if as_json:
        print(json.dumps([{"hash": one, "alias": alias} for one, alias in made], ensure_ascii=False))
        return
    for one, alias in made:
        print(f'    {{ hash = "{one}"' + (f', alias = "{alias}"' if alias else "") + " },")


@app.command()
def resolve(
    name: Annotated[str, typer.Argument(help="Pseudonym, alias or entity id. 仮名またはエンティティ id。")],
    ids: Ids,
    key: KeyFile,
    gateway: Annotated[str, typer.Option("--gateway", help="Id of the gateway, e.g. GW-0147. ゲートウェイの id。")],
    day: Annotated[str, typer.Option("--day", help="UTC date of observedAt, e.g. 2026-11-23. 観測日 (UTC)。")],
    profile: Annotated[
        list[str] | None, typer.Option("--profile", help="Name of a tag profile of such ids. タグのプロファイル名。")
    ] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """City side: whose pseudonym it was on that day; exit 1 if nobody's. 自治体側: 仮名からタグを求める。"""
    import datetime as dt

    from edgeagent.sources.pseudonym import Names

    try:
        noon = dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")
    except ValueError as error:
        raise ConfigError("privacy.bad-day", path="--day", got=day) from error
    wanted, names = name.rsplit(":", 1)[-1].lower(), Names(_read_key(key), gateway)
    # a reading is observed on the day of its pseudonym, or just after midnight or before its clock was set
    days = [int((noon + dt.timedelta(days=shift)).timestamp() * 1000) for shift in (0, -1, 1)]
    tags = list(_tags(ids, profile or []))
    for wall_ms in days:
        of_day = names.of_day(wall_ms)
        for tag, alias in tags:
            if wanted in (of_day.pseudonym(tag), names.alias(tag, wall_ms)):
                found = {"tag": tag, "alias": alias, "day": of_day.day}
                print(json.dumps(found, ensure_ascii=False) if as_json else f"{tag}  {alias}  {of_day.day}")
                return
    raise EdgeAgentError("privacy.nobody", name=wanted, tags=len(tags), day=day)


def _read_key(file: Path) -> bytes:
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError("privacy.no-file", path="--key", file=file, why=error.strerror or str(error)) from error
    if len(key) < 16:  # noqa: PLR2004  as the gateway wants it
        raise ConfigError("privacy.key-short", path="--key", file=file, bytes=len(key))
    return key


def _tags(file: Path, profiles: list[str]) -> list[tuple[str, str]]:
    """(id in its one spelling, alias) of each line."""
    from edgeagent.wire.beacons import normal_id

    try:
        lines = (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("privacy.no-file", path="IDS", file=file, why=error) from error
    found = []
    for number, line in enumerate(lines, 1):
        text, _, alias = line.partition("#")[0].strip().partition(" ")
        if not text:
            continue
        tag = normal_id(text, profiles)
        if tag is None:
            raise ConfigError("privacy.bad-id", path=f"{file}:{number}", got=text)
        found.append((tag, alias.strip()))
    return found


def _show(found: Audit, left: Privacy | None) -> None:
    say = {name: text[messages.language()] for name, text in WORDS.items()}
    tell(say["disk"])
    for file in found.files:
        tell(f"  {file.bytes:>10}  {file.file}  {messages.text(f'privacy.{file.what}', {}, messages.language()).what}")
    tell(say["stored"])
    _fields([(one.kind, one.field, one.readings) for one in found.stored], say["none"])
    if left is None:
        tell(say["off"])
    else:
        tell(say["left"].format(hours=left.up_s / 3600))
        for uplink, fields in left.left.items():
            tell(f"  {uplink}")
            _fields([(one.kind, one.field, one.readings) for one in fields], say["none"])
    raw = [(one.place, one.what, one.found) for one in found.raw]
    raw += [(uplink, "sent", count) for uplink, count in (left.raw if left else {}).items() if count]
    if not raw:
        tell(say["fine"])
        return
    tell(say["raw"])
    for place, what, count in raw:
        tell(f"  {place}: {messages.text(f'privacy.{what}', {}, messages.language()).what} ×{count}")
    tell(say["hint"])


def _fields(fields: list[tuple[str, str, int]], none: str) -> None:
    """One kind a line, wrapped at its fields."""
    kinds: dict[str, list[str]] = {}
    for kind, name, count in fields:
        kinds.setdefault(kind, []).append(f"{name} ×{count}")
    for kind, names in kinds.items():
        tell(f"    {kind}")
        for name in names:
            tell(f"      {name}")
    if not kinds:
        tell(f"    {none}")
