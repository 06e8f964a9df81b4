"""The maintainer's folder: made, published, rolled out, halted, kept alive, keys changed; a gateway looks on."""

import contextlib
import json

import pytest
from tuf.api.metadata import Metadata

from edgeagent.errors import ConfigError, UpdateRefused
from edgeagent.fleet import books as book
from edgeagent.fleet.books import Gateway
from edgeagent.fleet.ceremony import Ceremony
from edgeagent.fleet.repository import Repository
from edgeagent.update.origin import FolderOrigin
from edgeagent.update.resolve import layers_of
from edgeagent.update.trust import Trust
from tests.fakes import FakeClock
from tests.update.killed import at_each_step, snapshot

DAY = 86_400


class Maintainer:
    """A repository, its clock, and a gateway that polls it."""

    def __init__(self, folder):
        self.clock = FakeClock()
        self.folder = folder / "repo"
        self.repo = self.open()
        self.box = folder / "box"

    def open(self, passphrase="tanuki"):
        return Repository(self.folder, lambda: self.clock.wall_ms / 1000, lambda _: passphrase)

    @property
    def ceremony(self):
        return Ceremony(self.open().signed)

    def publish(self, path, text, **how):
        self.repo.put(path, None if text is None else text.encode())
        return self.repo.publish(**how)

    def trust(self, box=None):
        root = (self.repo.public / "metadata" / "1.root.json").read_bytes()
        trust = Trust(box or self.box, FolderOrigin(self.repo.public), root, self.clock)
        trust.refresh()
        return trust

    def sees(self, *, name="n1", ring="all", groups=()):
        """{path: (content, sequence)} as a gateway resolves it."""
        trust = self.trust()
        found = layers_of(trust.find, city="nagano", name=name, groups=groups, ring=ring)
        return {c.path: (trust.fetch(c.file).read_text(), c.file.sequence) for c in found}


@pytest.fixture
def one(tmp_path):
    made = Maintainer(tmp_path)
    made.repo.init()
    made.repo.add_city("nagano")
    return made


def test_a_new_repository_is_one_a_gateway_trusts(one):
    assert one.sees() == {}
    root = json.loads((one.repo.public / "metadata/1.root.json").read_bytes())["signed"]
    assert root["roles"]["root"]["threshold"] == 2 and len(root["roles"]["root"]["keyids"]) == 3
    assert {p.stat().st_mode & 0o77 for p in (one.folder / "keys").iterdir()} == {0}
    pems = [p.read_text() for p in (one.folder / "keys").glob("*.pem")]
    assert len(pems) == 7 and all("BEGIN ENCRYPTED PRIVATE KEY" in p for p in pems)
    served = b"".join(p.read_bytes() for p in one.repo.public.rglob("*") if p.is_file())
    assert b"PRIVATE" not in served
    with pytest.raises(ConfigError):
        one.repo.init()


def test_a_wrong_passphrase_and_a_missing_key_are_said(one):
    with pytest.raises(ConfigError) as caught:
        one.open("kitsune").refresh()
    assert caught.value.code == "fleet.key-unreadable"
    (one.folder / "keys" / "nagano.pem").rename(one.folder / "away.pem")
    one.repo.put("nagano/city.toml", b"")
    before = sorted((p, p.stat().st_mtime_ns) for p in one.repo.public.glob("metadata/*"))
    with pytest.raises(ConfigError) as caught:
        one.repo.publish()
    assert caught.value.code == "fleet.no-key" and caught.value.facts["role"] == "nagano"
    assert before == sorted((p, p.stat().st_mtime_ns) for p in one.repo.public.glob("metadata/*")), (
        "nothing half published"
    )


def test_first_version_goes_to_all_the_next_to_the_canary(one):
    assert [c.what for c in one.publish("nagano/city.toml", "[gateway]\nlang = 'ja'\n")] == ["new"]
    assert one.sees()["nagano/city.toml"][1] == 1
    assert [c.what for c in one.publish("nagano/city.toml", "[gateway]\nlang = 'en'\n")] == ["candidate"]
    assert "ja" in one.sees()["nagano/city.toml"][0]
    assert one.sees(ring="canary")["nagano/city.toml"] == ("[gateway]\nlang = 'en'\n", 2)


