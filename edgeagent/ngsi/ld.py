"""NGSI-LD (ETSI CIM 009): entities -> normalized bodies, answers -> verdicts.

Normalized unless asked otherwise, because a 1.3 broker answers 400 to the concise form (1.6: the
same without `type`, a fifth smaller).  `options=update` replaces each
attribute as a whole, so unitCode and observedAt are sent every time; a quality of its own only where
it is not good, for a good value then replaces a suspect one with its mark (NGSIv2 is otherwise).
`application/json` with a Link header: in ld+json a batch repeats the @context in each entity.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.ngsi.entities import Attribute, Entity, Form
from edgeagent.ngsi.replies import Fate, Reply, json_object, per_entity, sort_status
from edgeagent.reading import Quality

__all__ = [
    "TEMPORAL",
    "UPSERT",
    "concise",
    "headers",
    "held",
    "judge",
    "judge_temporal",
    "normalized",
    "temporal",
    "temporal_query",
]

UPSERT = "/ngsi-ld/v1/entityOperations/upsert?options=update"
TEMPORAL = "/ngsi-ld/v1/temporal/entities"
_OK, _CREATED, _NO_CONTENT, _PART, _MULTI = 200, 201, 204, 206, 207
_NO_SUCH_SERVICE = frozenset({404, 405, 501})


def headers(context: str, tenant: str) -> dict[str, str]:
    """Headers of every request.

    Args:
        context: URL of the @context; "" for none (the broker's core context).
        tenant: NGSILD-Tenant; "" for the default tenant.
    """
    made = {"Content-Type": "application/json", "Accept": "application/json"}
    if context:
        made["Link"] = f'<{context}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    if tenant:
        made["NGSILD-Tenant"] = tenant
    return made


def normalized(entity: Entity) -> bytes:
    """One entity of a batch body, as JSON."""
    made: dict[str, Any] = {"id": entity.id, "type": entity.type}
    for name, attribute in entity.attributes.items():
        made[name] = _attribute(attribute)
    return msgspec.json.encode(made)


def concise(entity: Entity) -> bytes:
    """One entity of a batch body in the concise form, as JSON."""
    made: dict[str, Any] = {"id": entity.id, "type": entity.type}
    for name, attribute in entity.attributes.items():
        made[name] = _concise(_attribute(attribute))
    return msgspec.json.encode(made)


def temporal(entities: Sequence[Entity]) -> bytes:
    """Several moments of one entity -> the body of `POST /temporal/entities`, as JSON.

    Only what was observed goes in: attributes without a time are state, not history.
    """
    made: dict[str, Any] = {"id": entities[0].id, "type": entities[0].type}
    for entity in entities:
        for name, attribute in entity.attributes.items():
            if attribute.observed_at:
                made.setdefault(name, []).append(_attribute(attribute))
    return msgspec.json.encode(made)


def temporal_query(entity: str, since: str, until: str) -> str:
    """Path and query that ask which moments of an entity the broker has between two times.

    Args:
        entity: its id.
        since: ISO 8601 UTC; some brokers leave the ends out, so give them a margin.
        until: likewise.
    """
    asked = {"timerel": "between", "timeAt": since, "endTimeAt": until, "attrs": "sequenceNumber"}
    return f"{TEMPORAL}/{urllib.parse.quote(entity, safe=':')}?{urllib.parse.urlencode(asked)}"


def held(status: int, body: bytes) -> frozenset[int]:
    """The sequence numbers in the answer to `temporal_query`; none where it is no such answer."""
    found = json_object(body).get("sequenceNumber") if status in (_OK, _PART) else None
    instances = found if isinstance(found, list) else [found]
    values = [one.get("value") for one in instances if isinstance(one, dict)]
    return frozenset(value for value in values if isinstance(value, int) and not isinstance(value, bool))


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer to a batch upsert; headers in lower case."""
    if status in (_CREATED, _NO_CONTENT):
        return Reply(Fate.DONE)
    if status in (_OK, _MULTI):
        found = json_object(body)
        errors = found.get("errors", found.get("error"))  # "error" in brokers older than CIM 009 v1.3
        success = found.get("success")
        if isinstance(errors, list) or isinstance(success, list):
            accepted = frozenset(i for i in success or () if isinstance(i, str))
            return Reply(Fate.PARTIAL, accepted, per_entity(errors or ()))
    return sort_status(status, headers, body)


def judge_temporal(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The answer to a temporal write; headers in lower case."""
    if status in (_CREATED, _NO_CONTENT):
        return Reply(Fate.DONE)
    reply = sort_status(status, headers, body)
    if status in _NO_SUCH_SERVICE and reply.code != "uplinks.no-tenant":
        return Reply(Fate.REFUSED, code="uplinks.no-temporal", detail=reply.detail)
    return reply


def _attribute(attribute: Attribute) -> dict[str, Any]:
    if attribute.form is Form.LINK:
        made: dict[str, Any] = {"type": "Relationship", "object": attribute.value}
    elif attribute.form is Form.POINT:
        made = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": attribute.value}}
    elif attribute.form is Form.TIME:
        made = {"type": "Property", "value": {"@type": "DateTime", "@value": attribute.value}}
    else:
        made = {"type": "Property", "value": attribute.value}
    if attribute.unit_code:
        made["unitCode"] = attribute.unit_code
    if attribute.observed_at:
        made["observedAt"] = attribute.observed_at
    if attribute.quality and attribute.quality != Quality.GOOD:
        made["quality"] = {"type": "Property", "value": attribute.quality}
    return made


def _concise(attribute: dict[str, Any]) -> dict[str, Any]:
    """Without what a reader can tell from the rest (CIM 009 v1.6, 4.5.19)."""
    made = {name: value for name, value in attribute.items() if name != "type"}
    if "quality" in made:
        made["quality"] = made["quality"]["value"]
    return made
