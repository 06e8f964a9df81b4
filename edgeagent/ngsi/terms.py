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
    Kind.GAP: "ReadingGap",  # own types: readings that are not coming,
    Kind.COMPLETENESS: "ReadingCompleteness",  # and the numbers that were given on a day
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
    Kind.COMPLETENESS: ("readings",),
}

_DIRECTIONS = ("forward", "backward")
# small and large: 小型車 and 大型車 of the 交通量調査.
_CLASSES = ("car", "bus", "truck", "motorcycle", "bicycle", "person", "vehicle", "small", "large")

_OUTLOOK = {"rate_30min": "rateOfRise30min", "next_level": "nextAlarmLevel", "next_level_s": "timeToNextAlarmLevel"}

OBSERVED: dict[Kind, dict[str, str]] = {
    Kind.WATER: {
        "level": "waterLevel",
        "elevation": "waterElevation",
        "distance": "measuredDistance",
        "flow": "flow",
        "rate": "rateOfRise",
        **_OUTLOOK,
        "n_valid": "validSamples",
        "mad": "medianAbsoluteDeviation",
        "pressure": "measuredPressure",
        "current": "measuredCurrent",
        "alarm_level": "alarmLevel",
        "temperature": "gaugeTemperature",
        "snr": "signalToNoiseRatio",
    },
    Kind.RAIN: {
        "rain": "precipitation",
        "rain_rate": "precipitationRate",
        "rain_total": "precipitationTotal",
        "temperature": "temperature",
        "humidity": "relativeHumidity",
    },
    Kind.TRAFFIC: {
        "count": "intensity",
        "occupancy": "occupancy",
        "congested": "congested",
        "coverage": "coverage",
        "fps": "frameRate",
        "dropped": "droppedFrames",
        "input_width": "modelInputWidth",
        "vehicles": "vehiclesInRegion",
        "region_occupancy": "regionOccupancy",
        "queue_length": "queueLength",
        "congestion": "congestionState",
        "speed": "averageVehicleSpeed",
        "speeds_measured": "vehiclesMeasured",
        **{f"speed_{d}": f"averageVehicleSpeed{d.title()}" for d in _DIRECTIONS},
        **{f"count_{d}": f"intensity{d.title()}" for d in _DIRECTIONS},
        **{f"count_{d}_{c}": f"intensity{d.title()}{c.title()}" for d, c in itertools.product(_DIRECTIONS, _CLASSES)},
    },
    Kind.CROWD: {"people": "peopleCount", "listening": "listening"},
    Kind.TAG: {
        "state": "deviceState",
        "battery": "batteryLevel",
        "rssi": "rssi",
        "sos": "sosPressed",
        "last_ago": "secondsSinceHeard",
        "first_ago": "secondsSinceFirstHeard",
        "frames": "framesHeard",
    },
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
        **_OUTLOOK,
    },
    Kind.GAP: {"readings": "readingsMissing"},
    Kind.COMPLETENESS: {
        "readings": "readingsAccepted",
        "thinned": "readingsThinned",
        "lost": "readingsLost",
        "waiting": "readingsWaiting",
    },
}

# Provenance worth sending.  Sent every time, else the last text would stay beside a newer value.
FACTS: dict[Kind, dict[str, str]] = {
    Kind.WATER: {"datum": "datum", "profile": "deviceProfile", "window": "aggregation"},
    Kind.RAIN: {"profile": "deviceProfile", "window": "aggregation"},
    Kind.TRAFFIC: {
        "line": "countingLine",
        "line_version": "lineVersion",
        "model": "modelHash",
        "class_trust": "classTrust",
        "scene": "sceneCondition",
        "governor": "frameRateLimitedBy",
    },
    Kind.CROWD: {},
    Kind.TAG: {"day": "pseudonymDay"},
    Kind.GATEWAY: {
        "edgeagent": "softwareVersion",
        "kernel": "osVersion",
        "board": "hardwareVersion",
        "python": "runtimeVersion",
        "config_state": "configState",
        "config_reason": "configReason",
        "config_hash": "configHash",
    },
    Kind.ALERT: {"alias": "tagAlias"},
    Kind.GAP: {"reason": "gapReason", "class": "deliveryClass", "ranges": "missingRanges"},
    Kind.COMPLETENESS: {"day": "day", "part": "part", "streams": "numberRanges", "clock": "clockQuality"},
}

# What a fact's attribute says when the reading has no such fact.
ABSENT = {"scene": "none", "window": "none", "governor": "none"}

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
