"""fleet enrol-server, enrol-code, enrolled: the city's side of `edgeagent claim`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import tell
from edgeagent.cli.options import JsonOption, LangOption
from edgeagent.errors import ConfigError

__all__ = ["enrol_code", "enrol_server", "enrolled"]

Dir = Annotated[Path, typer.Option("--dir", "-d", help="Keys and books of the server. 鍵と記録のフォルダー。")]
HERE = Path("enrolment")
WORDS = {
    "listens": {"ja": "登録サーバー", "en": "enrolment server"},
    "authority": {"ja": "認証局", "en": "authority"},
    "root": {"ja": "更新の root", "en": "update root"},
    "none": {"ja": "なし (--root で指定)", "en": "none (give --root)"},
    "plain key": {
        "ja": "! 認証局の鍵はパスフレーズなしです (EDGEAGENT_FLEET_PASSPHRASE を設定して作り直せます)",
        "en": "! the authority's key has no passphrase (set EDGEAGENT_FLEET_PASSPHRASE before the first start)",
    },
    "code": {"ja": "登録コード", "en": "claim code"},
    "good": {"ja": "{when} まで、1 回限り", "en": "once, until {when}"},
    "on": {"ja": "ゲートウェイで", "en": "on the gateway"},
    "nobody": {"ja": "まだ登録はありません", "en": "nobody yet"},
    "used": {"ja": "使用中", "en": "in use"},
    "issued": {"ja": "発行済み・未使用", "en": "issued, not used yet"},
    "retired": {"ja": "失効", "en": "retired"},
    "until": {"ja": "まで", "en": ""},
}


def enrol_server(
    folder: Dir = HERE,
    listen: Annotated[str, typer.Option(help="Address to listen on. 待ち受けアドレス。")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one. 0 で空きポート。")] = 8443,
    name: Annotated[
        list[str] | None, typer.Option(help="Host name gateways use; may be repeated. ホスト名 (複数可)。")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="1.root.json of the fleet. 更新の root。")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="A certificate is good for. 証明書の日数。")] = 365,
    lang: LangOption = None,
) -> None:
    """Enrol gateways: EST over HTTPS, until Ctrl-C. ゲートウェイの登録サーバーを動かす。"""
    from cryptography.hazmat.primitives.serialization import Encoding

    from edgeagent.clock import SystemClock
    from edgeagent.fleet import claim_code
    from edgeagent.fleet.enrol_ca import Authority
    from edgeagent.fleet.enrol_desk import Desk
    from edgeagent.fleet.enrol_server import EnrolServer
    from edgeagent.fleet.keys import ask_passphrase

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    clock = SystemClock()
    if root is not None and not root.is_file():
        raise ConfigError("config.no-file", path="--root", file=str(root))
    authority = Authority(folder, clock.now().wall_ms / 1000, _passphrase(), ask_passphrase)
    desk = Desk(folder, authority, clock, days=days)
    names = list(dict.fromkeys([*(name or ()), *_own_names(listen)]))
    try:
        server = EnrolServer((listen, port), names, desk=desk, authority=authority, clock=clock, root=root)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError("fleet.cannot-listen", path="--listen", where=f"{listen}:{port}", why=why) from error
    host = f"[{names[0]}]" if ":" in names[0] else names[0]
    url = f"https://{host}:{server.port}" if server.port != 443 else f"https://{host}"  # noqa: PLR2004  https
    desk.called(url)
    signal.signal(signal.SIGTERM, _end)
    pin = claim_code.pin_of(authority.certificate.public_bytes(Encoding.DER))
    tell(f"✓ {_w('listens')}  {url}\n  {_w('authority')}  {pin}  ({authority.file})")
    tell(f"  {_w('root')}  {_sha256(root) if root else _w('none')}")
    if b"ENCRYPTED" not in (folder / "ca.key").read_bytes():
        tell(_w("plain key"))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()


def enrol_code(
    gateway: Annotated[str, typer.Argument(help="Id of the gateway, e.g. GW-0147. ゲートウェイの id。")],
    folder: Dir = HERE,
    hours: Annotated[float, typer.Option(min=0.01, max=8760, help="Good for. 有効時間。")] = 72.0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Its old box is locked out by the claim. 以前の機器を失効させる。")
    ] = False,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """A one-time claim code, as text and QR. 一回限りの登録コードを発行する。"""
    from edgeagent.cli import show_qr
    from edgeagent.clock import SystemClock
    from edgeagent.config import GatewayConfig
    from edgeagent.fleet import enrol_desk

    for problem in GatewayConfig(id=gateway).problems():
        raise problem
    now_s = SystemClock().now().wall_ms / 1000
    code = enrol_desk.new_code(folder, gateway, now_s=now_s, valid_s=hours * 3600, replace=replace)
    link, until = str(code), enrol_desk.day(now_s + hours * 3600)
    bare = link.partition("#")[2]
    if as_json:
        document = {"ok": True, "gateway": gateway, "code": bare, "server": code.server, "link": link, "until": until}
        print(json.dumps(document, ensure_ascii=False))
        return
    tell(f"{_w('code')}  {gateway}  ({_w('good').format(when=until)})\n\n  {bare}\n  {code.server}\n")
    print(show_qr.shown(link))
    print(f"{_w('on')}:\n  sudo edgeagent claim {link}")


def enrolled(folder: Dir = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Certificates and who holds them. 発行した証明書の一覧。"""
    from edgeagent.fleet import enrol_desk

    found = enrol_desk.read(folder).issued
    if as_json:
        rows = [
            {"gateway": one.gateway, "serial": serial, "state": one.state, "until": enrol_desk.day(one.expires_s)}
            for serial, one in found.items()
        ]
        print(json.dumps({"ok": True, "gateways": rows}, ensure_ascii=False))
        return
    for serial, one in found.items():
        mark = {"used": "✓", "issued": "…", "retired": "✗"}[one.state]
        tell(f"{mark} {one.gateway}  {_w(one.state)}\n    {enrol_desk.day(one.expires_s)} {_w('until')}  {serial[:16]}")
    if not found:
        tell(_w("nobody"))


def _own_names(listen: str) -> list[str]:
    """What a server is called that nobody gave a name."""
    import socket

    if listen in ("127.0.0.1", "::1", "localhost"):
        return [listen, *({"127.0.0.1", "localhost"} - {listen})]
    return [socket.gethostname()] if listen in ("0.0.0.0", "::") else [listen]  # noqa: S104  compared, not bound


def _passphrase() -> str:
    """For a new authority: from the environment or a systemd credential; none is a choice too."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (file := Path(folder) / "fleet-passphrase").is_file():
        return file.read_text(encoding="utf-8").strip()
    return os.environ.get("EDGEAGENT_FLEET_PASSPHRASE", "")


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def _sha256(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
