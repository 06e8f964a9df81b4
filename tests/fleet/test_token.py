"""Keys on a PKCS#11 token (SoftHSM): the ceremony as its holders go through it, and everything that goes wrong.

Each command runs in a process of its own: a token's library reads the world once, when it is loaded.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from edgeagent.fleet.token import Which
from tests.update.rig import cli

LIBRARY = next((str(p) for p in Path("/usr/lib").glob("**/libsofthsm2.so")), "")
pytestmark = pytest.mark.tool("softhsm2-util")
PINS = {"EDGEAGENT_FLEET_PIN": "1234"}
MAKE = """import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters as curve
lib, label, number, private = sys.argv[1:5]
with pkcs11.lib(lib).get_token(token_label=label).open(rw=True, user_pin="1234") as session:
    made = session.create_domain_parameters(pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve("secp256r1")}, local=True)
    hidden = {pkcs11.Attribute.PRIVATE: private == "hidden"}
    made.generate_keypair(store=True, id=bytes([int(number)]), public_template=hidden)
"""


class Drawer:
    """A drawer of tokens; `pulled` takes one out of the machine."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "tokens").mkdir(parents=True)
        self.conf = folder / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = {"SOFTHSM2_CONF": str(self.conf), "PYKCS11LIB": LIBRARY, **PINS}

    def new(self, label, *numbers, hidden=False):
        env = {**os.environ, **self.env}
        words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "0000", "--pin", "1234"]
        before = set((self.folder / "tokens").iterdir())
        subprocess.run(words, env=env, check=True, capture_output=True)
        for number in numbers:
            words = [sys.executable, "-c", MAKE, LIBRARY, label, str(number), "hidden" if hidden else "shown"]
            subprocess.run(words, env=env, check=True)
        return (set((self.folder / "tokens").iterdir()) - before).pop()

    def __call__(self, *words, code=0, **more):
        return cli("fleet", *words, code=code, **{**self.env, **more})


@pytest.fixture
def drawer(tmp_path):
    return Drawer(tmp_path / "drawer")


def keys_of(repo, role, version=None):
    files = sorted((repo / "public/metadata").glob("*.root.json"), key=lambda p: int(p.name.split(".")[0]))
    root = Metadata.from_file(str(files[-1] if version is None else files[version - 1])).signed
    return [root.keys[keyid].scheme for keyid in root.roles[role].keyids]


@pytest.mark.slow
def test_a_ceremony_with_three_holders(drawer, tmp_path):
    """Two root keys on tokens, one in a file; each holder comes with his own, and two of three suffice."""
    repo = tmp_path / "fleet"
    at = ("--repo", repo)
    mine, theirs = drawer.new("maintainer", 2), drawer.new("city", 2)
    drawer("init", "--token", "root-1=maintainer", "--token", "root-2=city", *at)
    assert sorted(keys_of(repo, "root")) == ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "ed25519"]
    assert not list(repo.glob("keys/root-[12]*")), "what is on a token is in no file"
    drawer("add-city", "nagano", *at)
    assert drawer("check", *at, "--json")["ok"]
    # at home, with neither the city's token nor the third key: the change waits for a second holder
    safe = tmp_path / "safe"
    safe.mkdir()
    shutil.move(theirs, safe)
    shutil.move(repo / "keys/root-3.pem", safe)
    assert drawer("rotate", "timestamp", *at, "--json")["complete"] is False
    shutil.move(mine, safe)
    shutil.move(safe / theirs.name, theirs)
    assert drawer("sign", *at, "--json")["complete"] is True
    assert drawer("check", *at, "--json")["ok"]
    # the lost file becomes a token, too
    shutil.move(safe / mine.name, mine)
    drawer.new("spare", 1, 7)
    assert drawer("rotate", "root-3", "--token", "spare/7", *at, "--json")["complete"] is True
    assert keys_of(repo, "root") == ["ecdsa-sha2-nistp256"] * 3
    assert drawer("check", *at, "--json")["ok"]


