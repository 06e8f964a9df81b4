"""TOML -> typed sections; every mistake at once, each with its path.

The config types live beside the code that reads them (msgspec Structs); this file only knows
how to walk them.  A Struct may say more about itself than its types can with a method
`problems(self) -> Iterable[ConfigError]` whose `path` facts are relative to the section.
Unknown keys are errors: a misspelt key that is silently ignored becomes a gauge without an alarm.
May import: errors ports.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.ports import SourceConfig, UplinkConfig

__all__ = ["Catalogue", "Config", "GatewayConfig", "SourceSection", "decode", "load", "read_toml"]

T = TypeVar("T")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EXPECTED = re.compile(r"Expected (?P<expected>.*?)(?:, got (?P<got>.*?))?(?: - at `\$(?P<at>.*)`)?$")


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[gateway]`: what the box is called, where it stands, where it keeps its state.

    Attributes:
        id: part of every entity id, e.g. `GW-0147`.
        location: [lon, lat] WGS84 degrees.
        state_dir: directory the daemon owns; the outbox and the control socket live in it.
        name: what people call the box.
        lang: language of log and status texts, `ja` or `en`.
    """

    id: str
    state_dir: str = "/var/lib/edgeagent"
    location: tuple[float, float] | None = None
    name: str = ""
    lang: typing.Literal["ja", "en"] = "en"

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        yield from _id_problems(self.id)
        yield from _location_problems(self.location)


@dataclass(frozen=True)
class SourceSection:
    """One `[[sources]]` section: the driver's own config and its rule sections by rule name."""

    config: SourceConfig
    rules: Mapping[str, msgspec.Struct]


@dataclass(frozen=True)
class Config:
    """A whole, valid config file."""

    gateway: GatewayConfig
    outbox: msgspec.Struct
    sources: Sequence[SourceSection]
    uplinks: Sequence[UplinkConfig]
    update: msgspec.Struct | None = None


@dataclass(frozen=True)
class Catalogue:
    """Which section types there are; filled by `daemon.build` from the rooms' tables.

    Attributes:
        source: driver name -> (config type, names of the rule sections it accepts).
        rule: rule name -> config type.
        uplink: driver name -> config type.
        outbox: type of the `[outbox]` section.
        update: type of the `[update]` section; None where there is none.

    The callables raise ConfigError for a name they do not know; its fact `choices` lists what they do.
    """

    source: Callable[[str], tuple[type[SourceConfig], Sequence[str]]]
    rule: Callable[[str], type[msgspec.Struct]]
    uplink: Callable[[str], type[UplinkConfig]]
    outbox: type[msgspec.Struct]
    update: type[msgspec.Struct] | None = None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, unreadable, not UTF-8, or not TOML (with line and column).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("config.no-file", path="", file=str(path)) from error
    except OSError as error:
        raise ConfigError("config.unreadable", path="", file=str(path), why=error.strerror or "") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("config.not-toml", path="", file=str(path), why=str(error)) from error


def load(data: Mapping[str, Any], catalogue: Catalogue) -> tuple[Config | None, list[ConfigError]]:
    """Turn a parsed file into typed sections.

    Returns:
        (config, []) or (None, every mistake found, in file order).
    """
    problems = list(_unknown(data, ("gateway", "outbox", "sources", "uplinks", "update"), ""))
    if isinstance(data.get("gateway"), Mapping):
        gateway, found = decode(GatewayConfig, data["gateway"], "gateway")
    else:
        gateway, found = None, [ConfigError("config.missing", path="gateway", expected="[gateway]")]
    problems += found
    outbox, found = decode(catalogue.outbox, data.get("outbox", {}), "outbox")
    problems += found
    sources = []
    for path, table in _tables(data, "sources", problems):
        section, found = _source(table, path, catalogue)
        problems += found
        if section:
            sources.append(section)
    uplinks = []
    for path, table in _tables(data, "uplinks", problems):
        uplink, found = _driven(table, path, catalogue.uplink)
        problems += found
        if uplink:
            uplinks.append(uplink)
            problems += _no_such_source(uplink, path, data.get("sources", []))
    update, found = (
        decode(catalogue.update, data["update"], "update") if "update" in data and catalogue.update else (None, [])
    )
    problems += found
    problems += _twice("sources", [s.config.id for s in sources])
    problems += _twice("uplinks", [u.id for u in uplinks])
    if problems or gateway is None or outbox is None:
        return None, problems
    return Config(gateway, outbox, tuple(sources), tuple(uplinks), update), []


