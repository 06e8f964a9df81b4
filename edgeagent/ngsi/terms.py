"""Which quantity and which fact is which attribute; the names of Smart Data Models where one exists.

Tables only.  A name on the right is either a property of the Smart Data Model of its type or one
of our own terms; both are listed in `context.jsonld`, and a test holds this file to it.  A
quantity that no table knows (a profile of the user's own) keeps its name in camelCase and lands
in the broker's default context.
"""

from __future__ import annotations

import functools
import itertools

from edgeagent.reading import Kind

__all__ = ["ABSENT", "FACTS", "OBSERVED", "PRINCIPAL", "TYPES", "attribute_name"]

TYPES = {
    Kind.WATER: "WaterObserved",
    Kind.RAIN: "WeatherObserved",
    Kind.TRAFFIC: "TrafficFlowObserved",
    Kind.CROWD: "CrowdFlowObserved",
    Kind.TAG: "Device",
    Kind.GATEWAY: "Device",
    Kind.ALERT: "Alert",
    Kind.GAP: "ReadingGap",  # an own type: readings that are not coming
}

# The quantity whose quality speaks for the entity: the first of these that the reading has.
PRINCIPAL = {
    Kind.WATER: ("level", "distance"),
    Kind.RAIN: ("rain",),
    Kind.TRAFFIC: ("count",),
    Kind.CROWD: ("people", "listening"),
    Kind.TAG: ("state",),
    Kind.GATEWAY: ("uptime", "config_applied"),
    Kind.ALERT: ("active",),
    Kind.GAP: ("readings",),
}

_DIRECTIONS = ("forward", "backward")
_CLASSES = ("car", "bus", "truck", "motorcycle", "bicycle", "person")

OBSERVED: dict[Kind, dict[str, str]] = {
    Kind.WATER: {
        "level": "waterLevel",
        "elevation": "waterElevation",
        "distance": "measuredDistance",
        "flow": "flow",
        "rate": "rateOfRise",
        "alarm_level": "alarmLevel",
        "temperature": "gaugeTemperature",
        "snr": "signalToNoiseRatio",
    },
    Kind.RAIN: {
        "rain": "precipitation",
        "rain_rate": "precipitationRate",
        "temperature": "temperature",
        "humidity": "relativeHumidity",
    },
    Kind.TRAFFIC: {
        "count": "intensity",
        "occupancy": "occupancy",
        "congested": "congested",
        "coverage": "coverage",
        "fps": "frameRate",
        **{f"count_{d}": f"intensity{d.title()}" for d in _DIRECTIONS},
        **{f"count_{d}_{c}": f"intensity{d.title()}{c.title()}" for d, c in itertools.product(_DIRECTIONS, _CLASSES)},
    },
    Kind.CROWD: {"people": "peopleCount", "listening": "listening"},
    Kind.TAG: {"state": "deviceState", "battery": "batteryLevel", "rssi": "rssi", "sos": "sosPressed"},
    Kind.GATEWAY: {
        "cpu_temperature": "cpuTemperature",
        "under_voltage": "underVoltage",
        "disk_free": "diskFree",
        "memory_available": "memoryAvailable",
        "uptime": "uptime",
        "load": "load",
        "clock_synced": "clockSynced",
        "config_applied": "configApplied",
        "config_desired": "configDesired",
        "config_signed_days": "configSignedDays",
    },
    Kind.ALERT: {
        "active": "active",
        "sub_category": "alertKind",
        "severity": "severity",
        "level_name": "levelName",
        "level": "waterLevel",
        "rate": "rateOfRise",
    },
    Kind.GAP: {"readings": "readingsMissing"},
}

# Provenance worth sending.  Sent every time, else the last text would stay beside a newer value.
FACTS: dict[Kind, dict[str, str]] = {
    Kind.WATER: {"datum": "datum", "profile": "deviceProfile", "window": "aggregation"},
    Kind.RAIN: {"profile": "deviceProfile", "window": "aggregation"},
    Kind.TRAFFIC: {"line": "countingLine", "model": "modelHash", "scene": "sceneCondition"},
    Kind.CROWD: {},
    Kind.TAG: {},
    Kind.GATEWAY: {
        "edgeagent": "softwareVersion",
        "kernel": "osVersion",
        "board": "hardwareVersion",
        "python": "runtimeVersion",
        "config_state": "configState",
        "config_reason": "configReason",
        "config_hash": "configHash",
    },
    Kind.ALERT: {},
    Kind.GAP: {"reason": "gapReason", "class": "deliveryClass", "ranges": "missingRanges"},
}

# What a fact's attribute says when the reading has no such fact.
ABSENT = {"scene": "none", "window": "none"}

_RESERVED = frozenset({"id", "type", "location", "dateObserved", "TimeInstant", "value", "name", "object"})


@functools.lru_cache(maxsize=4096)
def attribute_name(kind: Kind, quantity: str) -> str:
    """The attribute that carries a quantity: letters, digits and `_`, never a reserved word."""
    known = OBSERVED[kind].get(quantity)
    if known is not None:
        return known
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in quantity).split()
    camel = "".join(w if i == 0 else w[:1].upper() + w[1:] for i, w in enumerate(words)) or "unnamed"
    if camel[0].isdigit():
        camel = "q" + camel
    return camel + "Measured" if camel in _RESERVED else camel