@pytest.mark.slow
def test_a_city_that_signs_with_its_token(drawer, tmp_path):
    """Its public half is hidden until the PIN is given, as some tokens do it."""
    repo, layer = tmp_path / "fleet", tmp_path / "city.toml"
    token = drawer.new("nagano", 5, hidden=True)
    drawer("init", "--repo", repo)
    assert drawer("add-city", "nagano", "--token", "nagano", "--repo", repo, "--json")["key"] == "hsm:5?label=nagano"
    layer.write_text('[[sources]]\nid = "box"\nevery_s = 60\n')
    drawer("put", "nagano/city.toml", layer, "--repo", repo)
    drawer("publish", "--repo", repo)
    assert drawer("check", "--repo", repo, "--json")["ok"]
    shutil.move(token, tmp_path / "pulled")
    said = drawer("resign", "nagano", "--repo", repo, "--json", code=2)
    assert said["code"] == "fleet.no-key" and "nagano" in said["message"]


@pytest.mark.slow
def test_everything_that_goes_wrong_with_a_token(drawer, tmp_path):
    """Each mistake by its own name; nothing is signed, nothing is written, no token is asked twice."""
    repo = tmp_path / "fleet"
    drawer.new("one", 2)
    drawer.new("two", 1, 2)
    drawer.new("empty")
    drawer.new("twin")
    drawer.new("twin")
    drawer("init", "--token", "root-1=one", "--repo", repo)
    before = snapshot(repo)

    def wrong(code, *words, **more):
        said = drawer(*words, "--repo", repo, "--json", code=2, **more)
        assert said["code"] == f"fleet.{code}", said
        assert snapshot(repo) == before
        return said["message"]

    assert "empty, one, twin, two" in wrong("no-token", "rotate", "root-2", "--token", "three")
    assert "serial numbers" in wrong("tokens-alike", "rotate", "root-2", "--token", "twin")
    assert "two/1, two/2" in wrong("no-token-key", "rotate", "root-2", "--token", "two")
    wrong("no-token-key", "rotate", "root-2", "--token", "two/9")
    wrong("no-token-key", "rotate", "root-2", "--token", "empty")
    wrong("same-key", "rotate", "root-2", "--token", "one")
    assert "locks itself" in wrong("wrong-pin", "rotate", "timestamp", EDGEAGENT_FLEET_PIN="9999")
    wrong("no-pin", "rotate", "timestamp", EDGEAGENT_FLEET_PIN=None)
    assert "PYKCS11LIB" in wrong("no-pkcs11", "rotate", "root-2", "--token", "two/1", PYKCS11LIB="")
    assert "nowhere.so" in wrong("no-pkcs11", "rotate", "root-2", "--token", "two/1", PYKCS11LIB="/nowhere.so")
    # a stranger's token under the old label
    for folder in (drawer.folder / "tokens").iterdir():
        shutil.rmtree(folder)
    drawer.new("one", 2)
    wrong("other-token-key", "rotate", "timestamp")


def snapshot(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_both_languages_name_the_remedy(drawer, tmp_path, lang):
    drawer.new("empty")
    said = drawer("init", "--token", "root-1=empty", "--repo", tmp_path / "f", "--lang", lang, code=2)
    assert "pkcs11-tool" in said and "→" in said
    assert not (tmp_path / "f" / "fleet.json").exists()
    said = drawer("init", "--token", "root-9=empty", "--repo", tmp_path / "f", "--lang", lang, code=2)
    assert "root-1" in said
    assert "root-1=city-root" in drawer("init", "--token", "empty", "--repo", tmp_path / "f", "--lang", lang, code=2)


@pytest.mark.parametrize(
    ("text", "label", "number"),
    [("city", "city", None), ("city/2", "city", 2), ("a/b", "a/b", None), ("a/b/3", "a/b", 3), ("/2", "/2", None)],
)
def test_how_a_token_is_named(text, label, number):
    assert (Which(text).label, Which(text).number) == (label, number)


@pytest.mark.parametrize(
    ("place", "label", "number"), [("hsm:2?label=YubiKey+PIV+%231", "YubiKey PIV #1", 2), ("hsm:", "", 2)]
)
def test_how_a_place_is_read(place, label, number):
    assert (Which.of_place(place).label, Which.of_place(place).number) == (label, number)
