"""Judgements about the box itself: power, clock, storage, service.  Pure; `doctor_probe_box` looks.

Sources of the numbers:
    get_throttled   Raspberry Pi documentation, "vcgencmd get_throttled": bit 0 under-voltage, 1 frequency
                    capped, 2 throttled, 3 soft temperature limit; the same since boot from bit 16 on
    life_time       JEDEC JESD84-B51, DEVICE_LIFE_TIME_EST_TYP_A/B: tenths of the life used, 0x0B: all of it;
                    PRE_EOL_INFO: 1 normal, 2 80 % of the reserved blocks used, 3 90 %
    commit latency  ours: a group commit may take 2 s, that is what a power cut may cost at most
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from edgeagent.install.doctor_item import Item, failed, good, left_out, warned

__all__ = ["Clock", "Power", "Service", "Storage", "clock", "p99", "power", "service", "storage"]

_LOW_NOW, _CAPPED_NOW, _THROTTLED_NOW, _SOFT_LIMIT_NOW, _LOW_SINCE_BOOT = 0x1, 0x2, 0x4, 0x8, 0x10000
_HOT_CELSIUS = 80.0
_OFF_S = 2.0  # more than a reading's time may be wrong without anybody wondering
_LITTLE_BYTES = 64 << 20
_SLOW_MS, _TOO_SLOW_MS = 250.0, 2000.0
_LIFE_USED, _LIFE_OVER = 0x09, 0x0B
_BLOCKS_USED, _BLOCKS_OVER = 2, 3
_FORGETFUL = ("tmpfs", "ramfs", "overlay")
_LOCAL = ("127.", "::1", "localhost")


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What the board tells about its supply; None where it does not.

    Attributes:
        flags: the firmware's `get_throttled`.
        low: the mainline kernel's under-voltage alarm.
        celsius: of the processor.
    """

    flags: int | None = None
    low: bool | None = None
    celsius: float | None = None


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """The time, and who vouches for it.

    Attributes:
        wall_s: UTC epoch seconds.
        built_s: when this software was built.
        text: the time as people read it.
        synced: what the kernel says.
        rtc: there is a battery-backed clock.
        server: the time server that was asked, "" for none.
        offset_s: server's time less ours; None when it did not answer.
    """

    wall_s: float
    built_s: int
    text: str = ""
    synced: bool
    rtc: bool
    server: str = ""
    offset_s: float | None = None


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """The disk below the state directory.

    Attributes:
        folder: the state directory.
        why: why nothing can be written there; "" when it can.  `denied`: not by this user.
        filesystem: as in /proc/mounts.
        read_only: mounted so.
        free_bytes: for an ordinary user.
        held_bytes: the store has already.
        max_bytes: the store may grow to.
        commits_ms: how long small writes took to reach the card.
        life: JEDEC life-time estimates A and B; empty where the card does not tell.
        pre_eol: JEDEC pre-end-of-life information.
    """

    folder: str
    why: str = ""
    filesystem: str = ""
    read_only: bool = False
    free_bytes: int | None = None
    held_bytes: int = 0
    max_bytes: int = 512 << 20
    commits_ms: tuple[float, ...] = ()
    life: tuple[int, ...] = ()
    pre_eol: int = 0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The systemd unit.

    Attributes:
        systemd: runs here.
        unit: `systemctl show`, by property.
        remote: receivers that are not this machine.
        answers: the agent answers on its control socket; None when we may not ask.
    """

    systemd: bool
    unit: Mapping[str, str] = {}
    remote: tuple[str, ...] = ()
    answers: bool | None = False


def power(seen: Power) -> Iterator[Item]:
    """Supply voltage and heat."""
    if seen.flags is None and seen.low is None:
        yield left_out("E-POWER-01", "voltage")
        yield left_out("E-POWER-02", "voltage")
    else:
        low = bool(seen.flags & _LOW_NOW) if seen.flags is not None else seen.low
        yield failed("E-POWER-01") if low else good("E-POWER-01")
        if seen.flags is None:
            yield left_out("E-POWER-02", "voltage")
        else:
            yield warned("E-POWER-02") if seen.flags & _LOW_SINCE_BOOT else good("E-POWER-02")
    slowed = bool((seen.flags or 0) & (_THROTTLED_NOW | _SOFT_LIMIT_NOW | _CAPPED_NOW))
    if seen.celsius is None and seen.flags is None:
        yield left_out("E-POWER-03", "heat")
    elif slowed or (seen.celsius is not None and seen.celsius >= _HOT_CELSIUS):
        yield warned("E-POWER-03", celsius=_number(seen.celsius))
    else:
        yield good("E-POWER-03", celsius=_number(seen.celsius))


def clock(seen: Clock) -> Iterator[Item]:
    """Is the time right now, and will it be after a power cut?"""
    if seen.wall_s < seen.built_s:
        yield failed("E-CLOCK-01", now=seen.text)
    else:
        yield good("E-CLOCK-01", now=seen.text)
    yield good("E-CLOCK-02") if seen.synced else warned("E-CLOCK-02")
    if seen.offset_s is None:
        yield left_out("E-CLOCK-03", "offset")
    elif abs(seen.offset_s) > _OFF_S:
        yield failed("E-CLOCK-03", offset=f"{seen.offset_s:+.1f}", server=seen.server)
    else:
        yield good("E-CLOCK-03", offset=f"{seen.offset_s:+.3f}", server=seen.server)
    if seen.rtc:
        yield good("E-CLOCK-04")
    elif seen.synced or seen.offset_s is not None:
        yield good("E-CLOCK-04", said="E-CLOCK-04-no-rtc")
    else:
        yield warned("E-CLOCK-04")


def storage(seen: Storage) -> Iterator[Item]:
    """Will what is written still be there after a power cut?"""
    if seen.why == "denied":
        yield left_out("E-STORE-01", "denied", folder=seen.folder)
    elif seen.why or seen.read_only:
        yield failed("E-STORE-01", folder=seen.folder, why=seen.why or "read-only")
    else:
        yield good("E-STORE-01", folder=seen.folder)
    yield _room(seen)
    if not seen.commits_ms:
        yield left_out("E-STORE-03", "denied" if seen.why == "denied" else "commits", folder=seen.folder)
    else:
        slow = p99(seen.commits_ms)
        facts: dict[str, Any] = {"p99": f"{slow:.0f}", "n": len(seen.commits_ms)}
        judge = failed if slow > _TOO_SLOW_MS else warned if slow > _SLOW_MS else good
        yield judge("E-STORE-03", **facts)
    yield _wear(seen)
    if not seen.filesystem:
        yield left_out("E-STORE-05", "filesystem")
    else:
        judge = failed if seen.filesystem in _FORGETFUL else good
        yield judge("E-STORE-05", folder=seen.folder, filesystem=seen.filesystem)


def service(seen: Service) -> Iterator[Item]:
    """Does the agent start by itself, run, and reach its receivers?"""
    if seen.systemd:
        yield from _unit(seen)
    else:
        for number in range(1, 4):
            yield left_out(f"E-SERVICE-0{number}", "systemd")
    if seen.answers is None:
        yield left_out("E-SERVICE-04", "not-allowed")
    elif seen.answers:
        yield good("E-SERVICE-04")
    elif seen.systemd and seen.unit.get("ActiveState") == "active":
        yield failed("E-SERVICE-04")
    else:
        yield warned("E-SERVICE-04")


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(-(-99 * len(ordered) // 100) - 1, 0)]


def _unit(seen: Service) -> Iterator[Item]:
    unit = seen.unit
    if unit.get("LoadState") != "loaded":
        yield failed("E-SERVICE-01", state=unit.get("LoadState", "?"))
    elif unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static"):
        yield failed("E-SERVICE-01", state=unit.get("UnitFileState") or "disabled")
    else:
        yield good("E-SERVICE-01")
    if unit.get("ActiveState") != "active":
        facts: dict[str, Any] = {"state": unit.get("ActiveState", "?"), "result": unit.get("Result", "?")}
        yield failed("E-SERVICE-02", **facts)
    elif unit.get("NRestarts", "0") not in ("0", ""):
        yield warned("E-SERVICE-02", said="E-SERVICE-02-again", n=unit["NRestarts"])
    else:
        yield good("E-SERVICE-02")
    allowed = unit.get("IPAddressAllow", "").split()
    closed = bool(unit.get("IPAddressDeny")) and all(one.startswith(_LOCAL) for one in allowed)
    if closed and seen.remote:
        yield failed("E-SERVICE-03", receivers=", ".join(seen.remote))
    else:
        yield good("E-SERVICE-03")


def _room(seen: Storage) -> Item:
    if seen.free_bytes is None:
        return left_out("E-STORE-02", "no-folder", folder=seen.folder)
    facts: dict[str, Any] = {
        "mb": seen.free_bytes // 1_000_000,
        "folder": seen.folder,
        "max": seen.max_bytes // 1_000_000,
    }
    if seen.free_bytes < _LITTLE_BYTES:
        return failed("E-STORE-02", **facts)
    if seen.free_bytes + seen.held_bytes < seen.max_bytes + _LITTLE_BYTES:
        return warned("E-STORE-02", **facts)
    return good("E-STORE-02", **facts)


def _wear(seen: Storage) -> Item:
    used = max(seen.life, default=0)
    if not used and not seen.pre_eol:
        return left_out("E-STORE-04", "wear")
    percent = min(used * 10, 100)
    if used >= _LIFE_OVER or seen.pre_eol >= _BLOCKS_OVER:
        return failed("E-STORE-04", percent=percent)
    if used >= _LIFE_USED or seen.pre_eol >= _BLOCKS_USED:
        return warned("E-STORE-04", percent=percent)
    return good("E-STORE-04", percent=percent)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
