"""The package recipe, on a small tree: the whole build needs minutes and a registry (`make deb`)."""

import gzip
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_795_000_000
pytestmark = pytest.mark.tool("dpkg-deb")


@pytest.fixture(scope="module")
def recipe():
    """`build.py`, which finds `bill.py` beside it."""
    sys.path.insert(0, str(ROOT / "systemd/deb"))
    try:
        spec = importlib.util.spec_from_file_location("deb_build", ROOT / "systemd/deb/build.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    finally:
        sys.path.pop(0)
    return made


def distribution(site, name, version, files, *more):
    """What an installed wheel leaves: its files, METADATA, RECORD."""
    about = site / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *more, ""])
    )
    for at, content in files.items():
        (site / at).parent.mkdir(parents=True, exist_ok=True)
        (site / at).write_bytes(content)
    names = [*files, f"{about.name}/METADATA", f"{about.name}/RECORD", "bin/thing", "../../etc/thing"]
    (about / "RECORD").write_text("".join(f"{at},,\n" for at in names))


def site_of(folder):
    """Our own code, and a foreign wheel whose folders are not called as it is."""
    site = folder / "opt/edgeagent/site"
    shutil.copytree(ROOT / "edgeagent", site / "edgeagent", ignore=shutil.ignore_patterns("__pycache__"))
    ours = [str(p.relative_to(site)) for p in sorted(site.rglob("*")) if p.is_file()]
    distribution(
        site,
        "edgeagent",
        "0.1.0",
        {at: (site / at).read_bytes() for at in ours} | {"edgeagent/_shipped/models/vehicles.onnx": b"weights"},
        "License-Expression: Apache-2.0",
        'Requires-Dist: opencv.python_headless>=4.12; python_version < "3.13"',
        'Requires-Dist: opencv.python_headless>=4.13; python_version >= "3.13"',
        'Requires-Dist: securesystemslib[hsm]; extra == "fleet"',
    )
    distribution(
        site,
        "opencv_python_headless",
        "5.0",
        {
            "cv2/cv2.abi3.so": b"code",
            "opencv_python_headless.libs/libav-1.so": b"ffmpeg",
            "cv2/tests/big.py": b"x",
            "cv2/__pycache__/a.pyc": b"x",
        },
        "Classifier: License :: OSI Approved :: Apache Software License",
        "Classifier: Programming Language :: Python :: 3",
    )
    return site


def built(recipe, folder):
    """A package of everything but the foreign libraries."""
    tree = folder / "tree"
    site = site_of(tree)
    recipe.write(tree / recipe.DOCS / "sbom.cdx.json", recipe.bill.of_parts(site, "0.1.0~bookworm", EPOCH))
    recipe.without_noise(site)
    recipe.files(tree, "0.1.0")
    return recipe.pack(tree, folder, "0.1.0", "bookworm", "aarch64", EPOCH)


@pytest.fixture(scope="module")
def package(recipe, tmp_path_factory):
    return built(recipe, tmp_path_factory.mktemp("deb"))


def members(package):
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    return tarfile.open(fileobj=io.BytesIO(data))


def test_sec_16_the_same_input_gives_the_same_bytes(recipe, package, tmp_path):
    assert built(recipe, tmp_path).read_bytes() == package.read_bytes()


def parts(package):
    return json.load(members(package).extractfile("./usr/share/doc/edgeagent/sbom.cdx.json"))


def test_sec_16_the_parts_list(package):
    found = parts(package)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {one["name"]: one for one in found["components"]}
    assert set(by_name) == {"edgeagent", "opencv-python-headless", "vehicles"}
    assert by_name["edgeagent"]["purl"] == "pkg:pypi/edgeagent@0.1.0"
    assert by_name["edgeagent"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert by_name["opencv-python-headless"]["licenses"] == [{"license": {"name": "Apache Software License"}}]
    assert [one["name"] for one in by_name["opencv-python-headless"]["components"]] == ["libav-1.so"]
    assert by_name["vehicles"]["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()
    needs = {one["ref"]: one["dependsOn"] for one in found["dependencies"]}
    assert needs["pkg:pypi/edgeagent@0.1.0"] == ["pkg:pypi/opencv-python-headless@5.0"], "extras are no needs"


def test_sec_16_the_parts_list_is_cyclonedx(package):
    """Against the schema that the makers of the format publish."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = members(package).extractfile("./usr/share/doc/edgeagent/sbom.cdx.json").read().decode()
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"SHA-257"')) is not None, "would be seen"


def test_sec_16_the_hash_of_a_part_covers_every_file_of_it(recipe, tmp_path):
    """Also in folders that are not called as the distribution is (cv2, serial, google)."""
    site = site_of(tmp_path)

    def hashes():
        found = json.loads(recipe.bill.of_parts(site, "0.1.0", EPOCH))["components"]
        return {one["name"]: one["hashes"][0]["content"] for one in found}

    before = hashes()
    (site / "cv2/cv2.abi3.so").write_bytes(b"changed")
    (site / "edgeagent/_shipped/models/vehicles.onnx").write_bytes(b"others")
    after = hashes()
    assert all(after[name] != before[name] for name in before), (before, after)


def test_sec_16_sums_cover_package_and_parts_list(recipe, tmp_path):
    for name in ("edgeagent_1~bookworm_arm64.deb", "edgeagent_1~bookworm.cdx.json", "other.deb"):
        (tmp_path / name).write_bytes(name.encode())
    recipe.sums(tmp_path)
    said = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in said] == ["edgeagent_1~bookworm.cdx.json", "edgeagent_1~bookworm_arm64.deb"]
    assert subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path).returncode == 0


def test_every_file_can_be_compared_with_what_was_packed(package, tmp_path):
    subprocess.run(["dpkg-deb", "--raw-extract", package, tmp_path / "raw"], check=True)
    said = (tmp_path / "raw/DEBIAN/md5sums").read_text()
    assert "opt/edgeagent/site/edgeagent/__init__.py" in said and "DEBIAN" not in said and "  etc/" not in said
    done = subprocess.run(["md5sum", "--quiet", "-c", "DEBIAN/md5sums"], cwd=tmp_path / "raw", capture_output=True)
    assert done.returncode == 0, done.stdout


def test_the_scripts_are_well_formed_and_know_every_unit(package, tmp_path):
    subprocess.run(["dpkg-deb", "--raw-extract", package, tmp_path / "raw"], check=True)
    units = tmp_path / "raw/usr/lib/systemd/system"
    enabled = {p.name for p in units.iterdir() if "[Install]" in p.read_text()}
    for name in ("postinst", "prerm", "postrm"):
        script = tmp_path / "raw/DEBIAN" / name
        assert subprocess.run(["sh", "-n", script]).returncode == 0
        lines = [line for line in script.read_text().splitlines() if line.strip().startswith("for unit in")]
        for line in lines:
            assert enabled <= set(re.findall(r"edgeagent[\w-]*\.\w+", line)), (name, line)
    assert enabled == {"edgeagent.service", "edgeagent-update.timer", "edgeagent-renew.timer"}


def test_man_page_and_completion_come_along(package):
    tar = members(package)
    page = gzip.decompress(tar.extractfile("./usr/share/man/man1/edgeagent.1.gz").read()).decode()
    assert page.startswith('.TH EDGEAGENT 1 "" "edgeagent 0.1.0"')
    completion = tar.extractfile("./usr/share/bash-completion/completions/edgeagent").read().decode()
    assert "complete -o default -F _edgeagent_completion edgeagent" in completion


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
