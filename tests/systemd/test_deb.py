"""The package recipe, on a small tree: the whole build needs minutes and a registry (`make deb`)."""

import importlib.util
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_795_000_000
pytestmark = pytest.mark.tool("dpkg-deb")


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("deb_build", ROOT / "systemd/deb/build.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def built(recipe, folder):
    """A package of everything but the foreign libraries."""
    tree = folder / "tree"
    site = tree / recipe.SITE
    shutil.copytree(ROOT / "edgeagent", site / "edgeagent", ignore=shutil.ignore_patterns("__pycache__"))
    about = site / "edgeagent-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: edgeagent\nVersion: 0.1.0\nLicense-Expression: Apache-2.0\n"
    )
    recipe.files(tree, "0.1.0")
    recipe.write(tree / "usr/share/doc/edgeagent/sbom.cdx.json", recipe.sbom(site, "0.1.0", "bookworm", EPOCH))
    return recipe.pack(tree, folder, "0.1.0", "bookworm", "aarch64", EPOCH)


@pytest.fixture(scope="module")
def package(recipe, tmp_path_factory):
    return built(recipe, tmp_path_factory.mktemp("deb"))


def members(package):
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    return tarfile.open(fileobj=io.BytesIO(data))


def test_sec_16_the_same_input_gives_the_same_bytes(recipe, package, tmp_path):
    assert built(recipe, tmp_path).read_bytes() == package.read_bytes()


def test_sec_16_the_parts_list(package):
    found = json.load(members(package).extractfile("./usr/share/doc/edgeagent/sbom.cdx.json"))
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    part = found["components"][0]
    assert part["purl"] == "pkg:pypi/edgeagent@0.1.0" and len(part["hashes"][0]["content"]) == 64
    assert part["licenses"] == [{"license": {"name": "Apache-2.0"}}]


def test_units_rules_and_launcher_are_where_systemd_looks(recipe, package):
    tar = members(package)
    names = {m.name.removeprefix("./") for m in tar}
    assert set(recipe.PLACES.values()) <= names
    assert "etc/systemd/system/edgeagent.service.d/10-network.conf" in names
    launcher = tar.getmember("./opt/edgeagent/bin/edgeagent")
    assert launcher.mode == 0o755 and launcher.uid == 0
    assert all(m.mtime == EPOCH for m in tar)
    assert not [n for n in names if "__pycache__" in n or "refresh" in n]
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    assert "Architecture: arm64" in control and "python3 (>= 3.11), python3 (<< 3.12)" in control


def test_sec_03_no_secret_and_no_default_secret_is_inside(package):
    tar = members(package)
    for member in tar:
        if member.isfile():
            content = tar.extractfile(member).read()
            assert b"-----BEGIN" not in content or member.name.endswith(".py"), member.name
            assert not member.name.endswith((".pem", ".key", ".crt", "root.json", ".names")), member.name
    conf = tar.extractfile("./etc/systemd/system/edgeagent.service.d/20-credentials.conf").read().decode()
    assert all(line.startswith("#") or line in ("[Service]", "") for line in conf.splitlines())


def test_scripts_are_shell(recipe, tmp_path):
    for text in (recipe.POSTINST, recipe.PRERM, recipe.POSTRM, recipe.LAUNCHER):
        file = tmp_path / "script"
        file.write_text(text)
        assert subprocess.run(["sh", "-n", file]).returncode == 0
