"""claim: this gateway's identity, from a one-time code; its state and its renewal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError, EdgeAgentError

if TYPE_CHECKING:
    from edgeagent.install.enrol import Claimed
    from edgeagent.install.identity import Card, Server

__all__ = ["claim"]

DEFAULT_ROOT = Path("/etc/edgeagent/root.json")  # as `[update] root`
WORDS = {
    "key": {"ja": "鍵", "en": "key"},
    "made here": {"ja": "本機内で生成、外に出ません", "en": "made here, never leaves"},
    "server": {"ja": "サーバー", "en": "server"},
    "root": {"ja": "更新の root", "en": "update root"},
    "certificate": {"ja": "証明書", "en": "certificate"},
    "until": {"ja": "{day} まで", "en": "until {day}"},
    "proven": {"ja": "接続確認", "en": "proven"},
    "claimed": {"ja": "登録しました", "en": "enrolled"},
    "already": {"ja": "登録済みです", "en": "enrolled already"},
    "renewed": {"ja": "証明書を更新しました", "en": "certificate renewed"},
    "not-due": {"ja": "更新はまだ不要です", "en": "not due yet"},
    "is": {"ja": "登録済み", "en": "enrolled"},
    "renewal": {"ja": "更新予定", "en": "renewal from"},
    "left": {"ja": "残り {days} 日", "en": "{days} days left"},
    "ended": {"ja": "期限切れ", "en": "expired"},
    "waiting": {
        "ja": "新しい証明書の接続確認待ち: edgeagent claim --renew",
        "en": "a new certificate waits to be proven: edgeagent claim --renew",
    },
    "begun": {
        "ja": "登録の途中です。同じ claim コマンドをもう一度実行してください",
        "en": "a claim was begun; run the same claim again",
    },
    "compare": {
        "ja": "→ 自治体の担当者が持つ root の指紋と見比べてください",
        "en": "→ Compare the root's fingerprint with the city's",
    },
    "no root": {
        "ja": "サーバーに更新の root がありません。設定の遠隔更新は使えません",
        "en": "the server gives no update root: config over the air stays off",
    },
}
_GROUP = 16


def claim(
    code: Annotated[str, typer.Argument(help="Claim code, or the link with it. 登録コードまたはリンク。")] = "",
    server: Annotated[str, typer.Option(help="https://… of the enrolment server. 登録サーバー。")] = "",
    ca: Annotated[Path | None, typer.Option(help="PEM of the authority behind it. サーバーの認証局。")] = None,
    root: Annotated[Path | None, typer.Option(help="Where the update root goes. 更新 root の保存先。")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Instead of the config's. 状態ディレクトリ。")] = None,
    status: Annotated[bool, typer.Option("--status", help="Show the identity. 状態を表示。")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="Renew it when it is due. 期限が近ければ更新。")] = False,
    now: Annotated[bool, typer.Option("--now", help="With --renew: due or not. 期限前でも更新。")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Although there is one. 登録し直す。")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Get this gateway's identity for a one-time code. 一回限りのコードで本機を登録する。"""
    from edgeagent.clock import SystemClock
    from edgeagent.fleet import claim_code
    from edgeagent.install import enrol

    gateway, folder, root_file = _site(config)
    folder, root_file = state_dir or folder, root or root_file
    if status:
        _show_status(folder, as_json=as_json)
    step = _silent if as_json else _tell
    if renew:
        _show(enrol.renew(state_dir=folder, clock=SystemClock(), now=now, step=step), as_json=as_json)
        return
    if not code:
        raise ConfigError("claim.no-code", path="CODE")
    parsed = claim_code.parse(code)
    if not (server or parsed.server):
        raise ConfigError("claim.no-server", path="--server")
    done = enrol.claim(
        parsed,
        server or parsed.server,
        state_dir=folder,
        clock=SystemClock(),
        gateway=gateway,
        ca=ca,
        root_file=root_file,
        replace=replace,
        step=step,
    )
    _show(done, as_json=as_json)


def _site(config: Path) -> tuple[str, Path, Path]:
    """(gateway's id, state directory, place of the root) as the config says; a claim may come before a config."""
    from edgeagent.config import GatewayConfig, decode, read_toml
    from edgeagent.update import boot

    if not config.exists():
        return "", Path(GatewayConfig(id="-").state_dir), DEFAULT_ROOT
    data = read_toml(config)
    gateway, problems = decode(GatewayConfig, data.get("gateway", {}), "gateway")
    if gateway is None:
        raise problems[0]
    section = boot.section_of(data)
    return gateway.id, Path(gateway.state_dir), Path(section.root) if section else DEFAULT_ROOT


