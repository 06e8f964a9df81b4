"""One config.toml, short and readable: what was answered and found, on top of what was there before.

Written beside, judged as `edgeagent check` judges it, synced, renamed.  A config that was there is kept under a
name with its date, whatever was in it.
"""

from __future__ import annotations

import datetime as dt
import grp
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeagent.errors import ConfigError
from edgeagent.update import durable

__all__ = ["install", "merged", "render", "sha256_of"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(r"://[^/@\s]+:[^/@\s]+@")
_ORDER = ("gateway", "outbox", "update", "sources", "uplinks")
_PLACES = (("port", "unit"), ("host", "tcp_port", "unit"), ("camera",), ("chip", "line"))
_WIDE = 100


def merged(old: Mapping[str, Any], new: Mapping[str, Any], *, gone: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The new config on top of the one there was.

    Args:
        old: sections and keys that setup knows nothing about stay.
        new: `gateway`, `sources`, `uplinks` and maybe `outbox`, `update`.
        gone: places that were found and are not wanted.
    """
    made: dict[str, Any] = {"gateway": {**_table(old, "gateway"), **new["gateway"]}}
    for name in ("outbox", "update"):
        section = {**_table(old, name), **new.get(name, {})}
        if section:
            made[name] = section
    taken = [_place(one) for one in (*new["sources"], *gone)]
    ids = {one["id"] for one in new["sources"]}
    sources = [*new["sources"]]
    sources += [
        dict(one)
        for one in _tables(old, "sources")
        if one.get("id") not in ids and (_place(one) is None or _place(one) not in taken)
    ]
    if not any(one.get("driver") == "host" for one in sources):
        sources.append({"id": _free("box", ids), "driver": "host"})
    made["sources"] = sources
    ids = {one["id"] for one in new["uplinks"]}
    made["uplinks"] = [*new["uplinks"], *(dict(one) for one in _tables(old, "uplinks") if one.get("id") not in ids)]
    return made


def render(config: Mapping[str, Any], head: Sequence[str], notes: Mapping[str, str]) -> str:
    """As TOML.

    Args:
        config: sections.
        head: comment lines on top.
        notes: a comment for sections by their id.
    """
    lines = [f"# {line}".rstrip() for line in head]
    for name in (*_ORDER, *(key for key in config if key not in _ORDER)):
        section = config.get(name)
        if isinstance(section, Mapping):
            lines += ["", f"[{name}]", *_pairs(section)]
        elif section:
            for one in section:
                note = notes.get(str(one.get("id", "")), "")
                lines += ["", f"[[{name}]]{f'  # {note}' if note else ''}", *_pairs(one)]
    return "\n".join(lines) + "\n"


def install(file: Path, text: str, now_ms: int) -> Path | None:
    """Put the text there; where a file was that says something else, that is kept.

    Returns:
        Where the one before is kept; None where there was none, or it said the same.

    Raises:
        ConfigError: `setup.cannot-write`.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_bytes() if file.exists() else None
        if before is not None and _says(before) == _says(text.encode()):
            return None
        backup = None
        if before is not None:
            backup = _free_file(file, dt.datetime.fromtimestamp(now_ms / 1000).astimezone())
            os.link(file, backup)
            durable.sync_folder(file.parent)
        mode, owner = _rights(file, secret=bool(_SECRET.search(text)))
        beside = file.with_name(file.name + ".new")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode())
            if owner is not None:
                os.fchown(out.fileno(), *owner)
            os.fchmod(out.fileno(), mode)
            out.flush()
            os.fsync(out.fileno())
        durable.rename(beside, file)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("setup.cannot-write", path="", file=str(file), why=why) from error
    return backup


def sha256_of(file: Path) -> str:
    """Of a file; "" where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _says(data: bytes) -> object:
    """What a config means, comments apart; its bytes where it is no TOML."""
    try:
        return tomllib.loads(data.decode())
    except ValueError:
        return data


def _rights(file: Path, *, secret: bool) -> tuple[int, tuple[int, int] | None]:
    """Mode and (user, group) of the new file: as the old one; one with a camera's password is for the agent alone."""
    if file.exists():
        seen = file.stat()
        return seen.st_mode & 0o777, (seen.st_uid, seen.st_gid)
    if not secret:
        return 0o644, None
    try:
        group = grp.getgrnam("edgeagent").gr_gid
    except KeyError:
        return 0o600, None
    return (0o640, (0, group)) if os.geteuid() == 0 else (0o600, None)


def _free_file(file: Path, now: dt.datetime) -> Path:
    number = 1
    while True:
        more = f"-{number}" if number > 1 else ""
        made = file.with_name(f"{file.name}.{now:%Y%m%d-%H%M%S}{more}.bak")
        if not made.exists():
            return made
        number += 1


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}-2", taken)


def _place(one: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Where a source's device is; None where there is no telling."""
    for keys in _PLACES:
        if keys[0] in one:
            return tuple(one.get(key) for key in keys)
    return (one.get("driver"),) if one.get("driver") in ("ble-tags", "host") else None


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def _tables(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = data.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items() if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: object) -> str:
    """One TOML value; arrays of tables that would be long have a line each."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if value.is_integer():
            return f"{value:.1f}" if abs(value) < 1e15 else repr(value)  # noqa: PLR2004  TOML knows 1e+16 as well
        case int() | float():
            return repr(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }" if value else "{}"
        case Sequence():
            items = [_value(one) for one in value]
            flat = f"[{', '.join(items)}]"
            return flat if len(flat) <= _WIDE else "[\n" + "".join(f"    {one},\n" for one in items) + "]"
        case _:  # dates
            return str(value)
