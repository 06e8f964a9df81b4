"""privacy audit, key, hash, resolve and wipe, as the city and the installer meet them."""

import asyncio
import json

import pytest

from edgeagent.clock import SystemClock
from edgeagent.daemon.build import read_config
from edgeagent.install.privacy_audit import audit
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.reading import Kind, Quantity, Reading
from edgeagent.sources.pseudonym import Names, gateway_key, keyed_hash, list_key
from edgeagent.wire.raw_ids import RawIds
from tests.cli.test_verbs import config_of, edgeagent

BEACON = "ibeacon:7b44b47b-52a1-5381-90c2-f09b6838c5d4:1:7"
BUTTON = "bthome:c0:de:00:00:00:08"
NOON_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z


def section(tags):
    return f'[[sources]]\nid = "square"\ndriver = "ble-tags"\nadapter = "B8:27:EB:00:00:01"\ntags = {tags}\n'


def filled(state, *entities):
    """An outbox with readings of tags."""
    state.mkdir(exist_ok=True)

    async def fill():
        clock = SystemClock()
        outbox = SqliteOutbox(state / "outbox.db", clock, OutboxConfig(), ["city"])
        await outbox.put(
            [
                Reading(
                    source="square",
                    kind=Kind.TAG,
                    entity=f"square:{entity}",
                    at=clock.now(),
                    quantities={"state": Quantity("present"), "battery": Quantity(0.5)},
                    facts={"day": "2026-11-23"},
                )
                for entity in entities
            ]
        )
        await outbox.close()

    asyncio.run(fill())


def test_audit_lists_files_and_fields_and_finds_nothing_raw(tmp_path):
    state = tmp_path / "state"
    filled(state, "9f3c01aa55ee0011", "9f3c01aa55ee0012")
    (state / "tags-key").write_text("0123456789abcdef")
    (state / "log").write_text("adapter B8:27:EB:00:00:01 is ours\n")
    hashed = keyed_hash(list_key(b"0123456789abcdef"), BEACON).hex()
    config = config_of(tmp_path, section(f'[{{ hash = "{hashed}" }}]'), state)
    done = edgeagent("privacy", "audit", "--config", config, "--json")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, told["ok"], told["raw"], told["left"]) == (0, True, [], None)
    assert {"kind": "tag", "field": "battery", "readings": 2} in told["stored"]
    assert {"kind": "tag", "field": "fact:day", "readings": 2} in told["stored"]
    assert {file["file"] for file in told["files"]} >= {"outbox.db", "tags-key", "log"}
    for lang, word in (("en", "no raw identity"), ("ja", "生の識別子は見つかりません")):
        done = edgeagent("privacy", "audit", "--config", config, "--lang", lang)
        assert done.returncode == 0 and word in done.stdout
        assert all(len(line) < 200 for line in done.stdout.splitlines())


@pytest.mark.parametrize("raw", ["C0:DE:00:00:00:08", "dev_c0_de_00_00_00_08", BEACON, "line:8adfaf4326", BUTTON])
def test_audit_finds_what_is_raw_wherever_it_lies(tmp_path, raw):
    state = tmp_path / "state"
    filled(state, raw)
    config = config_of(tmp_path, section('[{ hash = "' + "ab" * 16 + '" }]'), state)
    made, _ = read_config(config)
    assert {one.place for one in audit(made).raw} == {"outbox.db"}


