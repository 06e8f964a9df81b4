"""hardware/profiles/*.toml -> register maps and line formats.

A profile is data, never code: which registers (or which line) an instrument offers, in which
unit, and which values mean that there is no value.  It carries its source and its rung: `manual`
(taken from the maker's paper) < `bench` (read on a desk) < `hardware` (compared on site).
A profile can only read: no function code that writes can be written down in it.
May import: config errors reading shipped wire.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgeagent import config, shipped
from edgeagent.errors import ConfigError
from edgeagent.reading import Unit
from edgeagent.wire.gauge_lines import WIDTHS, FrameFormat, LineFormat
from edgeagent.wire.pulses import Bucket
from edgeagent.wire.registers import Block, Register, Scale, Status, blocks
from edgeagent.wire.sdi12 import Measurement

__all__ = ["FRAMES", "Link", "Profile", "Vector", "load", "names", "schema"]

FRAMES = tuple(f"{data}{parity}{stop}" for data in "87" for parity in "NEO" for stop in "12")

# unit in a profile -> (unit in a reading, factor, offset); lengths become metres
_UNITS: Mapping[str, tuple[Unit, float, float]] = {
    "m": (Unit.METRE, 1.0, 0.0),
    "cm": (Unit.METRE, 0.01, 0.0),
    "mm": (Unit.METRE, 0.001, 0.0),
    "ft": (Unit.METRE, 0.3048, 0.0),
    "in": (Unit.METRE, 0.0254, 0.0),
    "mm-rain": (Unit.MILLIMETRE, 1.0, 0.0),
    "mm/h": (Unit.MILLIMETRE_PER_HOUR, 1.0, 0.0),
    "degC": (Unit.CELSIUS, 1.0, 0.0),
    "degF": (Unit.CELSIUS, 5 / 9, -160 / 9),
    "bar": (Unit.BAR, 1.0, 0.0),
    "mbar": (Unit.BAR, 0.001, 0.0),
    "dB": (Unit.DECIBEL, 1.0, 0.0),
    "V": (Unit.VOLT, 1.0, 0.0),
    "mA": (Unit.MILLIAMPERE, 1.0, 0.0),
    "%": (Unit.PERCENT, 1.0, 0.0),
    "1": (Unit.ONE, 1.0, 0.0),
}
_UnitName = Literal[
    "m", "cm", "mm", "ft", "in", "mm-rain", "mm/h", "degC", "degF", "bar", "mbar", "dB", "V", "mA", "%", "1"
]
InstrumentKind = Literal["distance", "level", "pressure", "current", "rain"]
_Word = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """`[link]`: the line as the maker delivers it; a source section may override it.

    Attributes:
        transport: registers that are asked for, or lines that come by themselves.
        baud, frame: bits per second; data bits, parity, stop bits.
        unit: Modbus unit id as delivered.
        min_poll_s: the instrument must not be asked more often.
        timeout_s: it answers within this time, the time on the wire not counted.
        late_s: after that it is out of step for so long at most.
        line_end: the byte that ends a line.
        ask: sent every min_poll_s to a gauge that speaks only when asked; "" for one that talks by itself.
        address: SDI-12 address as delivered.
    """

    transport: Literal["modbus", "ascii-lines", "binary-frames", "sdi12", "pulses"]
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] = 9600
    frame: str = "8N1"
    unit: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
    min_poll_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    timeout_s: _Positive = 0.5
    late_s: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    line_end: Literal["\r", "\n"] = "\n"
    ask: Annotated[str, msgspec.Meta(max_length=32)] = ""
    address: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]$")] = "0"

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if self.frame not in FRAMES:
            yield ConfigError("gauges.bad-frame", path="frame", got=self.frame)
        if self.ask and (not self.ask.isascii() or not self.min_poll_s):
            yield ConfigError("gauges.bad-ask", path="ask")


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """`[[vector]]`: bytes and what they mean; the tests decode them.

    Attributes:
        answer: an RTU answer in hex, with its CRC; of the read with this name.
        read: name of the first read in that answer.
        line: a whole line, without its end.
        frame: a whole binary frame, in hex.
        data: SDI-12 answers to D0, D1, …, without their line ends.
        tips: contacts of a tipping bucket.
        expect: quantity -> value in SI, or the reason why it is missing.
    """

    answer: str = ""
    read: str = ""
    line: str = ""
    frame: str = ""
    data: list[str] = []
    tips: int | None = None
    expect: dict[str, float | str]


@dataclass(frozen=True)
class Profile:
    """An instrument.

    Attributes:
        id, kind, rung, source, title: what it is, and how well that is known.
        blocks: the questions to ask; empty unless `modbus`.
        lines: the format of what a gauge says by itself (or when asked by `link.ask`); None unless that.
        sdi12: what the values of an SDI-12 measurement are; None unless `sdi12`.
        pulses: what a contact of a tipping bucket means; None unless `pulses`.
        units: unit of each published quantity.
        verify_address: the maker's paper leaves open whether addresses count from 0 or 1.
    """

    id: str
    kind: InstrumentKind
    rung: str
    source: str
    title: str
    link: Link
    blocks: tuple[Block, ...]
    lines: LineFormat | FrameFormat | None
    sdi12: Measurement | None
    pulses: Bucket | None
    units: Mapping[str, Unit]
    verify_address: bool
    vectors: tuple[Vector, ...]


class _About(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]*$")]
    kind: InstrumentKind
    rung: Literal["manual", "bench", "hardware"]
    source: str
    title: str = ""


class _ValidIf(msgspec.Struct, frozen=True, kw_only=True):
    read: str
    mask: int = 0xFFFFFFFF
    equals: int = 0


class _Scaled(msgspec.Struct, frozen=True, kw_only=True):
    name: _Name
    unit: _UnitName
    scale: float = 1.0
    offset: float = 0.0
    sane: tuple[float, float] | None = None
    usual: tuple[float, float] | None = None
    sentinels: dict[str, list[float]] = {}

    def problems(self) -> Iterable[ConfigError]:
        for name, span in (("sane", self.sane), ("usual", self.usual)):
            if span is not None and not span[0] < span[1]:
                yield ConfigError("gauges.bad-sane", path=name, low=span[0], high=span[1])

    def as_scale(self) -> Scale:
        _, factor, offset = _UNITS[self.unit]
        meanings = {number: meaning for meaning, numbers in self.sentinels.items() for number in numbers}
        return Scale(self.scale * factor, self.offset * factor + offset, self.sane, self.usual, meanings)


class _Read(_Scaled, frozen=True, kw_only=True):
    fc: Literal[3, 4] = 3
    address: _Word
    address_base: Literal["wire", "verify"] = "wire"
    type: Literal["u16", "i16", "u32", "i32", "f32"] = "u16"
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    valid_if: _ValidIf | None = None
    published: bool = True
    destructive: bool = False


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    pattern: str
    checksum: Literal["none", "sum8", "twos8", "xor8", "sr50a"] = "none"

    def problems(self) -> Iterable[ConfigError]:
        try:
            groups = set(re.compile(self.pattern.encode("ascii")).groupindex)
        except (re.error, UnicodeEncodeError) as error:
            yield ConfigError("gauges.bad-pattern", path="pattern", why=str(error))
            return
        if self.checksum != "none" and not {"body", "checksum"} <= groups:
            yield ConfigError("gauges.no-checksum-group", path="pattern", checksum=self.checksum)


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    head: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})+$")]
    size: Annotated[int, msgspec.Meta(ge=3, le=64)]
    checksum: Literal["sum8", "twos8", "xor8"]


class _Field(_Scaled, frozen=True, kw_only=True):
    at: Annotated[int, msgspec.Meta(ge=0, le=62)] | None = None
    type: Literal["u8", "u16", "i16"] = "u16"


class _Sdi12(msgspec.Struct, frozen=True, kw_only=True):
    command: Annotated[str, msgspec.Meta(pattern="^[MC][1-9]?$")] = "M"
    crc: bool = False
    error: int | None = None
    error_ok: float = 0.0


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as it is written; `hardware/profile.schema.json` is made from it."""

    profile: _About
    link: Link
    read: list[_Read] = []
    line: _Line | None = None
    frame: _Frame | None = None
    sdi12: _Sdi12 | None = None
    pulses: Bucket | None = None
    field: list[_Field] = []
    vector: list[Vector] = []

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        transport = self.link.transport
        belongs = _PARTS[transport]
        for name in ("read", "line", "frame", "sdi12", "pulses", "field"):
            present = bool(getattr(self, name))
            if present and name not in belongs:
                yield ConfigError("gauges.wrong-transport", path=name, transport=transport)
            if not present and name in belongs:
                expected = f"[[{name}]]" if name in ("read", "field") else f"[{name}]"
                yield ConfigError("config.missing", path=name, expected=expected)
        yield from self._read_problems()
        yield from self._field_problems()
        seen = set()
        for table, items in (("read", self.read), ("field", self.field)):
            for index, item in enumerate(items):
                if item.name in seen:
                    yield ConfigError("gauges.name-twice", path=f"{table}[{index}].name", name=item.name)
                seen.add(item.name)

    def _read_problems(self) -> Iterable[ConfigError]:
        if self.read and all(read.destructive for read in self.read):
            yield ConfigError("gauges.only-destructive", path="read")
        names = {r.name for r in self.read}
        for index, read in enumerate(self.read):
            if read.valid_if is not None and read.valid_if.read not in names:
                yield ConfigError("gauges.no-such-read", path=f"read[{index}].valid_if.read", name=read.valid_if.read)

    def _field_problems(self) -> Iterable[ConfigError]:
        groups = re.compile(self.line.pattern).groupindex if self.line is not None else None
        for index, one in enumerate(self.field):
            if groups is not None and one.name not in groups:
                yield ConfigError("gauges.no-such-group", path=f"field[{index}].name", name=one.name)
            if self.frame is not None and (one.at is None or one.at + WIDTHS[one.type] >= self.frame.size):
                yield ConfigError("gauges.outside-frame", path=f"field[{index}].at", size=self.frame.size)
            if self.sdi12 is not None and one.at is None:
                yield ConfigError("config.missing", path=f"field[{index}].at", expected="0, 1, …")


