"""Bluetooth advertisements -> the fields of a watch tag; one decoder per format, in one table.

What arrives here is what BlueZ keeps about a device: manufacturer data by company id and service
data by UUID, *merged over all frames it has heard*.  A field that is present is therefore not
"just heard"; `Sighting.payload` lets the caller see whether anything changed (it matters for SOS).

Everything that is not a format of the table is nobody's business: phones, earphones, exposure
notifications, Find My, Google's, Samsung's and Tile's finder tags of passers-by yield None before a
single field of theirs is looked at.  A frame that begins like one of ours and is not whole yields
`Malformed`, to be counted by format and never by sender; nothing here raises.  May import: nothing.

    iBeacon        company 004C, `02 15`   ibeacon:<uuid>:<major>:<minor>   Apple, Proximity Beacon Specification R1
    AltBeacon      any company, `BE AC`    altbeacon:<40 hex digits>        github.com/AltBeacon/spec
    Eddystone-UID  service FEAA, `00`      eddystone:<20 hex>:<12 hex>      github.com/google/eddystone, eddystone-uid
    Eddystone-EID  service FEAA, `30`      eid:<16 hex>, changes by itself  … eddystone-eid
    Eddystone-TLM  service FEAA, `20 00`   none, joined by address          … eddystone-tlm/tlm-plain.md
    LINE           service FE6F, `02`      line:<10 hex> (HWID)             github.com/line/line-simple-beacon
    BTHome v2      service FCD2            bthome:<address>                 bthome.io/format, bthome.io/encryption

LINE: the last bytes are a device message (Simple Beacon) or a secure message that only LINE can verify;
the two cannot be told apart, so nothing is read from them (a tag profile may, under contract).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

import msgspec

__all__ = [
    "APPLE",
    "BTHOME",
    "EDDYSTONE",
    "LINE",
    "Decoder",
    "Heard",
    "Malformed",
    "Sighting",
    "bthome_fields",
    "decode",
    "is_tag_id",
    "merge",
    "normal_id",
]

_BASE = "-0000-1000-8000-00805f9b34fb"

APPLE = 0x004C
"""Company id under which iBeacon frames (and much else of Apple's) are sent."""

BTHOME = "0000fcd2" + _BASE
"""Service UUID of BTHome, as BlueZ spells 16-bit UUIDs."""

EDDYSTONE = "0000feaa" + _BASE
LINE = "0000fe6f" + _BASE

_IBEACON_HEAD = b"\x02\x15"  # subtype 2, 0x15 bytes follow; every other Apple subtype is dropped
_IBEACON_BYTES = 23  # head 2, proximity UUID 16, major 2, minor 2, power at 1 m 1
_ALTBEACON_HEAD = b"\xbe\xac"
_ALTBEACON_BYTES = 24  # head 2, id 20, power at 1 m 1, reserved for the maker 1
_UID, _TLM, _EID = 0x00, 0x20, 0x30  # the other frames of FEAA are URLs (never followed) and Google's finder tags
_UID_BYTES = (18, 20)  # the two reserved bytes at the end may be missing
_TLM_BYTES, _EID_BYTES = 14, 10
_TLM_PLAIN = 0x00
_LINE_FRAME = 0x02
_LINE_BYTES = range(8, 21)  # frame 1, HWID 5, 7F, message 1 to 13
_LINE_POWER = 0x7F
_FULL_MV, _EMPTY_MV = 3000, 2000  # a lithium coin cell, as good as all that a tag can carry

# BTHome v2, https://bthome.io/format: device information byte, then object id and value, repeated.
_BTHOME_ENCRYPTED = 0x01
_BTHOME_VERSION_SHIFT = 5
_BTHOME_VERSION = 2
_BTHOME_SEALED_BYTES = 10  # information 1, at least one byte, counter 4, check 4
_PACKET_ID, _BATTERY, _BUTTON = 0x00, 0x01, 0x3A
_FULL_PERCENT = 100
_NO_PRESS = 0x00  # 01 press, 02 double, 03 triple, 04 long, 05 long double, 06 long triple, 80 held

# Bytes of the value by object id.  Objects are not self-describing: at the first id that is not
# listed the rest of the frame cannot be cut into objects and is left alone, as the format asks.
_BTHOME_SIZES: Mapping[int, int] = {
    **dict.fromkeys((0x00, 0x01, 0x09, *range(0x0F, 0x12), *range(0x15, 0x30)), 1),
    **dict.fromkeys((0x3A, 0x46, 0x57, 0x58, 0x59, 0x60, 0x64), 1),
    **dict.fromkeys((0x02, 0x03, 0x06, 0x07, 0x08, 0x0C, 0x0D, 0x0E, 0x12, 0x13, 0x14), 2),
    **dict.fromkeys((0x3C, 0x3D, 0x3F, 0x40, 0x41, 0x43, 0x44, 0x45, 0x47, 0x48, 0x49, 0x4A), 2),
    **dict.fromkeys((0x51, 0x52, 0x56, 0x5A, 0x5D, 0x5E, 0x5F, 0x61, 0xF0), 2),
    **dict.fromkeys((0x04, 0x05, 0x0A, 0x0B, 0x42, 0x4B, 0xF2), 3),
    **dict.fromkeys((0x3E, *range(0x4C, 0x51), 0x55, 0x5B, 0x5C, 0x62, 0x63, 0xF1), 4),
}
_BTHOME_COUNTED = (0x53, 0x54)  # text and raw: a length byte comes before the value


class Sighting(msgspec.Struct, frozen=True):
    """What one advertisement says about a tag.

    Attributes:
        ids: every identity it shows, the one carried in the payload first; none for a frame that only
            adds to what another of the same sender said (Eddystone-TLM).
        battery: 0..1, if it says so.
        pressed: the frame carries a button press (SOS).
        packet: packet number (wraps), if it numbers its packets.
        payload: the bytes that battery, press and packet were read from; equal bytes mean that
            nothing new was said.
        sealed: encrypted BTHome service data; its fields are read only for tags whose key is known.
    """

    ids: tuple[str, ...]
    battery: float | None = None
    pressed: bool = False
    packet: int | None = None
    payload: bytes = b""
    sealed: bytes = b""


class Malformed(msgspec.Struct, frozen=True):
    """A frame that begins like one of the table and is not whole."""

    format: str


Heard = Sighting | Malformed | None
Decoder = Callable[[Mapping[int, bytes], Mapping[str, bytes]], Heard]
"""A decoder that a tag profile adds: manufacturer data by company id and service data by UUID -> sighting."""


def decode(
    manufacturer_data: Mapping[int, bytes],
    service_data: Mapping[str, bytes],
    *,
    address: str = "",
    profiles: Sequence[Decoder] = (),
) -> Heard:
    """Fields of a tag, or None for everything that is not one.

    Args:
        manufacturer_data: bytes after the company id, by company id.
        service_data: bytes after the UUID, by full lower-case UUID.
        address: the sender's Bluetooth address; the only identity a BTHome frame has.
        profiles: further formats, asked first.

    Returns:
        One sighting; a device that sends several formats (iBeacon to be found, BTHome for battery
        and button) shows several ids in it.  Malformed only if nothing else in it was whole.
    """
    heard: Heard = None
    for profile in profiles:
        heard = merge(heard, profile(manufacturer_data, service_data))
    for company, data in manufacturer_data.items():
        if company == APPLE:
            if data[:2] == _IBEACON_HEAD:
                heard = merge(heard, _ibeacon(data))
        elif data[:2] == _ALTBEACON_HEAD:
            heard = merge(heard, _altbeacon(data))
    for service, data in service_data.items():
        decoder = _BY_SERVICE.get(service)
        if decoder is not None:
            heard = merge(heard, decoder(data, address))
    return heard


def is_tag_id(text: str) -> bool:
    """Whether `text` names a tag in one of the forms that `decode` yields."""
    return normal_id(text) is not None


def normal_id(text: str, profiles: Sequence[str] = ()) -> str | None:
    """The one spelling of a tag id that `decode` yields, or None when it is no tag id.

    Args:
        text: as a person wrote it.
        profiles: names of tag profiles, whose ids are `<profile>:<hex digits>`.
    """
    scheme, _, rest = text.strip().lower().partition(":")
    if scheme in profiles:
        return f"{scheme}:{rest}" if rest and set(rest) <= _HEX and len(rest) % 2 == 0 else None
    parse = _NORMAL.get(scheme)
    return parse(rest) if parse else None


def bthome_fields(ids: tuple[str, ...], objects: bytes, payload: bytes) -> Sighting:
    """Battery, button and packet number among the objects of a BTHome frame.

    Args:
        ids: of the tag.
        objects: object id and value, repeated; plain.
        payload: the bytes that stand for "nothing new was said" when they repeat.
    """
    battery: float | None = None
    pressed, packet, at = False, None, 0
    while at < len(objects):
        kind, at = objects[at], at + 1
        if kind in _BTHOME_COUNTED and at < len(objects):
            at += 1 + objects[at]
            continue
        size = _BTHOME_SIZES.get(kind)
        if size is None or at + size > len(objects):
            break
        if kind == _BATTERY and objects[at] <= _FULL_PERCENT:
            battery = objects[at] / 100
        elif kind == _BUTTON:
            pressed = pressed or objects[at] != _NO_PRESS  # one object per button, any of them calls
        elif kind == _PACKET_ID:
            packet = objects[at]
        at += size
    return Sighting(ids, battery, pressed, packet, payload)


def merge(one: Heard, other: Heard) -> Heard:
    """Two formats of one device; what is whole wins over what is not."""
    if not isinstance(one, Sighting):
        return other if other is not None else one
    if not isinstance(other, Sighting):
        return one
    return Sighting(
        one.ids + other.ids,
        other.battery if one.battery is None else one.battery,
        one.pressed or other.pressed,
        other.packet if one.packet is None else one.packet,
        one.payload + other.payload,
        one.sealed or other.sealed,
    )


def _ibeacon(data: bytes) -> Heard:
    if len(data) != _IBEACON_BYTES:
        return _MALFORMED["ibeacon"]
    major, minor = int.from_bytes(data[18:20], "big"), int.from_bytes(data[20:22], "big")
    return Sighting((_ibeacon_id(data[2:18].hex(), major, minor),))


def _altbeacon(data: bytes) -> Heard:
    if len(data) != _ALTBEACON_BYTES:
        return _MALFORMED["altbeacon"]
    return Sighting((f"altbeacon:{data[2:22].hex()}",))


def _eddystone(data: bytes, _address: str) -> Heard:
    frame = data[0] if data else -1
    if frame == _UID:
        if len(data) not in _UID_BYTES:
            return _MALFORMED["eddystone-uid"]
        return Sighting((f"eddystone:{data[2:12].hex()}:{data[12:18].hex()}",))
    if frame == _EID:
        if len(data) != _EID_BYTES:
            return _MALFORMED["eddystone-eid"]
        return Sighting((f"eid:{data[2:].hex()}",))
    if frame == _TLM and data[1:2] == bytes((_TLM_PLAIN,)):
        if len(data) != _TLM_BYTES:
            return _MALFORMED["eddystone-tlm"]
        millivolt = int.from_bytes(data[2:4], "big")  # 0: runs on mains
        full = (millivolt - _EMPTY_MV) / (_FULL_MV - _EMPTY_MV)
        return Sighting((), round(min(max(full, 0.0), 1.0), 2) if millivolt else None, payload=data[2:4])
    return None


def _line(data: bytes, _address: str) -> Heard:
    if data[:1] != bytes((_LINE_FRAME,)):
        return None
    if len(data) not in _LINE_BYTES or data[6] != _LINE_POWER:
        return _MALFORMED["line"]
    return Sighting((f"line:{data[1:6].hex()}",))


def _bthome(data: bytes, address: str) -> Heard:
    """BTHome v2, plain or sealed.

    The payload names nobody, so the identity is the address; a tag that changes its address
    (resolvable private addresses do, every quarter of an hour) cannot be on an allow-list.
    """
    if not data:
        return _MALFORMED["bthome"]
    if data[0] >> _BTHOME_VERSION_SHIFT != _BTHOME_VERSION:
        return None
    ids = (_bthome_id(address),)
    if not data[0] & _BTHOME_ENCRYPTED:
        return bthome_fields(ids, data[1:], data)
    if len(data) < _BTHOME_SEALED_BYTES:
        return _MALFORMED["bthome"]
    return Sighting(ids, sealed=data)


_BY_SERVICE: Mapping[str, Callable[[bytes, str], Heard]] = {BTHOME: _bthome, EDDYSTONE: _eddystone, LINE: _line}
_MALFORMED = {
    name: Malformed(name)
    for name in ("ibeacon", "altbeacon", "eddystone-uid", "eddystone-eid", "eddystone-tlm", "line", "bthome")
}


def _ibeacon_id(proximity: str, major: int, minor: int) -> str:
    """From 32 hex digits; `uuid.UUID` would take four times as long, and shops are full of beacons."""
    p = proximity
    return f"ibeacon:{p[:8]}-{p[8:12]}-{p[12:16]}-{p[16:20]}-{p[20:]}:{major}:{minor}"


def _bthome_id(address: str) -> str:
    return f"bthome:{address.lower()}"


def _normal_ibeacon(rest: str) -> str | None:
    parts = rest.split(":")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and int(p) <= 0xFFFF for p in parts[1:]):  # noqa: PLR2004  uuid, major, minor: 16 bits each
        return None
    try:
        return _ibeacon_id(uuid.UUID(parts[0]).hex, int(parts[1]), int(parts[2]))
    except ValueError:
        return None


def _normal_bthome(rest: str) -> str | None:
    octets = rest.replace("-", ":").split(":")
    if len(octets) != 6 or not all(len(o) == 2 and set(o) <= _HEX for o in octets):  # noqa: PLR2004  six pairs of hex digits
        return None
    return _bthome_id(":".join(octets))


def _normal_hex(scheme: str, *digits: int) -> Callable[[str], str | None]:
    """For ids of one or more groups of so many hex digits."""

    def normal(rest: str) -> str | None:
        groups = rest.split(":")
        fits = len(groups) == len(digits) and all(
            len(g) == n and set(g) <= _HEX for g, n in zip(groups, digits, strict=True)
        )
        return f"{scheme}:{rest}" if fits else None

    return normal


_HEX = frozenset("0123456789abcdef")
_NORMAL: Mapping[str, Callable[[str], str | None]] = {
    "ibeacon": _normal_ibeacon,
    "bthome": _normal_bthome,
    "altbeacon": _normal_hex("altbeacon", 40),
    "eddystone": _normal_hex("eddystone", 20, 12),
    "eid": _normal_hex("eid", 16),
    "line": _normal_hex("line", 10),
}
