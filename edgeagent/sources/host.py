"""The gateway watches itself: heat, voltage, disk, memory, load, clock.

What a board does not have is missing with the reason `not-on-this-board`, never zero.  Sources:

    /sys/class/thermal/thermal_zone*/{type,temp}                    millidegrees Celsius
    /sys/devices/platform/soc/soc:firmware/get_throttled            Raspberry Pi firmware, hexadecimal:
                                                                    bit 0 under-voltage now, bit 16 since boot
    /sys/class/hwmon/hwmon*/{name = rpi_volt, in0_lcrit_alarm}      the same from the mainline kernel: 0 or 1
    /proc/{uptime,loadavg,meminfo}, statvfs(state_dir), /proc/device-tree/model
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from edgeagent import __version__
from edgeagent.errors import EdgeAgentError
from edgeagent.ports import Emit, SourceConfig, Surroundings
from edgeagent.reading import Kind, Quantity, Reading, ReadingClass, TimeTrust, Unit

__all__ = ["Host", "HostConfig"]

_NOW, _SINCE_BOOT = 0x1, 0x10000
_HOT_CELSIUS = 80  # the firmware begins to slow the processor down
_BELIEVABLE_CELSIUS = (-60, 150)
_LITTLE_DISK_BYTES = 64 << 20


class HostConfig(SourceConfig, kw_only=True, frozen=True):
    """`[[sources]]` with `driver = "host"`.

    Attributes:
        every_s: time between two readings.
    """

    every_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0


class Host:
    """One gateway's health.

    Args:
        config: its section.
        around: clock, and the state directory whose disk matters.
        root: where /proc and /sys are; elsewhere in tests.
    """

    Config = HostConfig
    rules: tuple[str, ...] = ()

    def __init__(self, config: HostConfig, around: Surroundings, *, root: Path = Path("/")) -> None:
        self._config = config
        self._around = around
        self._root = root
        self._seen_since_boot = False
        self._versions = {"edgeagent": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
        for name, place in (("kernel", "proc/sys/kernel/osrelease"), ("board", self._board())):
            text = self._read(place)
            if text:
                self._versions[name] = text[:80]

    @staticmethod
    def group(config: HostConfig) -> Hashable:
        """Each section by itself."""
        return config.id

    @classmethod
    def make(cls, configs: Sequence[HostConfig], around: Surroundings) -> Host:
        """The running object for one section."""
        return cls(configs[0], around)

    async def run(self, emit: Emit) -> None:
        """A reading at once, and then every `every_s`."""
        while True:
            reading = self.measure()
            for problem in _problems(reading.quantities, str(self._around.state_dir)):
                emit.problem(self._config.id, problem)
            await emit(reading)
            await asyncio.sleep(self._config.every_s)

    def measure(self) -> Reading:
        """How the gateway is now."""
        at = self._around.clock.now()
        measured = {
            "cpu_temperature": (self._cpu_celsius(), Unit.CELSIUS),
            "under_voltage": (self._under_voltage(), Unit.ONE),
            "disk_free": (self._disk_free(), Unit.BYTE),
            "memory_available": (self._memory_available(), Unit.BYTE),
            "uptime": (self._first_number("proc/uptime"), Unit.SECOND),
            "load": (self._first_number("proc/loadavg"), Unit.ONE),
            "clock_synced": (at.trust is TimeTrust.SYNCED, Unit.ONE),
        }
        facts = dict(self._versions)
        quantities = {}
        for name, (value, unit) in measured.items():
            if value is None:
                quantities[name] = Quantity.missing(unit)
                facts[f"reason:{name}"] = "not-on-this-board"
            else:
                quantities[name] = Quantity(value, unit)
        return Reading(
            source=self._config.id,
            kind=Kind.GATEWAY,
            entity=self._config.id,
            at=at,
            quantities=quantities,
            cls=ReadingClass.ROUTINE,
            facts=facts,
        )

    def _cpu_celsius(self) -> float | None:
        """The zone that is named after the processor, else the warmest."""
        seen: dict[bool, list[float]] = {True: [], False: []}
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            text = self._read(f"sys/class/thermal/{zone.name}/temp")
            kind = (self._read(f"sys/class/thermal/{zone.name}/type") or "").lower()
            if text and text.lstrip("-").isdigit():
                celsius = int(text) / 1000
                if _BELIEVABLE_CELSIUS[0] < celsius < _BELIEVABLE_CELSIUS[1]:
                    seen["cpu" in kind or "soc" in kind or "pkg" in kind].append(celsius)
        return max(seen[True] or seen[False], default=None)

    def _under_voltage(self) -> bool | None:
        """Whether the supply is too weak now, or was since the last reading."""
        text = self._read("sys/devices/platform/soc/soc:firmware/get_throttled")
        if text:
            try:
                flags = int(text, 16)
            except ValueError:
                return None
            before, self._seen_since_boot = self._seen_since_boot, bool(flags & _SINCE_BOOT)
            return bool(flags & _NOW) or (self._seen_since_boot and not before)
        for monitor in sorted(self._root.glob("sys/class/hwmon/hwmon*")):
            place = f"sys/class/hwmon/{monitor.name}"
            if self._read(f"{place}/name") == "rpi_volt":
                alarm = self._read(f"{place}/in0_lcrit_alarm")
                return alarm == "1" if alarm in ("0", "1") else None
        return None

    def _disk_free(self) -> int | None:
        """Bytes that an ordinary user may still write beside the outbox."""
        try:
            disk = os.statvfs(self._around.state_dir)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize

    def _memory_available(self) -> int | None:
        for line in (self._read("proc/meminfo") or "").splitlines():
            name, _, rest = line.partition(":")
            number = rest.split()
            if name == "MemAvailable" and number and number[0].isdigit():
                return int(number[0]) * 1024
        return None

    def _first_number(self, place: str) -> float | None:
        words = (self._read(place) or "").split()
        try:
            return float(words[0])
        except (IndexError, ValueError):
            return None

    def _board(self) -> str:
        tree = "proc/device-tree/model"
        return tree if (self._root / tree).exists() else "sys/class/dmi/id/product_name"

    def _read(self, place: str) -> str | None:
        try:
            return (self._root / place).read_text(encoding="utf-8", errors="replace").strip("\0 \n") or None
        except OSError:  # not on this board, or not for this user
            return None


def _problems(quantities: dict[str, Quantity], state_dir: str) -> list[EdgeAgentError]:
    """What somebody should look at before it stops the gateway."""
    found = []
    celsius, free = quantities["cpu_temperature"].value, quantities["disk_free"].value
    if quantities["under_voltage"].value is True:
        found.append(EdgeAgentError("host.under-voltage"))
    if isinstance(celsius, float) and celsius >= _HOT_CELSIUS:
        found.append(EdgeAgentError("host.hot", celsius=round(celsius)))
    if free is None:
        found.append(EdgeAgentError("host.no-state-dir", folder=state_dir))
    elif isinstance(free, int) and free < _LITTLE_DISK_BYTES:
        found.append(EdgeAgentError("host.little-disk", folder=state_dir, mib=free >> 20))
    return found
