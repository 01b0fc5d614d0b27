#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# copies.sh - the copy of a mount in a new mount namespace keeps its daemon; one that was dropped does not
. "$(dirname "$0")/../lib/lib.sh"
# shellcheck source-path=SCRIPTDIR/../../.. source=scripts/mounts.sh
. "$here/../../../scripts/mounts.sh"

# new_namespace COMMANDS: runs these, of bash, in a mount namespace of its own, until stdin ends; returns
# when they are done.
new_namespace() {
	mkfifo "$tmp/ready" "$tmp/go"
	unshare --mount bash -c '. "$1/../../../scripts/mounts.sh"; '"$1"'; echo >"$2/ready"; read -r _ <"$2/go"' \
		bash "$here" "$tmp" &
	helper=$!
	read -r _ <"$tmp/ready"
}

leave_namespace() {
	echo >"$tmp/go"
	wait "$helper"
	helper=
	rm "$tmp/ready" "$tmp/go"
}

unshare --mount true 2>/dev/null || skip_all "mount namespaces cannot be made here"

start_mount
new_namespace true
ok "umount, with a copy elsewhere" umount "$m"
ok "the daemon lives on" kill -0 "$daemon"
leave_namespace
await_daemon "the copy is gone"

start_mount
mkdir "$tmp/a bind"
mount --bind "$m" "$tmp/a bind"
ok "in the old namespace nothing is dropped" not drop_copied_mounts "$(mount_namespace)"
ok "the mount is there" is_mounted "$m"
new_namespace "drop_copied_mounts $(mount_namespace)"
umount "$tmp/a bind"
stop_mount "umount, the copy was dropped"
leave_namespace
finish
