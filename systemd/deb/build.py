"""`python systemd/deb/build.py RELEASE`: the field package, cross-built; no emulation, no compiler.

One .deb per Debian release, because binary wheels are made for one Python: bookworm (3.11), trixie
(3.13).  The libraries of requirements.txt (hashes checked) go to /opt/edgeagent/site as aarch64
wheels, with the agent, its units and its parts list (SBOM, CycloneDX 1.6).  The same commit gives the
same bytes: times come from the commit, names are sorted, nothing knows where it was built.

It lies beside the units because that is what it installs.
"""

import argparse
import email.parser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
SITE = Path("opt/edgeagent/site")
# Who installed it, from where, and when: differs from machine to machine.
NOISE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
LAUNCHER = """#!/bin/sh
# -P: the folder somebody happens to stand in is no place to import from.
export PYTHONPATH=/opt/edgeagent/site PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
exec /usr/bin/python3 -m edgeagent "$@"
"""
POSTINST = """#!/bin/sh
set -e
systemd-sysusers edgeagent.conf || true
systemd-tmpfiles --create edgeagent.conf || true
# once, here: the service may not write there, and compiling at every start costs seconds on a Pi
/usr/bin/python3 -m compileall -q --invalidation-mode unchecked-hash /opt/edgeagent/site || true
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable edgeagent.service edgeagent-update.timer
  if [ -f /etc/edgeagent/config.toml ]; then systemctl restart edgeagent.service edgeagent-update.timer; fi
fi
"""
PRERM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl stop edgeagent-update.timer edgeagent-update.service edgeagent.service || true
  if [ "$1" = remove ]; then systemctl disable edgeagent.service edgeagent-update.timer || true; fi
fi
find /opt/edgeagent/site -name __pycache__ -prune -exec rm -rf {} +
"""
POSTRM = """#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then rm -rf /var/lib/edgeagent /etc/edgeagent; fi
"""
CONTROL = """Package: edgeagent
Version: {version}~{release}
Architecture: arm64
Maintainer: edgeagent maintainers <edgeagent@localhost>
Section: net
Priority: optional
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), libglib2.0-0 | libglib2.0-0t64
Recommends: bluez, systemd-timesyncd | time-daemon
Description: gateway agent for river gauges, watch tags and traffic cameras
 Reads gauges, hears tags, counts vehicles on the box, and delivers FIWARE NGSI
 through outages of days. Config arrives signed and goes back by itself.
"""
PLACES = {
    "edgeagent.service": "usr/lib/systemd/system/edgeagent.service",
    "edgeagent-update.service": "usr/lib/systemd/system/edgeagent-update.service",
    "edgeagent-update.timer": "usr/lib/systemd/system/edgeagent-update.timer",
    "edgeagent.sysusers": "usr/lib/sysusers.d/edgeagent.conf",
    "edgeagent.tmpfiles": "usr/lib/tmpfiles.d/edgeagent.conf",
    "edgeagent.modules-load": "usr/lib/modules-load.d/edgeagent.conf",
    "edgeagent.journald": "usr/lib/systemd/journald.conf.d/edgeagent.conf",
}
DROP_INS = {
    "10-network.conf": ("edgeagent", "edgeagent-update"),
    "20-credentials.conf": ("edgeagent",),
}


def main():
    """Build one package; prints its path, size and hash as one JSON line."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("release", choices=RELEASES)
    asked.add_argument("--out", type=Path, default=ROOT / "dist")
    asked.add_argument(
        "--machine", default="aarch64", choices=("aarch64", "x86_64"), help="x86_64 is for trying it out"
    )
    given = asked.parse_args()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or out("git", "log", "-1", "--format=%ct"))
    tree = given.out / f"tree-{given.release}"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / SITE).mkdir(parents=True)
    version = libraries(tree / SITE, RELEASES[given.release], given.machine, epoch)
    files(tree, version)
    parts = sbom(tree / SITE, version, given.release, epoch)
    write(tree / "usr/share/doc/edgeagent/sbom.cdx.json", parts)
    (given.out / f"edgeagent_{version}~{given.release}.cdx.json").write_text(parts)
    package = pack(tree, given.out, version, given.release, given.machine, epoch)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    shutil.rmtree(tree)
    print(json.dumps({"package": str(package), "bytes": package.stat().st_size, "sha256": digest}))


