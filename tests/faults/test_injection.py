"""The disk says no at the k-th write, sync, rename, for every k: the process lives on, and keeps what it promised.

Every call of a whole life fails once, alone; and, in steps, together with the next ones of a while.
The long run (EDGEAGENT_ROUNDS) lives longer and takes smaller steps.
"""

import asyncio
import shutil
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from tests.faults.disk import ROOT, record
from tests.faults.near import without_threads
from tests.faults.promises import Promises, broken
from tests.faults.refusing import SPARE, Life
from tests.faults.verdict import in_ram, rounds

pytestmark = [pytest.mark.slow, pytest.mark.tool("strace")]
CALLS = ("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "openat")
ERRORS = ("EIO", "ENOSPC")
PUTS, LIVES = rounds(2, 30), 2
KNOWN = {"outbox.io", "outbox.disk-full", "outbox.full", "outbox.read-only", "outbox.unwritable"}
A_WHILE = 30  # calls in a row that fail
STEP = 13 if PUTS < 30 else 2  # between two first of them
FILE = "outbox.db"


class Strace:
    """`refusing` under strace; lives are given to it one by one."""

    def __init__(self, place, names, injected):
        self.folder, self._said, self._trace = place / "disk", place / "said", place / "trace"
        self._errors = (place / "errors").open("wb+")
        only = [word for name in ("", *names, SPARE) for word in ("-P", str(self.folder / name).rstrip("/"))]
        command = ["strace", "-f", "--seccomp-bpf", "-o", str(self._trace), *only, "-e", f"trace={','.join(CALLS)}"]
        command += [word for text in injected for word in ("-e", f"inject={text}")]
        command += [sys.executable, "-m", "tests.faults.refusing"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )

    def live(self, call="", spend=0):
        """A life, from an empty folder on; what it was promised."""
        self.folder.mkdir()
        life = Life(str(self.folder), str(self._said), PUTS, LIVES, call, spend)
        self._process.stdin.write(msgspec.json.encode(life) + b"\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline()
        assert status == b"0\n", f"{status} {self.errors()}"
        promised = Promises()
        for line in self._said.read_text().splitlines():
            promised.hear(line)
        return promised

    def errors(self):
        self._errors.seek(0)
        return self._errors.read().decode()[-3000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            assert self._process.wait(60) == 0
        finally:
            self._process.kill()
            self._process.stdout.close()
            self._errors.close()

    def trace(self):
        """Its lines, once it has ended."""
        return self._trace.read_text().splitlines()


@pytest.fixture(scope="module")
def sound():
    """Names of the files of a life without faults, and how often it makes each call."""
    with in_ram() as place:
        (place / "first").mkdir()
        done = record(place / "first", place / "trace", "tests.faults.keeping", str(place / "first" / FILE), str(PUTS))
        names = {name for op in done for name in (op.name, op.to) if name}
        with Strace(place, names, ()) as strace:
            promised = strace.live()
        assert promised.ended and not promised.refusals
        made = Counter(line.split()[1].partition("(")[0] for line in strace.trace())
    return names, {call: made[call] for call in CALLS}


@pytest.mark.parametrize("long", [False, True], ids=["once", "for a while"])
@pytest.mark.parametrize("error", ERRORS)
def test_what_the_disk_refuses_is_said_and_what_was_promised_is_kept(sound, error, long):
    names, made = sound
    assert made["pwrite64"] > 80 and made["fdatasync"] > 10 and made["fsync"] > 3 and made["rename"] > 1, made
    far = max(made.values()) + 100
    when = f"{far}..{far + A_WHILE}" if long else f"{far}"
    refusals, found, lives = Counter(), [], 0
    with in_ram() as place, without_threads():
        with Strace(place, names, [f"{call}:error={error}:when={when}" for call in CALLS]) as strace:
            for call, k in [(name, k) for name in CALLS for k in range(1, made[name] + 1, STEP if long else 1)]:
                promised = strace.live(call, far - k)
                assert promised.ended and (promised.accepted or promised.refusals)
                assert set(promised.refusals) <= KNOWN, promised.refusals
                refusals[call] += sum(promised.refusals.values())
                found += [f"{call} {k}: {what}" for what in asyncio.run(broken(strace.folder / FILE, promised))]
                shutil.rmtree(strace.folder)
                lives += 1
            errors = strace.errors()
        injected = sum("(INJECTED)" in line for line in strace.trace())
    print(f"{made}; {lives} lives, {injected} calls refused, {dict(refusals)} times said so")
    assert not found, "\n".join(found[:30])
    assert "Traceback" not in errors, errors
    assert injected >= lives, "the disk did not say no every time"
    assert refusals["fdatasync"] and refusals["pwrite64"], "a disk that says no, and nobody was told"
