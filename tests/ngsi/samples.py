"""One reading of every kind, as the sources and rules emit them."""

from edgeagent.ports import Site
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, TimeTrust, Unit

SITE = Site(
    "GW-0147",
    (138.2529, 36.6513),
    locations={"route140": (138.3, 36.7)},
    names={"miyagawa": "宮川橋 (上流)", "route140": "国道140号"},
)
AT = Moment(1_795_000_001_234, 5_000, "b00700000001", TimeTrust.SYNCED)


def made(source, kind, quantities, *, entity=None, facts=None, span_ms=0, at=AT, cls=ReadingClass.LIVE, sequence=7):
    return Reading(
        source=source,
        kind=kind,
        entity=entity or source,
        at=at,
        quantities={n: q if isinstance(q, Quantity) else Quantity(q) for n, q in quantities.items()},
        cls=cls,
        span_ms=span_ms,
        facts=facts or {},
        sequence=sequence,
    )


def metres(value, quality=Quality.GOOD):
    return Quantity(value, Unit.METRE, quality)


WATER = made(
    "miyagawa",
    Kind.WATER,
    {
        "distance": metres(6.19),
        "level": metres(1.234),
        "elevation": metres(332.434),
        "n_valid": 20,
        "mad": metres(0.002),
        "rate": Quantity(0.12, Unit.METRE_PER_HOUR),
        "rate_30min": Quantity(0.1, Unit.METRE_PER_HOUR),
        "next_level": "evacuate",
        "next_level_s": Quantity(25_980, Unit.SECOND),
        "temperature": Quantity(11.5, Unit.CELSIUS),
        "snr": Quantity(31, Unit.DECIBEL),
        "flow": Quantity(12.5),
        "alarm_level": "caution",
    },
    facts={"profile": "vega-c2x-modbus", "rung": "modbus-rtu", "raw": "0102", "datum": "T.P."},
)
BLIND = made(
    "miyagawa",
    Kind.WATER,
    {"distance": Quantity.missing(Unit.METRE), "level": metres(9.9, Quality.FAIL), "snr": Quantity(3, Unit.DECIBEL)},
    facts={"reason:level": "range"},
)
RAIN = made(
    "ame",
    Kind.RAIN,
    {
        "rain": Quantity(0.5, Unit.MILLIMETRE),
        "rain_rate": Quantity(3.0, Unit.MILLIMETRE_PER_HOUR),
        "temperature": Quantity(9.5, Unit.CELSIUS),
        "humidity": Quantity(0.8),
    },
    span_ms=600_000,
)
CLASSES = ("car", "bus", "truck", "motorcycle", "bicycle", "person")
TRAFFIC = made(
    "route140",
    Kind.TRAFFIC,
    {
        "count": 12,
        "count_forward": 7.0,
        "count_backward": 5,
        **{f"count_{d}_{c}": 1 for d in ("forward", "backward") for c in CLASSES},
        "coverage": 0.98,
        "fps": Quantity(9.7, Unit.HERTZ),
        "occupancy": 0.31,
        "count_forward_small": 5,
        "count_forward_large": Quantity(2, quality=Quality.SUSPECT),
        "congested": False,
        "congestion": "slow",
        "queue_length": 3,
        "vehicles": 4.2,
        "region_occupancy": 0.84,
        "speed": Quantity(31.5, Unit.KILOMETRE_PER_HOUR),
        "speed_forward": Quantity(33.0, Unit.KILOMETRE_PER_HOUR),
        "speed_backward": Quantity.missing(Unit.KILOMETRE_PER_HOUR),
        "speeds_measured": 6,
        "dropped": 0.01,
    },
    facts={
        "line": "up-down",
        "line_version": "5d1f03aa",
        "model": "a1b2c3d4e5f6",
        "class_trust": "car good, truck hint, bus none",
        "scene": "dark",
        "reason": "dark",
    },
    span_ms=60_000,
)
DARK = made(
    "route140",
    Kind.TRAFFIC,
    {"count": Quantity.missing(Unit.ONE), "coverage": 0.0},
    entity="route140:line 2 (西)",
    facts={"reason:count": "not watched"},
    span_ms=60_000,
)
CROWD = made("tags", Kind.CROWD, {"people": 3, "listening": True})
TAG = made(
    "tags",
    Kind.TAG,
    {
        "state": "left",
        "battery": 0.75,
        "rssi": -71,
        "frames": 42,
        "first_ago": Quantity(310.5, Unit.SECOND),
        "last_ago": Quantity(62.0, Unit.SECOND),
    },
    entity="tags:9f3c01aa55ee0011",
    facts={"day": "2026-11-18"},
)
GATEWAY = made(
    "host",
    Kind.GATEWAY,
    {
        "cpu_temperature": Quantity.missing(Unit.CELSIUS),
        "under_voltage": False,
        "disk_free": Quantity(5_000_000_000, Unit.BYTE),
        "memory_available": Quantity(900_000_000, Unit.BYTE),
        "uptime": Quantity(86_400.5, Unit.SECOND),
        "load": 0.2,
        "clock_synced": True,
    },
    facts={"edgeagent": "0.1.0", "python": "3.11.7", "kernel": "6.6", "board": "Raspberry Pi 5 Model B"},
    cls=ReadingClass.ROUTINE,
)


def alert(about, entity, **more):
    quantities = {"active": True, "sub_category": about, "severity": "high", "level_name": "evacuate", **more}
    return made("miyagawa", Kind.ALERT, quantities, entity=entity, cls=ReadingClass.ALARM)


FLOOD = alert("floodLevel", "miyagawa", level=metres(2.15))
BLIND_ALERT = alert("sensorBlind", "miyagawa:blind")
SOS = made(
    "tags",
    Kind.ALERT,
    {"active": True, "sub_category": "sos", "severity": "critical", "level_name": ""},
    entity="tags:9f3c01aa55ee0011",
    facts={"day": "2026-11-18", "alias": "T-008"},
)
REFUSED = made(
    "agent",
    Kind.ALERT,
    {"active": True, "sub_category": "uplinkRefused", "severity": "high", "level_name": "refused"},
    entity="uplink-nagano",
    cls=ReadingClass.ALARM,
)
GAP = made(
    "miyagawa",
    Kind.GAP,
    {"readings": 350},
    facts={"reason": "thinned", "class": "live", "ranges": "water:miyagawa 120-480 350"},
    span_ms=3_600_000,
    cls=ReadingClass.ROUTINE,
)
COMPLETENESS = made(
    "miyagawa",
    Kind.COMPLETENESS,
    {"readings": 8785, "thinned": 0, "lost": 0, "waiting": 12},
    facts={
        "day": "2026-11-22",
        "part": "1/1",
        "streams": "alert:miyagawa 41-43, alert:miyagawa:blind 7-8, water:miyagawa 101-8880",
        "clock": "synced",
    },
)

ALL = {
    "water": WATER,
    "blind": BLIND,
    "rain": RAIN,
    "traffic": TRAFFIC,
    "dark": DARK,
    "crowd": CROWD,
    "tag": TAG,
    "gateway": GATEWAY,
    "flood": FLOOD,
    "blind-alert": BLIND_ALERT,
    "sos": SOS,
    "refused": REFUSED,
    "gap": GAP,
    "completeness": COMPLETENESS,
}
