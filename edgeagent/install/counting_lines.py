"""Counting lines -> the gateway's own config file, and nothing else of it is touched.

Lines belong to the `local` layer: what was measured on the spot is never overwritten from afar (see
`update.layers`).  The file is a person's, with comments and an order of its own, so only the value of
`lines` in the camera's section is replaced, as text.  Before anything is written the new text is parsed:
it has to say what the old one said but for these lines, and to pass the checks the agent starts with.
Written whole or not at all; the file before it stays as `.bak`.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.update import durable

__all__ = ["Judge", "put", "rewritten"]

Judge = Callable[[Mapping[str, Any]], Sequence[ConfigError]]
"""Parsed gateway's own file -> every mistake of what the agent would start with."""

Lines = Sequence[Mapping[str, Any]]
_SECTION = re.compile(r"^[ \t]*\[\[[ \t]*sources[ \t]*\]\][ \t]*(?:#.*)?$", re.MULTILINE)
_ANY_TABLE = re.compile(r"^[ \t]*\[{1,2}[ \t]*[A-Za-z_\"'][^\],\n]*\]{1,2}[ \t]*(?:#.*)?$", re.MULTILINE)
_LINES = re.compile(r"^[ \t]*lines[ \t]*=[ \t]*(?=\[)", re.MULTILINE)
_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]]')


def put(file: Path, source: str, lines: Lines, judge: Judge) -> None:
    """Write a camera's counting lines into the config.

    Args:
        file: the gateway's own config.
        source: id of the camera.
        lines: `id`, `from`, `to`, `forward`, as a config has them.
        judge: the checks.

    Raises:
        ConfigError: the first mistake the config would have.
        EdgeAgentError: `web.lines-elsewhere`: they cannot be replaced safely; `web.cannot-save`.
    """
    try:
        before, mode = file.read_text(encoding="utf-8"), file.stat()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeAgentError("web.cannot-save", file=file, why=_why(error)) from error
    after = rewritten(before, source, lines, file)
    for problem in judge(tomllib.loads(after)):
        raise problem
    try:
        durable.write(file.with_name(file.name + ".bak"), before.encode(), mode=0o600)
        beside = file.with_name(file.name + ".new")
        beside.unlink(missing_ok=True)
        durable.write(file, after.encode(), mode=stat.S_IMODE(mode.st_mode))
        if (mode.st_uid, mode.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(file, mode.st_uid, mode.st_gid)
    except OSError as error:
        raise EdgeAgentError("web.cannot-save", file=file, why=_why(error)) from error


def rewritten(text: str, source: str, lines: Lines, file: Path) -> str:
    """The config's text with other lines for this camera.

    Raises:
        EdgeAgentError: `web.lines-elsewhere`.
    """
    try:
        old = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EdgeAgentError("web.lines-elsewhere", file=file, source=source, why=str(error)) from error
    listed = old.get("sources", [])
    names = [one.get("id") if isinstance(one, dict) else None for one in listed] if isinstance(listed, list) else []
    plain = [{"id": x["id"], "from": list(x["from"]), "to": list(x["to"]), "forward": x["forward"]} for x in lines]
    value = _toml(plain)
    if source in names:
        wanted = {**old, "sources": [{**o, "lines": plain} if o.get("id") == source else o for o in listed]}
        made = _replaced(text, names.index(source), len(names), value)
    else:  # a published layer names it: here stands what belongs to this spot
        wanted = {**old, "sources": [*listed, {"id": source, "lines": plain}]}
        made = f"{text.rstrip()}\n\n[[sources]]\nid = {_quoted(source)}\nlines = {value}\n"
    try:
        same = made is not None and tomllib.loads(made) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if made is None or not same:
        raise EdgeAgentError("web.lines-elsewhere", file=file, source=source, why="lines = [ … ]")
    return made


def _replaced(text: str, index: int, of: int, value: str) -> str | None:
    """None where the section cannot be told for sure."""
    heads = list(_SECTION.finditer(text))
    if len(heads) != of:
        return None
    begin = heads[index].end()
    following = _ANY_TABLE.search(text, begin)
    end = following.start() if following else len(text)
    found = _LINES.search(text, begin, end)
    if found is None:
        return f"{text[:begin]}\nlines = {value}{text[begin:]}"
    closed = _closed(text, found.end())
    return None if closed is None else f"{text[: found.end()]}{value}{text[closed:]}"


def _closed(text: str, opened: int) -> int | None:
    """Behind the bracket that closes the one at `opened`; strings and comments hold none."""
    depth = 0
    for token in _TOKEN.finditer(text, opened):
        depth += {"[": 1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return None


def _toml(lines: Lines) -> str:
    rows = [
        f"    {{ id = {_quoted(one['id'])}, from = {_pair(one['from'])}, to = {_pair(one['to'])}, "
        f"forward = {_quoted(one['forward'])} }},\n"
        for one in lines
    ]
    return f"[\n{''.join(rows)}]"


def _pair(point: Sequence[float]) -> str:
    return "[" + ", ".join(str(int(x)) if float(x).is_integer() else repr(float(x)) for x in point) + "]"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")  # JSON's escapes are TOML's


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
