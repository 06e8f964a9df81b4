"""SHELL  readings -> somewhere else.

May import: reading errors clock backoff ports tables; each uplink ngsi and its own library.

Adding one: a file with a frozen Config and a class that fits `UplinkDriver`, and a line in UPLINKS.
"""

from __future__ import annotations

from typing import Any, Protocol

from edgeagent import tables
from edgeagent.ports import Surroundings, Uplink, UplinkConfig

__all__ = ["UPLINKS", "UplinkDriver", "driver"]

UPLINKS = {
    "ngsi-ld": "edgeagent.uplinks.ngsi_http:NgsiLd",
    "ngsi-v2": "edgeagent.uplinks.ngsi_http:NgsiV2",
    "iota-json": "edgeagent.uplinks.iota_mqtt:IotaJson",
    "iota-ul": "edgeagent.uplinks.iota_mqtt:IotaUl",
    "jsonl": "edgeagent.uplinks.jsonl:JsonLines",
}
_GROUP = "edgeagent.uplinks"


class UplinkDriver(Protocol):
    """What a class in the table offers."""

    Config: type[UplinkConfig]

    @classmethod
    def make(cls, config: Any, around: Surroundings) -> Uplink:  # noqa: ANN401  the driver's own Config
        """The running object for one section."""
        ...


def driver(name: str) -> UplinkDriver:
    """The driver class, imported now.

    Raises:
        ConfigError: unknown name or missing library.
    """
    found: UplinkDriver = tables.find(name, UPLINKS, _GROUP)
    return found