_PARTS = {
    "modbus": ("read",),
    "ascii-lines": ("line", "field"),
    "binary-frames": ("frame", "field"),
    "sdi12": ("sdi12", "field"),
    "pulses": ("pulses",),
}


def schema() -> dict[str, object]:
    """The JSON Schema of a profile, for editors and for those who write one by hand."""
    return msgspec.json.schema(_File)


def names() -> tuple[str, ...]:
    """Names of the shipped profiles."""
    return tuple(sorted(file.stem for file in shipped.profiles().glob("*.toml")))


def load(name: str) -> tuple[Profile | None, list[ConfigError]]:
    """Read a profile.

    Args:
        name: a shipped name, or a path that ends in `.toml`.

    Returns:
        (profile, []) or (None, every mistake found); `facts["path"]` is the place in the file.
    """
    arrived = shipped.profile(name)
    if name.endswith(".toml"):
        file = Path(name)
    elif arrived is not None:
        file = arrived
    elif name in names():
        file = shipped.profiles() / f"{name}.toml"
    else:
        nearest = difflib.get_close_matches(name, names(), n=len(names()), cutoff=0)
        listing = ", ".join(nearest)
        return None, [ConfigError("gauges.no-profile", path="profile", got=name, choices=listing)]
    try:
        data = config.read_toml(file)
    except ConfigError as error:
        error.facts["path"] = "profile"
        return None, [error]
    made, problems = config.decode(_File, data, "")
    for problem in problems:
        problem.facts["path"] = f"profile({file.name}).{problem.facts.get('path', '')}".rstrip(".")
    return (None if made is None else _profile(made)), problems


