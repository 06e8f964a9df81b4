"""What a passive scan asks BlueZ for.  May import besides the words: bleak."""

from __future__ import annotations

from collections.abc import Sequence

from bleak.args.bluez import OrPattern
from bleak.assigned_numbers import AdvertisementDataType

from edgeagent.sources.tag_profile_files import TagProfile
from edgeagent.wire.tag_profiles import pattern

__all__ = ["or_patterns"]


def or_patterns(profiles: Sequence[TagProfile]) -> tuple[OrPattern, ...]:
    """The beginnings of our formats, and of these profiles."""
    maker, service = AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, AdvertisementDataType.SERVICE_DATA_UUID16
    found = [
        OrPattern(0, maker, b"\x4c\x00\x02\x15"),
        OrPattern(2, maker, b"\xbe\xac"),
        OrPattern(0, service, b"\xaa\xfe"),
        OrPattern(0, service, b"\x6f\xfe"),
        OrPattern(0, service, b"\xd2\xfc"),
    ]
    for profile in profiles:
        match, head = profile.layout.match, pattern(profile.layout)
        if match.company is not None:
            found.append(OrPattern(0, maker, match.company.to_bytes(2, "little") + head))
        elif match.service.startswith("0000"):  # service data of a 16-bit UUID
            found.append(OrPattern(0, service, bytes.fromhex(match.service[4:8])[::-1] + head))
        else:
            wide = AdvertisementDataType.SERVICE_DATA_UUID128
            found.append(OrPattern(0, wide, bytes.fromhex(match.service.replace("-", ""))[::-1] + head))
    return tuple(found)
