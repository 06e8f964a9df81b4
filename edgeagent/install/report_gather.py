"""Gathers what a report says: from this computer, the package, the config and the readings that doctor took."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import edgeagent
from edgeagent import shipped
from edgeagent.config import Config
from edgeagent.install.doctor_data import Device
from edgeagent.install.report_facts import AGREES_M, Box, Measured, Model, Value, Why
from edgeagent.install.serial_ports import Port
from edgeagent.reading import Quantity
from edgeagent.sources.camera_messages import without_password

__all__ = ["box", "measured", "models", "package_sha256", "serial_of", "sha256_of"]


def box(root: Path = Path("/")) -> Box:
    """The computer we run on."""
    release = dict(
        line.partition("=")[::2]
        for line in _text(root / "etc/os-release").splitlines()
        if "=" in line and line[0] != "#"
    )
    return Box(
        model=_text(root / "proc/device-tree/model").rstrip("\0"),
        serial=_text(root / "proc/device-tree/serial-number").rstrip("\0"),
        system=release.get("PRETTY_NAME", "").strip('"'),
        kernel=f"{platform.release()} {platform.machine()}",
    )


def package_sha256(folder: Path = Path(edgeagent.__file__).parent) -> str:
    """SHA-256 over `<sha256 of file>  <path>` of every file of the package, sorted; bytecode left out."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n"
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


def models(config: Config) -> tuple[Model, ...]:
    """The detectors of the cameras, each once."""
    sections: list[Any] = [s.config for s in config.sources if s.config.enabled]
    names = dict.fromkeys(one.model for one in sections if hasattr(one, "camera"))
    return tuple(Model(name=Path(name).name, sha256=sha256_of(shipped.model(name))) for name in names)


def sha256_of(file: Path) -> str:
    """Of a file's bytes, hex; "" where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def measured(
    config: Config,
    devices: Iterable[Device],
    ports: Iterable[Port],
    *,
    staff_m: Mapping[str, float],
    levels_m: Mapping[str, Sequence[float]],
    serials: Mapping[str, str],
) -> tuple[Measured, ...]:
    """Each configured device that is enabled.

    Args:
        config: what is configured.
        devices: as doctor read them.
        ports: of this computer.
        staff_m: typed in, by source.
        levels_m: of calibrated readings, by source, where the agent did not tell them.
        serials: typed in, by source.
    """
    seen = {one.id: one for one in devices}
    known = {name: p.serial_number for p in ports for name in (p.name, p.device, p.by_id, p.by_path) if name}
    found = []
    for section in config.sources:
        one: Any = section.config
        if not one.enabled:
            continue
        device = seen.get(one.id) or Device(id=one.id, driver=one.driver)
        last = device.reads[-1] if device.reads else {}
        levels = sorted(levels_m.get(one.id) or _levels(device.reads))
        level = round(levels[len(levels) // 2], 4) if levels else None
        staff = staff_m.get(one.id)
        difference = None if level is None or staff is None else round(level - staff, 4)
        no_values = Why(*device.problem) if device.problem else Why("report.no-values")
        found.append(
            Measured(
                id=one.id,
                name=one.name,
                driver=one.driver,
                about=Path(str(getattr(one, "profile", "") or getattr(one, "model", ""))).name,
                place=without_password(device.place),
                serial=serials.get(one.id) or known.get(device.place, "") or serial_of(device.place),
                reads=len(device.reads),
                values=tuple(_value(name, value) for name, value in last.items()),
                level_m=level,
                staff_m=staff,
                difference_m=difference,
                agrees=None if difference is None else abs(difference) <= AGREES_M,
                why=None if last else no_values,
            )
        )
    return tuple(found)


def serial_of(place: str, sys: Path = Path("/sys")) -> str:
    """The serial number of a USB camera, as sysfs knows it; "" for none."""
    try:
        node = Path(place).resolve(strict=True).name
        return (
            (sys / "class/video4linux" / node / "device").resolve(strict=True).with_name("serial").read_text().strip()
        )
    except OSError:
        return ""


def _levels(reads: Iterable[Mapping[str, Quantity]]) -> list[float]:
    found = [read["level"] for read in reads if "level" in read]
    return [float(one.value) for one in found if one.usable and isinstance(one.value, int | float)]


def _value(name: str, one: Quantity) -> Value:
    return Value(name=name, value=one.value, unit=one.unit.value, quality=one.quality.value)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
