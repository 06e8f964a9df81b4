"""Layers of config -> one config, and for every value the layer it came from.  Pure.

    vendor < city < group < device < local

The order is fixed; the last layer that says something wins.  Tables are merged key by key,
`[[sources]]` and `[[uplinks]]` by their `id`, everything else (numbers, text, lists) is replaced
as a whole.  `local` is the gateway's own file: what the installer measured (ports, counting lines,
calibration) is never overwritten from afar, unless the installer names it in `update.unlocked`.
Published layers cannot say who the gateway is or whom it trusts, and hold no secrets.
May import: errors; msgspec.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.errors import UpdateRefused

__all__ = ["LOCAL", "ORDER", "Layer", "Leaf", "Merged", "check_published", "leaves", "merge", "parse", "to_toml"]

ORDER = ("vendor", "city", "group", "device", "local")
LOCAL = "local"
_BY_ID = ("sources", "uplinks")
# What a published layer may say in tables that are the gateway's own business.
_REMOTE = {"gateway": ("name", "lang", "location"), "update": ("ring", "groups", "window_s", "memory_mb")}
_SECRET_KEYS = re.compile(r"(password|passwd|secret|token|private_?key|api_?key)$", re.IGNORECASE)
_CREDENTIAL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^/@\s:]+:[^/@\s]+@")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Layer(msgspec.Struct, frozen=True):
    """One layer as it was published.

    Attributes:
        name: one of ORDER.
        path: where it came from, for people.
        sequence: number of the publication; 0 for the local file.
        data: parsed TOML.
    """

    name: str
    path: str
    sequence: int
    data: dict[str, Any]


class Leaf(msgspec.Struct, frozen=True):
    """One value of the merged config.

    Attributes:
        key: e.g. `sources.miyagawa.every_s`.
        value: what holds.
        layer, path, sequence: who said so.
        under: (layer, value) of those that were overruled, the strongest first.
    """

    key: str
    value: Any
    layer: str
    path: str
    sequence: int
    under: tuple[tuple[str, Any], ...] = ()


class Merged(msgspec.Struct, frozen=True):
    """The config, and where every value is from."""

    data: dict[str, Any]
    leaves: dict[str, Leaf]

    def explain(self, key: str) -> list[Leaf]:
        """The value called `key`, or all below it.

        Raises:
            UpdateRefused: there is no such key.
        """
        found = [leaf for name, leaf in self.leaves.items() if name == key or name.startswith(f"{key}.") or not key]
        if not found:
            near = difflib.get_close_matches(key, list(self.leaves), n=1, cutoff=0)
            raise UpdateRefused("update.no-such-key", key=key, near=near[0] if near else "?")
        return found


def parse(text: bytes, *, name: str, path: str, sequence: int) -> Layer:
    """A published layer.

    Raises:
        UpdateRefused: not TOML, or it says what a published layer may not say.
    """
    try:
        data = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UpdateRefused("update.layer-broken", path=path, sequence=sequence, why=str(error)) from error
    layer = Layer(name, path, sequence, data)
    if name != LOCAL:
        check_published(layer)
    return layer


def check_published(layer: Layer) -> None:
    """Refuse what may not be published.

    Raises:
        UpdateRefused: `key-local` or `secret`, with the key.
    """
    for table, allowed in _REMOTE.items():
        inner = layer.data.get(table, {})
        for key in inner if isinstance(inner, Mapping) else ():
            if key not in allowed:
                raise UpdateRefused("update.key-local", path=layer.path, key=f"{table}.{key}")
    for name in _BY_ID:
        listed = layer.data.get(name, [])
        if not isinstance(listed, list) or not all(
            isinstance(one, Mapping) and isinstance(one.get("id"), str) for one in listed
        ):
            raise UpdateRefused(
                "update.layer-broken", path=layer.path, sequence=layer.sequence, why=f'[[{name}]] needs id = "…"'
            )
    for key, value in leaves(layer.data):
        if isinstance(value, str) and _looks_secret(key, value):
            raise UpdateRefused("update.secret", path=layer.path, key=key)


def merge(layers: Sequence[Layer], unlocked: Sequence[str] = ()) -> Merged:
    """Put layers over each other.

    Args:
        layers: in any order; several of one name (groups) in the order given.
        unlocked: keys of the local layer that published layers overrule.
    """
    ordered = sorted(layers, key=lambda layer: ORDER.index(layer.name))
    local = [layer for layer in ordered if layer.name == LOCAL]
    said: dict[str, list[tuple[Layer, Any]]] = {}
    for layer in [*(_only(one, unlocked) for one in local), *ordered[: len(ordered) - len(local)], *local]:
        for key, value in leaves(layer.data):
            _put(said, key, layer, value, unlocked)
    merged = {
        key: Leaf(
            key,
            voices[-1][1],
            voices[-1][0].name,
            voices[-1][0].path,
            voices[-1][0].sequence,
            tuple((layer.name, value) for layer, value in reversed(voices[:-1])),
        )
        for key, voices in said.items()
    }
    return Merged(_grown(merged), merged)


def leaves(data: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of every value; sources and uplinks by their id, other lists as one value."""
    for name, value in data.items():
        key = f"{before}.{_quoted(name)}" if before else _quoted(name)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, key)
        elif not before and name in _BY_ID and isinstance(value, list):
            for one in value:
                if isinstance(one, Mapping) and isinstance(one.get("id"), str):
                    yield from leaves(one, f"{key}.{_quoted(one['id'])}")
                else:  # the config check says what is wrong with it
                    yield f"{key}.?", one
        else:
            yield key, value