def libraries(site, python, machine, epoch):
    """Wheels for the gateway's Python and processor, and our own; returns our version."""
    platform = f"{machine}-manylinux_2_28"
    run(
        *(sys.executable, "-m", "uv", "pip", "install", "-q", "--target", site, "--python-platform", platform),
        *("--python-version", python, "--only-binary", ":all:", "--no-deps", "--require-hashes"),
        *("--link-mode", "copy", "-r", ROOT / "requirements.txt"),
    )
    wheels = site.parent / "wheels"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels)
    wheel = next(wheels.glob("edgeagent-*.whl"))
    zipfile.ZipFile(wheel).extractall(site)
    shutil.rmtree(wheels)
    write(site / "edgeagent/_shipped/built", f"{epoch}\n")
    for path in sorted(site.rglob("*"), reverse=True):
        noise = path.name in NOISE and path.parent.name.endswith(".dist-info")
        if noise or path.name in ("__pycache__", "tests") or path == site / "bin":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for lock in site.glob(".lock"):
        lock.unlink()
    return wheel.name.split("-")[1]


def files(tree, version):
    """Everything that is not Python."""
    write(tree / "opt/edgeagent/bin/edgeagent", LAUNCHER, 0o755)
    for name, place in PLACES.items():
        write(tree / place, (UNITS / name).read_text())
    for name, units in DROP_INS.items():
        for unit in units:
            write(tree / f"etc/systemd/system/{unit}.service.d/{name}", (UNITS / name).read_text())
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/edgeagent").symlink_to("/opt/edgeagent/bin/edgeagent")
    write(tree / "usr/share/doc/edgeagent/copyright", f"edgeagent {version}\n\n" + (ROOT / "LICENSE").read_text())
    write(tree / "usr/share/doc/edgeagent/README.md", (ROOT / "README.md").read_text())


def sbom(site, version, release, epoch):
    """CycloneDX 1.6: what is inside, with the hash of every file set and its licence."""
    parts = []
    for folder in sorted(site.glob("*.dist-info")):
        about = email.parser.Parser().parsestr((folder / "METADATA").read_text(encoding="utf-8", errors="replace"))
        name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
        licence = about["License-Expression"] or about["License"] or ""
        part = {
            "type": "application" if name == "edgeagent" else "library",
            "bom-ref": f"pkg:pypi/{name}@{about['Version']}",
            "name": name,
            "version": about["Version"],
            "purl": f"pkg:pypi/{name}@{about['Version']}",
            "hashes": [{"alg": "SHA-256", "content": digest_of(site, folder)}],
        }
        if licence and len(licence) < 200:  # some put the whole text there
            part["licenses"] = [{"license": {"name": licence.strip()}}]
        parts.append(part)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": out("date", "-u", "-d", f"@{epoch}", "+%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "name": "edgeagent", "version": f"{version}~{release}"},
        },
        "components": parts,
    }
    text = json.dumps(document, indent=1, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}"
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def digest_of(site, folder):
    """One hash over the files of a distribution, by the names its top-level folders have."""
    name = folder.name.split("-")[0]
    digest = hashlib.sha256()
    tops = {name, name.lower(), name.replace("_", "-")}
    wanted = [p for p in site.iterdir() if p.name in tops or p.name.split(".")[0] in tops or p == folder]
    for file in sorted(f for top in wanted for f in ([top] if top.is_file() else top.rglob("*")) if f.is_file()):
        digest.update(str(file.relative_to(site)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def pack(tree, folder, version, release, machine, epoch):  # noqa: PLR0917  one call
    """The .deb; dpkg-deb takes its times from SOURCE_DATE_EPOCH."""
    python = RELEASES[release]
    major, minor = python.split(".")
    size = sum(p.stat().st_size for p in tree.rglob("*") if p.is_file() and not p.is_symlink()) // 1024
    control = CONTROL.format(
        version=version, release=release, size=size, python=python, next=f"{major}.{int(minor) + 1}"
    )
    control = control.replace("arm64", {"aarch64": "arm64", "x86_64": "amd64"}[machine])
    write(tree / "DEBIAN/control", control)
    conf = [str(Path("/") / p.relative_to(tree)) for p in sorted((tree / "etc").rglob("*.conf"))]
    write(tree / "DEBIAN/conffiles", "".join(f"{line}\n" for line in conf))
    for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
        write(tree / "DEBIAN" / name, text, 0o755)
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or (path.stat().st_mode & 0o100 and "site" not in path.parts) else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    package = folder / f"edgeagent_{version}~{release}_{'arm64' if machine == 'aarch64' else 'amd64'}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--threads-max=1", "--build", tree, package, epoch=epoch)
    return package


def write(path, text, mode=0o644):
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def run(*words, epoch=0):
    """A command that must work."""
    env = {**os.environ, **({"SOURCE_DATE_EPOCH": str(epoch)} if epoch else {})}
    subprocess.run([str(word) for word in words], cwd=ROOT, env=env, check=True, stdout=sys.stderr)


def out(*words):
    """What a command says."""
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
