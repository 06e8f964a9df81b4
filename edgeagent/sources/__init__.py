"""SHELL  a device -> readings.  May import: reading errors clock backoff ports tables; each driver its own library.

Adding one: a file with a frozen Config and a class that fits `SourceDriver`, and a line in SOURCES.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from edgeagent import tables
from edgeagent.ports import Source, SourceConfig, Surroundings

__all__ = ["SOURCES", "SourceDriver", "driver"]

SOURCES = {
    "modbus-gauge": "edgeagent.sources.modbus_gauge:ModbusGauges",
    "serial-gauge": "edgeagent.sources.serial_gauge:SerialGauge",
    "sdi12-gauge": "edgeagent.sources.serial_sdi12:Sdi12Gauges",
    "pulse-gauge": "edgeagent.sources.pulse_gauge:PulseGauge",
    "ble-tags": "edgeagent.sources.ble_tags:BleTags",
    "traffic-camera": "edgeagent.sources.traffic_camera:TrafficCamera",
    "host": "edgeagent.sources.host:Host",
}
_GROUP = "edgeagent.sources"


class SourceDriver(Protocol):
    """What a class in the table offers.

    Attributes:
        Config: its section type, a SourceConfig.
        rules: names of the rule sections that its `[[sources]]` table may hold, in the order in
            which a reading meets them.
    """

    Config: type[SourceConfig]
    rules: tuple[str, ...]

    @staticmethod
    def group(config: Any) -> Hashable:  # noqa: ANN401  the driver's own Config
        """Sections with equal groups are run by one object (gauges on one RS-485 bus)."""
        ...

    @classmethod
    def make(cls, configs: Sequence[Any], around: Surroundings) -> Source:
        """The running object for one group of sections."""
        ...


def driver(name: str) -> SourceDriver:
    """The driver class, imported now.

    Raises:
        ConfigError: unknown name or missing library.
    """
    found: SourceDriver = tables.find(name, SOURCES, _GROUP)
    return found
