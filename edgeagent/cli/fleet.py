"""fleet …: the maintainer's verbs; see README 'Updates' for the key ceremony step by step."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import tell
from edgeagent.cli.options import JsonOption, LangOption
from edgeagent.errors import ConfigError

if TYPE_CHECKING:
    from edgeagent.errors import EdgeAgentError
    from edgeagent.fleet.ceremony import Ceremony
    from edgeagent.fleet.repository import Change, Repository
    from edgeagent.fleet.status import Broker, Row
    from edgeagent.fleet.token import Which

__all__ = ["app"]

app = typer.Typer(
    help="Sign, publish and watch the config of many gateways. 多数のゲートウェイの設定を署名・配布・監視する。",
    no_args_is_help=True,
)
RepoOption = Annotated[Path, typer.Option("--repo", "-r", help="The repository's folder. リポジトリーのフォルダー。")]
TokenOption = Annotated[
    str, typer.Option("--token", help="LABEL[/NUMBER]: the new key is on this PKCS#11 token. トークンの鍵。")
]
HERE = Path()
Owner = Annotated[str, typer.Argument(help="A city, or vendor. 市の名前、または vendor。")]
Mqtt = Annotated[str, typer.Option("--mqtt", help="HOST[:PORT] of the broker with the states. ブローカー。")]

WORDS = {
    "nothing": {"ja": "変更はありません", "en": "nothing to do"},
    "ok": {"ja": "問題はありません", "en": "all is well"},
    "waits": {
        "ja": "もう 1 人の root 鍵の署名を待っています。その人が edgeagent fleet sign を実行してください",
        "en": "waits for another holder of a root key: edgeagent fleet sign",
    },
    "done": {"ja": "完了", "en": "done"},
    "next": {
        "ja": "次: keys/ を別々の人が保管し、edgeagent fleet add-city 市名",
        "en": "next: give the keys in keys/ to different people, then edgeagent fleet add-city CITY",
    },
    "gateways": {"ja": "台", "en": "gateways"},
    "failing": {"ja": "異常", "en": "failing"},
    "quiet": {"ja": "応答なし", "en": "quiet"},
    "behind": {"ja": "遅れ", "en": "behind"},
    "trial": {"ja": "試行中", "en": "on trial"},
    "days": {"ja": "日", "en": "days"},
}
MARKS = {"ok": "✓", "trial": "…", "behind": "!", "failing": "✗", "quiet": "?"}


@app.command()
def init(
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=LABEL[/NUMBER], e.g. root-1=city: this key is on a PKCS#11 token; repeat. トークンの鍵。"
        ),
    ] = None,
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """New keys and first metadata: root with 2 of 3. 鍵とリポジトリーを作る。"""
    from edgeagent.fleet.token import Which

    wanted = {}
    for one in token or ():
        name, equals, label = one.partition("=")
        if not (name and equals and label):
            raise ConfigError("fleet.not-a-token", path="--token", got=one)
        wanted[name] = Which(label)
    made = _open(repo)
    made.init(wanted)
    _done({"repository": str(repo), "root": str(made.public / "metadata" / "1.root.json")}, _w("next"), as_json=as_json)


@app.command("add-city")
def add_city(
    city: Annotated[str, typer.Argument(help="Name of the city. 市の名前。")],
    token: TokenOption = "",
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """A city with a key of its own, which speaks for its paths only. 市と鍵を追加する。"""
    made = _open(repo)
    made.add_city(city, _token(token))
    place = made.signed.places(city)[0]
    _done({"city": city, "key": place}, f"{city}: {place}", as_json=as_json)


@app.command("add-gateway")
def add_gateway(
    gateway: Annotated[str, typer.Argument(help="Its id, e.g. GW-0147. ゲートウェイの id。")],
    city: Annotated[str, typer.Option(help="Its city. 市。")],
    group: Annotated[list[str] | None, typer.Option(help="May be repeated. 複数可。")] = None,
    ring: Annotated[str, typer.Option(help="One of canary, early, all. 配布区分 (canary, early, all)。")] = "all",
    local: Annotated[Path | None, typer.Option(help="Its own config, for check. 本機の設定 (検査用)。")] = None,
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Enter a gateway; prints what belongs into its own config. ゲートウェイを登録する。"""
    from edgeagent.fleet.books import Gateway
    from edgeagent.update.section import RINGS

    if ring not in RINGS:
        raise ConfigError("config.not-a-choice", path="--ring", got=ring, choices=", ".join(RINGS), hint="")
    text = local.read_text(encoding="utf-8") if local else ""
    made = Gateway(city=city, groups=tuple(group or ()), ring=ring, local=text)
    name = _open(repo).add_gateway(gateway, made)
    groups = ", ".join(f'"{one}"' for one in group or ())
    section = f'[update]\nurl = "https://…"\ncity = "{city}"\nname = "{name}"\ngroups = [{groups}]\nring = "{ring}"'
    _done({"gateway": gateway, "name": name, "path": f"{city}/dev/{name}.toml"}, section, as_json=as_json)