def decode(kind: type[T], data: object, path: str, *, also: Sequence[str] = ()) -> tuple[T | None, list[ConfigError]]:
    """Turn one table into a Struct, collecting every mistake in it.

    Args:
        kind: a msgspec Struct type.
        data: the parsed table.
        path: where it stands, for messages, e.g. `sources[2]`.
        also: key names decoded elsewhere that a misspelt key may have meant.
    """
    if not isinstance(data, Mapping):
        return None, [ConfigError("config.wrong-type", path=path, expected="a table", got=_show(data))]
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}  # type: ignore[arg-type]  # a Struct
    problems = list(_unknown(data, tuple(fields), path, also))
    values = {}
    for name, spec in fields.items():
        at = f"{path}.{name}" if path else name
        if name in data:
            value, found = _value(spec.type, data[name], at)
            problems += found
            values[spec.name] = value
        elif spec.required:
            problems.append(ConfigError("config.missing", path=at, expected=_name_of(spec.type)))
    if problems:
        return None, problems
    made = kind(**values)
    own = getattr(made, "problems", None)
    if own is not None:
        for error in own():
            inner = str(error.facts.get("path", ""))
            error.facts["path"] = f"{path}.{inner}" if inner and path else path or inner
            problems.append(error)
    return (None if problems else made), problems


def _value(kind: Any, value: object, path: str) -> tuple[Any, list[ConfigError]]:  # noqa: ANN401  any annotation
    if typing.get_origin(kind) is Annotated and _struct_in(kind) is None:
        return _scalar(kind, value, path)
    struct = _struct_in(kind)
    if struct is not None and isinstance(value, Mapping):
        return decode(struct, value, path)
    inner = typing.get_args(kind)
    if struct is None and typing.get_origin(kind) in (list, tuple) and inner and isinstance(value, list):
        item = _struct_in(inner[0])
        if item is not None:
            pairs = [decode(item, v, f"{path}[{i}]") for i, v in enumerate(value)]
            made = [v for v, _ in pairs]
            return (tuple(made) if typing.get_origin(kind) is tuple else made), [e for _, es in pairs for e in es]
    return _scalar(kind, value, path)


