"""Looks at the box: supply, clock, disk, systemd unit.  Judges nothing, changes nothing but one small file.

/sys/devices/platform/soc/soc:firmware/get_throttled    Raspberry Pi firmware
/sys/class/hwmon/hwmon*/{name = rpi_volt, in0_lcrit_alarm}
/sys/class/rtc/rtc*                                      a battery-backed clock, or none
/proc/self/mountinfo                                     what carries a folder (proc(5))
/sys/dev/block/<major>:<minor>                           its disk; …/device/{life_time,pre_eol_info} (eMMC)
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from edgeagent.clock import Clock as Time
from edgeagent.install import doctor_box as box
from edgeagent.reading import TimeTrust

__all__ = ["clock", "commits_ms", "mount_of", "power", "storage", "unit"]

_UNIT = "edgeagent.service"
_PROPERTIES = "LoadState,ActiveState,UnitFileState,NRestarts,Result,IPAddressAllow,IPAddressDeny"
_WRITES, _MOST_S, _PAGE = 50, 5.0, 4096


def power(root: Path = Path("/")) -> box.Power:
    """Supply and heat."""
    flags = low = None
    text = _read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    with contextlib.suppress(ValueError):
        flags = int(text, 16) if text else None
    for monitor in sorted(root.glob("sys/class/hwmon/hwmon*")):
        if _read(monitor / "name") == "rpi_volt":
            alarm = _read(monitor / "in0_lcrit_alarm")
            low = alarm == "1" if alarm in ("0", "1") else None
    warm = [int(t) / 1000 for z in root.glob("sys/class/thermal/thermal_zone*/temp") if (t := _read(z)).isdigit()]
    return box.Power(flags=flags, low=low, celsius=max(warm, default=None))


def clock(clock_: Time, *, built_s: int, root: Path = Path("/")) -> box.Clock:
    """The time, and what is known of it."""
    now = clock_.now()
    return box.Clock(
        wall_s=now.wall_ms / 1000,
        built_s=built_s,
        text=time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now.wall_ms / 1000)),
        synced=now.trust is TimeTrust.SYNCED,
        rtc=any(root.glob("sys/class/rtc/rtc*")),
    )


def storage(folder: Path, max_bytes: int, root: Path = Path("/")) -> box.Storage:
    """The disk below a state directory; writes a small file into it and removes it again."""
    free = None
    with contextlib.suppress(OSError):
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
    filesystem, options, device = mount_of(folder, root)
    took: tuple[float, ...] = ()
    why = ""
    try:
        took = commits_ms(folder)
    except PermissionError:
        why = "denied"
    except OSError as error:
        why = error.strerror or str(error)
    life, pre_eol = _wear(device, root)
    return box.Storage(
        folder=str(folder),
        why=why,
        filesystem=filesystem,
        read_only="ro" in options,
        free_bytes=free,
        held_bytes=_size(folder),
        max_bytes=max_bytes,
        commits_ms=took,
        life=life,
        pre_eol=pre_eol,
    )


def commits_ms(folder: Path, writes: int = _WRITES) -> tuple[float, ...]:
    """How long each of some writes took to reach the card.

    Raises:
        OSError: nothing can be written there.
    """
    took: list[float] = []
    file = folder / f".doctor-{os.getpid()}"
    page = os.urandom(_PAGE)
    handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        end = time.monotonic() + _MOST_S
        while len(took) < writes and (len(took) < 1 or time.monotonic() < end):
            began = time.monotonic()
            os.write(handle, page)
            os.fdatasync(handle)
            took.append((time.monotonic() - began) * 1000)
    finally:
        os.close(handle)
        file.unlink(missing_ok=True)
    return tuple(took)


def mount_of(folder: Path, root: Path = Path("/")) -> tuple[str, tuple[str, ...], str]:
    """(file system, mount options, `major:minor`) of what carries a folder; ("", (), "") when unknown."""
    best: tuple[str, tuple[str, ...], str] = ("", (), "")
    longest = -1
    target = os.path.realpath(folder)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 6 or not kind:  # noqa: PLR2004  proc(5): mount point is 5th, options 6th
            continue
        point = fields[4].replace("\\040", " ")
        inside = point in ("/", target) or target.startswith(point + "/")
        if inside and len(point) >= longest:
            longest = len(point)
            best = (kind[0], tuple(fields[5].split(",")), fields[2])
    return best


def unit(root: Path = Path("/")) -> Mapping[str, str] | None:
    """`systemctl show` of the agent's unit; None where systemd does not run."""
    if not (root / "run/systemd/system").is_dir():
        return None
    try:
        done = subprocess.run(  # noqa: S603  fixed words
            ["systemctl", "show", _UNIT, "--property", _PROPERTIES],  # noqa: S607  found by PATH on purpose
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _wear(device: str, root: Path) -> tuple[tuple[int, ...], int]:
    """JEDEC estimates of the disk that carries `major:minor`."""
    here = (root / "sys/dev/block" / device).resolve() if device else root
    for folder in (here, here.parent):
        life = _read(folder / "device/life_time")
        if life:
            numbers = tuple(int(word, 16) for word in life.split() if word.lower().startswith("0x"))
            pre_eol = _read(folder / "device/pre_eol_info")
            return numbers, int(pre_eol, 16) if pre_eol.lower().startswith("0x") else 0
    return (), 0


def _size(folder: Path) -> int:
    total = 0
    for file in ("outbox.db", "outbox.db-wal"):
        with contextlib.suppress(OSError):
            total += (folder / file).stat().st_size
    return total


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
