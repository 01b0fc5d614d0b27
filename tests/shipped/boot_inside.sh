#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: boot_inside.sh NAMESPACE TOP ROOT
#
# The part of boot.sh that runs as the first process of the new namespaces, and becomes systemd: makes ROOT the
# root of the file system, with the mounts and devices that a container has.
set -euo pipefail
# shellcheck source=scripts/mounts.sh
. "$2/scripts/mounts.sh"

mount --make-rprivate /
drop_copied_mounts "$1"
mount --bind "$3" "$3"
cd "$3"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
# Modes as udev gives them.
while read -r name major minor; do
	mknod -m 666 "dev/$name" c "$major" "$minor"
done <<-'EOF'
	null 1 3
	zero 1 5
	full 1 7
	random 1 8
	urandom 1 9
	tty 5 0
	fuse 10 229
EOF
mkdir old
pivot_root . old
umount -l old
rmdir old
mount --make-rshared /
hostname chronfs-test
exec env -i container=chronfs-test PATH=/usr/sbin:/usr/bin \
	/lib/systemd/systemd --log-target=console --log-level=notice --unit=multi-user.target