def test_promotion_by_share_and_to_everybody(one):
    one.publish("nagano/city.toml", "")
    one.publish("nagano/city.toml", "[gateway]\nlang = 'en'\n")
    one.repo.promote("nagano", "early", 50)
    got = [n for n in range(24) if one.sees(name=f"n{n}", ring="early")["nagano/city.toml"][1] == 2]
    assert 4 < len(got) < 20
    one.repo.promote("nagano", "early", 90)
    more = [n for n in range(24) if one.sees(name=f"n{n}", ring="early")["nagano/city.toml"][1] == 2]
    assert set(got) <= set(more) and len(more) > len(got)
    one.repo.promote("nagano", "all", 100)
    assert one.sees() == one.sees(ring="canary") == {"nagano/city.toml": ("[gateway]\nlang = 'en'\n", 2)}
    assert one.repo.promote("nagano", "all", 100) == []
    with pytest.raises(ConfigError):
        one.repo.promote("nagano", "al", 100)


def test_halt_brings_the_old_content_back_under_a_higher_number(one):
    one.publish("nagano/city.toml", "[gateway]\nlang = 'ja'\n")
    one.publish("nagano/city.toml", "[gateway]\nlang = 'en'\n")
    assert one.sees(ring="canary")["nagano/city.toml"][1] == 2
    one.repo.halt("nagano")
    assert one.sees(ring="canary") == {"nagano/city.toml": ("[gateway]\nlang = 'ja'\n", 3)}
    assert one.repo.halt("nagano") == []


def test_at_once_and_removal(one):
    one.publish("nagano/group/river.toml", "[outbox]\n")
    one.publish("nagano/group/river.toml", "[gateway]\n", at_once=True)
    assert one.sees(groups=("river",))["nagano/group/river.toml"] == ("[gateway]\n", 2)
    assert one.publish("nagano/group/river.toml", None)[0].what == "removed"
    assert one.sees(groups=("river",)) == {}


@pytest.mark.parametrize(
    "path", ["city.toml", "../x", "nagano/../x", "osaka/city.toml", "nagano/a/b/c", "nagano/", "/etc/x"]
)
def test_paths_that_are_nobodys(one, path):
    with pytest.raises(ConfigError):
        one.repo.put(path, b"")


def test_secrets_are_not_even_put(one):
    with pytest.raises(UpdateRefused):
        one.repo.put("nagano/city.toml", b'[[uplinks]]\nid = "a"\npassword = "Correct-Horse-77"\n')
    assert one.repo.drafted() == {}


def test_refresh_needs_the_online_keys_only_and_keeps_the_fleet_alive(one, tmp_path):
    for name in ("root-1.pem", "root-2.pem", "root-3.pem", "targets.pem", "nagano.pem"):
        (one.folder / "keys" / name).rename(tmp_path / name)
    for _ in range(6):
        one.clock.advance(13 * DAY)
        done = one.repo.refresh()
        one.trust()
    assert "timestamp" in done
    one.clock.advance(15 * DAY)
    with pytest.raises(UpdateRefused) as caught:
        one.trust()
    assert caught.value.code == "update.expired"
    one.repo.refresh()
    one.trust()


def test_expiries_are_told_soonest_first(one):
    left = one.repo.expiries()
    assert next(iter(left)) == "timestamp" and round(left["timestamp"]) == 14 and round(left["root"]) == 3650
    one.clock.advance(10 * DAY)
    assert round(one.repo.expiries()["timestamp"]) == 4


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "nagano", "root-2"])
def test_every_key_can_be_changed_and_gateways_follow(one, role):
    one.publish("nagano/city.toml", "[outbox]\n")
    one.trust()
    assert one.ceremony.rotate(role)
    one.publish("nagano/city.toml", "[gateway]\n", at_once=True)
    assert one.sees()["nagano/city.toml"][0] == "[gateway]\n"
    one.ceremony.rotate(role)
    one.repo.refresh()
    one.trust()
    one.trust(one.folder.parent / "new box")


