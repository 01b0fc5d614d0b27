# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# mounts.sh - for programs that enter a mount namespace of their own; sourced, never run.

# mount_namespace: the name of the one that this shell is in.
mount_namespace() { readlink "/proc/$BASHPID/ns/mnt"; }

# drop_copied_mounts OLD: unmounts every chronfs mount in this mount namespace, which has just been made by
# a process in OLD, what mount_namespace said there.  Fails, and does nothing, in OLD itself.
#
# A new mount namespace begins with a copy of every mount of the old one.  A daemon of FUSE ends when the
# last copy of its mount is gone, so a copy keeps it alive after the unmount of the original, and its queue
# locked.  Nothing here uses these copies.
drop_copied_mounts() {
	local target type
	[[ ${1-} == mnt:* ]] && [ "$1" != "$(mount_namespace)" ] || return 1
	while read -r _ target type _; do
		case $type in
		fuse.chronfs)
			# \040 and the like stand for blanks.  -c and -i: no look at the mount, whose daemon may hang.
			umount -c -i -l -- "$(printf %b "$target")" || true
			;;
		esac
	done < <(tac /proc/self/mounts)
}
