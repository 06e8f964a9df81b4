"""From frames to sightings, from tag ids to day names, and where the key comes from; no radio."""

import hashlib
import hmac

import pytest

from edgeagent.errors import SourceUnavailable
from edgeagent.reading import ReadingClass
from edgeagent.sources.allow_list import AllowList, Listed
from edgeagent.sources.enrolled_tags import add_enrolled, read_enrolled
from edgeagent.sources.pseudonym import DayNames, Names, day_key, day_of, gateway_key, hkdf_sha256, keyed_hash, list_key
from edgeagent.sources.tag_windows import TagWindows
from edgeagent.sources.tags_key import read_key, read_tag_keys
from edgeagent.sources.told_presses import Told, ToldPresses
from edgeagent.wire.beacons import Sighting
from edgeagent.wire.bthome_cipher import seal
from tests.fakes import FakeClock

MAC = "C0:DE:00:00:00:01"
TAG = f"bthome:{MAC.lower()}"
DAY = "2026-11-18"  # of FakeClock
KEY = bytes(32)
LIST_KEY = list_key(KEY)
NAMES = Names(KEY, "GW-1")


def line(tag=TAG, alias="", **more):
    return Listed(keyed_hash(LIST_KEY, tag).hex(), alias, **more)


def windows(*lines, **more):
    allowed = AllowList(LIST_KEY, lines or [line(alias="T-001")])
    return TagWindows("square", allowed, **{"every_s": 2.0, **more})


def seen(*, pressed=False, packet=None, payload=b"", battery=None):
    return Sighting((TAG,), battery, pressed, packet, payload)


def note(memory, second, sighting=None, rssi=-60):
    return memory.note(sighting or seen(), rssi, second, FakeClock().now)


def due(memory, second):
    return memory.due(second, FakeClock().now(), NAMES)


def test_one_sighting_per_window_with_the_median_and_the_number_of_frames():
    memory = windows()
    assert note(memory, 0) is False
    assert len(due(memory, 0)) == 1
    for tenth, rssi in enumerate((-60, -90, -62, -64, -61), start=1):
        assert note(memory, tenth / 10, rssi=rssi) is False
    assert due(memory, 1.9) == []
    (reading,) = due(memory, 2.0)
    assert (reading.quantities["rssi"].value, reading.quantities["frames"].value) == (-62, 5)
    assert due(memory, 9) == []


def test_the_window_of_a_chatty_tag_keeps_few_values():
    memory = windows()
    for _ in range(1000):
        note(memory, 0)
    assert len(memory._tags[TAG].rssi[0]) <= 16
    assert due(memory, 0)[0].quantities["frames"].value == 1000


def test_a_press_does_not_wait_and_goes_first():
    memory = windows(line(alias="T-001"), line("ibeacon:x"))
    note(memory, 0), due(memory, 0)
    memory.note(Sighting(("ibeacon:x",)), -60, 0.1, FakeClock().now)
    assert note(memory, 0.2, seen(pressed=True, payload=b"1", battery=0.5)) is True
    first, second = due(memory, 0.2)
    assert first.cls is ReadingClass.ALARM and first.facts == {"day": DAY, "alias": "T-001"}
    assert first.quantities["battery"].value == 0.5
    assert second.facts == {"day": DAY} and "battery" not in second.quantities


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
        ([(0, True, None, b"a"), (1, True, None, b"b")], 1),  # still held; only the battery changed
    ],
)
def test_which_press_is_a_new_one(frames, presses):
    memory, told = windows(every_s=0.1), 0
    for second, pressed, packet, payload in frames:
        note(memory, second, seen(pressed=pressed, packet=packet, payload=payload))
        told += sum(reading.quantities["sos"].value for reading in due(memory, second))
    assert told == presses


def presses(memory, second):
    return sum(reading.quantities["sos"].value for reading in due(memory, second))


