"""`pip install atheris` and `python -m tests.fuzz.guided TARGET [RUNS]`: coverage-guided, 10^6 inputs by default.

What it finds goes into tests/fuzz/corpus/TARGET, which the normal suite replays.
"""

import sys
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"

with atheris.instrument_imports(include=["edgeagent.wire"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name, runs = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "1000000"
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    options = [sys.argv[0], f"-runs={runs}", "-max_len=300", "-print_final_stats=1", str(CORPUS / name)]
    atheris.Setup(options, TARGETS[name])
    atheris.Fuzz()
