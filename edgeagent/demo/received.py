"""What the virtual city received, in the demo's own terms."""

from __future__ import annotations

import time

from edgeagent.demo.verdict import Delivered
from edgeagent.demo.view import CityView
from edgeagent.simulate.city import City, Instance

__all__ = ["delivered", "newest", "regressions", "vehicles"]

_TELLING = {
    "WaterObserved": (("waterLevel", "{:.2f} m"), ("alarmLevel", "{}")),
    "TrafficFlowObserved": (("intensity", "{} veh"), ("coverage", "cov {:.0%}")),
    "CrowdFlowObserved": (("peopleCount", "{} tags"),),
    "Device": (("deviceState", "{}"), ("batteryLevel", "{:.0%}"), ("temperature", "{:.0f} °C")),
    "Alert": (("subCategory", "{}"), ("severity", "{}"), ("levelName", "{}")),
}


def delivered(city: City) -> list[Delivered]:
    """Every instance the city got, repeated ones included."""
    return [
        Delivered(
            i.entity,
            _name(i),
            i.sequence,
            i.wall_ms,
            i.values.get("waterLevel") if i.type == "WaterObserved" else None,
        )
        for i in city.history()
        if i.sequence
    ]


def vehicles(city: City) -> int:
    """Vehicles in all windows of all lines; a window that came twice counts once."""
    windows = {(i.entity, i.sequence): i for i in city.history() if i.type == "TrafficFlowObserved"}
    return sum(int(i.values.get("intensity") or 0) for i in windows.values())


def regressions(city: City) -> int:
    """How often an older value became the current one."""
    return city.snapshot().regressions


def newest(city: City) -> list[CityView]:
    """One line per entity, as the city knows it now."""
    now_ms = time.time() * 1000
    kept: dict[str, int] = {}
    for instance in city.history():
        kept[instance.entity] = kept.get(instance.entity, 0) + 1
    found = sorted(city.snapshot().newest.values(), key=lambda i: (i.type, i.entity))
    return [
        CityView(f"{i.type} {_name(i)}", _shown(i), max(0.0, (now_ms - i.wall_ms) / 1000), kept.get(i.entity, 0))
        for i in found
    ]


def _name(instance: Instance) -> str:
    """`urn:ngsi-ld:WaterObserved:GW-DEMO:miyagawa` -> `miyagawa`."""
    return instance.entity.split(":", 4)[-1]


def _shown(instance: Instance) -> str:
    parts = [
        form.format(instance.values[name])
        for name, form in _TELLING.get(instance.type, ())
        if instance.values.get(name) is not None
    ]
    return "  ".join(parts) or str(instance.values.get("quality", ""))