@pytest.mark.parametrize("packet", [7, None])
def test_what_was_told_before_a_restart_is_no_new_press_whether_bluez_shows_it_or_the_tag_repeats_it(packet):
    before = windows(every_s=0.1)
    press = seen(pressed=True, packet=packet, payload=b"a")
    note(before, 0, press)
    assert presses(before, 0) == 1
    told = dict(before.news())
    assert before.news() == {}
    for shown in (True, False):
        memory = windows(every_s=0.1, told=told)
        if shown:
            memory.remember(press, 100)
        for second in range(100, 200, 10):
            note(memory, second, press)
            assert presses(memory, second) == 0
        note(memory, 201, seen(pressed=False, packet=packet and 8, payload=b"b"))
        note(memory, 202, seen(pressed=True, packet=packet and 9, payload=b"a"))
        assert presses(memory, 202) == 1


@pytest.mark.parametrize("packet", [7, None])
def test_a_press_that_nobody_was_told_is_told_after_the_restart(packet):
    told = {line().hash: Told("0" * 16, packet and 6, wall_ms=FakeClock().wall_ms)}
    for shown in (True, False):
        memory = windows(every_s=0.1, told=told)
        press = seen(pressed=True, packet=packet, payload=b"a")
        if shown:  # it was pressed while we were away: BlueZ heard it, we did not
            memory.remember(press, 100)
        note(memory, 101, press)
        note(memory, 102, press)
        assert presses(memory, 102) == 1


def test_an_unnumbered_press_told_long_ago_is_a_new_one():
    told = dict(windows_after_press().news())
    (only,) = told.values()
    old = {line().hash: Told(only.said, wall_ms=only.wall_ms - 2 * 3_600_000)}
    memory = windows(told=old)
    note(memory, 0, seen(pressed=True, payload=b"a"))
    assert presses(memory, 0) == 1


def windows_after_press():
    memory = windows()
    note(memory, 0, seen(pressed=True, payload=b"a"))
    assert presses(memory, 0) == 1
    return memory


def test_what_is_noted_of_a_press_names_nobody(tmp_path):
    file = ToldPresses(tmp_path, "square")
    assert file.read() == {}
    file.write(windows_after_press().news())
    text = (tmp_path / "tags-told-square.json").read_text()
    assert MAC not in text.upper() and "bthome" not in text and "T-001" in text
    again = ToldPresses(tmp_path, "square")
    assert dict(again.read()) == dict(file._told) != {}
    (tmp_path / "tags-told-square.json").write_text('{"torn')
    assert ToldPresses(tmp_path, "square").read() == {}


def test_two_radios_hear_one_tag_and_the_better_one_tells_the_strength():
    memory = windows()
    for radio, rssi in ((0, -80), (1, -60), (0, -82), (1, -62), (1, -64)):
        memory.note(seen(), rssi, 0, FakeClock().now, radio=radio)
    (reading,) = due(memory, 0)
    assert (reading.quantities["rssi"].value, reading.quantities["frames"].value) == (-62, 5)


def test_a_press_heard_by_both_radios_is_one_press():
    memory = windows(every_s=0.1)
    for radio in (0, 1, 0, 1):
        memory.note(seen(pressed=True, packet=3, payload=b"x"), -60, 0.1 * radio, FakeClock().now, radio=radio)
        due(memory, 0.1 * radio + 0.05)
    assert len(memory.news()) == 1


def test_strangers_leave_nothing():
    memory = windows()
    for number in range(1000):
        found = Sighting((f"ibeacon:{number}",), pressed=True, payload=b"x")
        assert memory.note(found, -50, 0, FakeClock().now, address=f"C1:{number}") is False
    assert due(memory, 0) == [] and memory._tags == {} and memory._by_address == {} and memory._allowed._known == {}


