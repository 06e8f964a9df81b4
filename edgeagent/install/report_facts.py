"""What a report says, as values: the site, what runs there, what each device measured, what was tried.

Nothing is made up: what could not be had is None or empty, and says why where a person would ask.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import edgeagent
from edgeagent import shipped
from edgeagent.config import Config
from edgeagent.errors import EdgeAgentError
from edgeagent.install.doctor_data import Device
from edgeagent.install.serial_ports import Port
from edgeagent.install.tag_survey import WalkTest
from edgeagent.reading import Quantity
from edgeagent.sources.camera_messages import without_password

__all__ = [
    "AGREES_M",
    "Box",
    "Check",
    "Counting",
    "Curve",
    "Facts",
    "Gateway",
    "Measured",
    "Model",
    "Value",
    "Why",
    "box",
    "measured",
    "models",
    "package_sha256",
    "serial_of",
]

AGREES_M = 0.02  # a staff gauge is read to the centimetre, and the water moves


class Why(msgspec.Struct, frozen=True):
    """Why something is missing: a code of the message catalogue and its facts."""

    code: str
    facts: dict[str, str] = {}

    @classmethod
    def of(cls, error: EdgeAgentError) -> Why:
        """Of an error."""
        return cls(error.code, {name: str(value) for name, value in error.facts.items()})


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Which gateway, and where it stands; position in degrees WGS84, None where the config has none."""

    id: str
    name: str
    longitude: float | None
    latitude: float | None


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """The computer: what it says it is, "" where it does not say."""

    model: str
    serial: str
    system: str
    kernel: str


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A detector that a camera uses; sha256 of its file, "" where there is none."""

    name: str
    sha256: str


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity as it was read; unit is the UN/CEFACT code."""

    name: str
    value: float | int | str | bool | None
    unit: str
    quality: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One device.

    Attributes:
        id, name, driver: of its section.
        about: profile or model.
        place: port, address or camera, without a password.
        serial: of the device as the installer typed it, else of its adapter; "" for unknown.
        reads: how many readings the values come from.
        values: the newest reading.
        level_m: median of the levels read, above gauge zero; None for what has no level.
        staff_m: what the installer read on the staff gauge.
        difference_m: level less staff.
        agrees: within AGREES_M.
        why: there are no values.
    """

    id: str
    name: str
    driver: str
    about: str
    place: str
    serial: str
    reads: int
    values: tuple[Value, ...] = ()
    level_m: float | None = None
    staff_m: float | None = None
    difference_m: float | None = None
    agrees: bool | None = None
    why: Why | None = None


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera's counter sees; the picture itself stands in the page.

    Attributes:
        source: its id.
        lines: counted in those seconds, by line and direction.
        seconds: watched.
        picture_sha256: "" where there is none, then `why`.
    """

    source: str
    lines: dict[str, dict[str, int]] = {}
    seconds: float = 0.0
    picture_sha256: str = ""
    why: Why | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A hydrograph of the running agent; the drawing stands in the page.

    Attributes:
        source: its id.
        points: how many values it was drawn from.
        from_ms, to_ms: UTC epoch milliseconds of the first and the last.
        low_m, high_m: the extremes.
        why: there is none.
    """

    source: str
    points: int = 0
    from_ms: int = 0
    to_ms: int = 0
    low_m: float | None = None
    high_m: float | None = None
    why: Why | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `doctor`, in the report's language."""

    code: str
    state: str
    about: str
    text: str
    remedy: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report; what is signed.

    Attributes:
        format: of this document.
        lang: of its texts.
        made_at: UTC, ISO 8601.
        clock: `synced` or `unsynced`: whether that date can be believed.
        site, installer: as typed in.
        versions: edgeagent and python.
        package_sha256: see `package_sha256`.
        config_sha256: of the config file as it lies there.
        running_sha256: of the config that came over the air and runs instead; "" for none.
        certificate_sha256: of the gateway's identity; "" without one.
        walk: the newest walk test with a tag; None for none.
    """

    format: str = "edgeagent-report/1"
    lang: str
    made_at: str
    clock: str
    site: str
    installer: str
    gateway: Gateway
    box: Box
    versions: dict[str, str]
    package_sha256: str
    config_file: str
    config_sha256: str
    running_sha256: str
    certificate_sha256: str
    models: tuple[Model, ...]
    devices: tuple[Measured, ...]
    hydrographs: tuple[Curve, ...]
    counting: tuple[Counting, ...]
    walk: WalkTest | None
    doctor: tuple[Check, ...]


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
