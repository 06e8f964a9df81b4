"""`python -m tests.bench [NAME …]`: pipeline, cpu100, footprint, help, vision."""

import sys

from tests.bench import agent, cli, vision

BENCHES = {
    "help": cli.help_time,
    "pipeline": agent.pipeline,
    "cpu100": agent.cpu100,
    "footprint": agent.footprint,
    "vision": vision.vision,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
