"""A tag described as data: slices, masks and what does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.beacons import APPLE, Malformed, Sighting, decode, normal_id
from edgeagent.wire.tag_profiles import Match, Number, Slice, TagLayout, decoder, pattern

SERVICE = "0000ffff-0000-1000-8000-00805f9b34fb"
LAYOUT = TagLayout(
    "watch",
    Match(None, SERVICE, b"\x57\x01", b"\xff\x0f", 10, 16),
    id=Slice(2, 4),
    battery=Number(Slice(7), 0.01),
    sos=Slice(6, mask=0x01),
    sequence=Slice(8, 2, little=True),
)
DECODERS = (decoder(LAYOUT),)


def heard(text, manufacturer=None):
    return decode(manufacturer or {}, {SERVICE: bytes.fromhex(text)}, address="C0:DE:00:00:00:01", profiles=DECODERS)


@pytest.mark.parametrize(
    ("frame", "battery", "pressed", "packet"),
    [
        ("5701 00112233 01 55 0201", 0.85, True, 258),
        ("57f1 00112233 fe 00 ffff", 0.0, False, 65535),  # masked bits do not matter, others are not SOS
        ("5701 00112233 00 65 0000", None, False, 0),  # 101 % is no battery level
    ],
)
def test_fields_come_from_their_slices(frame, battery, pressed, packet):
    assert heard(frame) == Sighting(("watch:00112233",), battery, pressed, packet, bytes.fromhex(frame))


@pytest.mark.parametrize("frame", ["5801 00112233 01 55 0201", "5702 00112233 01 55 0201", "57", ""])
def test_what_does_not_match_is_nobodys(frame):
    assert heard(frame) is None


@pytest.mark.parametrize("frame", ["5701", "5701 00112233 01 55 02", "5701" + "00" * 15])
def test_a_match_of_the_wrong_length_is_malformed(frame):
    assert heard(frame) == Malformed("watch")


def test_flags_inside_the_minor_of_an_ibeacon_are_not_part_of_the_id():
    layout = TagLayout(
        "mimamori",
        Match(APPLE, "", b"\x02\x15", b"\xff\xff", 23, 23),
        id=Slice(18, 4, 0xFFFF7FFF),
        sos=Slice(20, mask=0x80),
    )
    calm, calls = (
        decode({APPLE: b"\x02\x15" + bytes(16) + b"\x00\x01" + minor + b"\xc5"}, {}, profiles=(decoder(layout),))
        for minor in (b"\x12\x34", b"\x92\x34")
    )
    assert calm.ids[0] == calls.ids[0] == "mimamori:00011234"
    assert calm.ids[1].startswith("ibeacon:") and (calm.pressed, calls.pressed) == (False, True)
    assert normal_id("Mimamori:00011234", ("mimamori",)) == "mimamori:00011234"
    assert normal_id("mimamori:0001123", ("mimamori",)) is None and normal_id("mimamori:00011234") is None


@given(st.binary(max_size=255), st.integers(0, 255))
def test_no_bytes_make_it_raise(data, company):
    found = decode({company: data}, {SERVICE: b"\x57\x01" + data}, profiles=DECODERS)
    assert found is None or isinstance(found, Sighting | Malformed)


def test_the_pattern_for_a_radio_is_what_no_mask_loosens():
    assert pattern(LAYOUT) == b"\x57"
