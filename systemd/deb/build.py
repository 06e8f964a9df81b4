"""`python systemd/deb/build.py RELEASE`: the field package, cross-built; no emulation, no compiler.

One .deb per Debian release, because binary wheels are made for one Python: bookworm (3.11), trixie
(3.13).  The libraries of requirements.txt (hashes checked) go to /opt/edgeagent/site as aarch64
wheels, with the agent, its units and its parts list (SBOM, CycloneDX 1.6).  The same commit gives the
same bytes: times come from the commit, names are sorted, nothing knows where it was built.

It lies beside the units because that is what it installs.
"""

import argparse
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import bill

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UNITS = ROOT / "systemd"
RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
SITE = Path("opt/edgeagent/site")
LAUNCHER = """#!/bin/sh
# -P: the folder somebody happens to stand in is no place to import from.
export PYTHONPATH=/opt/edgeagent/site PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
exec /usr/bin/python3 -m edgeagent "$@"
"""
SCRIPTS = ("postinst", "prerm", "postrm")
PLACES = {
    "edgeagent.service": "usr/lib/systemd/system/edgeagent.service",
    "edgeagent-update.service": "usr/lib/systemd/system/edgeagent-update.service",
    "edgeagent-update.timer": "usr/lib/systemd/system/edgeagent-update.timer",
    "edgeagent-renew.service": "usr/lib/systemd/system/edgeagent-renew.service",
    "edgeagent-renew.timer": "usr/lib/systemd/system/edgeagent-renew.timer",
    "edgeagent.sysusers": "usr/lib/sysusers.d/edgeagent.conf",
    "edgeagent.tmpfiles": "usr/lib/tmpfiles.d/edgeagent.conf",
    "edgeagent.modules-load": "usr/lib/modules-load.d/edgeagent.conf",
    "edgeagent.journald": "usr/lib/systemd/journald.conf.d/edgeagent.conf",
}
DOCS = Path("usr/share/doc/edgeagent")
RULES = {
    "udev/60-edgeagent-serial.rules": Path("usr/lib/udev/rules.d"),
    # What lets the agent restart bluetoothd and reset an adapter is for the city to decide.
    "bluetooth/50-edgeagent-bluetooth.rules": DOCS / "bluetooth",
    "bluetooth/70-edgeagent-bluetooth-usb.rules": DOCS / "bluetooth",
    "bluetooth/edgeagent-bluetooth.conf": DOCS / "bluetooth",
}
DROP_INS = {
    "10-network.conf": ("edgeagent", "edgeagent-update", "edgeagent-renew"),
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
    parts = bill.of_parts(tree / SITE, f"{version}~{given.release}", epoch)
    without_noise(tree / SITE)
    files(tree, version)
    write(tree / DOCS / "sbom.cdx.json", parts)
    write(given.out / f"edgeagent_{version}~{given.release}.cdx.json", parts)
    package = pack(tree, given.out, version, given.release, given.machine, epoch)
    shutil.rmtree(tree)
    digests = sums(given.out)
    print(
        json.dumps({"package": str(package), "bytes": package.stat().st_size, "sha256": digests[package.name]}),
    )


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
    return wheel.name.split("-")[1]


def without_noise(site):
    """Remove what differs from machine to machine, and what nobody needs on a gateway."""
    for path in sorted(site.rglob("*"), reverse=True):
        noise = path.name in bill.GONE and path.parent.name.endswith(".dist-info")
        if noise or path.name in ("__pycache__", "tests") or path == site / "bin":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for lock in site.glob(".lock"):
        lock.unlink()


def files(tree, version):
    """Everything that is not Python."""
    write(tree / "opt/edgeagent/bin/edgeagent", LAUNCHER, 0o755)
    for name, place in PLACES.items():
        write(tree / place, (UNITS / name).read_text())
    for name, folder in RULES.items():
        write(tree / folder / Path(name).name, (ROOT / "hardware" / name).read_text())
    for name, units in DROP_INS.items():
        for unit in units:
            write(tree / f"etc/systemd/system/{unit}.service.d/{name}", (UNITS / name).read_text())
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/edgeagent").symlink_to("/opt/edgeagent/bin/edgeagent")
    page = tree / "usr/share/man/man1/edgeagent.1.gz"
    page.parent.mkdir(parents=True)
    page.write_bytes(gzip.compress(agent("manual", "--lang", "ja").encode(), mtime=0))
    write(tree / "usr/share/bash-completion/completions/edgeagent", agent(_EDGEAGENT_COMPLETE="source_bash"))
    write(tree / DOCS / "copyright", f"edgeagent {version}\n\n" + (ROOT / "LICENSE").read_text())
    write(tree / DOCS / "README.md", (ROOT / "README.md").read_text())


def sums(folder):
    """`SHA256SUMS` over the packages and parts lists that lie in a folder, as sha256sum writes it."""
    wanted = sorted([*folder.glob("edgeagent_*.deb"), *folder.glob("edgeagent_*.cdx.json")])
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in wanted}
    write(folder / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    return digests


def pack(tree, folder, version, release, machine, epoch):  # noqa: PLR0917  one call
    """The .deb; dpkg-deb takes its times from SOURCE_DATE_EPOCH."""
    python = RELEASES[release]
    major, minor = python.split(".")
    size = sum(p.stat().st_size for p in tree.rglob("*") if p.is_file() and not p.is_symlink()) // 1024
    control = (
        (HERE / "control")
        .read_text()
        .format(
            version=version,
            release=release,
            architecture={"aarch64": "arm64", "x86_64": "amd64"}[machine],
            size=size,
            python=python,
            next=f"{major}.{int(minor) + 1}",
        )
    )
    write(tree / "DEBIAN/control", control)
    conf = [str(Path("/") / p.relative_to(tree)) for p in sorted((tree / "etc").rglob("*.conf"))]
    write(tree / "DEBIAN/conffiles", "".join(f"{line}\n" for line in conf))
    write(tree / "DEBIAN/md5sums", md5sums(tree))
    for name in SCRIPTS:
        write(tree / "DEBIAN" / name, (HERE / name).read_text(), 0o755)
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or (path.stat().st_mode & 0o100 and "site" not in path.parts) else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    package = folder / f"edgeagent_{version}~{release}_{'arm64' if machine == 'aarch64' else 'amd64'}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--threads-max=1", "--build", tree, package, epoch=epoch)
    return package


def md5sums(tree):
    """What `dpkg --verify edgeagent` compares the card with."""
    kept = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    kept = [(str(p.relative_to(tree)), p) for p in kept if p.relative_to(tree).parts[0] not in ("DEBIAN", "etc")]
    return "".join(f"{hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()}  {at}\n" for at, p in kept)


def write(path, text, mode=0o644):
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def run(*words, epoch=0):
    """A command that must work."""
    env = {**os.environ, **({"SOURCE_DATE_EPOCH": str(epoch)} if epoch else {})}
    subprocess.run([str(word) for word in words], cwd=ROOT, env=env, check=True, stdout=sys.stderr)


def out(*words, **environment):
    """What a command says."""
    env = {**os.environ, **environment}
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True, env=env).stdout.strip()


def agent(*words, **environment):
    """What a verb of ours says, the same on every machine."""
    # the program is called by its name: that is what completion completes
    call = "import sys; from edgeagent.cli import main; sys.argv[0] = 'edgeagent'; main()"
    return out(sys.executable, "-c", call, *words, TERM="dumb", COLUMNS="80", NO_COLOR="1", **environment) + "\n"


if __name__ == "__main__":
    main()
