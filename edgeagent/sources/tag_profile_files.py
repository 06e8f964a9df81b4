"""hardware/tags/*.toml -> tag layouts: formats of watch tags as data, never as code.

A file says which bytes make a frame one of this tag, and where its id, battery, SOS bit and sequence
number stand; vectors in it are decoded by the tests and by `edgeagent check`.  Rungs: `template` (to be
copied and filled in) < `manual` (from the maker's paper) < `bench` < `hardware`.
May import besides the words: config shipped wire.
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
from edgeagent.wire.beacons import Sighting
from edgeagent.wire.tag_profiles import Match, Number, Slice, TagLayout, decoder

__all__ = ["TagProfile", "load", "names"]

_BASE_UUID = "0000{}-0000-1000-8000-00805f9b34fb"
_BUILT_IN = ("ibeacon", "altbeacon", "eddystone", "eid", "line", "bthome")
_LONGEST = 255  # of an extended advertisement
_Hex = Annotated[str, msgspec.Meta(pattern="^([0-9a-fA-F]{2} ?)*$")]
_At = Annotated[int, msgspec.Meta(ge=0, lt=_LONGEST)]
_Length = Annotated[int, msgspec.Meta(ge=1, le=_LONGEST)]


@dataclass(frozen=True)
class TagProfile:
    """A kind of tag: what it is, how well that is known, and where its fields are."""

    title: str
    rung: str
    source: str
    layout: TagLayout


class _About(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]*$")]
    rung: Literal["template", "manual", "bench", "hardware"]
    source: str
    title: str = ""

    def problems(self) -> Iterable[ConfigError]:
        if self.id in _BUILT_IN:
            yield ConfigError("tags.profile-name-taken", path="id", got=self.id)


class _Match(msgspec.Struct, frozen=True, kw_only=True):
    company: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] | None = None
    service: str = ""
    head: _Hex = ""
    mask: _Hex = ""
    least: _Length
    most: _Length = _LONGEST

    def problems(self) -> Iterable[ConfigError]:
        if (self.company is None) == (not self.service):
            yield ConfigError("tags.profile-company-or-service", path="company")
        if self.service and _full_uuid(self.service) is None:
            yield ConfigError("tags.profile-bad-uuid", path="service", got=self.service)
        if self.mask and len(_bytes(self.mask)) != len(_bytes(self.head)):
            yield ConfigError("tags.profile-bad-mask", path="mask", head=len(_bytes(self.head)))
        if not max(1, len(_bytes(self.head))) <= self.least <= self.most:
            yield ConfigError("tags.profile-bad-length", path="least", least=self.least, most=self.most)


class _Slice(msgspec.Struct, frozen=True, kw_only=True):
    at: _At
    bytes: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1
    mask: Annotated[int, msgspec.Meta(ge=0)] = 0
    little: bool = False

    def problems(self) -> Iterable[ConfigError]:
        if self.mask >> (8 * self.bytes):
            yield ConfigError("tags.profile-wide-mask", path="mask", bytes=self.bytes)

    def where(self) -> Slice:
        return Slice(self.at, self.bytes, self.mask, self.little)


class _Battery(_Slice, frozen=True, kw_only=True):
    scale: float = 0.01
    offset: float = 0.0


class _Vector(msgspec.Struct, frozen=True, kw_only=True):
    data: _Hex
    id: str
    battery: float | None = None
    sos: bool = False
    sequence: int | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    profile: _About
    match: _Match
    id: _Slice
    battery: _Battery | None = None
    sos: _Slice | None = None
    sequence: _Slice | None = None
    vector: list[_Vector] = []

    def problems(self) -> Iterable[ConfigError]:
        found = {"id": self.id, "battery": self.battery, "sos": self.sos, "sequence": self.sequence}
        outside = [name for name, one in found.items() if one is not None and one.where().end > self.match.least]
        for name in outside:
            yield ConfigError("tags.profile-outside", path=name, least=self.match.least)
        for index, vector in enumerate(() if outside else self.vector):
            told = _told(self.layout(), _bytes(vector.data))
            wanted = Sighting((vector.id,), vector.battery, vector.sos, vector.sequence, _bytes(vector.data))
            if told != wanted:
                yield ConfigError("tags.profile-vector", path=f"vector[{index}]", got=_shown(told), want=_shown(wanted))

    def layout(self) -> TagLayout:
        head = _bytes(self.match.head)
        mask = _bytes(self.match.mask) or b"\xff" * len(head)
        service = _full_uuid(self.match.service) or ""
        battery = self.battery
        return TagLayout(
            self.profile.id,
            Match(self.match.company, service, head, mask, self.match.least, self.match.most),
            self.id.where(),
            None if battery is None else Number(battery.where(), battery.scale, battery.offset),
            None if self.sos is None else self.sos.where(),
            None if self.sequence is None else self.sequence.where(),
        )


def names() -> tuple[str, ...]:
    """Names of the shipped tag profiles."""
    return tuple(sorted(file.stem for file in shipped.tags().glob("*.toml")))


def load(name: str) -> tuple[TagProfile | None, list[ConfigError]]:
    """Read a tag profile.

    Args:
        name: a shipped name, or a path that ends in `.toml`.

    Returns:
        (profile, []) or (None, every mistake found); `facts["path"]` is the place in the file.
    """
    if name.endswith(".toml"):
        file = Path(name)
    elif name in names():
        file = shipped.tags() / f"{name}.toml"
    else:
        listing = ", ".join(difflib.get_close_matches(name, names(), n=len(names()), cutoff=0))
        return None, [ConfigError("tags.no-profile", path="", got=name, choices=listing)]
    try:
        made, problems = config.decode(_File, config.read_toml(file), "")
    except ConfigError as error:
        made, problems = None, [error]
    for problem in problems:
        problem.facts["path"] = f"({file.name}).{problem.facts.get('path', '')}".rstrip(".")
    if made is None:
        return None, problems
    about = made.profile
    return TagProfile(about.title or about.id, about.rung, about.source, made.layout()), []


def _told(layout: TagLayout, data: bytes) -> object:
    manufacturer: Mapping[int, bytes] = {} if layout.match.company is None else {layout.match.company: data}
    service: Mapping[str, bytes] = {layout.match.service: data} if layout.match.company is None else {}
    return decoder(layout)(manufacturer, service)


def _shown(found: object) -> str:
    if not isinstance(found, Sighting):
        return "-"
    return f"{found.ids[0]} battery={found.battery} sos={found.pressed} sequence={found.packet}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


def _full_uuid(text: str) -> str | None:
    plain = text.lower()
    if re.fullmatch("[0-9a-f]{4}", plain):
        return _BASE_UUID.format(plain)
    return plain if re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", plain) else None
