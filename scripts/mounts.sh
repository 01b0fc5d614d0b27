# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# mounts.sh - for programs that enter a mount namespace of their own; sourced, never run.

# mount_namespace: prints the name of the mount namespace of this shell.
mount_namespace() { readlink "/proc/$BASHPID/ns/mnt"; }

# drop_copied_mounts OLD: unmounts every chronfs mount in this mount namespace, which a process in OLD
# has just made (OLD is what mount_namespace printed there).  Fails, and does nothing, in OLD itself.
#
# A new mount namespace begins with a copy of every mount of the old one.  A FUSE daemon ends when the
# last copy of its mount is gone.  So a copy keeps the daemon alive after the unmount of the original,
# and its queue locked.  Nothing here uses these copies.
drop_copied_mounts() {
	local target type
	[[ ${1-} == mnt:* ]] && [ "$1" != "$(mount_namespace)" ] || return 1
	while read -r _ target type _; do
		case $type in
		fuse.chronfs)
			# %b: \040 is a blank.  -c and -i: do not touch the mount; its daemon may hang.
			umount -c -i -l -- "$(printf %b "$target")" || true
			;;
		esac
	done < <(tac /proc/self/mounts)
}
