"""What somebody will ask about afterwards: who was let in, what was changed, what was refused, when the clock jumped.

`<state_dir>/security.jsonl`: a line per event with a number that never repeats, wall time and its trust
(IEC 62443-4-2 CR 2.8 to 2.11).  Every line is fsynced.  Bounded: at LARGEST bytes the file becomes
`security.1.jsonl`, and the one before that goes; the numbers go on.  Several processes may write.
May import: clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgeagent.clock import Clock

__all__ = ["EVENTS", "LARGEST", "Event", "SecurityLog"]

LARGEST = 256_000
_LONGEST_FACT = 200
EVENTS = (
    "auth-refused",  # a receiver refused our credentials
    "claim",  # the gateway got or renewed its identity
    "claim-refused",
    "config-staged",  # a release was verified and will be tried
    "config-committed",
    "config-rolled-back",
    "config-refused",  # a release was verified and does not fit
    "update-untrusted",  # something unsigned, old or changed was offered
    "clock-step",
    "agent-started",
    "wiped",
    "page-opened",  # somebody with rights on the box opened the page on demand
    "page-entered",
    "page-refused",
    "page-closed",
    "local-config",  # the gateway's own file was changed on the page
)


class Event(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        n: number, from 1, without gaps.
        wall_ms: UTC epoch milliseconds as the clock said.
        trust: of that clock, `synced` or `unsynced`.
        boot_id: of the kernel; with `mono_ms` it orders events when the clock jumped.
        mono_ms: CLOCK_BOOTTIME milliseconds.
        event: one of EVENTS.
        facts: short texts; never a secret.
    """

    n: int
    wall_ms: int
    trust: str
    boot_id: str
    mono_ms: int
    event: str
    facts: dict[str, str] = {}


class SecurityLog:
    """The log of one state directory."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._now, self._before = state_dir / "security.jsonl", state_dir / "security.1.jsonl"
        self._clock = clock

    def note(self, event: str, **facts: object) -> None:
        """Add an event; a card that cannot be written does not stop anything."""
        assert event in EVENTS, event
        at = self._clock.now()
        said = {name: str(value)[:_LONGEST_FACT] for name, value in facts.items()}
        with contextlib.suppress(OSError), self._held() as file:
            n = self._last_number() + 1
            line = (
                msgspec.json.encode(Event(n, at.wall_ms, at.trust.value, at.boot_id, at.mono_ms, event, said)) + b"\n"
            )
            if os.fstat(file).st_size + len(line) > LARGEST:
                os.replace(self._now, self._before)  # noqa: PTH105  one call, whole or not at all
                fresh = os.open(self._now, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    _append(fresh, line)
                finally:
                    os.close(fresh)
            else:
                _append(file, line)

    def events(self) -> Iterator[Event]:
        """Every event still there, oldest first; lines torn by a power cut are left out."""
        for path in (self._before, self._now):
            with contextlib.suppress(OSError):
                for line in path.read_bytes().splitlines():
                    with contextlib.suppress(msgspec.DecodeError):
                        yield msgspec.json.decode(line, type=Event)

    @contextlib.contextmanager
    def _held(self) -> Iterator[int]:
        lock = os.open(self._now.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = os.open(self._now, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                yield file
            finally:
                os.close(file)
        finally:
            os.close(lock)

    def _last_number(self) -> int:
        return max((event.n for event in self.events()), default=0)


def _append(file: int, line: bytes) -> None:
    size = os.fstat(file).st_size
    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"  # by a power cut
    os.write(file, b"\n" + line if torn else line)
    os.fsync(file)
