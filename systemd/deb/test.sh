#!/bin/sh
# test.sh RELEASE FOLDER: what a person does with the package in FOLDER, in an arm64 chroot under qemu-user: installs
# it with apt, runs the demo to its end, installs a newer version over it, purges it.  Needs root, debootstrap and
# qemu-user-static with binfmt; Debian comes from wherever apt is told to fetch it (or DEBIAN_MIRROR).
# Not part of CI: with emulation a minute of demo takes several.
set -eu
release=$1
folder=$(cd "$2" && pwd)
seconds=${DEMO_SECONDS:-20}
for tool in debootstrap qemu-aarch64-static; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install debootstrap qemu-user-static binfmt-support"; exit 2; }
done
root=$(mktemp -d "${TMPDIR:-/var/tmp}/edgeagent-deb.XXXXXX")
clean() {
  for place in dev/shm dev/pts proc; do
    if mountpoint -q "$root/$place"; then umount "$root/$place"; fi
  done
  rm -rf --one-file-system "$root"
}
trap clean EXIT
trap 'exit 130' INT TERM
step() { printf '\n== %s\n' "$*"; }
expect() { # WHAT COMMAND…: in the chroot; says what was expected when it fails
  what=$1; shift
  chroot "$root" "$@" >/dev/null 2>&1 || { echo "✗ $what"; exit 1; }
  echo "✓ $what"
}

step "an arm64 $release"
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)}
debootstrap --arch=arm64 --variant=minbase --include=python3,dbus,systemd "$release" "$root" $mirror >"$folder/debootstrap.log" 2>&1 ||
  { tail -n 5 "$folder/debootstrap.log"; exit 1; }
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o size=256m tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" && ln -sf pts/ptmx "$root/dev/ptmx" # virtual gauges are ptys
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root

step "install"
cp "$folder"/edgeagent_*~"$release"_arm64.deb "$root/new.deb"
# an older version of the same, for the way up
dpkg-deb --raw-extract "$root/new.deb" "$root/older"
sed -i 's/^Version: .*/Version: 0.0.1~'"$release"'/' "$root/older/DEBIAN/control"
rm "$root/older/usr/lib/systemd/system/edgeagent-renew.timer" # as if it had come later
sed -i "s/ edgeagent-renew.timer//" "$root/older/DEBIAN/postinst" "$root/older/DEBIAN/postrm"
dpkg-deb -Znone --build "$root/older" "$root/old.deb" >/dev/null && rm -r "$root/older"
chroot "$root" apt-get install -qq -y --no-install-recommends ./old.deb
mkdir -p "$root/etc/edgeagent"
printf '[gateway]\nid = "GW-1"\n[[sources]]\nid = "box"\ndriver = "host"\n' >"$root/etc/edgeagent/config.toml"
echo kept >"$root/var/lib/edgeagent/kept"
expect "the service has its user" id edgeagent
expect "and its folder" sh -c 'test "$(stat -c %U:%a /var/lib/edgeagent)" = edgeagent:700'
expect "it starts with the next boot" systemctl is-enabled edgeagent.service
chroot "$root" systemctl disable edgeagent-update.timer 2>/dev/null

step "upgrade"
chroot "$root" apt-get install -qq -y --no-install-recommends ./new.deb
rm "$root"/*.deb
expect "what is new starts with the next boot" systemctl is-enabled edgeagent-renew.timer
expect "what somebody disabled stays so" sh -c '! systemctl is-enabled edgeagent-update.timer'
expect "the config is as it was" grep -q GW-1 /etc/edgeagent/config.toml
expect "nothing is left of the older version" sh -c '! find /opt/edgeagent -name "*.dpkg-*" | grep -q .'
expect "units are well formed" systemd-analyze verify --man=no edgeagent.service edgeagent-update.timer edgeagent-renew.timer
expect "every file is as it was packed" sh -c 'cd / && md5sum --quiet -c /var/lib/dpkg/info/edgeagent.md5sums'
chroot "$root" edgeagent version
expect "the config is understood" edgeagent check --config /etc/edgeagent/config.toml
expect "an update that cannot be had is no traceback" sh -c 'edgeagent update status 2>&1 | grep -vq Traceback'

step "the detector"
# Emulation needs a minute to load it, so in a short demo the camera sees no car; here it is asked by itself.
chroot "$root" edgeagent count model vehicles 2>/dev/null | tee "$folder/model.log"
grep -q '9 / 9' "$folder/model.log" || { echo "✗ known pictures"; exit 1; }

step "demo --seconds $seconds"
began=$(date +%s)
chroot "$root" edgeagent demo --seconds "$seconds" --json >"$folder/demo.log" || { cat "$folder/demo.log"; echo "✗ the demo"; exit 1; }
tail -n 1 "$folder/demo.log"
tail -n 1 "$folder/demo.log" | grep -q '"lost": 0,.*"wrong": 0,.*"tags": true,.*"ok": true' || { echo "✗ the demo's verdict"; exit 1; }
echo "✓ the demo, in $(($(date +%s) - began)) s"

step "purge"
chroot "$root" apt-get purge -qq -y edgeagent
expect "the program is gone" sh -c '! test -e /opt/edgeagent && ! test -e /usr/bin/edgeagent && ! test -e /usr/lib/systemd/system/edgeagent.service'
expect "what it measured is not" grep -q kept /var/lib/edgeagent/kept
expect "nor is the config" test -f /etc/edgeagent/config.toml
expect "no link to its units is left" sh -c '! find /etc/systemd -name "edgeagent*" | grep -q .'
echo "✓ $release"
