"""The attack and failure cases of the trust layer, numbered as they were first collected (39), and more."""

import hashlib
import random
import shutil

import pytest
from tuf.api.metadata import MetaFile
from tuf.ngclient import Updater
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

from edgeagent.errors import UpdateRefused, UpdateUnavailable
from edgeagent.reading import TimeTrust
from edgeagent.update import durable
from edgeagent.update.trust import Trust, effective_s
from tests.fakes import FakeClock
from tests.update.forge import DAY, NOW_S, Forge, Shelf, key

PATH = "city-007/gw0003.toml"
OTHERS = "city-009/gw0001.toml"
MODEL = "models/vehicle.onnx"
BIG = random.Random(5).randbytes(400_000)


class Box:
    """A gateway: a folder that outlives polls, a clock, a shelf it polls."""

    def __init__(self, folder, forge):
        self.folder, self.forge, self.shelf = folder, forge, Shelf(forge.files)
        self.clock, self.built_s = FakeClock(), 0

    def poll(self, path=PATH):
        """(sha256 of the target's content, versions) as one short-lived process would see it."""
        trust = Trust(self.folder, self.shelf, self.forge.bootstrap, self.clock, built_s=self.built_s)
        seen = trust.refresh()
        target = trust.find(path)
        return trust.fetch(target).read_bytes(), seen.versions

    def refused(self, code, path=PATH):
        with pytest.raises(UpdateRefused) as caught:
            self.poll(path)
        assert caught.value.code == f"update.{code}", caught.value
        return caught.value

    def twin(self, name):
        """Another box with the same past."""
        shutil.copytree(self.folder, self.folder.parent / name, symlinks=True)
        return Box(self.folder.parent / name, self.forge)

    def file(self, name):
        return self.folder / "metadata" / name


@pytest.fixture
def forge():
    made = Forge()
    made.put("city-007", PATH, b"seq = 1\n", seq=1)
    made.put("city-009", OTHERS, b"seq = 9\n", seq=1)
    made.put("targets", MODEL, BIG)
    made.publish()
    return made


@pytest.fixture
def box(tmp_path, forge):
    """A box that has seen the current state."""
    one = Box(tmp_path / "box", forge)
    assert one.poll()[0] == b"seq = 1\n"
    return one


def test_01_first_contact_with_the_installed_root(tmp_path, forge):
    box = Box(tmp_path / "box", forge)
    content, versions = box.poll()
    assert content == b"seq = 1\n" and versions == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
    assert box.shelf.requests == 6


@pytest.mark.parametrize("case", [2, 3, 4])
def test_02_to_04_no_change_costs_two_requests_and_no_write(box, case):
    box.poll()
    before = {p: p.stat().st_mtime_ns for p in box.folder.rglob("*") if p.is_file() and not p.is_symlink()}
    box.shelf.requests = 0
    box.poll()
    assert box.shelf.requests == 2
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_05_config_update(box, forge):
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    forge.publish("city-007")
    box.shelf.requests = 0
    assert box.poll()[0] == b"seq = 2\n"
    assert box.shelf.requests == 5


def test_06_large_target_first(box):
    assert box.poll(MODEL)[0] == BIG


def test_07_large_target_no_change(box):
    box.poll(MODEL)
    box.shelf.fetched = 0
    assert box.poll(MODEL)[0] == BIG and box.shelf.fetched < 2000


def older(forge):
    """The timestamp before the newest."""
    kept = forge.files["metadata/timestamp.json"]
    forge.publish_timestamp()
    return kept


def test_08_older_signed_timestamp_replayed(box, forge):
    kept = older(forge)
    box.poll()
    forge.files["metadata/timestamp.json"] = kept
    box.refused("older-than-seen")


def test_09_the_same_replay_reaches_a_box_without_memory_until_it_expires(tmp_path, forge):
    kept = older(forge)
    forge.files["metadata/timestamp.json"] = kept
    fresh = Box(tmp_path / "fresh", forge)
    fresh.poll()  # inherent: nothing was seen yet
    fresh.clock.wall_ms += 15 * DAY * 1000
    fresh.refused("expired")


def test_10_old_snapshot_under_the_new_number(box, forge):
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    forge.publish("city-007")
    forge.files["metadata/2.snapshot.json"] = forge.files["metadata/1.snapshot.json"]
    box.refused("older-than-seen")


