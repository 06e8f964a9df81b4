"""`python -m tests.bench [NAME …]`: every figure, or the named ones."""

import importlib
import os
import sys

BENCHES = {
    "help": "cli:help_time",
    "pipeline": "agent:pipeline",
    "pipeline_http": "agent:pipeline_http",
    "wire": "wire:wire",
    "cpu100": "agent:cpu100",
    "footprint": "agent:footprint",
    "tags": "tags:tags",
    "vision": "vision:vision",
    "gauge_polls": "gauges:gauge_polls",
    "gauge_dead_unit": "gauges:gauge_dead_unit",
    "gauge_alarm": "gauges:gauge_alarm",
    "gauge_matrix": "gauges:gauge_matrix",
    "gauge_wrong": "gauges:gauge_wrong",
    "exposure": "update:exposure",
    "update_poll": "update:update_poll",
    "update_fleet": "update:update_fleet",
    "update_nudge": "trial:update_nudge",
    "update_rollback": "trial:update_rollback",
    "drain": "drain:drain",
    "setup": "setup:setup",
}

if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed agent has its bytecode beside it
    for name in sys.argv[1:] or BENCHES:
        module, _, function = BENCHES[name].partition(":")  # one at a time: the vision libraries are large
        getattr(importlib.import_module(f"tests.bench.{module}"), function)()
