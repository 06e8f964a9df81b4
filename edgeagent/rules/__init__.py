"""PURE  readings -> readings.  May import: reading errors ports tables.

Adding one: a file with a frozen Config and a class `Rule(config, source)`, and a line in RULES.
A driver names the rules it accepts, in the order of this table; those with a config section run.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from edgeagent import tables
from edgeagent.ports import Rule

__all__ = ["RULES", "RuleType", "names", "rule"]

RULES = {
    "calibrate": "edgeagent.rules.calibrate:Calibrate",
    "rain": "edgeagent.rules.rain:Rain",
    "plausible": "edgeagent.rules.plausible:Plausible",
    "alarm": "edgeagent.rules.alarm:Alarm",  # before window: a flood is not told by the ten-minute median
    "cadence": "edgeagent.rules.cadence:Cadence",  # sees every measurement, not only the median of many
    "window": "edgeagent.rules.window:Window",
    "deadband": "edgeagent.rules.deadband:Deadband",
    "presence": "edgeagent.rules.presence:Presence",
}
_GROUP = "edgeagent.rules"


class RuleType(Protocol):
    """What a class in the table offers.

    Attributes:
        Config: its section type.
        always: runs with its default config when the section is absent.
    """

    Config: type[msgspec.Struct]
    always: bool

    def __call__(self, config: msgspec.Struct, source: str) -> Rule:
        """The rule for one source."""
        ...


def names() -> tuple[str, ...]:
    """Every rule name, in the order in which readings meet them."""
    return tables.names(RULES, _GROUP)


def rule(name: str) -> RuleType:
    """The rule class.

    Raises:
        ConfigError: unknown name.
    """
    found: RuleType = tables.find(name, RULES, _GROUP)
    return found
