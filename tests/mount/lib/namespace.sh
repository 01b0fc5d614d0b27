# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# namespace.sh - for tests that change what the system looks like; sourced before lib.sh, never run.
#
# The test runs in a mount namespace and a process namespace of its own: no other process sees what it mounts over
# /usr/sbin or /dev.  The namespace ends with its last process; the kernel kills that with
# the first one, however the test ends.

# shellcheck source-path=SCRIPTDIR/../../.. source=scripts/mounts.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../../scripts/mounts.sh"

if [ -n "${CHRONFS_TEST_NAMESPACE-}" ]; then
	drop_copied_mounts "$CHRONFS_TEST_OUTSIDE" || exit
else
	enter=(unshare --mount --pid --fork --kill-child --mount-proc --propagation)
	# What is mounted here must not show elsewhere.  In a chroot the root is no mount that could
	# be made private; there it may stay as it is where nothing is shared with anybody.
	ways=(private)
	grep -q ' shared:' /proc/self/mountinfo || ways+=(unchanged)
	for way in "${ways[@]}"; do
		if "${enter[@]}" "$way" -- true 2>/dev/null; then
			export CHRONFS_TEST_NAMESPACE=$way
			CHRONFS_TEST_OUTSIDE=$(mount_namespace)
			export CHRONFS_TEST_OUTSIDE
			exec "${enter[@]}" "$way" -- bash "$0" "$@"
		fi
	done
fi

# own_space: a file system of the test's own at $own, so that removing files never reaches what is shown below it;
# and another directory directly below the root in $top.  Neither hides anything that the test needs.
# shellcheck disable=SC2154 # here and tmp are of lib.sh
own_space() {
	local dir needed spare=()
	for dir in /mnt /media /srv /opt; do
		[ -d "$dir" ] && [ ! -L "$dir" ] || continue
		for needed in "$here" "$tmp" "$(readlink -f "$CHRONFS")"; do
			[[ $needed/ != "$dir"/* ]] || continue 2
		done
		spare+=("$dir")
	done
	[ ${#spare[@]} -ge 2 ] || return
	own=${spare[0]}
	# shellcheck disable=SC2034 # for the tests
	top=${spare[1]}
	mount -t tmpfs tmpfs "$own"
}

need_namespace() {
	[ -n "${CHRONFS_TEST_NAMESPACE-}" ] || skip_all "namespaces cannot be made here"
	own_space || skip_all "no place for a tmpfs here"
}

# show_in DIRECTORY FILES: shows the files of a directory in another one, too.
show_in() {
	local dir name
	dir=$(readlink -f "$1")
	name=${dir//\//_}
	mkdir -p "$own/under/$name" "$own/over/$name"
	mount --bind "$dir" "$own/under/$name" &&
		cp -as "$own/under/$name/." "$own/over/$name/" &&
		cp -a --remove-destination "$2/." "$own/over/$name/" &&
		mount --bind "$own/over/$name" "$dir"
}

# hide_in DIRECTORY NAME: what show_in() showed there is not there any more.
hide_in() {
	rm "$(readlink -f "$1")/$2"
}

# own_dev: a /dev with few devices, of which users may open /dev/fuse; fails where none can be made.
# shellcheck disable=SC2154 # tmp is of lib.sh
own_dev() {
	local node
	[[ $tmp != /dev/* ]] || return # the test's own files would not be seen any more
	mkdir "$own/dev"
	for node in "null 1 3" "zero 1 5" "urandom 1 9" "tty 5 0" "fuse 10 229"; do
		# shellcheck disable=SC2086 # three words
		set -- $node
		mknod -m 666 "$own/dev/$1" c "$2" "$3" || return
	done
	ln -s /proc/self/fd "$own/dev/fd"
	ln -s /proc/self/fd/1 "$own/dev/stdout"
	ln -s /proc/self/fd/2 "$own/dev/stderr"
	head -c 0 "$own/dev/fuse" && mount --bind "$own/dev" /dev
}

# users_have_fuse: users may open /dev/fuse: the system's, or that of an own_dev.
# shellcheck disable=SC2154 # user is of lib.sh
users_have_fuse() {
	"${user[@]}" test -w /dev/fuse && return
	[ -n "${CHRONFS_TEST_NAMESPACE-}" ] && own_space && own_dev 2>/dev/null
}

# own_etc [FSTAB]: an /etc that has mtab, without which fusermount3 unmounts nothing, and this fstab.
# shellcheck disable=SC2154 # tmp is of lib.sh
own_etc() {
	mkdir "$tmp/etc" && ln -s /proc/self/mounts "$tmp/etc/mtab" || return
	[ $# -eq 0 ] || cp "$1" "$tmp/etc/fstab" || return
	show_in /etc "$tmp/etc"
}
