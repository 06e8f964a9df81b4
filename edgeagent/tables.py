"""A table names classes without importing them; entry points add classes of other packages.

`"modbus-gauge": "edgeagent.sources.modbus_gauge:ModbusGauges"` is imported when a config asks
for it: no camera configured, no camera code in memory.  May import: errors.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from edgeagent.errors import ConfigError

__all__ = ["find", "names"]


def names(table: Mapping[str, str], group: str) -> tuple[str, ...]:
    """Every name that `find` knows, ours first."""
    return (*table, *(name for name, _ in _offered(group) if name not in table))


def find(name: str, table: Mapping[str, str], group: str) -> Any:  # noqa: ANN401  each room casts to its own protocol
    """Import the class behind a name.

    Raises:
        ConfigError: no such name, or its module needs a library that is not installed.
    """
    target = table.get(name)
    if target is None:
        target = dict(_offered(group)).get(name)
    if target is None:
        raise ConfigError("config.not-a-choice", got=name, choices=", ".join(names(table, group)))
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError("config.no-library", driver=name, library=error.name or str(error)) from error


def _offered(group: str) -> Iterable[tuple[str, str]]:
    """(name, target) of what other packages offer; imported here because it costs 3 MB and is rarely asked."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    return [(point.name, point.value) for point in entry_points(group=group)]