def test_a_raw_id_in_the_config_is_found_too(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    config = config_of(tmp_path, section(f'[{{ id = "{BEACON}" }}]'), state)
    done = edgeagent("privacy", "audit", "--config", config, "--lang", "ja")
    assert done.returncode == 1 and "設定に書かれたタグの id ×1" in done.stdout and "privacy hash" in done.stdout


def test_a_raw_id_on_the_border_of_two_pieces_is_counted_once(tmp_path, monkeypatch):
    from edgeagent.install import privacy_audit  # noqa: PLC0415

    monkeypatch.setattr(privacy_audit, "_CHUNK", 1000)
    file = tmp_path / "file"
    for at in (*range(860, 1010, 7), 1990, 2500):
        file.write_bytes(b"." * at + b" C0:DE:00:00:00:08 " + b"." * 800)
        assert privacy_audit._search(file, RawIds()) == {"address": 1}, at


def test_what_looks_like_an_address_and_is_none():
    look = RawIds(profiles=["vendor"], ours=["b8:27:eb:00:00:01"])
    for text in (
        b"12:34:56",
        b"B8:27:EB:00:00:01",
        b"9f3c01aa55ee0011",
        b"line:up-down",
        b"fe80::1:2:3:4:5",
        b"vendor:x",
    ):
        assert look.found(text) == {}, text
    assert look.found(b"vendor:0011 aa:bb:cc:dd:ee:ff") == {"tag-id": 1, "address": 1}


def test_the_city_makes_keys_and_hashes_and_resolves_pseudonyms(tmp_path):
    (tmp_path / "city.key").write_text("the city's own secret, long enough\n")
    made = edgeagent("privacy", "key", "GW-1", "--city-key", tmp_path / "city.key").stdout.strip()
    assert made == gateway_key(b"the city's own secret, long enough", "GW-1")
    (tmp_path / "gw.key").write_text(made)
    (tmp_path / "register").write_text(f"# id alias\n{BEACON.upper().replace('IBEACON', 'iBeacon')} T-7\n{BUTTON}\n")
    done = edgeagent("privacy", "hash", tmp_path / "register", "--key", tmp_path / "gw.key", "--json")
    hashes = json.loads(done.stdout)
    assert [one["alias"] for one in hashes] == ["T-7", ""]
    assert hashes[0]["hash"] == keyed_hash(list_key(made.encode()), BEACON).hex()
    lines = edgeagent("privacy", "hash", tmp_path / "register", "--key", tmp_path / "gw.key").stdout
    config = config_of(tmp_path, section(f"[\n{lines}]"))
    assert edgeagent("check", "--config", config).returncode == 0
    names = Names(made.encode(), "GW-1")
    asked = {
        f"urn:ngsi-ld:Device:GW-1:square:{names.of_day(NOON_MS).pseudonym(BUTTON)}": BUTTON,
        names.of_day(NOON_MS - 86_400_000).pseudonym(BEACON): BEACON,
        names.alias(BEACON, NOON_MS): BEACON,
    }
    options = ("--key", tmp_path / "gw.key", "--gateway", "GW-1", "--day", "2026-11-23")
    for name, tag in asked.items():
        done = edgeagent("privacy", "resolve", name, tmp_path / "register", *options, "--json")
        assert json.loads(done.stdout)["tag"] == tag
    nobody = edgeagent("privacy", "resolve", "00" * 8, tmp_path / "register", *options, "--lang", "ja")
    assert nobody.returncode == 1 and "仮名ではありません" in nobody.stderr
    assert edgeagent("privacy", "resolve", "x", tmp_path / "register", *options[:-1], "Monday").returncode == 2


@pytest.mark.parametrize(("content", "code"), [(None, 2), ("nonsense\n", 2)], ids=["missing", "not-an-id"])
def test_a_register_that_cannot_be_read_says_where(tmp_path, content, code):
    (tmp_path / "k").write_text("0123456789abcdef")
    if content is not None:
        (tmp_path / "ids").write_text(content)
    done = edgeagent("privacy", "hash", tmp_path / "ids", "--key", tmp_path / "k")
    assert done.returncode == code and "ids" in done.stderr and "→" in done.stderr


def test_wipe_asks_removes_everything_and_says_what(tmp_path):
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    filled(state, "9f3c01aa55ee0011")
    (state / "tags-key").write_text("0123456789abcdef")
    (state / "deep" / "er").mkdir(parents=True)
    (state / "deep" / "er" / "file").write_text("x")
    elsewhere.write_text("somebody else's")
    (state / "link").symlink_to(elsewhere)
    config = config_of(tmp_path, "", state)
    refused = edgeagent("wipe", "--config", config, stdin=None, input="")
    assert refused.returncode == 5 and (state / "tags-key").exists() and "--yes" in refused.stderr
    done = edgeagent("wipe", "--config", config, "--yes", "--lang", "ja")
    assert done.returncode == 0 and "outbox.db" in done.stdout and "削除しました" in done.stdout
    assert state.is_dir() and list(state.iterdir()) == [] and elsewhere.read_text() == "somebody else's"
    again = edgeagent("wipe", "--config", config, "--yes", "--json")
    assert json.loads(again.stdout)["removed"] == []


def test_wipe_leaves_a_directory_that_is_not_its_own(tmp_path):
    home = tmp_path / "photos"
    home.mkdir()
    (home / "holiday.jpg").write_text("x")
    done = edgeagent("wipe", "--config", config_of(tmp_path, "", home), "--yes")
    assert done.returncode == 5 and (home / "holiday.jpg").exists() and "state_dir" in done.stderr


def test_wipe_leaves_an_outbox_that_somebody_holds(tmp_path):
    state = tmp_path / "state"
    filled(state, "9f3c01aa55ee0011")
    outbox = SqliteOutbox(state / "outbox.db", SystemClock(), OutboxConfig(), ["city"])
    try:
        done = edgeagent("wipe", "--config", config_of(tmp_path, "", state), "--yes")
        assert done.returncode == 5 and (state / "outbox.db").exists() and "systemctl stop" in done.stderr
    finally:
        asyncio.run(outbox.close())


def test_the_file_of_a_key_is_overwritten_before_it_goes(tmp_path):
    from edgeagent.install import wipe  # noqa: PLC0415

    state = tmp_path / "state"
    state.mkdir()
    key = state / "tags-key"
    key.write_text("0123456789abcdef")
    other = tmp_path / "other-name"
    other.hardlink_to(key)  # stands for the page on the card
    wipe.empty(state)
    assert other.read_bytes() == bytes(16) and not key.exists()
