"""Encrypted BTHome v2 -> plain objects, when the tag's key opens it.

AES-CCM with a 4-byte check; nonce = address (6 bytes, as printed), UUID D2 FC, information byte,
counter (4 bytes as sent, little-endian number); https://bthome.io/encryption.
Pure.  `cryptography` costs several megabytes and is imported when the first key is used.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

__all__ = ["KEY_BYTES", "Opened", "open_sealed", "seal"]

KEY_BYTES = 16
_UUID = b"\xd2\xfc"
_CHECK_BYTES, _COUNTER_BYTES = 4, 4
_MOST_KEYS = 4096


class Opened(msgspec.Struct, frozen=True):
    """The objects of a frame, and the sender's counter (0..2**32 - 1), which must rise."""

    objects: bytes
    counter: int


def open_sealed(sealed: bytes, address: str, key: bytes) -> Opened | None:
    """Open one frame.

    Args:
        sealed: service data from the information byte on, as `beacons.Sighting.sealed`.
        address: the sender's, `C0:DE:00:00:00:01`.
        key: 16 bytes.

    Returns:
        None when the check fails: another key, another sender, or a changed frame.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see above

    cut = len(sealed) - _CHECK_BYTES - _COUNTER_BYTES
    counter = sealed[cut : cut + _COUNTER_BYTES]
    try:
        nonce = bytes.fromhex(address.replace(":", "")) + _UUID + sealed[:1] + counter
        objects = _cipher(key).decrypt(nonce, sealed[1:cut] + sealed[-_CHECK_BYTES:], None)
    except (InvalidTag, ValueError):
        return None
    return Opened(objects, int.from_bytes(counter, "little"))


def seal(objects: bytes, address: str, key: bytes, counter: int, *, information: int = 0x41) -> bytes:
    """The frame that such a tag would send; for the simulation and the tests."""
    head, sent = bytes((information,)), counter.to_bytes(_COUNTER_BYTES, "little")
    nonce = bytes.fromhex(address.replace(":", "")) + _UUID + head + sent
    made = _cipher(key).encrypt(nonce, objects, None)
    return head + made[:-_CHECK_BYTES] + sent + made[-_CHECK_BYTES:]


@functools.lru_cache(maxsize=_MOST_KEYS)
def _cipher(key: bytes) -> AESCCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM  # noqa: PLC0415  see above

    return AESCCM(key, tag_length=_CHECK_BYTES)