def _scalar(kind: Any, value: object, path: str) -> tuple[Any, list[ConfigError]]:  # noqa: ANN401  any annotation
    try:
        return msgspec.convert(value, type=kind), []
    except msgspec.ValidationError as error:
        found = _EXPECTED.match(str(error))
        if found and "enum value" not in str(error):
            return None, [
                ConfigError(
                    "config.wrong-type", path=path + (found["at"] or ""), expected=found["expected"], got=_show(value)
                )
            ]
        choices = _choices(kind)
        return None, [
            ConfigError(
                "config.not-a-choice",
                path=path,
                got=_show(value),
                choices=", ".join(choices),
                hint=_near(str(value), choices),
            )
        ]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401  any annotation
    """The Struct type inside `X`, `X | None` or `Annotated[X, …]`, if there is one."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType, Annotated):
        for inner in typing.get_args(kind):
            found = _struct_in(inner)
            if found:
                return found
    return None


def _choices(kind: Any) -> list[str]:  # noqa: ANN401  any annotation
    if typing.get_origin(kind) is typing.Literal:
        return [str(c) for c in typing.get_args(kind)]
    if isinstance(kind, type) and hasattr(kind, "__members__"):
        return [str(m.value) for m in kind]  # type: ignore[attr-defined]  # an Enum
    return [c for inner in typing.get_args(kind) for c in _choices(inner)]


def _source(
    table: Mapping[str, Any], path: str, catalogue: Catalogue
) -> tuple[SourceSection | None, list[ConfigError]]:
    try:
        accepted = catalogue.source(table["driver"])[1]
    except (ConfigError, KeyError, TypeError):  # `_driven` says what is wrong with it
        accepted = ()
    own = {key: value for key, value in table.items() if key not in accepted}
    config, problems = _driven(own, path, lambda name: catalogue.source(name)[0], accepted)
    rules = {}
    for rule in accepted:
        if rule in table:
            section, found = decode(catalogue.rule(rule), table[rule], f"{path}.{rule}")
            problems += found
            if section is not None:
                rules[rule] = section
    return (SourceSection(config, rules) if config and not problems else None), problems


def _driven(
    table: Mapping[str, Any],
    path: str,
    lookup: Callable[[str], type[T]],
    also: Sequence[str] = (),
) -> tuple[T | None, list[ConfigError]]:
    """Decode a section whose type depends on its `driver` key."""
    name = table.get("driver")
    if not isinstance(name, str):
        code = "config.missing" if name is None else "config.wrong-type"
        return None, [ConfigError(code, path=f"{path}.driver", expected='driver = "…"', got=_show(name))]
    try:
        kind = lookup(name)
    except ConfigError as error:
        error.facts["path"] = f"{path}.driver"
        error.facts.setdefault("hint", _near(name, str(error.facts.get("choices", "")).split(", ")))
        return None, [error]
    made, problems = decode(kind, table, path, also=also)
    if made is not None:
        problems = [_under(path, e) for e in _id_problems(made.id)]  # type: ignore[attr-defined]  # both bases have it
        problems += [_under(path, e) for e in _location_problems(getattr(made, "location", None))]
    return (None if problems else made), problems


def _tables(data: Mapping[str, Any], name: str, problems: list[ConfigError]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    listed = data.get(name, [])
    if not isinstance(listed, list):
        problems.append(ConfigError("config.wrong-type", path=name, expected=f"[[{name}]]", got=_show(listed)))
        return
    for index, table in enumerate(listed):
        if isinstance(table, Mapping):
            yield f"{name}[{index}]", table
        else:
            problems.append(
                ConfigError("config.wrong-type", path=f"{name}[{index}]", expected="a table", got=_show(table))
            )


def _unknown(
    table: Mapping[str, Any], known: Sequence[str], path: str, also: Sequence[str] = ()
) -> Iterable[ConfigError]:
    for key in table:
        if key not in known:
            at = f"{path}.{key}" if path else key
            hint = _near(key, (*known, *also))
            yield ConfigError("config.misspelt-key" if hint else "config.unknown-key", path=at, key=key, hint=hint)


def _twice(name: str, ids: Sequence[str]) -> Iterable[ConfigError]:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            yield ConfigError("config.duplicate-id", path=f"{name}[{index}].id", id=one)


def _no_such_source(uplink: UplinkConfig, path: str, tables: object) -> Iterable[ConfigError]:
    """Names of sources that no section has: such a filter would silently send nothing."""
    listed = tables if isinstance(tables, list) else []
    ids = [str(table["id"]) for table in listed if isinstance(table, Mapping) and "id" in table]
    for index, one in enumerate(uplink.sources):
        if one not in ids:
            at, choices = f"{path}.sources[{index}]", ", ".join(ids)
            yield ConfigError("config.not-a-choice", path=at, got=one, choices=choices, hint=_near(one, ids))


def _id_problems(value: str) -> Iterable[ConfigError]:
    if not _ID.fullmatch(value):
        yield ConfigError("config.bad-id", path="id", got=value)


def _location_problems(value: tuple[float, float] | None) -> Iterable[ConfigError]:
    if value is None:
        return
    lon, lat = value
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):  # noqa: PLR2004  degrees
        yield ConfigError("config.bad-location", path="location", got=f"[{lon}, {lat}]")


def _under(path: str, error: ConfigError) -> ConfigError:
    error.facts["path"] = f"{path}.{error.facts['path']}"
    return error


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return close[0] if close else ""


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004  one terminal line


def _name_of(kind: Any) -> str:  # noqa: ANN401  any annotation
    if typing.get_origin(kind) is Annotated:
        return _name_of(typing.get_args(kind)[0])
    return str(getattr(kind, "__name__", None) or kind).replace("typing.", "")