@pytest.mark.parametrize(
    ("case", "spoil"),
    [(11, lambda b: b.replace(b"1", b"2")), (12, lambda b: b[:4]), (13, lambda b: b + b"x" * 1_000_000)],
    ids=["11-same-length", "12-short", "13-endless"],
)
def test_11_to_14_tampered_target_and_repair(box, forge, case, spoil):
    at = forge.put("city-007", PATH, b"real = 1\n", seq=2)
    forge.publish("city-007")
    good = forge.files[at]
    forge.files[at] = spoil(good)
    box.shelf.fetched = 0
    box.refused("tampered")
    assert box.shelf.fetched < 20_000, "an endless file is not read to its end"
    assert not list(box.folder.glob("targets/*.part"))
    forge.files[at] = good
    assert box.poll()[0] == b"real = 1\n"  # case 14


def test_15_tampered_delegated_metadata(tmp_path, forge):
    name = "metadata/1.city-007.json"
    forge.files[name] = forge.files[name].replace(b'"length":8', b'"length":9')
    Box(tmp_path / "new", forge).refused("not-signed")


def test_16_a_citys_key_cannot_write_another_citys_files(box, forge):
    forge.put("city-007", OTHERS, b"evil = 1\n")
    forge.publish("city-007")
    assert box.poll(OTHERS)[0] == b"seq = 9\n"


def test_17_to_19_freeze_silence_and_resigned(box, forge):
    forge.publish_timestamp(expires_s=NOW_S - 5)
    box.refused("expired")
    box.shelf.away = True
    with pytest.raises(UpdateUnavailable) as caught:  # 18: the server is gone, what is held stays
        box.poll()
    assert caught.value.code == "update.unreachable"
    assert (box.folder / "targets" / hashlib.sha256(b"seq = 1\n").hexdigest()).read_bytes() == b"seq = 1\n"
    box.shelf.away = False
    forge.publish_timestamp()
    assert box.poll()[0] == b"seq = 1\n"


def test_20_21_timestamp_key_rotated_and_the_revoked_one_used(box, forge):
    thief = forge.keys["timestamp"][0]
    forge.rotate("timestamp")
    forge.next_root()
    forge.publish_timestamp()
    assert box.poll()[1]["root"] == 2
    evil = forge.stolen(forge.timestamp)
    evil.signed.version += 50
    evil.signatures.clear()
    evil.sign(thief)
    forge.write(evil, "timestamp")
    box.refused("not-signed")


def test_22_to_24_root_keys_replaced(tmp_path, box, forge):
    away = box.twin("away")
    revoked, new = forge.keys["root"][0], key()
    forge.root.signed.revoke_key(revoked.public_key.keyid, "root")
    forge.root.signed.add_key(new.public_key, "root")
    forge.keys["root"] = [*forge.keys["root"][1:], new]
    forge.sign(forge.root, "root")
    forge.root.signed.version += 1
    forge.root.signatures.clear()
    for one in (revoked, *forge.keys["root"]):  # old and new threshold both met
        forge.root.sign(one, append=True)
    forge.write(forge.root, "root", 2)
    assert box.poll()[1]["root"] == 2
    evil = forge.stolen(forge.root)
    evil.signed.version = 3
    evil.signatures.clear()
    evil.sign(revoked)
    evil.sign(new, append=True)
    forge.write(evil, "root", 3)
    box.refused("not-signed")  # 23
    del forge.files["metadata/3.root.json"]
    forge.next_root()
    away.shelf.requests = 0
    assert away.poll()[1]["root"] == 3  # 24: offline since version 1
    assert Box(tmp_path / "new", forge).poll()[1]["root"] == 3


def test_25_city_key_rotated_without_a_root_ceremony(box, forge):
    delegations = forge.targets.signed
    delegations.revoke_key(forge.keys["city-007"][0].public_key.keyid, "city-007")
    forge.keys["city-007"] = [key()]
    delegations.add_key(forge.keys["city-007"][0].public_key, "city-007")
    forge.publish("targets", "city-007")
    assert box.poll()[1]["targets"] == 2