def test_a_battery_frame_without_an_id_belongs_to_who_had_its_address_a_moment_ago():
    eddystone = "eddystone:8b0ca750095477cb3e77:010203040506"
    memory = windows(line(eddystone))
    telemetry = Sighting((), 0.7, payload=b"xx")
    now = FakeClock().now
    assert memory.note(telemetry, -60, 0, now, address=MAC) is False
    memory.note(Sighting((eddystone,)), -60, 1, now, address=MAC)
    due(memory, 1)
    memory.note(telemetry, -60, 5, now, address=MAC)
    assert due(memory, 5)[0].quantities["battery"].value == 0.7
    memory.note(telemetry, -60, 50, now, address=MAC)
    assert due(memory, 50) == []


def test_a_sighting_bears_the_time_of_its_last_frame():
    memory = windows()
    note(memory, 10)
    now = FakeClock().now()
    assert (due(memory, 11.5)[0].at.wall_ms, now.wall_ms) == (now.wall_ms - 1500, now.wall_ms)


def test_what_is_said_again_is_not_decoded_again_and_strangers_are_not_learnt():
    memory, data = windows(), {0xFFFF: b"x"}
    memory.learn(MAC, data, {}, seen())
    assert memory.repeats(MAC, data, {}) is None
    memory.note(seen(), -60, 0, FakeClock().now, address=MAC)
    memory.learn(MAC, data, {}, seen())
    assert memory.repeats(MAC, {0xFFFF: b"x"}, {}) == seen()
    assert memory.repeats(MAC, {0xFFFF: b"y"}, {}) is memory.repeats("C1:5A", data, {}) is None


def test_the_canary_proves_that_the_radio_hears_and_is_nobody():
    memory = windows(line("line:8adfaf4326", canary=True), line())
    memory.note(Sighting(("line:8adfaf4326",)), -30, 7, FakeClock().now)
    assert memory.canary_s == 7 and due(memory, 7) == []


TAG_KEY = bytes(range(16))
CALM, PRESSED = bytes.fromhex("000701553a00"), bytes.fromhex("000801553a01")


def sealed(memory, objects, counter, second, *, key=TAG_KEY, address=MAC):
    frame = Sighting((TAG,), sealed=seal(objects, address, key, counter))
    memory.note(frame, -60, second, FakeClock().now, address=MAC)
    return presses(memory, second)


def test_an_encrypted_tag_is_read_with_its_key():
    memory = windows(line(key=TAG_KEY), every_s=0.1)
    assert sealed(memory, CALM, 1000, 0) == 0
    assert sealed(memory, PRESSED, 1001, 1) == 1
    assert sealed(memory, PRESSED, 1001, 2) == 0  # the same frame, repeated
    assert memory._tags[TAG].battery == 0.85 and not memory.refused


def test_frames_that_are_not_believed_are_counted_and_move_nothing():
    memory = windows(line(key=TAG_KEY), every_s=0.1)
    assert sealed(memory, CALM, 1000, 0) == 0
    assert sealed(memory, PRESSED, 1001, 1, key=bytes(16)) == 0
    assert sealed(memory, PRESSED, 1001, 1, address="C0:DE:00:00:00:02") == 0
    assert sealed(memory, PRESSED, 999, 2) == 0
    note(memory, 3, seen(pressed=True, packet=9, payload=b"plain"))
    assert due(memory, 3) == []
    assert memory.refused == {"tags.bad-check": 2, "tags.replayed": 1, "tags.unsealed": 1}


def test_a_changed_battery_begins_anew_after_a_silence_and_a_replay_does_not():
    memory = windows(line(key=TAG_KEY), every_s=0.1)
    sealed(memory, CALM, 1000, 0)
    assert sealed(memory, PRESSED, 5, 100) == 0
    assert sealed(memory, PRESSED, 500, 1000) == 0
    assert sealed(memory, PRESSED, 5, 1000) == 1


