#!/bin/sh
# test.sh RELEASE FOLDER: installs the package in FOLDER into an arm64 chroot under qemu-user and runs
# the demo in it.  Needs root, debootstrap, qemu-user-static and binfmt; not part of CI.
set -eu
release=$1
folder=$2
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT
for tool in debootstrap qemu-aarch64-static; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install debootstrap qemu-user-static binfmt-support"; exit 1; }
done
debootstrap --arch=arm64 --variant=minbase --include=python3,libglib2.0-0,dbus "$release" "$root"
mount -t proc proc "$root/proc"
cp "$folder"/edgeagent_*~"$release"_arm64.deb "$root/edgeagent.deb"
chroot "$root" sh -c 'dpkg -i /edgeagent.deb || apt-get -y -f install'
chroot "$root" edgeagent version
chroot "$root" edgeagent demo --seconds 20 --json
