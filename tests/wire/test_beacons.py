"""Advertisements -> tag fields: recorded and constructed frames, and bytes that are neither."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.beacons import (
    APPLE,
    BTHOME,
    EDDYSTONE,
    LINE,
    Malformed,
    Sighting,
    bthome_fields,
    decode,
    is_tag_id,
    normal_id,
)
from edgeagent.wire.bthome_cipher import open_sealed, seal
from tests.faults.verdict import rounds

MAC = "C0:DE:00:00:00:01"
MAMORIO = bytes.fromhex("0215b9407f30f5f8466eaff925556b57fe6ebe49f747b5")
FIND_MY = bytes.fromhex("12190057364dc7fb77866c40c91076603cb37c1f59f923ab3a0300")


def bthome(hex_text):
    return decode({}, {BTHOME: bytes.fromhex(hex_text)}, address=MAC)


def test_ibeacon_identity_is_in_the_payload():
    found = decode({APPLE: MAMORIO}, {}, address=MAC)
    assert found == Sighting(("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:48713:63303",))


BASE = "0000{}-0000-1000-8000-00805f9b34fb"
STRANGERS = {
    "find-my": ({APPLE: FIND_MY}, {}),
    "nearby": ({APPLE: b"\x10\x05\x01\x18" + bytes(19)}, {}),
    "proximity-pairing": ({APPLE: b"\x07\x19\x01" + bytes(24)}, {}),
    "apple-empty": ({APPLE: b""}, {}),
    "apple-one-byte": ({APPLE: b"\x02"}, {}),
    "smart-tag": ({}, {BASE.format("fd5a"): bytes(20)}),
    "tile": ({}, {BASE.format("feed"): bytes(10)}),
    "google-finder-40": ({}, {EDDYSTONE: b"\x40" + bytes(20)}),
    "google-finder-41": ({}, {EDDYSTONE: b"\x41" + bytes(21)}),
    "eddystone-url": ({}, {EDDYSTONE: b"\x10\x00\x03example"}),
    "eddystone-encrypted-tlm": ({}, {EDDYSTONE: b"\x20\x01" + bytes(16)}),
    "unwanted-tracking": ({}, {BASE.format("fcb2"): bytes(20)}),
    "exposure-notification": ({}, {BASE.format("fd6f"): bytes(20)}),
    "earphones": ({0x0075: bytes(24)}, {}),
    "line-other-frame": ({}, {LINE: b"\x01" + bytes(13)}),
    "bthome-v1": ({}, {BTHOME: b"\x20\x02\xc4\x09"}),
    "nothing": ({}, {}),
}


@pytest.mark.parametrize("frame", STRANGERS.values(), ids=STRANGERS)
def test_what_strangers_say_is_dropped(frame):
    assert decode(*frame, address=MAC) is None


ALTBEACON = bytes.fromhex("beac00112233445566778899aabbccddeeff00010002c500")
UID = bytes.fromhex("00e78b0ca750095477cb3e770102030405060000")
TLM = bytes.fromhex("20000bb81980000003e800002710")
EID = bytes.fromhex("30e70011223344556677")
LINE_SIMPLE = bytes.fromhex("028adfaf43267f20170228")


@pytest.mark.parametrize(
    ("manufacturer", "service", "want"),
    [
        ({0x0118: ALTBEACON}, {}, Sighting(("altbeacon:00112233445566778899aabbccddeeff00010002",))),
        ({0xFFFF: ALTBEACON}, {}, Sighting(("altbeacon:00112233445566778899aabbccddeeff00010002",))),
        ({}, {EDDYSTONE: UID}, Sighting(("eddystone:8b0ca750095477cb3e77:010203040506",))),
        ({}, {EDDYSTONE: UID[:18]}, Sighting(("eddystone:8b0ca750095477cb3e77:010203040506",))),
        ({}, {EDDYSTONE: EID}, Sighting(("eid:0011223344556677",))),
        ({}, {EDDYSTONE: TLM}, Sighting((), 1.0, payload=b"\x0b\xb8")),
        ({}, {EDDYSTONE: TLM[:2] + b"\x09\xc4" + TLM[4:]}, Sighting((), 0.5, payload=b"\x09\xc4")),
        ({}, {EDDYSTONE: TLM[:2] + b"\0\0" + TLM[4:]}, Sighting((), None, payload=b"\0\0")),
        ({}, {LINE: LINE_SIMPLE}, Sighting(("line:8adfaf4326",))),
        ({}, {LINE: bytes.fromhex("02 01deadbeef 7f 037cf6f1000001")}, Sighting(("line:01deadbeef",))),
    ],
)
def test_beacons_that_name_themselves(manufacturer, service, want):
    assert decode(manufacturer, service, address=MAC) == want


@pytest.mark.parametrize(
    ("manufacturer", "service", "format_"),
    [
        ({APPLE: MAMORIO[:-1]}, {}, "ibeacon"),
        ({APPLE: MAMORIO + b"\0"}, {}, "ibeacon"),
        ({APPLE: b"\x02\x15"}, {}, "ibeacon"),
        ({APPLE: b"\x02\x15" + bytes(251)}, {}, "ibeacon"),
        ({0x0118: ALTBEACON[:-1]}, {}, "altbeacon"),
        ({}, {EDDYSTONE: UID[:17]}, "eddystone-uid"),
        ({}, {EDDYSTONE: UID + b"\0"}, "eddystone-uid"),
        ({}, {EDDYSTONE: TLM[:-1]}, "eddystone-tlm"),
        ({}, {EDDYSTONE: EID[:-1]}, "eddystone-eid"),
        ({}, {LINE: LINE_SIMPLE[:7]}, "line"),
        ({}, {LINE: LINE_SIMPLE[:6] + b"\x7e" + LINE_SIMPLE[7:]}, "line"),
        ({}, {LINE: LINE_SIMPLE[:7] + bytes(14)}, "line"),
        ({}, {BTHOME: b""}, "bthome"),
        ({}, {BTHOME: b"\x41" + bytes(8)}, "bthome"),
    ],
)
def test_frames_that_are_not_whole_are_counted_by_format(manufacturer, service, format_):
    assert decode(manufacturer, service, address=MAC) == Malformed(format_)


def test_what_is_whole_wins_over_what_is_not():
    for manufacturer in ({APPLE: MAMORIO, 0x0118: ALTBEACON[:5]}, {0x0118: ALTBEACON[:5], APPLE: MAMORIO}):
        assert decode(manufacturer, {EDDYSTONE: UID[:9]}, address=MAC).ids[0].startswith("ibeacon:")


@pytest.mark.parametrize(
    ("frame", "battery", "pressed", "packet"),
    [
        ("40002e01641e012e34451601", 1.0, False, 46),  # a Shelly: packet, battery, light, humidity, temperature
        ("4404138a01", None, False, None),  # a sleepy device, pressure only
        ("4000070155 3a01".replace(" ", ""), 0.85, True, 7),
        ("403a04", None, True, None),
        ("403a00", None, False, None),
        ("403a003a80", None, True, None),  # second of two buttons held
        ("40013253054162632a2a3a01", 0.5, True, None),  # a text object (5 bytes) is stepped over
        ("400132ee3a01", 0.5, False, None),  # unknown object id: what follows cannot be cut
        ("4001ff", None, False, None),  # 255 % is no battery level
        ("4002ca", None, False, None),  # value cut off
        ("40", None, False, None),
        ("4053", None, False, None),
    ],
)
def test_bthome_fields(frame, battery, pressed, packet):
    found = bthome(frame)
    assert found.ids == ("bthome:c0:de:00:00:00:01",)
    assert (found.battery, found.pressed, found.packet) == (battery, pressed, packet)


SEALED = bytes.fromhex("41a47266c95f730011223378237214")
OWNER, KEY = "54:48:E6:8F:80:A5", bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")


def test_sealed_bthome_shows_its_sender_and_nothing_else_until_it_is_opened():
    found = decode({}, {BTHOME: SEALED}, address=OWNER)
    assert found == Sighting(("bthome:54:48:e6:8f:80:a5",), sealed=SEALED)
    opened = open_sealed(found.sealed, OWNER, KEY)
    assert opened.objects == bytes.fromhex("02ca0903bf13")  # 25.06 degC, 50.55 %
    assert opened.counter == 0x33221100


@pytest.mark.parametrize(
    ("sealed", "owner", "key"),
    [
        (SEALED[:-4] + bytes.fromhex("b7ced8e5"), OWNER, KEY),
        (SEALED, "54:48:E6:8F:80:A6", KEY),
        (SEALED, OWNER, bytes(16)),
        (SEALED, OWNER, b"short"),
        (SEALED, "no address", KEY),
        (b"\x45" + SEALED[1:], OWNER, KEY),
        (SEALED[:3] + b"\0" + SEALED[4:], OWNER, KEY),
    ],
)
def test_a_sealed_frame_with_a_wrong_check_is_refused(sealed, owner, key):
    assert open_sealed(sealed, owner, key) is None


@given(st.binary(min_size=1, max_size=40), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16))
def test_what_is_sealed_opens_again(objects, counter, key):
    sealed = seal(objects, MAC, key, counter)
    opened = open_sealed(decode({}, {BTHOME: sealed}, address=MAC).sealed, MAC, key)
    assert (opened.objects, opened.counter) == (objects, counter)
    bthome_fields((), objects, b"")


def test_one_device_with_both_formats_is_one_sighting():
    found = decode({APPLE: MAMORIO, 0x0059: b"xx"}, {BTHOME: bytes.fromhex("4001323a01")}, address=MAC)
    assert found.ids == ("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:48713:63303", "bthome:c0:de:00:00:00:01")
    assert found.pressed and found.battery == 0.5 and found.payload == bytes.fromhex("4001323a01")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("iBeacon:B9407F30-F5F8-466E-AFF9-25556B57FE6E:1:2", "ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:1:2"),
        ("ibeacon:b9407f30f5f8466eaff925556b57fe6e:01:2", "ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:1:2"),
        ("bthome:C0-DE-00-00-00-01", "bthome:c0:de:00:00:00:01"),
        ("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:1:65536", None),
        ("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:1", None),
        ("ibeacon:nonsense:1:2", None),
        ("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:１:2", None),
        ("bthome:c0:de:00:00:00", None),
        ("bthome:c0:de:00:00:00:0g", None),
        ("eddystone:1", None),
        ("Eddystone:8B0CA750095477CB3E77:010203040506", "eddystone:8b0ca750095477cb3e77:010203040506"),
        ("altbeacon:" + "0f" * 20, "altbeacon:" + "0f" * 20),
        ("eid:0011223344556677", "eid:0011223344556677"),
        ("line:8ADFAF4326", "line:8adfaf4326"),
        ("line:8adfaf432", None),
        ("line:8adfaf432x", None),
        ("", None),
    ],
)
def test_ids_have_one_spelling(text, normal):
    assert normal_id(text) == normal
    assert is_tag_id(text) == (normal is not None)


@pytest.mark.shared
def test_shared_vectors(shared):
    """Frames from public sources, as raw AD structures; what is not a tag of ours yields None."""
    seen = {}
    for vector in json.loads((shared / "rigs" / "ble_vectors.json").read_text()):
        manufacturer, service = ad_structures(vector.get("adv", "").replace(" ", ""))
        for uuid16, value in vector.get("service_data", {}).items():
            service[f"0000{uuid16}-0000-1000-8000-00805f9b34fb"] = bytes.fromhex(value)
        seen[vector["name"]] = decode(manufacturer, service, address=MAC)
    tags = {name: found.ids[0] if found.ids else found for name, found in seen.items() if found is not None}
    assert len(seen) == 13 and not any(isinstance(found, Malformed) for found in seen.values())
    mac = "bthome:" + MAC.lower()
    assert tags == {
        "LINE Simple Beacon ex.1": "line:32af519e88",
        "LINE Simple Beacon ex.2": "line:8adfaf4326",
        "MAMORIO tag (iBeacon)": "ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:48713:63303",
        "NEGATIVE: same ciphertext, wrong MIC for bthome-ble 3.25 (must be rejected)": mac,
        "BTHome v2 encrypted, key 231d39c1d7cc1ab1aee224cd096db932 mac 54:48:E6:8F:80:A5 -> 25.06 C 50.55 %": mac,
        "BTHome v2 pressure 1008.83": mac,
        "BTHome v2 packet id 46, battery 100, hum 52, temp 27.8": mac,
        "BTHome v2 trigger-based (sleepy) device": mac,
        "constructed: iBeacon e2c56db5.. major 1 minor 2 tx -59": "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:2",
        "constructed: Eddystone-UID": "eddystone:8b0ca750095477cb3e77:010203040506",
        "constructed: Eddystone-TLM 3000 mV 25.5 C": Sighting((), 1.0, payload=b"\x0b\xb8"),
        "constructed: AltBeacon mfg 0x0118": "altbeacon:00112233445566778899aabbccddeeff00010002",
    }
    assert seen["BTHome v2 packet id 46, battery 100, hum 52, temp 27.8"].battery == 1.0
    opens = {name: open_sealed(found.sealed, OWNER, KEY) for name, found in seen.items() if found and found.sealed}
    assert [opened is not None for name, opened in opens.items()] == [False, True]


@pytest.mark.slow
def test_frames_bent_in_every_way_never_raise():
    """Good frames cut, stretched, doubled and with bits flipped; a million of them in `make torture`."""
    luck = random.Random(8)
    whole = [
        *((company, data) for company, data in ((APPLE, MAMORIO), (APPLE, FIND_MY), (0x0118, ALTBEACON))),
        *((EDDYSTONE, data) for data in (UID, TLM, EID)),
        *((LINE, data) for data in (LINE_SIMPLE,)),
        *((BTHOME, data) for data in (SEALED, bytes.fromhex("40002e01641e012e34451601"))),
    ]
    kinds = {Sighting: 0, Malformed: 0, type(None): 0}
    for _ in range(rounds(50_000, 1_000_000)):
        where, data = luck.choice(whole)
        bent = bytearray(data)
        for _ in range(luck.randrange(4)):
            bent[luck.randrange(len(bent))] ^= 1 << luck.randrange(8)
        cut = luck.choice((len(bent), luck.randrange(len(bent) + 1), 255))
        bent = (bytes(bent) + luck.randbytes(255))[:cut]
        found = (
            decode({where: bent}, {}, address=MAC) if isinstance(where, int) else decode({}, {where: bent}, address=MAC)
        )
        kinds[type(found)] += 1
        if isinstance(found, Sighting):
            assert all(is_tag_id(one) for one in found.ids)
            assert found.battery is None or 0 <= found.battery <= 1
    assert all(kinds.values())


@given(st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=40), max_size=3), st.binary(max_size=255))
def test_random_bytes_never_raise(manufacturer, service):
    found = decode(manufacturer, {BTHOME: service}, address=MAC)
    assert not isinstance(found, Sighting) or all(is_tag_id(i) for i in found.ids)


@given(st.binary(max_size=40))
def test_random_objects_after_a_good_head_keep_fields_in_range(tail):
    found = decode({APPLE: b"\x02\x15" + tail}, {BTHOME: b"\x40" + tail}, address=MAC)
    assert isinstance(found, Sighting)
    assert found.battery is None or 0 <= found.battery <= 1
    assert found.packet is None or 0 <= found.packet <= 255


def ad_structures(hex_text):
    """Raw advertising payload -> (manufacturer data, service data); type 0xFF and 0x16 only."""
    manufacturer, service, data = {}, {}, bytes.fromhex(hex_text)
    while data:
        size, kind, body = data[0], data[1], data[2 : data[0] + 1]
        if kind == 0xFF:
            manufacturer[int.from_bytes(body[:2], "little")] = body[2:]
        elif kind == 0x16:
            service[f"0000{body[1]:02x}{body[0]:02x}-0000-1000-8000-00805f9b34fb"] = body[2:]
        data = data[size + 1 :]
    return manufacturer, service