def _silent(_name: str, _what: str) -> None:
    """Machines read the end only."""


def _tell(name: str, what: str) -> None:
    if name == "key":
        what = f"{what}  ({_w('made here')})"
    elif name == "certificate":
        what = _w("until").format(day=what)
    elif name == "root":
        what = f"sha256\n{_print(what)}"
    tell(f"✓ {_w(name)}  {what}")


def _show(done: Claimed, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ok": True, "what": done.what, **_document(done.card, done.server)}, ensure_ascii=False))
        return
    from edgeagent.install.identity import day

    tell(f"✓ {_w(done.what)}: {done.gateway}  ({_w('until').format(day=day(done.card.ends_s))})")
    if done.what == "claimed":
        tell(f"  {_w('compare') if done.server.root_sha256 else '! ' + _w('no root')}")


def _show_status(state_dir: Path, *, as_json: bool) -> None:
    """Print and leave: 0 for an identity that can be used, 1 otherwise."""
    from edgeagent.clock import SystemClock
    from edgeagent.install.identity import Identity, day, read_card

    identity = Identity(state_dir)
    problem = _reachable(identity.folder)
    card = None if problem else read_card(identity.current)
    now_s = SystemClock().now().wall_ms / 1000
    waiting = "" if problem else "waiting" if identity.new.exists() else "begun" if identity.next_key.exists() else ""
    if problem is None and card is None:
        problem = EdgeAgentError("claim.not-claimed")
    elif card is not None and now_s >= card.ends_s:
        problem = EdgeAgentError("claim.identity-expired", when=day(card.ends_s))
    elif card is not None and (mode := identity.current.stat().st_mode & 0o777) & 0o077:
        problem = EdgeAgentError("claim.key-open", file=identity.current, mode=f"{mode:04o}")
    said = messages.text(problem.code, problem.facts, messages.language()) if problem else None
    days = int((card.ends_s - now_s) // 86_400) if card else 0
    if as_json:
        document = _document(card, identity.server) if card else {}
        more = {"code": problem.code, "message": str(said)} if problem else {"days_left": days}
        print(json.dumps({"ok": problem is None, "pending": waiting, **document, **more}, ensure_ascii=False))
        raise typer.Exit(1 if problem else 0)
    if card is not None:
        told = identity.server
        tell(f"{'✗' if problem else '✓'} {_w('is')}: {card.gateway}")
        left = _w("left").format(days=days) if days >= 0 else _w("ended")
        tell(f"  {_w('certificate')}  {_w('until').format(day=day(card.ends_s))}, {left}")
        tell(f"  {_w('renewal')}  {day(card.renew_s)}")
        if told is not None:
            tell(f"  {_w('server')}  {told.url}")
        tell(f"  {_w('certificate')}  sha256\n{_print(card.sha256)}")
        if told is not None and told.root_sha256:
            tell(f"  {_w('root')}  sha256\n{_print(told.root_sha256)}\n    {told.root_file}")
    if said is not None:
        tell(f"✗ {said.what}\n  → {said.remedy}", file=sys.stderr)
    if waiting:
        tell(f"! {_w(waiting)}")
    raise typer.Exit(1 if problem else 0)


def _reachable(folder: Path) -> EdgeAgentError | None:
    try:
        list(folder.iterdir())
    except PermissionError as error:
        return EdgeAgentError("claim.identity-broken", file=folder, why=error.strerror or "")
    except OSError:
        return None
    return None


def _document(card: Card, server: Server | None) -> dict[str, object]:
    import datetime as dt

    def moment(at_s: float) -> str:
        return dt.datetime.fromtimestamp(int(at_s), dt.UTC).isoformat().replace("+00:00", "Z")

    return {
        "gateway": card.gateway,
        "not_after": moment(card.ends_s),
        "renew_after": moment(card.renew_s),
        "serial": card.serial,
        "certificate_sha256": card.sha256,
        "server": server.url if server else "",
        "root_sha256": server.root_sha256 if server else "",
        "root_file": server.root_file if server else "",
    }


def _print(sha256: str) -> str:
    """A fingerprint in lines that two people can read to each other."""
    lines = [sha256[at : at + 2 * _GROUP] for at in range(0, len(sha256), 2 * _GROUP)]
    return "\n".join("    " + " ".join(line[at : at + 8] for at in range(0, len(line), 8)) for line in lines)


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
