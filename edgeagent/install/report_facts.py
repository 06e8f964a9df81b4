"""What a report says, as values: the site, what runs there, what each device measured, what was tried.

Nothing is made up: what could not be had is None or empty, and says why where a person would ask.
"""

from __future__ import annotations

import msgspec

from edgeagent.errors import EdgeAgentError
from edgeagent.install.tag_survey import WalkTest

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
        package_sha256: see `report_gather.package_sha256`.
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