def test_26_to_29_fast_forward_and_recovery(box, forge):
    robbed = box.twin("robbed")
    honest = forge.snapshot.signed.version, forge.timestamp.signed.version
    forge.snapshot.signed.version = 2**31
    forge.publish_snapshot(bump=False)
    forge.timestamp.signed.version = 2**31
    forge.publish_timestamp(bump=False)
    assert robbed.poll()[1]["timestamp"] == 2**31  # 26: inherent, the thief holds both online keys
    forge.snapshot.signed.version, forge.timestamp.signed.version = honest
    forge.publish_timestamp()
    robbed.refused("older-than-seen")  # 27
    forge.rotate("snapshot")
    forge.rotate("timestamp")
    forge.next_root()
    forge.publish_snapshot()
    forge.publish_timestamp()
    assert robbed.poll()[1]["snapshot"] == honest[0] + 1  # 28
    assert box.poll()[1]["root"] == 2  # 29
    robbed.poll()


def test_recovery_needs_the_keys_changed_and_never_lowers_the_root(box, forge):
    """Only the floors of the roles whose keys changed start again."""
    forge.publish_timestamp()
    box.poll()
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        box.file(name).write_bytes(b"")
    forge.rotate("snapshot")
    forge.next_root()
    forge.publish_snapshot()
    forge.timestamp.signed.version = 1
    forge.publish_timestamp(bump=False)
    assert box.refused("older-than-seen").facts["role"] == "timestamp"


@pytest.mark.parametrize(
    ("case", "wall_s", "trust", "code"),
    [
        (30, 60, TimeTrust.UNSYNCED, None),
        (31, 1_704_067_200, TimeTrust.UNSYNCED, None),
        (32, 2_208_988_800, TimeTrust.UNSYNCED, "update.clock-ahead"),
        (32, 2_208_988_800, TimeTrust.SYNCED, "update.expired"),
    ],
    ids=["30-1970", "31-2024", "32-2040-not-synchronised", "32-2040-synchronised"],
)
def test_30_to_32_wrong_clocks_with_a_valid_repository(box, case, wall_s, trust, code):
    box.clock.wall_ms, box.clock.trust = wall_s * 1000, trust
    if code is None:
        box.poll()
        return
    with pytest.raises((UpdateUnavailable, UpdateRefused)) as caught:
        box.poll()
    assert caught.value.code == code
    box.clock.wall_ms, box.clock.trust = NOW_S * 1000, TimeTrust.SYNCED
    box.poll()  # nothing was deleted, the floor is not poisoned


def test_33_clock_1970_and_expired_on_a_new_box_is_refused_by_the_build_time(tmp_path, forge):
    forge.publish_timestamp(expires_s=NOW_S - 20 * DAY)
    new = Box(tmp_path / "new", forge)
    new.clock.wall_ms, new.clock.trust, new.built_s = 60_000, TimeTrust.UNSYNCED, NOW_S - 10 * DAY
    new.refused("expired")


def test_34_clock_1970_and_expired_is_refused_by_the_time_floor(box, forge):
    forge.publish_timestamp(expires_s=NOW_S - 5)
    box.clock.wall_ms, box.clock.trust = 60_000, TimeTrust.UNSYNCED
    box.refused("expired")


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json"], ids=["35", "36", "37"])
def test_35_to_37_a_cached_file_is_empty(box, name):
    box.file(name).write_bytes(b"")
    assert box.poll()[0] == b"seq = 1\n"


def test_38_the_whole_root_history_is_empty(box, forge):
    forge.next_root()
    box.poll()
    for file in box.file("root_history").glob("*.json"):
        file.write_bytes(b"")
    assert box.poll()[1]["root"] == 2


def test_39_empty_cache_then_an_older_timestamp(box, forge):
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    before = {n: b for n, b in forge.files.items() if n == "metadata/timestamp.json"}
    forge.publish("city-007")
    box.poll()
    for name in ("timestamp.json", "snapshot.json", "targets.json", "city-007.json"):
        box.file(name).write_bytes(b"")
    forge.files.update(before)
    box.refused("older-than-seen")


def test_a_citys_older_metadata_is_refused_after_an_empty_cache_too(box, forge):
    """Thief of both online keys, box without cache: the floor of the delegated role still stands."""
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    forge.publish("city-007")
    box.poll()
    shutil.rmtree(box.folder / "metadata")
    forge.snapshot.signed.meta["city-007.json"] = MetaFile(1)
    forge.publish_snapshot()
    forge.publish_timestamp()
    assert box.refused("older-than-seen").facts["role"] == "city-007"


