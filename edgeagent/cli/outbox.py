"""outbox stats, plan, prove, export, import, dead list|retry|export: what the store holds and what was refused."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent.cli.columns import tell
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.daemon.asking import Store, store
from edgeagent.errors import EdgeAgentError

if TYPE_CHECKING:
    from edgeagent.ports import DeadLetter

__all__ = ["app"]

app = typer.Typer(help="The store of readings. 蓄積データ。", no_args_is_help=True)
dead = typer.Typer(help="Readings a receiver refused for good. 受信側に拒否された測定値。", no_args_is_help=True)
app.add_typer(dead, name="dead")

_AT_A_TIME = 200
_TAKEN_AT_A_TIME = 50
Numbers = Annotated[list[int] | None, typer.Argument(help="Numbers from `dead list`; none for all. 省略時はすべて。")]
File = Annotated[Path, typer.Argument(help="JSON lines; - for stdout. 出力先。")]


@app.command()
def stats(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Accepted, acknowledged, waiting, thinned, lost. 蓄積と送信の件数。"""
    from edgeagent.cli import show

    with store(config) as found:
        answer = found.ask("outbox")
    print(answer.decode(), end="") if as_json else tell(show.outbox(answer), end="")


@app.command()
def plan(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """How long an outage may last before readings are thinned. 通信断に何時間耐えられるか。"""
    from edgeagent.cli import show

    with store(config) as found:
        answer = found.ask("plan")
    print(answer.decode(), end="") if as_json else tell(show.plan(answer), end="")


@app.command()
def prove(
    day: Annotated[str, typer.Option(help="2026-11-25 (JST); the newest if left out. 省略時は最新の日。")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Which numbers were given on a day, and whether every uplink acknowledged them. 一日分の送達を確かめる。"""
    from edgeagent.cli import show

    with store(config) as found:
        books = show.books(found.ask(f"day {day}"))
    print(books.json, end="") if as_json else tell(books.text, end="")
    raise typer.Exit(0 if books.complete else 1)


@dead.command("list")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """What was refused, by whom and why. 拒否された測定値の一覧。"""
    from edgeagent.cli import show

    with store(config) as found:
        letters = _letters(found)
        if as_json:
            print(json.dumps({"letters": [_document(letter) for letter in letters]}, ensure_ascii=False))
            return
        count = 0
        for count, letter in enumerate(letters, 1):  # noqa: B007  the count is used after the loop
            tell(show.dead_letter(letter))
    tell(show.dead_count(count))


@dead.command()
def retry(
    numbers: Numbers = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    """Send refused readings once more. 拒否された測定値を再送する。"""
    from edgeagent.cli import show

    retried = 0
    with store(config) as found:
        wanted = numbers or [letter.number for letter in _letters(found)]
        for begin in range(0, len(wanted), _AT_A_TIME):
            words = " ".join(map(str, wanted[begin : begin + _AT_A_TIME]))
            retried += json.loads(found.ask(f"dead-retry {words}"))["retried"]
    print(json.dumps({"retried": retried}) if as_json else show.retried(retried, len(wanted)))


@dead.command()
def export(file: File, config: ConfigOption = DEFAULT_CONFIG, lang: LangOption = None) -> None:
    """Write refused readings to a file, one JSON document a line. 拒否された測定値を書き出す。"""
    with store(config) as found:
        _write(file, (_document(letter) for letter in _letters(found)))


@app.command("export")
def export_waiting(file: File, config: ConfigOption = DEFAULT_CONFIG, lang: LangOption = None) -> None:
    """Write readings that still wait to a file; they stay owed. 送信待ちの測定値を書き出す。"""
    with store(config) as found:
        _write(file, _waiting(found))


@app.command("import")
def import_(
    file: File, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False, lang: LangOption = None
) -> None:
    """Take in readings that `export` wrote, with their numbers. 書き出した測定値を取り込む。"""
    from edgeagent.cli import show

    with store(config) as found:
        taken = _take_in(file, found)
    print(json.dumps({"taken": taken}) if as_json else show.taken(taken))


def _take_in(file: Path, found: Store) -> int:
    import base64

    import msgspec

    from edgeagent.reading import Reading

    fields = Reading.__struct_fields__
    taken = number = 0
    part: list[Reading] = []

    def send() -> None:
        nonlocal taken
        packed = base64.b64encode(msgspec.msgpack.encode(part)).decode()
        taken += json.loads(found.ask(f"take-in {packed}"))["taken"] if part else 0
        part.clear()

    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(filter(str.strip, lines), 1):  # noqa: B007  told when a line is no reading
                document = msgspec.json.decode(line, type=dict[str, object])
                part.append(msgspec.convert([document[name] for name in fields], Reading))
                if len(part) == _TAKEN_AT_A_TIME:
                    send()
    except OSError as error:
        raise EdgeAgentError("outbox.export-file", file=file, why=error.strerror or str(error)) from error
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        send()  # what came before it is good
        raise EdgeAgentError("outbox.import-line", file=file, line=number, taken=taken, why=error) from error
    send()
    return taken


def _waiting(store: Store) -> Iterator[dict[str, object]]:
    import msgspec

    from edgeagent.daemon.health import Waiting

    after = 0
    while found := msgspec.json.decode(store.ask(f"waiting {after}"), type=Waiting).rows:
        for row in found:
            yield msgspec.to_builtins(msgspec.structs.asdict(row.reading))
        after = found[-1].id


def _write(file: Path, documents: Iterable[dict[str, object]]) -> None:
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stdout if str(file) == "-" else stack.enter_context(file.open("w", encoding="utf-8"))
            for document in documents:
                out.write(json.dumps(document, ensure_ascii=False) + "\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EdgeAgentError("outbox.export-file", file=file, why=error.strerror or str(error)) from error


def _letters(store: Store) -> Iterator[DeadLetter]:
    import msgspec

    from edgeagent.daemon.health import DeadLetters

    after = 0
    while found := msgspec.json.decode(store.ask(f"dead {after}"), type=DeadLetters).letters:
        yield from found
        after = found[-1].number


def _document(letter: DeadLetter) -> dict[str, object]:
    import msgspec

    reading = None if letter.reading is None else msgspec.structs.asdict(letter.reading)
    document: dict[str, object] = msgspec.to_builtins({**msgspec.structs.asdict(letter), "reading": reading})
    return document