def test_a_root_change_waits_for_the_second_holder(one, tmp_path):
    one.trust()
    for name in ("root-2.pem", "root-3.pem"):
        (one.folder / "keys" / name).rename(tmp_path / name)
    assert not one.ceremony.rotate("timestamp")
    assert not (one.repo.public / "metadata/2.root.json").exists()
    one.trust()
    (one.folder / "keys" / "root-1.pem").rename(tmp_path / "root-1.pem")  # the other holder's laptop
    (tmp_path / "root-3.pem").rename(one.folder / "keys" / "root-3.pem")
    assert one.ceremony.sign_root()
    assert one.trust().refresh().versions["root"] == 2
    with pytest.raises(ConfigError):
        one.ceremony.sign_root()


@pytest.mark.parametrize("role", ["timestamp", "targets", "nagano", "root-2"])
def test_a_wrong_passphrase_changes_nothing(one, role):
    """Found before the books or a single file are touched; the new key that nobody has heard of is gone."""
    before = snapshot(one.folder)
    with pytest.raises(ConfigError, match="key-unreadable"):
        Ceremony(one.open("kitsune").signed).rotate(role)
    assert snapshot(one.folder) == before


@pytest.mark.parametrize("role", ["timestamp", "nagano", "root-2"])
def test_killed_at_every_step_of_a_rotation(one, role):
    """Between a new root and what is signed anew a gateway stays with what it has; the same command again ends it."""
    one.publish("nagano/city.toml", "n = 0\n")
    one.trust()

    def check(_n):
        with contextlib.suppress(UpdateRefused):
            one.trust()
        assert one.ceremony.rotate(role)
        one.publish("nagano/city.toml", f"n = {_n}\n", at_once=True)
        assert one.sees()["nagano/city.toml"][0] == f"n = {_n}\n"
        root = Metadata.from_file(str(one.repo.signed.newest_file("root"))).signed
        assert {name: len(of.keyids) for name, of in root.roles.items()} == {
            "root": 3,
            "targets": 1,
            "snapshot": 1,
            "timestamp": 1,
        }, "no key of an attempt that was cut short counts"

    assert at_each_step(lambda: one.ceremony.rotate(role), check, every=4) > 5


def test_gateways_have_names_that_say_nothing(one):
    name = one.repo.add_gateway("GW-0147", Gateway(city="nagano", groups=("river",)))
    assert len(name) == 32 and "0147" not in name
    assert name == book.name_of(one.folder, "GW-0147", "nagano")
    one.repo.add_city("chino")
    assert name != book.name_of(one.folder, "GW-0147", "chino"), "each city has a key of its own"
    assert one.folder.joinpath("keys/nagano.names").stat().st_mode & 0o77 == 0
    one.publish(f"nagano/dev/{name}.toml", "[gateway]\nname = '宮川橋'\n")
    assert one.sees(name=name)[f"nagano/dev/{name}.toml"][0].startswith("[gateway]")
    served = b"".join(p.read_bytes() for p in one.repo.public.rglob("*") if p.is_file())
    assert b"GW-0147" not in served


def test_killed_at_every_step_of_a_publication(one):
    """A gateway sees the old state or the new one; publishing again ends it."""
    one.publish("nagano/city.toml", "n = 0\n")
    wanted = {"n": 0}

    def work():
        one.repo.put("nagano/city.toml", b"n = 1\n")
        one.repo.publish(at_once=True)

    def check(_n):
        assert one.sees()["nagano/city.toml"][0] in ("n = 0\n", "n = 1\n", f"n = {wanted['n']}\n")
        wanted["n"] += 2
        one.publish("nagano/city.toml", f"n = {wanted['n']}\n", at_once=True)
        assert one.sees()["nagano/city.toml"][0] == f"n = {wanted['n']}\n"

    assert at_each_step(work, check, every=4) > 20
