"""Which reading is which entity, and what it says: Reading and Site -> Entity.

An `Entity` is neutral between NGSI-LD and NGSIv2; `ld`, `v2` and `iota_json` write it down.

- Ids are `urn:ngsi-ld:<Type>:<gateway id>:<entity>`, ASCII whatever people typed.
- A quantity that is MISSING or FAILed is left out: no number is sent for it, never a zero.
  `quality` and `qualityReason` speak for the principal quantity and are sent every time.
- Water level is metres above gauge zero and may be negative at low water, although the model
  says `minimum: 0`: a river below its gauge zero is normal in Japan, and hiding it would leave
  the last positive value standing.
- Times are UTC with milliseconds and `Z`; coordinates are [lon, lat].
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import math
import urllib.parse
from collections.abc import Iterator

import msgspec

from edgeagent.ngsi.terms import ABSENT, FACTS, PRINCIPAL, TYPES, attribute_name
from edgeagent.ports import Site
from edgeagent.reading import Kind, Quality, Quantity, Reading

__all__ = [
    "Attribute",
    "Entity",
    "Form",
    "Value",
    "alert",
    "entity",
    "entity_id",
    "observations",
    "plain",
    "provenance",
    "time_text",
    "verdict",
]

Value = float | int | str | bool | list[str]
_LONGEST_ID = 256  # NGSIv2: field length of ids, types and names
_YEAR_10000_MS = 253_402_300_800_000
_COUNTS = ("count", "people")

# Levels as people know them (MLIT names; English after JMA's usage), for the text of an alert.
_LEVEL_TEXT = {
    "normal": ("平常", "normal"),
    "standby": ("水防団待機水位", "flood-fighting corps standby level"),
    "caution": ("氾濫注意水位", "flood watch level"),
    "evacuate": ("避難判断水位", "evacuation decision level"),
    "danger": ("氾濫危険水位", "flood danger level"),
}
# alert kind -> category, subCategory of the Alert model ("" where its list has no fitting word), text
_ALERTS = {
    "floodLevel": ("naturalDisaster", "floodRisk", ("水位", "water level")),
    "sensorBlind": ("environment", "floodRisk", ("水位計が計測できません", "the gauge is blind")),
    "uplinkRefused": ("security", "", ("送信を拒否されています", "refuses what is sent to it")),
    "sos": ("health", "", ("SOSボタン", "SOS button")),
}


class Form(enum.Enum):
    """How a value is written down."""

    PROPERTY = "property"
    TIME = "time"
    POINT = "point"
    LINK = "link"


class Attribute(msgspec.Struct, frozen=True):
    """One attribute.

    Attributes:
        value: number, text, yes/no or list; an ISO 8601 text for TIME, `[lon, lat]` for POINT,
            an entity id for LINK.
        unit_code: UN/CEFACT code, "" where a unit makes no sense.
        observed_at: when, "" for what does not change with time.
        quality: of this very value, "" where it was not measured.
    """

    value: Value | tuple[float, float]
    form: Form = Form.PROPERTY
    unit_code: str = ""
    observed_at: str = ""
    quality: str = ""


class Entity(msgspec.Struct, frozen=True):
    """One entity at one moment, also as UTC epoch milliseconds."""

    id: str
    type: str
    observed_at: str
    wall_ms: int
    attributes: dict[str, Attribute]


def time_text(wall_ms: int) -> str:
    """UTC epoch milliseconds -> `2026-11-23T05:00:00.123Z`.

    Raises:
        ValueError: not a time between 1970 and 9999.
    """
    if not 0 <= wall_ms < _YEAR_10000_MS:
        raise ValueError(wall_ms)
    seconds, ms = divmod(wall_ms, 1000)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()[:19]}.{ms:03d}Z"


def entity_id(kind: str, gateway: str, name: str) -> str:
    """The id of an entity; what is not plain ASCII is percent-encoded, what is too long is hashed.

    Args:
        kind: entity type, e.g. `WaterObserved`.
        gateway: id of the gateway.
        name: `Reading.entity`.
    """
    made = f"urn:ngsi-ld:{kind}:{gateway}:{plain(name)}"
    if len(made) <= _LONGEST_ID:
        return made
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{made[: _LONGEST_ID - 17].rstrip('%')}-{digest}"


def plain(name: str) -> str:
    """A name with only letters, digits and `:._-~`; the rest percent-encoded."""
    return urllib.parse.quote(name, safe=":")


def observations(reading: Reading) -> Iterator[tuple[str, Value, Quantity]]:
    """(attribute name, value, quantity) of everything that may be shown as a value."""
    kind = reading.kind
    for name, quantity in reading.quantities.items():
        value = quantity.value
        if value is None or quantity.quality is Quality.FAIL or quantity.quality is Quality.MISSING:
            continue
        if isinstance(value, float):
            if not math.isfinite(value):
                continue
            if name.startswith(_COUNTS) and value.is_integer():
                value = int(value)
        yield attribute_name(kind, name), value, quantity


def provenance(reading: Reading) -> Iterator[tuple[str, str]]:
    """(attribute name, text) of the facts worth sending."""
    facts = reading.facts
    for fact, name in FACTS[reading.kind].items():
        text = facts.get(fact) or ABSENT.get(fact)
        if text:
            yield name, text


def verdict(reading: Reading) -> tuple[str, str]:
    """(quality, reason) of the principal quantity; `none` where there is nothing to explain."""
    quantities = reading.quantities
    for name in PRINCIPAL[reading.kind]:
        if name in quantities:
            break
    else:
        name = next(iter(quantities), "")
    found = quantities.get(name)
    quality = found.quality if found is not None else Quality.MISSING
    if found is not None and isinstance(found.value, float) and not math.isfinite(found.value):
        quality = Quality.FAIL
    return quality.value, reading.facts.get(f"reason:{name}") or reading.facts.get("reason", "none")


def entity(reading: Reading, site: Site) -> Entity:
    """A reading as an entity.

    Raises:
        ValueError: its time is not a time.
    """
    at = time_text(reading.at.wall_ms)
    kind, type_ = reading.kind, TYPES[reading.kind]
    made = {
        name: Attribute(
            value, Form.PROPERTY, "" if isinstance(value, str | bool) else q.unit.value, at, q.quality.value
        )
        for name, value, q in observations(reading)
    }
    quality, reason = verdict(reading)
    for name, text in provenance(reading):
        made[name] = Attribute(text, observed_at=at)
    made["quality"] = Attribute(quality, observed_at=at)
    made["qualityReason"] = Attribute(reason, observed_at=at)
    made["timeQuality"] = Attribute(reading.at.trust.value, observed_at=at)
    made["sequenceNumber"] = Attribute(reading.sequence, observed_at=at)
    if kind is not Kind.ALERT:
        made["dateObserved"] = Attribute(at, Form.TIME, observed_at=at)
    if reading.span_ms:
        start = time_text(max(reading.at.wall_ms - reading.span_ms, 0))
        made["dateObservedFrom"] = Attribute(start, Form.TIME, observed_at=at)
        made["dateObservedTo"] = Attribute(at, Form.TIME, observed_at=at)
    called = site.names.get(reading.source)
    if called:
        made["name"] = Attribute(called)
    location = site.locations.get(reading.source) or site.location
    if location is not None:
        made["location"] = Attribute(location, Form.POINT)
    if kind is Kind.WATER:
        made["refDevice"] = Attribute(entity_id("Device", site.gateway, reading.source), Form.LINK)
    elif kind is Kind.TAG:
        made["controlledProperty"] = Attribute(["location", "batteryLife"])
        made["deviceCategory"] = Attribute(["beacon"])
        made.update(_heard(reading, at))
    elif kind is Kind.GATEWAY:
        made["controlledProperty"] = Attribute(["temperature", "power"])
        made["deviceCategory"] = Attribute(["network"])
    elif kind is Kind.ALERT:
        made.update(alert(reading, site, at))
    return Entity(entity_id(type_, site.gateway, reading.entity), type_, at, reading.at.wall_ms, made)


def alert(reading: Reading, site: Site, at: str) -> Iterator[tuple[str, Attribute]]:
    """What the Alert model wants beside the quantities."""
    about = _text(reading, "sub_category")
    category, sub_category, (ja, en) = _ALERTS.get(about, ("environment", "", (about, about)))
    yield "dateIssued", Attribute(at, Form.TIME, observed_at=at)
    yield "category", Attribute(category)
    if sub_category:
        yield "subCategory", Attribute(sub_category)
    of = TYPES[Kind.WATER] if about in ("floodLevel", "sensorBlind") else TYPES[Kind.TAG]
    whose = reading.entity if about == "sos" else reading.source
    yield "alertSource", Attribute(entity_id(of, site.gateway, whose), Form.LINK)
    level = _text(reading, "level_name")
    if about == "floodLevel" and level:
        ja, en = _LEVEL_TEXT.get(level, (level, level))
        ja, en = reading.facts.get("level_ja", ja), reading.facts.get("level_en", en)
    metres = reading.quantities.get("level")
    number = f" {metres.value:.2f} m" if metres and metres.usable and isinstance(metres.value, float | int) else ""
    over = reading.quantities.get("active")
    if over is not None and over.value is False:
        ja, en = f"解除: {ja}", f"cleared: {en}"
    place = site.names.get(reading.source) or reading.source
    if about == "uplinkRefused":
        place = reading.entity.removeprefix("uplink-")
    yield "description", Attribute(f"{place}: {ja} / {en}{number}", observed_at=at)


def _heard(reading: Reading, at: str) -> Iterator[tuple[str, Attribute]]:
    """When a tag was heard first and last; from differences, so that a clock set later corrects them too."""
    for name, ago in (("firstSeen", "first_ago"), ("lastSeen", "last_ago")):
        seconds = reading.quantities.get(ago)
        if seconds is not None and isinstance(seconds.value, int | float):
            when = time_text(max(reading.at.wall_ms - round(seconds.value * 1000), 0))
            yield name, Attribute(when, Form.TIME, observed_at=at)


def _text(reading: Reading, name: str) -> str:
    found = reading.quantities.get(name)
    return found.value if found is not None and isinstance(found.value, str) else ""