def _profile(file: _File) -> Profile:
    scales = {f.name: f.as_scale() for f in file.field}
    units = {r.name: _UNITS[r.unit][0] for r in file.read if r.published}
    units |= {f.name: _UNITS[f.unit][0] for f in file.field}
    if file.pulses is not None:
        units["rain_total"] = Unit.MILLIMETRE
    about = file.profile
    return Profile(
        id=about.id,
        kind=about.kind,
        rung=about.rung,
        source=about.source,
        title=about.title or about.id,
        link=file.link,
        blocks=blocks([_register(read) for read in file.read]),
        lines=_lines(file, scales),
        sdi12=_sdi12(file, scales),
        pulses=file.pulses,
        units=units,
        verify_address=any(r.address_base == "verify" for r in file.read),
        vectors=tuple(file.vector),
    )


def _register(read: _Read) -> Register:
    status = None if read.valid_if is None else Status(read.valid_if.read, read.valid_if.mask, read.valid_if.equals)
    return Register(
        name=read.name,
        function=read.fc,
        address=read.address,
        kind=read.type,
        order=read.order,
        scale=read.as_scale(),
        valid_if=status,
        published=read.published,
        destructive=read.destructive,
    )


def _lines(file: _File, scales: Mapping[str, Scale]) -> LineFormat | FrameFormat | None:
    if file.line is not None:
        pattern = re.compile(file.line.pattern.encode("ascii"))
        return LineFormat(pattern, file.line.checksum, scales, file.link.line_end.encode())
    if file.frame is not None:
        places = {f.name: (f.at or 0, f.type) for f in file.field}
        return FrameFormat(bytes.fromhex(file.frame.head), file.frame.size, file.frame.checksum, places, scales)
    return None


def _sdi12(file: _File, scales: Mapping[str, Scale]) -> Measurement | None:
    if file.sdi12 is None:
        return None
    places = {f.name: f.at or 0 for f in file.field}
    about = file.sdi12
    return Measurement(about.command, about.crc, places, scales, about.error, about.error_ok)