@app.command()
def gateways(repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """The gateways in the books, with their names in the repository. 登録済みのゲートウェイ。"""
    from edgeagent.fleet import books as book

    found = book.read(repo).gateways
    rows = [
        {
            "gateway": g,
            "city": one.city,
            "name": book.name_of(repo, g, one.city),
            "groups": one.groups,
            "ring": one.ring,
        }
        for g, one in found.items()
    ]
    text = "\n".join(f"{row['gateway']}  {row['city']}  {row['name']}  {row['ring']}" for row in rows)
    _done({"gateways": rows}, text or _w("nothing"), as_json=as_json)


@app.command()
def put(
    path: Annotated[
        str,
        typer.Argument(help="CITY/city.toml, CITY/group/NAME.toml, CITY/models/NAME.onnx…. 対象のパス。"),
    ],
    file: Annotated[Path | None, typer.Argument(help="Its content; - for stdin. 内容。")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take it off with the next publication. 削除する。")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the draft back. 取り消す。")] = False,
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Lay a file into the drafts; `@GW-0147` stands for a gateway's own path. 公開前のファイルを置く。"""
    made = _open(repo)
    at = _path(repo, path)
    if undo:
        made.undo(at)
    elif remove:
        made.put(at, None)
    elif file is None:
        raise ConfigError("config.missing", path="FILE", expected="FILE")
    else:
        made.put(at, sys.stdin.buffer.read() if str(file) == "-" else _read(file))
    _done({"path": at}, at, as_json=as_json)


@app.command()
def diff(repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """What publish would change. 公開で変わる内容。"""
    import difflib

    made = _open(repo)
    known = {file.path: file for file in made.names()}
    shown: list[str] = []
    changes = []
    for path, content in made.drafted().items():
        old = made.content(known[path]) if path in known else b""
        changes.append({"path": path, "removed": content is None, "new": path not in known})
        before, after = _lines(old), _lines(content or b"")
        shown += list(difflib.unified_diff(before, after, path, f"{path} (draft)", lineterm=""))
    _done({"changes": changes}, "\n".join(shown) or _w("nothing"), as_json=as_json)


@app.command()
def publish(
    at_once: Annotated[bool, typer.Option("--at-once", help="To everybody, no rollout. 段階配布なし。")] = False,
    mqtt: Mqtt = "",
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Sign the drafts; what exists already goes to the canary ring first. 署名して公開する。"""
    made = _open(repo)
    if not made.drafted():
        raise ConfigError("fleet.nothing-drafted", path="")
    _changes(made.publish(at_once=at_once), mqtt, as_json=as_json)


@app.command()
def promote(
    owner: Owner,
    ring: Annotated[str, typer.Option(help="One of canary, early, all. 配布区分 (canary, early, all)。")],
    percent: Annotated[int, typer.Option(help="Share of the ring. 割合。")] = 100,
    mqtt: Mqtt = "",
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Give the candidate to a share of a ring; 100 % of `all` makes it the standing one. 配布範囲を広げる。"""
    done = _open(repo).promote(owner, ring, percent)
    if not done:
        raise ConfigError("fleet.no-candidate", path="", owner=owner)
    _changes(done, mqtt, as_json=as_json)


@app.command()
def halt(
    owner: Owner, mqtt: Mqtt = "", repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    """Take the candidate back: the standing content goes out under a higher sequence. 配布を止めて戻す。"""
    done = _open(repo).halt(owner)
    if not done:
        raise ConfigError("fleet.no-candidate", path="", owner=owner)
    _changes(done, mqtt, as_json=as_json)


@app.command()
def refresh(repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Sign the timestamp anew; run it daily (cron, CI). timestamp を署名し直す (毎日)。"""
    done = _open(repo).refresh()
    _done({"signed": done}, f"✓ {', '.join(done)}", as_json=as_json)


@app.command()
def resign(
    role: Annotated[str, typer.Argument(help="targets, or a city. targets か市。")],
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Sign a role anew with a new expiry, nothing changed. 期限を延ばす。"""
    _open(repo).resign(role)
    _done({"signed": [role]}, f"✓ {role}", as_json=as_json)


@app.command()
def rotate(
    role: Annotated[str, typer.Argument(help="timestamp, snapshot, targets, root-1..3, or a city. 役割。")],
    token: TokenOption = "",
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """A new key for a role; the old one counts no longer. 鍵を交換する。"""
    whole = _ceremony(repo).rotate(role, on=_token(token))
    _done({"role": role, "complete": whole}, f"✓ {role}" if whole else _w("waits"), as_json=as_json)


@app.command()
def sign(repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Sign a waiting root with the root keys that are here. 待っている root に署名する。"""
    whole = _ceremony(repo).sign_root()
    _done({"complete": whole}, f"✓ {_w('done')}" if whole else _w("waits"), as_json=as_json)


@app.command()
def check(repo: RepoOption = HERE, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Expiries, drafts, files, and a dry run of every gateway's config. 期限と全ゲートウェイの設定を検査する。"""
    from edgeagent.clock import SystemClock
    from edgeagent.daemon import build
    from edgeagent.fleet.check import check as look

    made = _open(repo)
    found = [_text(error) for error in look(made, SystemClock(), lambda path: build.read_config(path)[1])]
    days = {role: round(left, 1) for role, left in made.expiries().items()}
    if as_json:
        errors = [{"code": code, "message": str(text)} for code, text in found]
        print(json.dumps({"ok": not found, "errors": errors, "expires_days": days}, ensure_ascii=False))
    else:
        for _, text in found:
            tell(f"✗ {text.what}\n  → {text.remedy}")
        soonest = ", ".join(f"{role} {left:.0f} {_w('days')}" for role, left in list(days.items())[:3])
        tell(f"{'✗' if found else '✓ ' + _w('ok')}  {soonest}")
    raise typer.Exit(1 if found else 0)


@app.command()
def status(
    mqtt: Mqtt,
    fleet: Annotated[str, typer.Option(help="First part of the topics. トピックの先頭。")] = "edgeagent",
    user: Annotated[str, typer.Option(help="Password in EDGEAGENT_MQTT_PASSWORD. ユーザー名。")] = "",
    ca: Annotated[str, typer.Option(help="PEM of the authority behind the broker. 認証局。")] = "",
    cert: Annotated[str, typer.Option(help="PEM of our certificate. 証明書。")] = "",
    key: Annotated[str, typer.Option(help="PEM of its key. 秘密鍵。")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Without TLS. TLS なし。")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C. 更新し続ける。")] = False,
    repo: RepoOption = HERE,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """The fleet as its gateways report it. 全ゲートウェイの状態。"""
    from edgeagent.fleet import books as book
    from edgeagent.fleet.status import Listener, rows

    known = list(book.read(repo).gateways) if (repo / "fleet.json").is_file() else []
    broker = _broker(mqtt, fleet=fleet, user=user, ca=ca, cert=cert, key=key, plain=plain)
    with Listener(broker) as listener:
        listener.settle()
        while True:
            found = rows(dict(listener.states), int(time.time() * 1000), known)
            _table(found, as_json=as_json, again=watch)
            if not watch:
                return
            listener.wait(5.0)


def _open(folder: Path) -> Repository:
    from edgeagent.clock import SystemClock
    from edgeagent.fleet.repository import Repository

    clock = SystemClock()
    return Repository(folder, lambda: clock.now().wall_ms / 1000)


def _ceremony(folder: Path) -> Ceremony:
    from edgeagent.fleet.ceremony import Ceremony

    return Ceremony(_open(folder).signed)


def _token(text: str) -> Which | None:
    from edgeagent.fleet.token import Which

    return Which(text) if text else None


def _path(repo: Path, path: str) -> str:
    """`@GW-0147` is a gateway's layer: people know ids, the repository knows names."""
    if not path.startswith("@"):
        return path
    from edgeagent.fleet import books as book

    gateway = path[1:]
    found = book.read(repo).gateways.get(gateway)
    if found is None:
        raise ConfigError("fleet.no-gateway", path="", gateway=gateway)
    return f"{found.city}/dev/{book.name_of(repo, gateway, found.city)}.toml"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError("config.unreadable", path="", file=str(file), why=error.strerror or "") from error


def _lines(content: bytes) -> list[str]:
    try:
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return [f"({len(content)} B)"]


def _broker(
    mqtt: str, *, fleet: str, user: str = "", ca: str = "", cert: str = "", key: str = "", plain: bool = False
) -> Broker:
    from edgeagent.fleet.status import Broker

    host, _, port = mqtt.rpartition(":") if ":" in mqtt else (mqtt, "", "")
    password = os.environ.get("EDGEAGENT_MQTT_PASSWORD", "")
    number = int(port) if port.isdigit() else 1883 if plain else 8883
    return Broker(
        host=host, port=number, fleet=fleet, username=user, password=password, ca=ca, cert=cert, key=key, tls=not plain
    )


def _changes(done: list[Change], mqtt: str, *, as_json: bool) -> None:
    import msgspec

    if mqtt:
        from edgeagent.fleet.status import Listener

        said = {name: os.environ.get(f"EDGEAGENT_MQTT_{name.upper()}", "") for name in ("user", "ca", "cert", "key")}
        fleet = os.environ.get("EDGEAGENT_MQTT_FLEET", "edgeagent")
        plain = mqtt.startswith(("127.", "localhost"))
        with Listener(_broker(mqtt, fleet=fleet, plain=plain, **said)) as listener:
            listener.nudge()
    text = "\n".join(f"✓ {one.path}  {one.what}  {one.release}" for one in done)
    _done({"changes": msgspec.to_builtins(done), "nudged": bool(mqtt)}, text, as_json=as_json)


def _table(found: list[Row], *, as_json: bool, again: bool) -> None:
    import msgspec

    from edgeagent.words import span

    if as_json:
        print(json.dumps({"gateways": [msgspec.to_builtins(row) for row in found]}, ensure_ascii=False), flush=True)
        return
    lines = []
    for row in found:
        said = row.said
        mark = f"{MARKS[row.mark]} {row.gateway}" + ("" if row.mark == "ok" else f"  {_w(row.mark)}")
        oldest = f"  {span(said.oldest_s)}" if said.waiting else ""
        lines.append(f"{mark}\n    {said.ring or '-'}  {said.applied}/{said.desired}  {said.state}{oldest}")
        if said.failing:
            lines.append(f"    ✗ {', '.join(said.failing)}")
        if said.reason:
            lines.append(f"    {messages.text(said.reason, said.facts, messages.language()).what}")
    ok = sum(row.mark == "ok" for row in found)
    clear = "\x1b[H\x1b[J" if again and sys.stdout.isatty() else ""
    tell(clear + "\n".join([*lines, f"{ok}/{len(found)} {_w('gateways')} ✓"]))


def _text(error: EdgeAgentError) -> tuple[str, messages.Text]:
    facts = dict(error.facts)
    inner = facts.get("why")
    if isinstance(inner, ConfigError):
        facts["why"] = messages.text(inner.code, inner.facts, messages.language()).what
    return error.code, messages.text(error.code, facts, messages.language())


def _done(document: dict[str, object], text: str, *, as_json: bool) -> None:
    print(json.dumps({"ok": True, **document}, ensure_ascii=False)) if as_json else tell(text)


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
