"""NGSIv2: entities -> `POST /v2/op/update` append, answers -> verdicts.

- Metadata not sent stays from the last update (a `quality: suspect` would survive later good
  values), so TimeInstant, unitCode and quality go with every observed attribute, every time.
- `< > " ' = ; ( )` anywhere in a request is 400 for all of it.  They become their full-width
  forms, which a Japanese reader does not notice; the other way, type TextUnrestricted, would let
  an attribute's type change with its value.
- `op/update` is not atomic; appending again what arrived is harmless.
- History goes to QuantumLeap as the notification that Orion would have sent it: `POST /v2/notify`
  with entities as above; it takes the time of each from TimeInstant.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.ngsi.entities import Attribute, Entity, Form, Value
from edgeagent.ngsi.replies import Fate, Reply, json_object, sort_status

__all__ = [
    "NOTIFY",
    "UPDATE",
    "append",
    "good_service",
    "good_service_path",
    "harmless",
    "headers",
    "held",
    "history_query",
    "judge",
    "judge_notify",
    "normalized",
    "notification",
]

UPDATE = "/v2/op/update"
NOTIFY = "/v2/notify"
_HISTORY = "/v2/entities"
_FOUND = 200
_OK = frozenset({201, 204})
_NOTED = frozenset({200, 201, 204})
_FORBIDDEN = str.maketrans("<>\"'=;()", "＜＞”’＝；（）")
_SERVICE = re.compile(r"[a-z0-9_]{0,50}")
_SERVICE_PATH = re.compile(r"/|(/[A-Za-z0-9_]{1,50}){1,10}")


def good_service(text: str) -> bool:
    """Whether Orion takes it as Fiware-Service: lower case, digits and `_`, at most 50."""
    return _SERVICE.fullmatch(text) is not None


def good_service_path(text: str) -> bool:
    """Whether Orion takes it as Fiware-ServicePath: `/a/b`, at most 10 levels of 50."""
    return _SERVICE_PATH.fullmatch(text) is not None


def headers(service: str, service_path: str) -> dict[str, str]:
    """Headers of every request."""
    made = {"Content-Type": "application/json", "Accept": "application/json", "Fiware-ServicePath": service_path}
    if service:
        made["Fiware-Service"] = service
    return made


def harmless(text: str) -> str:
    """The text without what Orion forbids."""
    return text.translate(_FORBIDDEN)


def normalized(entity: Entity) -> bytes:
    """One entity of an update, as JSON."""
    made: dict[str, Any] = {"id": entity.id, "type": entity.type}
    for name, attribute in entity.attributes.items():
        made[name] = _attribute(attribute)
    made["TimeInstant"] = {"type": "DateTime", "value": entity.observed_at}
    return msgspec.json.encode(made)


def append(texts: Sequence[bytes]) -> bytes:
    """The body of an update: create or overwrite."""
    return b'{"actionType":"append","entities":[' + b",".join(texts) + b"]}"


def notification(texts: Sequence[bytes]) -> bytes:
    """The body of a notification to QuantumLeap."""
    return b'{"subscriptionId":"edgeagent","data":[' + b",".join(texts) + b"]}"


def history_query(entity: Entity, since: str, until: str) -> str:
    """Path and query that ask QuantumLeap which moments of an entity it has between two times.

    Args:
        entity: any moment of it.
        since: ISO 8601 UTC.
        until: likewise.
    """
    asked = {"type": entity.type, "fromDate": since, "toDate": until}
    name = urllib.parse.quote(entity.id, safe=":")
    return f"{_HISTORY}/{name}/attrs/sequenceNumber/value?{urllib.parse.urlencode(asked)}"


def held(status: int, body: bytes) -> frozenset[int]:
    """The sequence numbers in the answer to `history_query`; none where it is no such answer."""
    values = json_object(body).get("values") if status == _FOUND else None
    if not isinstance(values, list):
        return frozenset()
    return frozenset(int(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))


def judge_notify(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer to a notification; headers in lower case."""
    if status in _NOTED and not body.lstrip().startswith(b"<"):  # a captive portal says 200, in HTML
        return Reply(Fate.DONE)
    return sort_status(status, headers, body)


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer to an update; headers in lower case."""
    if status in _OK:
        return Reply(Fate.DONE)
    return sort_status(status, headers, body)


def _attribute(attribute: Attribute) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if attribute.observed_at:
        metadata["TimeInstant"] = {"type": "DateTime", "value": attribute.observed_at}
    if attribute.unit_code:
        metadata["unitCode"] = {"type": "Text", "value": attribute.unit_code}
    if attribute.quality:
        metadata["quality"] = {"type": "Text", "value": attribute.quality}
    made: dict[str, Any]
    if attribute.form is Form.POINT:
        made = {"type": "geo:json", "value": {"type": "Point", "coordinates": attribute.value}}
    elif attribute.form is Form.TIME:
        made = {"type": "DateTime", "value": attribute.value}
    elif attribute.form is Form.LINK:
        made = {"type": "Relationship", "value": attribute.value}
    else:
        made = _property(attribute.value)
    made["metadata"] = metadata
    return made


def _property(value: Value | tuple[float, float]) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"type": "Boolean", "value": value}
    if isinstance(value, str):
        return {"type": "Text", "value": harmless(value)}
    if isinstance(value, int | float):
        return {"type": "Number", "value": value}
    return {"type": "StructuredValue", "value": value}