def to_toml(merged: Merged) -> str:
    """The merged config as TOML, each value with its layer behind it."""
    lines = ["# Merged by edgeagent from its layers; do not edit. `edgeagent update explain` says more."]
    tables = {name: value for name, value in merged.data.items() if isinstance(value, Mapping)}
    listed = {name: value for name, value in merged.data.items() if name in _BY_ID and isinstance(value, list)}
    for name, value in merged.data.items():
        if name not in tables and name not in listed:
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, table in tables.items():
        lines += ["", f"[{_key(name)}]", *_pairs(table, name, merged)]
    for name, sections in listed.items():
        for section in sections:
            at = f"{name}.{_quoted(section['id'])}" if isinstance(section, Mapping) and "id" in section else name
            lines += ["", f"[[{name}]]", *_pairs(section, at, merged)]
    return "\n".join(lines) + "\n"


def _put(
    said: dict[str, list[tuple[Layer, Any]]], key: str, layer: Layer, value: object, unlocked: Sequence[str]
) -> None:
    if layer.name == LOCAL and said.get(key) and _under(key, unlocked):
        return  # it spoke first, and was overruled
    for other in [k for k in said if k.startswith(f"{key}.") or key.startswith(f"{k}.")]:
        del said[other]  # a table took the place of a value, or the other way round
    said.setdefault(key, []).append((layer, value))


def _only(layer: Layer, unlocked: Sequence[str]) -> Layer:
    """The unlocked part of a local layer, which speaks before all others."""
    kept = {key: value for key, value in leaves(layer.data) if _under(key, unlocked)}
    return msgspec.structs.replace(
        layer, data=_grown({k: Leaf(k, v, layer.name, layer.path, layer.sequence) for k, v in kept.items()})
    )


def _under(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _grown(flat: Mapping[str, Leaf]) -> dict[str, Any]:
    """Flat keys -> nested tables; sources and uplinks become lists again, in the order first named."""
    grown: dict[str, Any] = {}
    for leaf in flat.values():
        at = grown
        *way, last = _parts(leaf.key)
        for part in way:
            at = at.setdefault(part, {})
        at[last] = leaf.value
    for name in _BY_ID:
        if isinstance(grown.get(name), dict):
            grown[name] = [one if not isinstance(one, dict) else {"id": i, **one} for i, one in grown[name].items()]
    return grown


def _parts(key: str) -> list[str]:
    return [part.replace("%2E", ".").replace("%25", "%") for part in key.split(".")]


def _quoted(name: str) -> str:
    return name.replace("%", "%25").replace(".", "%2E")


def _looks_secret(key: str, value: str) -> bool:
    if _SECRETS.search(value):
        return True
    return bool(_SECRET_KEYS.search(key)) and not _CREDENTIAL_NAME.fullmatch(value)


def _pairs(table: Mapping[str, Any], at: str, merged: Merged) -> Iterator[str]:
    for name, value in table.items():
        whose = sorted(
            {leaf.layer for key, leaf in merged.leaves.items() if _under(key, (f"{at}.{name}",))}, key=ORDER.index
        )
        yield f"{_key(name)} = {_value(value)}" + (f"  # {', '.join(whose)}" if whose else "")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # JSON's escapes are TOML's
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return str(value)  # numbers (repr of inf and nan is TOML's) and dates
