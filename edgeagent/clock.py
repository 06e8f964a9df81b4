"""The only place that asks the time.

The board has no RTC: after a power cut the wall clock is plausible and wrong until NTP answers.
So every moment carries boot id, CLOCK_BOOTTIME and whether the kernel believes the wall clock
(`adjtimex`, STA_UNSYNC), and intervals are never measured with the wall clock.
May import: reading.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Protocol

from edgeagent.reading import Moment, TimeTrust

__all__ = ["Clock", "SystemClock"]

# systemd-timesyncd(8): there while the clock is synchronised.  The unit's ProtectClock= denies adjtimex.
_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5  # adjtimex(2): "the system clock is not synchronized to a reliable server"
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux; only modes=0 (read) is used
_TRUST_FOR_MS = 10_000


class Clock(Protocol):
    """What the rest of the house may ask."""

    def now(self) -> Moment:
        """The present moment, with trust."""
        ...

    def mono(self) -> float:
        """Seconds of CLOCK_BOOTTIME; for intervals and deadlines."""
        ...


class SystemClock:
    """The kernel's clocks."""

    def __init__(self) -> None:
        self._boot_id = _read_boot_id()
        self._trust = TimeTrust.UNSYNCED
        self._trust_until_ms = -1
        self._libc = ctypes.CDLL(None, use_errno=True)

    def now(self) -> Moment:
        """The present moment; trust is asked of the kernel at most every 10 s."""
        mono_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        if mono_ms > self._trust_until_ms:
            self._trust = self._ask_kernel()
            self._trust_until_ms = mono_ms + _TRUST_FOR_MS
        return Moment(time.time_ns() // 1_000_000, mono_ms, self._boot_id, self._trust)

    def mono(self) -> float:
        """Seconds of CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def _ask_kernel(self) -> TimeTrust:
        state = self._libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        if state == -1:
            return TimeTrust.SYNCED if _TIMESYNC.exists() else TimeTrust.UNSYNCED
        return TimeTrust.UNSYNCED if state == _TIME_ERROR else TimeTrust.SYNCED


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().replace("-", "").strip()[:12]
    except OSError:  # no /proc: a random id is honest, it only forbids re-stamping across restarts
        return os.urandom(6).hex()
