"""From frames to sightings, from tag ids to day names, and where the key comes from; no radio."""

import hashlib
import hmac

import pytest

from edgeagent.errors import SourceUnavailable
from edgeagent.reading import ReadingClass
from edgeagent.sources.pseudonym import DayNames, day_key, day_of, hkdf_sha256
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.sources.tags_key import read_key
from edgeagent.wire.beacons import Sighting
from tests.fakes import FakeClock

TAG = "bthome:c0:de:00:00:00:01"
NAMES = DayNames("2026-11-23", bytes(32))


def windows(**more):
    return TagWindows("square", {TAG: "T-001"}, **{"every_s": 2.0, **more})


def seen(*, pressed=False, packet=None, payload=b"", battery=None):
    return Sighting((TAG,), battery, pressed, packet, payload)


def note(memory, second, sighting=None, rssi=-60):
    return memory.note(sighting or seen(), rssi, second, FakeClock().now)


def due(memory, second):
    return memory.due(second, lambda: NAMES)


def test_one_sighting_per_window_with_the_median_and_the_number_of_frames():
    memory = windows()
    assert note(memory, 0) is True
    assert len(due(memory, 0)) == 1
    for tenth, rssi in enumerate((-60, -90, -62, -64, -61), start=1):
        assert note(memory, tenth / 10, rssi=rssi) is False
    assert due(memory, 1.9) == ()
    (reading,) = due(memory, 2.0)
    assert (reading.quantities["rssi"].value, reading.quantities["frames"].value) == (-62, 5)
    assert due(memory, 9) == ()


def test_the_window_of_a_chatty_tag_keeps_few_values():
    memory = windows()
    for _ in range(1000):
        note(memory, 0)
    assert len(memory._tags[TAG].rssi) <= 16
    assert due(memory, 0)[0].quantities["frames"].value == 1000


def test_a_press_does_not_wait_and_goes_first():
    memory = TagWindows("square", {TAG: "T-001", "ibeacon:x": ""}, every_s=2.0)
    note(memory, 0), due(memory, 0)
    memory.note(Sighting(("ibeacon:x",)), -60, 0.1, FakeClock().now)
    assert note(memory, 0.2, seen(pressed=True, payload=b"1", battery=0.5)) is True
    first, second = due(memory, 0.2)
    assert first.cls is ReadingClass.ALARM and first.facts == {"day": "2026-11-23", "alias": "T-001"}
    assert first.quantities["battery"].value == 0.5
    assert second.facts == {"day": "2026-11-23"} and "battery" not in second.quantities


@pytest.mark.parametrize(
    ("frames", "presses"),
    [
        # (second, pressed, packet, payload)
        ([(0, True, 1, b"a"), (1, True, 1, b"a"), (2, True, 1, b"b")], 1),  # same number: the same press
        ([(0, True, 1, b"a"), (1, True, 2, b"b")], 2),
        ([(0, True, 1, b"a"), (1, False, 2, b"b"), (2, True, 3, b"c")], 2),
        ([(0, True, 1, b"a"), (4000, True, 1, b"a")], 1),  # numbered: a pause proves nothing
        ([(0, True, None, b"a"), (1, True, None, b"a"), (29, True, None, b"a")], 1),
        ([(0, True, None, b"a"), (31, True, None, b"a")], 2),  # unnumbered: after a pause it is a new one
        ([(0, True, None, b"a"), (20, True, None, b"a"), (40, True, None, b"a")], 1),  # never paused
        ([(0, True, None, b"a"), (1, False, None, b""), (2, True, None, b"a")], 1),  # an iBeacon frame between
        ([(0, True, None, b"a"), (1, False, None, b"c"), (2, True, None, b"a")], 2),  # released and pressed
    ],
)
def test_which_press_is_a_new_one(frames, presses):
    memory, told = windows(every_s=0.1), 0
    for second, pressed, packet, payload in frames:
        note(memory, second, seen(pressed=pressed, packet=packet, payload=payload))
        told += sum(reading.quantities["sos"].value for reading in due(memory, second))
    assert told == presses


def test_what_bluez_remembers_is_no_new_press_but_the_next_one_is():
    memory = windows(every_s=0.1)
    memory.remember(seen(pressed=True, packet=7, payload=b"a"), 0)
    note(memory, 1, seen(pressed=True, packet=7, payload=b"a"))
    assert [r.quantities["sos"].value for r in due(memory, 1)] == [False]
    memory.remember(seen(pressed=True, packet=8, payload=b"b"), 2)  # said while we were restarting: still news
    note(memory, 3, seen(pressed=True, packet=8, payload=b"b"))
    assert [r.quantities["sos"].value for r in due(memory, 3)] == [True]


def test_hkdf_matches_rfc_5869_test_case_1():
    found = hkdf_sha256(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), length=42)
    assert found.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def test_pseudonyms_change_with_day_gateway_and_key_and_can_be_made_by_the_city():
    key = b"shared with the city"
    names = {
        DayNames(day, day_key(secret, day, gateway)).pseudonym(TAG)
        for day in ("2026-11-23", "2026-11-24")
        for gateway in ("GW-1", "GW-2")
        for secret in (key, key + b"!")
    }
    assert len(names) == 8
    prk = hmac.new(b"edgeagent tags v1", key, hashlib.sha256).digest()
    of_day = hmac.new(prk, b"2026-11-23/GW-1\x01", hashlib.sha256).digest()
    assert hmac.new(of_day, TAG.encode(), hashlib.sha256).hexdigest()[:16] in names
    assert "key" not in repr(DayNames("2026-11-23", key))


def test_the_day_is_utc():
    assert day_of(1_795_391_999_999) == "2026-11-22"
    assert day_of(1_795_392_000_000) == "2026-11-23"


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    key = read_key("tags-key", tmp_path)
    assert len(key) == 64 and (tmp_path / "tags-key").stat().st_mode & 0o777 == 0o600
    assert read_key("tags-key", tmp_path) == key
    assert [file.name for file in tmp_path.iterdir()] == ["tags-key"]


def test_a_credential_comes_before_the_state_directory(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "tags-key").write_text("the city's own secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert read_key("tags-key", tmp_path) == b"the city's own secret"
    assert len(read_key("other-key", tmp_path)) == 64


def test_a_key_that_is_too_short_or_cannot_be_made_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "tags-key").write_text("1234\n")
    with pytest.raises(SourceUnavailable) as caught:
        read_key("tags-key", tmp_path)
    assert caught.value.code == "tags.key-short" and caught.value.facts["bytes"] == 4
    with pytest.raises(SourceUnavailable) as caught:
        read_key("tags-key", tmp_path / "nowhere")
    assert caught.value.code == "tags.key-unusable"
