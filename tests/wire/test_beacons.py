"""Advertisements -> tag fields: recorded and constructed frames, and bytes that are neither."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.beacons import APPLE, BTHOME, Sighting, decode, is_tag_id, normal_id

MAC = "C0:DE:00:00:00:01"
MAMORIO = bytes.fromhex("0215b9407f30f5f8466eaff925556b57fe6ebe49f747b5")
FIND_MY = bytes.fromhex("12190057364dc7fb77866c40c91076603cb37c1f59f923ab3a0300")


def bthome(hex_text):
    return decode({}, {BTHOME: bytes.fromhex(hex_text)}, address=MAC)


def test_ibeacon_identity_is_in_the_payload():
    found = decode({APPLE: MAMORIO}, {}, address=MAC)
    assert found == Sighting(("ibeacon:b9407f30-f5f8-466e-aff9-25556b57fe6e:48713:63303",))


@pytest.mark.parametrize(
    "data",
    [FIND_MY, MAMORIO[:-1], MAMORIO + b"\0", b"", b"\x02", b"\x02\x15", b"\x10\x05\x01\x18" + bytes(19)],
    ids=["find-my", "short", "long", "empty", "one", "head", "nearby"],
)
def test_what_else_apple_devices_say_is_dropped(data):
    assert decode({APPLE: data}, {}, address=MAC) is None


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


@pytest.mark.parametrize("frame", ["", "41a47266c95f730011223378237214", "2002c409", "00"])
def test_bthome_encrypted_or_other_version_is_not_read(frame):
    assert bthome(frame) is None


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
    tags = {name: found for name, found in seen.items() if found}
    assert len(seen) == 13
    assert tags.pop("MAMORIO tag (iBeacon)").ids[0].endswith(":48713:63303")
    assert tags.pop("constructed: iBeacon e2c56db5.. major 1 minor 2 tx -59").ids == (
        "ibeacon:e2c56db5-dffb-48d2-b060-d0f5a71096e0:1:2",
    )
    assert tags.pop("BTHome v2 packet id 46, battery 100, hum 52, temp 27.8").battery == 1.0
    assert sorted(tags) == ["BTHome v2 pressure 1008.83", "BTHome v2 trigger-based (sleepy) device"]


@given(st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=40), max_size=3), st.binary(max_size=255))
def test_random_bytes_never_raise(manufacturer, service):
    found = decode(manufacturer, {BTHOME: service}, address=MAC)
    assert found is None or all(is_tag_id(i) for i in found.ids)


@given(st.binary(max_size=40))
def test_random_objects_after_a_good_head_keep_fields_in_range(tail):
    found = decode({APPLE: b"\x02\x15" + tail}, {BTHOME: b"\x40" + tail}, address=MAC)
    assert found is not None
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
