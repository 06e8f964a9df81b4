"""Reading <-> bytes.  Pure.

A record is one version byte, a CRC-32 (big-endian, started with the version) of what follows, and the
Reading as a MessagePack array.  SQLite notices a torn page, not a flipped bit inside a value: on a worn SD card the CRC
is what keeps a wrong number from leaving as a good one.  Every later version keeps this head, so that
a record of a newer edgeagent can be told from a damaged one.  Within version 1 fields may only be
added at the end of Reading, Moment and Quantity, with defaults: msgspec then reads both ways.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from zlib import crc32

import msgspec

from edgeagent.errors import OutboxUnavailable
from edgeagent.reading import Moment, Reading, TimeTrust

__all__ = ["FORMAT", "RecordDamaged", "RecordUnknown", "age_s", "pack", "restamp", "unpack"]

FORMAT = 1
_HEAD = struct.Struct(">BI")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reading).decode


class RecordUnknown(OutboxUnavailable):
    """Written by a newer edgeagent: keep it, this one cannot read it."""


class RecordDamaged(OutboxUnavailable):
    """The bytes are not what was written."""


def pack(reading: Reading) -> bytes:
    """A reading as one record."""
    body = _encode(reading)
    return _HEAD.pack(FORMAT, crc32(body, FORMAT)) + body


def unpack(record: bytes) -> Reading:
    """The reading in a record.

    Raises:
        RecordUnknown: another format version.
        RecordDamaged: too short, checksum wrong, or not a reading.
    """
    if len(record) <= _HEAD.size:
        raise RecordDamaged("outbox.record-damaged", why="too short")
    version, checksum = _HEAD.unpack_from(record)
    body = record[_HEAD.size :]
    if checksum != crc32(body, FORMAT):
        if version != FORMAT and checksum == crc32(body, version):
            raise RecordUnknown("outbox.record-version", version=version, known=FORMAT)
        raise RecordDamaged("outbox.record-damaged", why="checksum")
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise RecordDamaged("outbox.record-damaged", why=str(error)) from error


def restamp(reading: Reading, offsets: Mapping[str, int]) -> Reading:
    """Give a reading taken before the clock was set the wall time it really had.

    Args:
        reading: as stored.
        offsets: wall minus monotonic milliseconds by boot id, learnt once per boot from the
            first trusted moment; so the same reading gets the same time at every delivery.
    """
    at = reading.at
    if at.trust is TimeTrust.SYNCED or at.boot_id not in offsets:
        return reading
    moment = Moment(at.mono_ms + offsets[at.boot_id], at.mono_ms, at.boot_id, TimeTrust.SYNCED)
    return msgspec.structs.replace(reading, at=moment)


def age_s(at: Moment, now: Moment) -> float:
    """Seconds from one moment to another, by the monotonic clock where both are of one boot."""
    if at.boot_id == now.boot_id:
        return max(now.mono_ms - at.mono_ms, 0) / 1000
    return max(now.wall_ms - at.wall_ms, 0) / 1000
