"""`--help` and what is said about a mistyped command, in the person's language and as wide as the terminal.

A help text is written once, English first, Japanese behind it: `"Config file. 設定ファイル。"`.  Which half is
shown follows `--lang`, wherever it stands, else the environment.  The lay-out is ours because the library counts
a Japanese character as one column and is never narrower than 50.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from edgeagent import messages
from edgeagent.cli.columns import columns, width, wrap
from edgeagent.errors import ConfigError

__all__ = ["half", "mistyped", "spoken", "translated"]

WORDS = {
    "usage": {"ja": "使い方", "en": "Usage"},
    "options": {"ja": "オプション", "en": "Options"},
    "arguments": {"ja": "引数", "en": "Arguments"},
    "commands": {"ja": "コマンド", "en": "Commands"},
    "[OPTIONS]": {"ja": "[オプション]", "en": "[OPTIONS]"},
    "COMMAND": {"ja": "コマンド…", "en": "COMMAND…"},
    "default": {"ja": "既定", "en": "default"},
    "required": {"ja": "必須", "en": "required"},
    "range": {"ja": "範囲", "en": "range"},
}
_LIBRARY = {  # texts of the library that stand in our pages
    "Show this message and exit.": "この説明を表示する。",
    "Install completion for the current shell.": "今のシェルに補完を入れる。",
    "Show completion for the current shell, to copy it or customize the installation.": "補完のスクリプトを表示する。",
}
_JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]")
_SIDE_BY_SIDE = 64  # columns; below, a text stands under its name
_LONGEST_NAME = 24


def spoken(words: Sequence[str] | None = None) -> str:
    """The language a command line asks for, before anything of it was read."""
    given = sys.argv[1:] if words is None else words
    for word, after in zip(given, [*given, ""][1:], strict=True):
        asked = after if word == "--lang" else word.removeprefix("--lang=") if word.startswith("--lang=") else ""
        if asked in messages.LANGUAGES:
            return asked
    return messages.language()


def half(text: str, lang: str) -> str:
    """The English or the Japanese half of a help text; all of it where it has but one."""
    joined = " ".join(text.split())
    first = _JAPANESE.search(joined)
    if first is None:
        return _LIBRARY.get(joined, joined) if lang == "ja" else joined
    cut = max(joined.rfind(end, 0, first.start()) for end in (". ", "? ")) + 2
    if cut == 1:  # no English sentence before it
        return joined
    return joined[cut:] if lang == "ja" else joined[: cut - 1]


def translated(command: Any, lang: str) -> Any:  # noqa: ANN401  typer's command tree
    """The tree of commands with its help texts in one language and our page."""
    command.help = half(command.help or "", lang)
    command.short_help = command.help
    for one in command.params:
        if one.help:
            one.help = half(one.help, lang)
    command.get_help = lambda context: "\n".join(_page(command, context, lang))
    for below in getattr(command, "commands", {}).values():
        translated(below, lang)
    return command


def mistyped(error: Any) -> ConfigError:  # noqa: ANN401  typer's UsageError
    """What is wrong with a command line, as one of our errors; exit code 2 like any ConfigError."""
    kind, context, text = type(error).__name__, error.ctx, error.message
    param = getattr(error, "param", None)
    name = (param.opts[0] if param.param_type_name == "option" else param.name.upper()) if param is not None else ""
    quoted = re.search(r"'(.*)'", text)
    near = ", ".join(getattr(error, "possibilities", None) or ())
    facts = {
        "name": name or getattr(error, "option_name", ""),
        "got": quoted[1] if quoted else text.partition("(")[2].removesuffix(")"),
        "near": near,
        "choices": text,
        "help": f"{context.command_path if context is not None else 'edgeagent'} --help",
    }
    by_kind = {"NoSuchOption": "near-option" if near else "no-such-option", "MissingParameter": "missing"}
    by_kind |= {"BadParameter": "not-among" if "|" in text else "bad-value", "BadOptionUsage": "option-value"}
    by_text = {
        "No such command": "no-such-command",
        "Got unexpected extra": "too-much",
        "Missing command": "no-command",
    }
    code = by_kind.get(kind) or next((code for words, code in by_text.items() if text.startswith(words)), "usage")
    return ConfigError(f"cli.{code}", **facts)


def _page(command: Any, context: Any, lang: str) -> Iterator[str]:  # noqa: ANN401
    def say(word: str) -> str:
        return WORDS[word][lang]

    room = columns()
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    options = [one for one in command.get_params(context) if one.param_type_name == "option" and not one.hidden]
    below = getattr(command, "commands", {})
    pieces = [context.command_path, say("[OPTIONS]"), *(one.get_usage_pieces(context)[0] for one in arguments)]
    yield from _usage([*pieces, *([say("COMMAND")] if below else [])], f"{say('usage')}:", room)
    if command.help:
        yield ""
        yield from wrap(half(command.help, lang), room, "  ", "  ")
    names = [(one.name, half(one.help or "", lang) + _more(one, lang)) for one in arguments]
    yield from _rows(say("arguments"), names, room)
    given = [(_name_of(one, context), half(one.help or "", lang) + _more(one, lang)) for one in options]
    yield from _rows(say("options"), given, room)
    verbs = [(name, half(one.help or "", lang)) for name, one in below.items() if not one.hidden]
    yield from _rows(say("commands"), verbs, room)


def _usage(pieces: Iterable[str], line: str, room: int) -> Iterator[str]:
    """Never broken within a piece."""
    for piece in pieces:
        if width(line) + 1 + width(piece) > room:
            yield line
            line = "   "
        line += f" {piece}"
    yield line


def _rows(title: str, rows: Sequence[tuple[str, str]], room: int) -> Iterator[str]:
    if not rows:
        return
    yield from ("", f"{title}:")
    wide = min(max(width(name) for name, _ in rows), _LONGEST_NAME)
    indent = " " * (wide + 4)
    for name, text in rows:
        begin = f"  {name}" + " " * (wide - width(name) + 2)
        if room < _SIDE_BY_SIDE or width(name) > wide:
            yield from wrap(name, room, "  ", "    ")
            begin = indent if room >= _SIDE_BY_SIDE else " " * 6
        if text:
            yield from wrap(text, room, begin, indent if room >= _SIDE_BY_SIDE else " " * 6)
        elif begin.strip():
            yield begin.rstrip()


def _name_of(option: Any, context: Any) -> str:  # noqa: ANN401
    record = option.get_help_record(context)
    return str(record[0]) if record else ", ".join(option.opts)


def _more(param: Any, lang: str) -> str:  # noqa: ANN401
    """Default, range, whether it is required."""
    found = []
    default = param.default
    if param.show_default and default not in (None, "", False, (), []) and not callable(default):
        found.append(f"{WORDS['default'][lang]}: {default}")
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    if low is not None or high is not None:
        found.append(f"{WORDS['range'][lang]}: {'' if low is None else low}–{'' if high is None else high}")
    if param.required:
        found.append(WORDS["required"][lang])
    return f" [{'; '.join(found)}]" if found else ""
