"""Bluetooth advertisements -> the fields of a watch tag; one decoder per format, in one table.

What arrives here is what BlueZ keeps about a device: manufacturer data by company id and service
data by UUID, *merged over all frames it has heard*.  A field that is present is therefore not
"just heard"; `Sighting.payload` lets the caller see whether anything changed (it matters for SOS).

Everything that is not a format of the table is nobody's business: phones, earphones, Find My and
other finder tags of passers-by yield None before a single field of theirs is looked at.
Malformed frames yield None as well; nothing here raises.  May import: nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import msgspec

__all__ = ["APPLE", "BTHOME", "Sighting", "decode", "is_tag_id", "normal_id"]

APPLE = 0x004C
"""Company id under which iBeacon frames (and much else of Apple's) are sent."""

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
"""Service UUID of BTHome, as BlueZ spells 16-bit UUIDs."""

_IBEACON_HEAD = b"\x02\x15"  # subtype 2, 0x15 bytes follow; every other Apple subtype is dropped
_IBEACON_BYTES = 23  # head 2, proximity UUID 16, major 2, minor 2, power at 1 m 1

# BTHome v2, https://bthome.io/format: device information byte, then object id and value, repeated.
_BTHOME_ENCRYPTED = 0x01
_BTHOME_VERSION_SHIFT = 5
_BTHOME_VERSION = 2
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
        ids: every identity it shows, the one carried in the payload first:
            `ibeacon:<uuid>:<major>:<minor>`, `bthome:<address>`.
        battery: 0..1, if it says so.
        pressed: the frame carries a button press (SOS).
        packet: packet number (0..255, wraps), if it numbers its packets.
        payload: the bytes that battery, press and packet were read from; equal bytes mean that
            nothing new was said.
    """

    ids: tuple[str, ...]
    battery: float | None = None
    pressed: bool = False
    packet: int | None = None
    payload: bytes = b""


Decoder = Callable[[Mapping[int, bytes], Mapping[str, bytes], str], Sighting | None]


def decode(
    manufacturer_data: Mapping[int, bytes], service_data: Mapping[str, bytes], *, address: str = ""
) -> Sighting | None:
    """Fields of a tag, or None for everything that is not one.

    Args:
        manufacturer_data: bytes after the company id, by company id.
        service_data: bytes after the UUID, by full lower-case UUID.
        address: the sender's Bluetooth address; the only identity a BTHome frame has.

    Returns:
        One sighting; a device that sends several formats (iBeacon to be found, BTHome for battery
        and button) shows several ids in it.
    """
    merged: Sighting | None = None
    for decoder in _DECODERS.values():
        found = decoder(manufacturer_data, service_data, address)
        if found is not None:
            merged = found if merged is None else _merge(merged, found)
    return merged


def is_tag_id(text: str) -> bool:
    """Whether `text` names a tag in one of the forms that `decode` yields."""
    return normal_id(text) is not None


def normal_id(text: str) -> str | None:
    """The one spelling of a tag id that `decode` yields, or None when it is no tag id."""
    scheme, _, rest = text.strip().lower().partition(":")
    parse = {"ibeacon": _normal_ibeacon, "bthome": _normal_bthome}.get(scheme)
    return parse(rest) if parse else None


def _ibeacon(manufacturer_data: Mapping[int, bytes], _service: Mapping[str, bytes], _address: str) -> Sighting | None:
    """Apple "Proximity Beacon Advertising Packet": 02 15, UUID, major BE, minor BE, power at 1 m."""
    data = manufacturer_data.get(APPLE)
    if data is None or len(data) != _IBEACON_BYTES or data[:2] != _IBEACON_HEAD:
        return None
    major, minor = int.from_bytes(data[18:20], "big"), int.from_bytes(data[20:22], "big")
    return Sighting((_ibeacon_id(data[2:18].hex(), major, minor),))


def _bthome(_manufacturer: Mapping[int, bytes], service_data: Mapping[str, bytes], address: str) -> Sighting | None:
    """BTHome v2, plain.

    The payload names nobody, so the identity is the address; a tag that changes its address
    (resolvable private addresses do, every quarter of an hour) cannot be on an allow-list.
    Encrypted frames need a key per tag and are not read.
    """
    data = service_data.get(BTHOME)
    if not data or data[0] & _BTHOME_ENCRYPTED or data[0] >> _BTHOME_VERSION_SHIFT != _BTHOME_VERSION:
        return None
    battery: float | None = None
    pressed, packet, at = False, None, 1
    while at < len(data):
        kind, at = data[at], at + 1
        if kind in _BTHOME_COUNTED and at < len(data):
            at += 1 + data[at]
            continue
        size = _BTHOME_SIZES.get(kind)
        if size is None or at + size > len(data):
            break
        if kind == _BATTERY and data[at] <= _FULL_PERCENT:
            battery = data[at] / 100
        elif kind == _BUTTON:
            pressed = pressed or data[at] != _NO_PRESS  # one object per button, any of them calls
        elif kind == _PACKET_ID:
            packet = data[at]
        at += size
    return Sighting((_bthome_id(address),), battery, pressed, packet, bytes(data))


_DECODERS: Mapping[str, Decoder] = {"ibeacon": _ibeacon, "bthome": _bthome}


def _merge(one: Sighting, other: Sighting) -> Sighting:
    """Two formats of one device; each field is spoken by at most one format today."""
    return Sighting(
        one.ids + other.ids,
        other.battery if one.battery is None else one.battery,
        one.pressed or other.pressed,
        other.packet if one.packet is None else one.packet,
        one.payload + other.payload,
    )


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
    if len(octets) != 6 or not all(len(o) == 2 and set(o) <= set("0123456789abcdef") for o in octets):  # noqa: PLR2004  six pairs of hex digits
        return None
    return _bthome_id(":".join(octets))
