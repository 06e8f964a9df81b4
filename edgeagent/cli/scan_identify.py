"""scan serial --identify: unplug it, plug it in, and know its name."""

from __future__ import annotations

import asyncio
import json
import sys

import msgspec

from edgeagent import messages
from edgeagent.cli.columns import columns, wrap
from edgeagent.install import discover_twins, serial_ports

__all__ = ["run"]

_STOPPED = 6


def run(timeout_s: float, *, as_json: bool) -> int:
    """Ask, wait, say, and return the exit code."""
    found = serial_ports.ports()
    twins = [port for group in serial_ports.twins(found) for port in group]

    def tell(code: str, facts: dict[str, object]) -> None:
        said = messages.text(code, facts, messages.language())
        lines = [*wrap(said.what, columns()), *wrap(said.remedy, columns(), "  → ", "    ")]
        print("\n".join(lines), file=sys.stderr, flush=True)

    try:
        one = asyncio.run(discover_twins.identify(twins, tell, timeout_s=timeout_s))
    except KeyboardInterrupt:
        return _STOPPED
    if as_json:
        print(json.dumps(msgspec.to_builtins(one)))
        return 0
    print(one.name)
    code = "scan.same-socket" if one.name == one.was else "scan.other-socket"
    said = messages.text(code, msgspec.to_builtins(one), messages.language())
    print("\n".join(wrap(said.what, columns(), "  ✓ ", "    ")))
    return 0
