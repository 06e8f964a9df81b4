"""IoT Agent for JSON: readings -> MQTT topics and measures.

- `/json/<apikey>/<device>/attrs`; one device per entity: `<prefix><Type>:<entity>`.
- An object for one measure, an array for several: an array of exactly one is mangled into an
  attribute named `0`.
- `TimeInstant` always (without it the agent's clock counts), UTC with milliseconds; an array is
  sorted ascending by the caller, for towards NGSI-LD the agent does not sort.
- Measures carry no metadata.  `quality` speaks for the principal quantity; a suspect value that
  is not the principal one could not be marked and is left out, like a missing one.
- What does not change (location, name, references) belongs into the agent's group as static
  attributes, not into every message over a SIM.
- The agent forwards characters that Orion forbids, and Orion then refuses the whole; see `v2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from edgeagent.ngsi.entities import Form, alert, observations, plain, provenance, time_text, verdict
from edgeagent.ngsi.terms import TYPES
from edgeagent.ngsi.v2 import harmless
from edgeagent.ports import Site
from edgeagent.reading import Kind, Quality, Reading

__all__ = ["attributes", "device_id", "measure", "payload", "topic"]

_encode = msgspec.json.Encoder().encode


def device_id(reading: Reading, prefix: str) -> str:
    """The agent's name of the thing; unique over all API keys of a service path.

    Args:
        reading: of the thing.
        prefix: what tells this gateway's devices from others', e.g. `GW-0147:`.
    """
    return f"{prefix}{TYPES[reading.kind]}:{plain(reading.entity)}"


def topic(apikey: str, device: str) -> str:
    """Where the agent listens for measures of a device."""
    return f"/json/{apikey}/{device}/attrs"


def measure(reading: Reading, site: Site) -> bytes:
    """One reading as a measure, as JSON.

    Raises:
        ValueError: its time is not a time.
    """
    return _encode(attributes(reading, site) | {"TimeInstant": time_text(reading.at.wall_ms)})


def attributes(reading: Reading, site: Site) -> dict[str, Any]:
    """What a measure says beside its time, by attribute name.

    Raises:
        ValueError: its time is not a time.
    """
    at = time_text(reading.at.wall_ms)
    quality, reason = verdict(reading)
    made: dict[str, Any] = {}
    for name, value, quantity in observations(reading):
        if quantity.quality is Quality.SUSPECT and quality != Quality.SUSPECT:
            continue
        made[name] = harmless(value) if isinstance(value, str) else value
    for name, text in provenance(reading):
        made[name] = harmless(text)
    if reading.kind is Kind.ALERT:
        for name, attribute in alert(reading, site, at):
            said = attribute.value
            made[name] = harmless(said) if isinstance(said, str) and attribute.form is Form.PROPERTY else said
    if reading.span_ms:
        made["dateObservedFrom"] = time_text(max(reading.at.wall_ms - reading.span_ms, 0))
        made["dateObservedTo"] = at
    made["quality"] = quality
    made["qualityReason"] = harmless(reason)
    made["timeQuality"] = reading.at.trust
    made["sequenceNumber"] = reading.sequence
    return made


def payload(measures: Sequence[bytes]) -> bytes:
    """Measures of one device, oldest first, as one message."""
    return measures[0] if len(measures) == 1 else b"[" + b",".join(measures) + b"]"
