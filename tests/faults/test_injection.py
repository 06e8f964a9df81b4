"""The disk says no at the k-th write, sync or rename: the process lives on, and keeps what it promised.

The long run (EDGEAGENT_ROUNDS) lets every single call fail once, and everything from it on.
"""

import itertools
import subprocess
import sys

import pytest

from tests.faults.disk import ROOT
from tests.faults.promises import Promises, broken
from tests.faults.verdict import ROUNDS

pytestmark = [pytest.mark.slow, pytest.mark.tool("strace")]
PUTS = 12
ERRORS = ("EIO", "ENOSPC")
# `when` of strace: FIRST, FIRST+STEP, FIRST..LAST; counted anew in the thread of each outbox.  Opening a fresh
# one takes about 25 writes and 8 syncs, a put 7 writes and a sync; the mark is written once.
ONCE = ("1..3",)
SHORT = {
    "pwrite64": ("2", "24", "29+41", "35+67", "60..75", "150..300"),
    "fdatasync": ("1", "2..6", "3+7", "5+2", "8..40", "20..60"),
    "fsync": ONCE,
    "rename": ONCE,
    "ftruncate": ONCE,
    "write": ONCE,
}
LIVES = 3


def run(folder, call, error, when, lives=LIVES):
    """One life with faults; what was promised, and how often the disk said no."""
    path, trace = folder / "outbox.db", folder / "trace"
    files = [path, *(path.with_name(path.name + tail) for tail in ("-wal", "-journal", ".mark", ".mark.part"))]
    only = [word for one in (folder, *files) for word in ("-P", str(one))]  # what it says on stdout gets through
    command = ["strace", "-f", "--seccomp-bpf", "-o", str(trace), *only, "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:error={error}:when={when}"]
    command += [sys.executable, "-m", "tests.faults.keeping", str(path), str(PUTS), str(lives)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Traceback" not in done.stderr, f"{call} {error} {when}: {done.stderr[-2000:]}"
    promised = Promises()
    for line in done.stdout.splitlines():
        promised.hear(line)
    assert promised.ended and (promised.accepted or promised.refusals), done.stdout[-300:]
    return promised, trace.read_text().count("(INJECTED)")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", SHORT)
async def test_what_the_disk_refuses_is_said_and_what_was_promised_is_kept(tmp_path, call, error):
    hits = refusals = accepted = 0
    for when in dict.fromkeys((*SHORT[call], *(every_call(tmp_path, call) if ROUNDS else ()))):
        folder = tmp_path / when.replace("+", "_")
        folder.mkdir()
        promised, injected = run(folder, call, error, when)
        hits += injected
        accepted += len(promised.accepted)
        refusals += sum(promised.refusals.values())
        assert set(promised.refusals) <= {"outbox.io", "outbox.disk-full", "outbox.full"}, promised.refusals
        assert not await broken(folder / "outbox.db", promised), f"{call} {error} {when}"
    assert hits and accepted > 500, "the disk never said no, or always"
    if call in ("fdatasync", "pwrite64"):
        assert refusals, "a disk that says no, and nobody was told"


def every_call(tmp_path, call):
    """Each call of a life without faults, alone and with all the next ones of a while."""
    folder = tmp_path / "sound"
    folder.mkdir()
    run(folder, call, "EIO", "65535", lives=1)
    made = (folder / "trace").read_text().count(f"{call}(")
    ks = range(1, made + 1, max(1, made * 100 // (ROUNDS * 10)))
    return list(itertools.chain.from_iterable((f"{k}", f"{k}..{k + 30}") for k in ks))