def test_counters_of_encrypted_tags_outlive_a_restart():
    before = windows(line(key=TAG_KEY), every_s=0.1)
    sealed(before, CALM, 1000, 0)
    assert sealed(before, PRESSED, 1001, 1) == 1
    told = {**before.counters(), **before.news()}
    memory = windows(line(key=TAG_KEY), every_s=0.1, told=told)
    assert sealed(memory, PRESSED, 1001, 0) == 0  # what BlueZ still shows
    assert sealed(memory, CALM, 1000, 1) == 0 and memory.refused == {"tags.replayed": 1}
    assert sealed(memory, PRESSED, 1002, 2) == 0  # sealed anew, and still packet 8
    assert sealed(memory, bytes.fromhex("000901553a01"), 1003, 3) == 1


def test_an_encrypted_tag_without_its_key_is_here_and_says_nothing():
    memory = windows(every_s=0.1)
    assert sealed(memory, PRESSED, 1, 0) == 0
    assert memory._tags[TAG].heard_s == 0 and memory.refused == {"tags.no-tag-key": 1}


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


def test_names_keep_the_keys_of_two_days_and_the_alias_lasts_a_year():
    names, day_ms = Names(KEY, "GW-1"), 86_400_000
    monday = 1_795_392_000_000
    first = names.of_day(monday).pseudonym(TAG)
    assert names.of_day(monday + day_ms).pseudonym(TAG) != first == names.of_day(monday).pseudonym(TAG)
    for day in range(5):
        names.of_day(monday + day * day_ms)
    assert len(names._days) == 2
    assert names.alias(TAG, monday) == names.alias(TAG, monday + 30 * day_ms) != names.alias(TAG, monday + 60 * day_ms)
    assert names.alias(TAG, monday) != Names(KEY, "GW-2").alias(TAG, monday)
    assert "key" not in repr(names.of_day(monday))


def test_a_gateways_key_and_the_hashes_of_the_list_can_be_made_by_the_city():
    """The recipe of the README, spelled out with the standard library alone."""

    def hkdf(key, info):
        extracted = hmac.new(b"edgeagent tags v1", key, hashlib.sha256).digest()
        return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()

    city = b"the city's own secret"
    of_gateway = hkdf(city, b"gateway/GW-1").hex().encode()
    assert gateway_key(city, "GW-1").encode() == of_gateway
    assert list_key(of_gateway) == hkdf(of_gateway, b"allow-list")
    assert (
        keyed_hash(list_key(of_gateway), TAG)
        == hmac.digest(hkdf(of_gateway, b"allow-list"), TAG.encode(), "sha256")[:16]
    )


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


def test_keys_of_tags_stand_one_a_line(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read_tag_keys("tags-keys", tmp_path) == {}
    (tmp_path / "tags-keys").write_text(f"# tags\n{'AB' * 16}  {'00' * 16}  # T-1\n\n")
    assert read_tag_keys("tags-keys", tmp_path) == {"ab" * 16: bytes(16)}
    (tmp_path / "tags-keys").write_text(f"{'ab' * 16} {'00' * 15}\n")
    with pytest.raises(SourceUnavailable) as caught:
        read_tag_keys("tags-keys", tmp_path)
    assert (caught.value.code, caught.value.facts["line"]) == ("tags.bad-tag-key", 1)


def test_enrolled_tags_are_hashes_in_a_file_of_their_own(tmp_path):
    assert read_enrolled(tmp_path) == {}
    assert add_enrolled(tmp_path, "ab" * 16, "T-1") is True
    assert add_enrolled(tmp_path, "cd" * 16, "") is True
    assert add_enrolled(tmp_path, "ab" * 16, "") is False
    assert read_enrolled(tmp_path) == {"ab" * 16: "T-1", "cd" * 16: ""}
    assert (tmp_path / "tags-enrolled").stat().st_mode & 0o777 == 0o600
    (tmp_path / "tags-enrolled").write_text("C0:DE:00:00:00:01\n")
    with pytest.raises(SourceUnavailable) as caught:
        read_enrolled(tmp_path)
    assert caught.value.code == "tags.bad-enrolled"