def test_a_clock_far_ahead_that_is_vouched_for_is_believed():
    assert effective_s(NOW_S + 900 * DAY, NOW_S, 0, synced=True) == NOW_S + 900 * DAY
    assert effective_s(60, NOW_S, NOW_S - DAY, synced=False) == NOW_S
    with pytest.raises(UpdateUnavailable):
        effective_s(NOW_S + 401 * DAY, NOW_S, 0, synced=False)


def test_an_unsynchronised_clock_does_not_move_the_floor(box, forge):
    box.clock.trust = TimeTrust.UNSYNCED
    box.clock.wall_ms += 10 * DAY * 1000
    forge.put("city-007", PATH, b"seq = 2\n", seq=2)
    forge.publish("city-007")
    box.poll()
    box.clock.wall_ms -= 10 * DAY * 1000
    forge.publish_timestamp(expires_s=NOW_S + DAY)
    box.poll()


def test_a_download_goes_on_where_the_line_broke(box):
    box.shelf.cut_after = 300_000
    with pytest.raises(UpdateUnavailable):
        box.poll(MODEL)
    box.shelf.cut_after = None
    assert box.poll(MODEL)[0] == BIG
    assert box.shelf.asked[-1][1] == 300_000


def test_a_half_written_part_is_thrown_away(box):
    part = box.folder / "targets" / f"{hashlib.sha256(BIG).hexdigest()}.part"
    for rubbish in (b"\0" * 200_000, b"x" * len(BIG), b"y" * (len(BIG) + 5)):
        part.write_bytes(rubbish)
        assert box.poll(MODEL)[0] == BIG
        (box.folder / "targets" / hashlib.sha256(BIG).hexdigest()).unlink()


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"null", b"[" * 100_000, b'{"signed":{"_type":"root"},"signatures":[]}'],
)
@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json", "1.snapshot.json"])
def test_rubbish_from_a_server_is_refused_and_harms_nothing(box, forge, name, rubbish):
    kept = dict(forge.files)
    if name == "1.snapshot.json":
        box.file("snapshot.json").write_bytes(b"")
    forge.files[f"metadata/{name}"] = rubbish
    with pytest.raises((UpdateRefused, UpdateUnavailable)):
        box.poll()
    forge.files.clear()
    forge.files.update(kept)
    assert box.poll()[0] == b"seq = 1\n"


def test_a_full_disk_is_unavailable_not_untrusted(box, forge, monkeypatch):
    forge.publish_timestamp()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write", full)
    with pytest.raises(UpdateUnavailable) as caught:
        box.poll()
    assert caught.value.code == "update.disk"


def test_the_private_names_of_tuf_that_we_stand_on():
    assert callable(Updater._persist_file)
    made = TrustedMetadataSet.__init__.__code__.co_names
    assert "reference_time" in made and "_trusted_set" in made


def test_prune_keeps_what_is_named(box):
    box.poll(MODEL)
    trust = Trust(box.folder, box.shelf, box.forge.bootstrap, box.clock)
    trust.prune({hashlib.sha256(BIG).hexdigest()})
    assert [p.name for p in (box.folder / "targets").iterdir()] == [hashlib.sha256(BIG).hexdigest()]


def test_an_empty_file_is_a_file(box, forge):
    forge.put("city-007", PATH, b"", seq=2)
    forge.publish("city-007")
    assert box.poll()[0] == b""


@pytest.mark.parametrize("digest", ["../../../evil", "", "A" * 64, "/etc/passwd"])
def test_a_signed_hash_that_is_no_hash_becomes_no_file_name(box, forge, digest):
    forge.put("city-007", PATH, b"x", seq=2)
    forge.cities["city-007"].signed.targets[PATH].hashes = {"sha256": digest}
    forge.publish("city-007")
    before = {p for p in box.folder.parent.rglob("*") if p.name != "city-007.json"}
    box.refused("bad-metadata")
    new = set(box.folder.parent.rglob("*")) - before
    assert {p.name for p in new} <= {"city-007.json"}
