"""`python -m edgeagent.daemon CONFIG`: the daemon without the command line around it.

`edgeagent run` checks the config and then becomes this, which saves 7 MB for the next ten years.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeagent import messages
from edgeagent.daemon.build import read_config
from edgeagent.daemon.run import run

config, problems = read_config(Path(sys.argv[1]))
if config is None:
    sys.exit("\n".join(str(messages.text(e.code, e.facts, messages.language())) for e in problems))
run(config)
