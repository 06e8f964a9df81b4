#!/bin/sh
# pid1.sh PLACE CODE SITE: in namespaces of its own, becomes systemd as PID 1 of a copy of this machine that forgets
# everything: the disk seen through an overlay in memory, devices of its own, /proc/sys and /sys read-only.  Nothing
# of Debian's own units starts; the unit files under test and the code come from CODE, libraries from SITE.
set -e
mount -t tmpfs -o size=512m lab "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay lab -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
new="$1/root"
mount -t proc proc "$new/proc"
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,bind,ro "$new/proc/sys"
mount -t sysfs -o ro sysfs "$new/sys"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
for folder in run tmp var/log var/lib/systemd; do mkdir -p "$new/$folder" && mount -t tmpfs -o mode=755 tmpfs "$new/$folder"; done
chmod 1777 "$new/tmp"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$new/dev/${node%:*}" c 1 "${node#*:}"; done

rm -rf "$new"/etc/systemd/system "$new"/usr/lib/systemd/system/*.wants "$new"/usr/lib/systemd/system-generators
rm -rf "$new"/opt/edgeagent "$new"/etc/edgeagent "$new"/var/lib/edgeagent
mkdir -p "$new"/etc/systemd/system "$new"/opt/edgeagent/bin "$new"/opt/edgeagent/code "$new"/opt/edgeagent/site
mount --bind "$2" "$new/opt/edgeagent/code"
mount --bind "$3" "$new/opt/edgeagent/site"
cat >"$new/opt/edgeagent/bin/edgeagent" <<'LAUNCHER'
#!/bin/sh
export PYTHONPATH=/opt/edgeagent/code:/opt/edgeagent/site PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
exec /usr/bin/python3 -m edgeagent "$@"
LAUNCHER
chmod 755 "$new/opt/edgeagent/bin/edgeagent"
for unit in edgeagent edgeagent-update edgeagent-renew; do
  cp "$2/systemd/$unit.service" "$new/etc/systemd/system/"
  [ ! -f "$2/systemd/$unit.timer" ] || cp "$2/systemd/$unit.timer" "$new/etc/systemd/system/"
done
cat >"$new/etc/systemd/system/lab.target" <<'TARGET'
[Unit]
DefaultDependencies=no
Wants=systemd-journald.socket systemd-journald.service
TARGET
cp "$2/systemd/edgeagent.sysusers" "$new/usr/lib/sysusers.d/edgeagent.conf"
cp "$2/systemd/edgeagent.tmpfiles" "$new/usr/lib/tmpfiles.d/edgeagent.conf"
chroot "$new" systemd-sysusers edgeagent.conf >/dev/null 2>&1
chroot "$new" systemd-tmpfiles --create edgeagent.conf
mkdir "$new/old"
cd "$new"
pivot_root . old # not chroot: who is in one may make no user namespace (PrivateUsers=)
umount -l /old
mount --make-rshared / # as an initramfs leaves it: credentials are mounted in a namespace and have to come out of it
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=lab.target \
  --log-target=journal --show-status=0 </dev/null >/dev/null 2>&1
