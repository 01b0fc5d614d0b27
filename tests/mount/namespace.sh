# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# namespace.sh - for tests that change what the system looks like; sourced before lib.sh, never run.
#
# The test goes on in a mount namespace and a process namespace of its own: what it mounts over
# /usr/sbin or /dev is seen by nobody else, and is gone with its last process, which is killed with
# the first, whatever way that ends.

if [ -z "${CHRONFS_TEST_NAMESPACE-}" ]; then
	own=(unshare --mount --pid --fork --kill-child --mount-proc --propagation)
	# What is mounted here must not show elsewhere.  In a chroot the root is no mount that could
	# be made private; there it may stay as it is where nothing is shared with anybody.
	ways=(private)
	grep -q ' shared:' /proc/self/mountinfo || ways+=(unchanged)
	for way in "${ways[@]}"; do
		if "${own[@]}" "$way" -- true 2>/dev/null; then
			export CHRONFS_TEST_NAMESPACE=$way
			exec "${own[@]}" "$way" -- bash "$0" "$@"
		fi
	done
fi

need_namespace() {
	[ -n "${CHRONFS_TEST_NAMESPACE-}" ] || skip_all "namespaces cannot be made here"
	# On a file system of its own, so that removing files never reaches what is shown below it.
	mount -t tmpfs tmpfs /mnt || skip_all "no tmpfs here"
}

# show_in DIRECTORY FILES: shows the files of a directory in another one, too.
show_in() {
	local dir name
	dir=$(readlink -f "$1")
	name=${dir//\//_}
	mkdir -p "/mnt/under/$name" "/mnt/over/$name"
	mount --bind "$dir" "/mnt/under/$name" &&
		cp -as "/mnt/under/$name/." "/mnt/over/$name/" &&
		cp -a --remove-destination "$2/." "/mnt/over/$name/" &&
		mount --bind "/mnt/over/$name" "$dir"
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
	mkdir /mnt/dev
	for node in "null 1 3" "zero 1 5" "urandom 1 9" "tty 5 0" "fuse 10 229"; do
		# shellcheck disable=SC2086 # three words
		set -- $node
		mknod -m 666 "/mnt/dev/$1" c "$2" "$3" || return
	done
	ln -s /proc/self/fd /mnt/dev/fd
	ln -s /proc/self/fd/1 /mnt/dev/stdout
	ln -s /proc/self/fd/2 /mnt/dev/stderr
	head -c 0 /mnt/dev/fuse && mount --bind /mnt/dev /dev
}

# own_etc [FSTAB]: an /etc that has mtab, without which fusermount3 unmounts nothing, and this fstab.
# shellcheck disable=SC2154 # tmp is of lib.sh
own_etc() {
	mkdir "$tmp/etc" && ln -s /proc/self/mounts "$tmp/etc/mtab" || return
	[ $# -eq 0 ] || cp "$1" "$tmp/etc/fstab" || return
	show_in /etc "$tmp/etc"
}
