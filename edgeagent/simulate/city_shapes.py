"""What the embedded city accepts: bodies of NGSI-LD (normalized) and NGSIv2 -> instances.

Strict where real brokers are strict, for a body that only a lenient receiver takes is a bug.
Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from edgeagent.simulate.city_memory import Instance

__all__ = ["BadShapeError", "ld_entity", "ld_temporal", "ql_entities", "v2_entities"]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_V2_FORBIDDEN = re.compile(r"[<>\"'=;()]")
_V2_ID = re.compile(r"[!-~]{1,256}")
_HOLDS = {"Property": "value", "GeoProperty": "value", "Relationship": "object"}
_PLAIN = ("type", "value", "object", "observedAt", "unitCode", "datasetId")
_SKIP = ("id", "type", "@context")


class BadShapeError(Exception):
    """The body is not what the API takes; the text says why."""


def ld_entity(found: Any, *, concise: bool = False) -> tuple[Instance, dict[str, Any]]:  # noqa: ANN401  parsed JSON
    """One entity of a batch: the instance and its attributes.

    Args:
        found: parsed JSON.
        concise: take the concise form too.

    Raises:
        BadShapeError: not a normalized NGSI-LD entity.
    """
    entity, type_ = _head(found)
    attributes = {k: _full(v) if concise else v for k, v in found.items() if k not in _SKIP}
    for name, attribute in attributes.items():
        _ld_attribute(name, attribute)
    values = {name: _bare(attribute) for name, attribute in attributes.items()}
    sequence = attributes.get("sequenceNumber", {})
    at = sequence.get("observedAt") or max((a.get("observedAt", "") for a in attributes.values()), default="")
    return Instance(entity, type_, at, _whole(values.get("sequenceNumber")), values, "upsert"), attributes


def ld_temporal(found: Any) -> tuple[list[Instance], dict[str, Any]]:  # noqa: ANN401  parsed JSON
    """The body of a temporal write: its moments, and the last of each attribute.

    Raises:
        BadShapeError: not the temporal representation of one entity.
    """
    entity, type_ = _head(found)
    moments: dict[tuple[str, int], dict[str, Any]] = {}
    last = {}
    for name, instances in found.items():
        if name in _SKIP:
            continue
        if not isinstance(instances, list) or not instances:
            raise BadShapeError(f"{entity}.{name}: not an array of instances")
        nth: Counter[str] = Counter()
        for one in instances:
            _ld_attribute(name, one)
            at = one.get("observedAt")
            if not at:
                raise BadShapeError(f"{entity}.{name}: an instance without observedAt")
            moments.setdefault((at, nth[at]), {})[name] = _bare(one)
            nth[at] += 1
        last[name] = instances[-1]
    made = [
        Instance(entity, type_, at, _whole(values.get("sequenceNumber")), values, "temporal")
        for (at, _), values in sorted(moments.items(), key=lambda item: item[0])
    ]
    return made, last


def v2_entities(found: Any) -> Iterator[tuple[Instance, dict[str, Any]]]:  # noqa: ANN401  parsed JSON
    """The entities of an `op/update` append, in order.

    Raises:
        BadShapeError: not an append, or a character that Orion forbids.
    """
    if (
        not isinstance(found, dict)
        or found.get("actionType") != "append"
        or not isinstance(found.get("entities"), list)
    ):
        raise BadShapeError("not an append with entities")
    yield from _v2(found["entities"], "v2")


def ql_entities(found: Any) -> Iterator[tuple[Instance, dict[str, Any]]]:  # noqa: ANN401  parsed JSON
    """The entities of a notification to QuantumLeap, in order.

    Raises:
        BadShapeError: not a notification, or an entity without a time.
    """
    if not isinstance(found, dict) or "subscriptionId" not in found or not isinstance(found.get("data"), list):
        raise BadShapeError("not a notification with data")
    for instance, attributes in _v2(found["data"], "quantumleap"):
        _time(instance.observed_at, f"{instance.entity}.TimeInstant")
        yield instance, attributes


def _v2(items: list[Any], way: str) -> Iterator[tuple[Instance, dict[str, Any]]]:
    for item in items:
        entity, type_ = _head(item)
        if not _V2_ID.fullmatch(entity) or set(entity) & set("&?/#"):
            raise BadShapeError(f"{entity}: characters that an id must not have")
        attributes = {k: v for k, v in item.items() if k not in _SKIP}
        for name, attribute in attributes.items():
            if (
                not isinstance(attribute, dict)
                or "value" not in attribute
                or not isinstance(attribute.get("type"), str)
            ):
                raise BadShapeError(f"{entity}.{name}: not normalized")
            if attribute["type"] != "TextUnrestricted":
                _v2_clean(attribute["value"], f"{entity}.{name}")
            if attribute["type"] == "DateTime":
                _time(attribute["value"], f"{entity}.{name}")
        values = {name: a["value"] for name, a in attributes.items()}
        at = str(values.get("TimeInstant", ""))
        yield Instance(entity, type_, at, _whole(values.get("sequenceNumber")), values, way), attributes


def _head(found: Any) -> tuple[str, str]:  # noqa: ANN401  parsed JSON
    if not isinstance(found, dict):
        raise BadShapeError("an entity is an object")
    entity, type_ = found.get("id"), found.get("type")
    if not isinstance(entity, str) or not _URI.fullmatch(entity) or not entity.isascii():
        raise BadShapeError(f"id is not a URI: {entity!r}")
    if not isinstance(type_, str) or not type_:
        raise BadShapeError(f"{entity}: no type")
    return entity, type_


def _full(attribute: Any) -> Any:  # noqa: ANN401  parsed JSON
    """A concise attribute in the normalized form (CIM 009 v1.6, 4.5.19)."""
    if not isinstance(attribute, dict):
        return {"type": "Property", "value": attribute}
    inner = {k: v if k in _PLAIN else _full(v) for k, v in attribute.items()}
    if "type" in inner:
        return inner
    value = inner.get("value")
    geo = isinstance(value, dict) and "coordinates" in value
    return {"type": "Relationship" if "object" in inner else "GeoProperty" if geo else "Property", **inner}


def _ld_attribute(name: str, attribute: Any, depth: int = 0) -> None:  # noqa: ANN401  parsed JSON
    if not _NAME.fullmatch(name):
        raise BadShapeError(f"{name!r} is not an attribute name")
    if not isinstance(attribute, dict):
        raise BadShapeError(f"{name}: not normalized")
    holds = _HOLDS.get(str(attribute.get("type")))
    if holds is None or attribute.get(holds) is None:
        raise BadShapeError(f"{name}: no type, or no value of that type")
    if "observedAt" in attribute:
        _time(attribute["observedAt"], f"{name}.observedAt")
    for key, value in attribute.items():
        if key not in ("type", holds, "observedAt", "unitCode", "datasetId"):
            if depth:
                raise BadShapeError(f"{name}.{key}: unknown member")
            _ld_attribute(key, value, depth + 1)


def _bare(attribute: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON value
    value = attribute.get("value", attribute.get("object"))
    return value["@value"] if isinstance(value, dict) and "@value" in value else value


def _time(text: Any, where: str) -> None:  # noqa: ANN401  parsed JSON
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise BadShapeError(f"{where}: {text!r} is not UTC with Z")


def _v2_clean(value: Any, where: str) -> None:  # noqa: ANN401  any JSON value
    if isinstance(value, str) and _V2_FORBIDDEN.search(value):
        raise BadShapeError(f"{where}: forbidden characters in {value!r}")
    if isinstance(value, dict):
        for inner in value.values():
            _v2_clean(inner, where)
    if isinstance(value, list):
        for inner in value:
            _v2_clean(inner, where)


def _whole(value: Any) -> int:  # noqa: ANN401  any JSON value
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
