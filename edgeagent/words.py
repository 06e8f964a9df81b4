"""Numbers as people read them: `1.23 m`, `83.1 GB`, `3m12s`.  Pure.  May import: reading."""

from __future__ import annotations

from edgeagent.reading import Quality, Quantity, Unit

__all__ = ["named", "quantity", "span"]

_JA = {  # the quantities that people meet; any other is called as the profile calls it
    "level": "水位",
    "distance": "距離",
    "rain": "雨量",
    "rain_rate": "雨の強さ",
    "temperature": "温度",
    "water_temperature": "水温",
    "flow_velocity": "流速",
    "discharge": "流量",
    "battery": "電池",
    "count": "台数",
    "people": "人数",
    "intensity": "交通量",
    "coverage": "計測率",
    "occupancy": "占有率",
    "listening": "受信中",
    "cpu_temperature": "CPU 温度",
    "disk_free": "空き容量",
    "under_voltage": "電圧低下",
    "uptime": "起動から",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def named(name: str, lang: str) -> str:
    """What people call a quantity."""
    return _JA.get(name, name) if lang == "ja" else name


def quantity(name: str, value: Quantity, digits: int = 3) -> str:
    """`level 1.23 m`, with `?` behind a suspect one; what failed or is missing says so instead of a number."""
    if value.value is None or value.quality in (Quality.FAIL, Quality.MISSING):
        return f"{name} ({value.quality.value})"
    doubt = " ?" if value.quality is Quality.SUSPECT else ""
    return f"{name} {_shown(value, digits)}{doubt}"


def span(seconds: float) -> str:
    """`8s`, `3m12s`, `5h02m`, `2d04h`."""
    whole = int(seconds)
    if whole >= _DAY:
        return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"
    if whole >= _HOUR:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s" if whole >= _MINUTE else f"{whole}s"


def _shown(value: Quantity, digits: int) -> str:
    number = value.value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return str(number)
    if value.unit is Unit.BYTE:
        return f"{number / 1e9:.1f} GB"
    if value.unit is Unit.SECOND:
        return span(number)
    text = f"{number:.{digits}f}" if isinstance(number, float) else str(number)
    if "." in text and value.unit is not Unit.METRE:  # a staff gauge is read in centimetres: 2.40 m
        text = text.rstrip("0").rstrip(".")
    return f"{text} {value.unit.symbol}".rstrip()
