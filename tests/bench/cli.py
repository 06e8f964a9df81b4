"""Wall time of `edgeagent --help`."""

import statistics
import subprocess
import sys
import time

from tests.bench.figures import say

RUNS = 9


def help_time():
    walls = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "edgeagent", "--help"], stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - began)
    say("help", statistics.median(walls[1:]), "s", RUNS)
