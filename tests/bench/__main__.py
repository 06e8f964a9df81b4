"""`python -m tests.bench [NAME …]`: help, pipeline, pipeline_http, cpu100, footprint, vision."""

import importlib
import sys

BENCHES = {
    "help": "cli:help_time",
    "pipeline": "agent:pipeline",
    "pipeline_http": "agent:pipeline_http",
    "cpu100": "agent:cpu100",
    "footprint": "agent:footprint",
    "vision": "vision:vision",
    "drain": "drain:drain",
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHES:
        module, _, function = BENCHES[name].partition(":")  # one at a time: the vision libraries are large
        getattr(importlib.import_module(f"tests.bench.{module}"), function)()
