#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# containers.sh - what docs/recipes.md says of containers: the bind mounts of its docker and podman lines, in
# mount namespaces that are made as those of containers are
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace
getent group adm >/dev/null || skip_all "no group adm here"
nsenter --mount=/proc/self/ns/mnt test -d "$m" || skip_all "in a chroot"

page=$here/../../../docs/recipes.md
# The lines of the page have the mount point's directory above /mnt, and the mount point itself, as source.
mapfile -t lines < <(grep -oE '^(docker|podman) run -v [^ ]+' "$page")
is "the page has a line for docker and one for podman" "${lines[*]}" \
	"docker run -v /mnt:/mnt:rslave podman run -v /mnt:/mnt:rslave"
is "and says what of the mount point itself" "$(grep -oE '`-v /mnt/events:[^`]*`' "$page")" \
	'`-v /mnt/events:/mnt/events:rslave`'

# The host's /mnt, in a shared mount as under systemd.
host=$tmp/host
mkdir -p "$host/mnt/events"
mount --bind "$host" "$host" && mount --make-shared "$host"
m=$host/mnt/events
mounts+=("$m" "$host")
running=()

# container SOURCE:DESTINATION:PROPAGATION: starts one with this volume; its number is in $container.  As a
# container's runtime does, it makes all mounts slaves of the host's, then the volume, with its propagation.
container() {
	local source destination propagation rootfs
	IFS=: read -r source destination propagation <<<"$1"
	rootfs=$tmp/rootfs${#running[@]}
	mkdir -p "$rootfs$destination"
	rm -f "$tmp/ready"
	unshare --mount --propagation slave sh -c '
		mount --rbind "$1" "$2" && mount --make-"$3" "$2" && : >"$4" && exec sleep 100000' \
		sh "$host$source" "$rootfs$destination" "$propagation" "$tmp/ready" &
	container=${#running[@]}
	running+=($!)
	wait_for [ -e "$tmp/ready" ] || fail "the container starts"
}

# in_container NUMBER COMMAND...: in its directory that has /mnt.
in_container() {
	local number=$1
	shift
	nsenter --mount="/proc/${running[$number]}/ns/mnt" -- \
		sh -c 'cd "$0" && exec "$@"' "$tmp/rootfs$number" "$@"
}

container_ends() {
	kill "${running[$1]}"
	wait "${running[$1]}" 2>/dev/null
}

# sees NUMBER: the records that the container sees, or what cat says.
sees() { in_container "$1" cat mnt/events/stream 2>&1 | sed 's/.*: //' | tr '\n' ' '; }

options=(-o "allow_other,gid=adm,umask=007")
# shellcheck disable=SC2317 # called by wait_for
dead() { stat "$m" 2>&1 | grep -q 'not connected'; }
killed_and_mounted_again() {
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null
	daemon=
	wait_for dead || fail "the mount dies"
	start_mount -o recover "${options[@]}"
}

lost="Transport endpoint is not connected "
above=/mnt:/mnt
itself=/mnt/events:/mnt/events

# ---- mounted before the container starts ----

start_mount "${options[@]}"
echo one >"$m/append"
for volume in $above:rslave $itself:rslave $above:rprivate; do
	container "$volume"
	is "$volume shows a mount that was there" "$(sees "$container")" "one "
done
adm=$(getent group adm | cut -d: -f3)
ok "a member of the group appends from within" in_container 0 \
	setpriv --reuid=64001 --regid=64001 --groups="$adm" sh -c 'echo two >>mnt/events/append'
refused "another user does not" "Permission denied" in_container 0 \
	setpriv --reuid=64001 --regid=64001 --clear-groups sh -c 'echo two >>mnt/events/append'
is "it is in the queue" "$("$CHRONQ" tail -n 1 "$q")" two
killed_and_mounted_again
is "mounted again, $above:rslave shows the new mount" "$(sees 0)" "one two "
is "$itself:rslave the dead one" "$(sees 1)" "$lost"
is "without rslave, too" "$(sees 2)" "$lost"
container_ends 1
container_ends 2
container $itself:rslave
is "a container that is started again shows it" "$(sees "$container")" "one two "
container_ends "$container"
stop_mount "an unmount reaches $above:rslave"
is "where nothing is mounted then" "$(in_container 0 ls mnt/events)" ""

# ---- mounted after it has started ----

for volume in $itself:rslave $above:rprivate; do container "$volume"; done
start_mount "${options[@]}"
is "$above:rslave shows a later mount" "$(sees 0)" "one two "
is "$itself:rslave, too" "$(sees 4)" "one two "
is "without rslave it does not" "$(sees 5)" "No such file or directory "
killed_and_mounted_again
is "and the next one: $above:rslave" "$(sees 0)" "one two "
is "$itself:rslave, which had a directory" "$(sees 4)" "one two "
for number in 0 4 5; do container_ends "$number"; done
stop_mount
umount "$host"
finish
