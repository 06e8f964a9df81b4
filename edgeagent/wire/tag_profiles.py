"""A tag described as data -> a decoder: which bytes make it one, where its id, battery and button are.

No Japanese watch-over service publishes the bytes of its tags; whoever has them under contract writes
a profile (`hardware/tags/`), and no code.  Positions count from the first byte after the company id or
the service UUID.  Pure.  May import besides errors: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgeagent.wire.beacons import Decoder, Heard, Malformed, Sighting

__all__ = ["Match", "Number", "Slice", "TagLayout", "decoder", "pattern"]


class Match(msgspec.Struct, frozen=True):
    """Which frames are of this tag.

    Attributes:
        company: company id of the manufacturer data, or None.
        service: full lower-case UUID of the service data, or "".
        head: bytes that must stand at the beginning, after `mask` was laid over both.
        mask: as long as `head`; a zero bit does not matter.
        least: shortest frame, in bytes.
        most: longest frame, in bytes.
    """

    company: int | None
    service: str
    head: bytes
    mask: bytes
    least: int
    most: int


class Slice(msgspec.Struct, frozen=True):
    """Some bytes, as a number: big-endian unless `little`; only the bits of `mask` (0: all)."""

    at: int
    size: int = 1
    mask: int = 0
    little: bool = False

    def number(self, data: bytes) -> int:
        """The masked bits, moved down to the lowest bit."""
        found = int.from_bytes(data[self.at : self.at + self.size], "little" if self.little else "big")
        if not self.mask:
            return found
        return (found & self.mask) // (self.mask & -self.mask)

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.at + self.size


class Number(msgspec.Struct, frozen=True):
    """A measured value: `where` * scale + offset."""

    where: Slice
    scale: float = 1.0
    offset: float = 0.0


class TagLayout(msgspec.Struct, frozen=True):
    """Where the fields of a tag are.

    Attributes:
        name: of the profile; ids are `<name>:<hex digits>`.
        match: which frames.
        id: the bytes (and bits) that name the tag.
        battery: 0..1 after scaling; what lies outside is no battery level.
        sos: pressed when any of these bits is set.
        sequence: a number that changes with every new message of the tag.
    """

    name: str
    match: Match
    id: Slice
    battery: Number | None = None
    sos: Slice | None = None
    sequence: Slice | None = None


def decoder(layout: TagLayout) -> Decoder:
    """The decoder for one layout; every slice lies inside `match.least` bytes (the loader checks)."""
    match = layout.match
    length = len(match.head)
    mask = int.from_bytes(match.mask, "big")
    wanted = int.from_bytes(match.head, "big") & mask
    malformed = Malformed(layout.name)
    digits = 2 * layout.id.size

    def decode(manufacturer_data: Mapping[int, bytes], service_data: Mapping[str, bytes]) -> Heard:
        data = manufacturer_data.get(match.company) if match.company is not None else service_data.get(match.service)
        if data is None or len(data) < length or int.from_bytes(data[:length], "big") & mask != wanted:
            return None
        if not match.least <= len(data) <= match.most:
            return malformed
        battery = None
        if layout.battery is not None:
            level = layout.battery.where.number(data) * layout.battery.scale + layout.battery.offset
            battery = round(level, 3) if 0.0 <= level <= 1.0 else None
        return Sighting(
            (f"{layout.name}:{layout.id.number(data):0{digits}x}",),
            battery,
            layout.sos is not None and layout.sos.number(data) != 0,
            layout.sequence.number(data) if layout.sequence is not None else None,
            data,
        )

    return decode


def pattern(layout: TagLayout) -> bytes:
    """The unmasked bytes at the beginning of `match`, for radios that filter by themselves."""
    whole = 0
    while whole < len(layout.match.mask) and layout.match.mask[whole] == 0xFF:  # noqa: PLR2004  all bits matter
        whole += 1
    return layout.match.head[:whole]
