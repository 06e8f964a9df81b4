"""update verify: a package is installed only when it is the one that was signed."""

import hashlib
import json

import pytest

from edgeagent.update.verify import SUMS
from tests.update.gateway import Field
from tests.update.rig import cli


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    made = Field(tmp_path_factory.mktemp("field"))
    (made.folder / "a_1~bookworm_arm64.deb").write_bytes(b"package")
    (made.folder / "a_1~bookworm.cdx.json").write_bytes(b"parts")
    publish(made, [f for f in sorted(made.folder.iterdir()) if f.name.startswith("a_")])
    return made


def publish(field, files):
    sums = "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)
    field.repo.put(SUMS, sums.encode())
    field.repo.publish(at_once=True)


def words(field, *files, more=()):
    return ("update", "verify", *files, "--config", field.config, *more)


def test_what_was_signed(field):
    package, parts = field.folder / "a_1~bookworm_arm64.deb", field.folder / "a_1~bookworm.cdx.json"
    said = cli(*words(field, package, parts, more=["--json"]))
    assert said["ok"] and said["files"][0] == {"file": str(package), "sha256": hashlib.sha256(b"package").hexdigest()}
    assert "署名済み" in cli(*words(field, package, more=["--lang", "ja"]))


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_what_was_not(field, tmp_path, lang):
    changed, unknown = tmp_path / "a_1~bookworm_arm64.deb", tmp_path / "b_1.deb"
    changed.write_bytes(b"packagf")
    unknown.write_bytes(b"package")
    for file, code, status in (
        (changed, "update.other-content", 5),
        (unknown, "update.not-listed", 5),
        (tmp_path / "none.deb", "config.unreadable", 2),
    ):
        said = cli(*words(field, file, more=["--json", "--lang", lang]), code=status)
        assert said["code"] == code and file.name in said["message"]
    # one good file does not carry a bad one along
    good = field.folder / "a_1~bookworm_arm64.deb"
    assert "✓" not in cli(*words(field, good, unknown, more=["--lang", lang]), code=5)


def test_a_list_that_nobody_signed(field, tmp_path):
    """A thief who can write on the web server, but has no key."""
    for file in (field.state / "update/targets").iterdir():
        file.unlink()  # what was fetched before is still believed, and rightly
    stick = tmp_path / "public"
    for file in field.repo.public.rglob("*"):
        if file.is_file():
            at = stick / file.relative_to(field.repo.public)
            at.parent.mkdir(parents=True, exist_ok=True)
            content = file.read_bytes()
            at.write_bytes(content.replace(hashlib.sha256(b"package").hexdigest().encode(), b"0" * 64))
    said = cli(*words(field, field.folder / "a_1~bookworm_arm64.deb", more=["--from", stick, "--json"]), code=5)
    assert said["code"] == "update.tampered", json.dumps(said)
