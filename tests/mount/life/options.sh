#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# options.sh - every option of mount(8) and libfuse that one may try: it works, or it is refused by name
# with a reason, before anything is made
. "$(dirname "$0")/../lib/lib.sh"

mounts+=("$m")
# shellcheck disable=SC2317 # called by wait_for
unlocked() { flock -n "$q/writer.lock" true; }

# What works: the start returns when the mount answers, records go in and come out, the daemon ends.
n=0
works() { # OPTIONS [OPTION OF THE TABLE OF MOUNTS]
	n=$((n + 1))
	q=$tmp/works$n
	ok "-o $1: the mount" "$CHRONFS" "$q" "$m" -o "segment_size=64K,$1"
	ok "-o $1: it answers at once" is_mounted "$m"
	ok "-o $1: it takes a record" dd if=/dev/zero of="$m/append" bs=20000 count=1 status=none
	is "-o $1: and gives it back" "$(wc -c <"$m/stream")" 20000
	[ $# -lt 2 ] || ok "-o $1: in the table" grep -qE " $m [^ ]* [^ ]*\b$2\b" /proc/mounts
	ok "-o $1: umount" umount "$m"
	ok "-o $1: the daemon ends" wait_for unlocked
	ok "-o $1: nothing is mounted" not is_mounted "$m"
}
works max_read=4096 max_read=4096
works max_read=65536,max_read=16384 max_read=16384
works max_read=0
works max_read=131072
works allow_other allow_other
works allow_root allow_other
works default_permissions default_permissions
works auto_unmount
works subtype=chronfs
works fsname=name
works nonempty
works dev,suid,exec
works nodev,nosuid,noexec noexec
works noatime noatime
works dirsync dirsync
works async
works sync sync
works ro,rw rw
works uid=1,gid=nogroup,umask=077
works _netdev,nofail,x-anything,user,,comment=x

# The data of an allow_root mount are root's and the mounter's.
q=$tmp/root
user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"$CHRONFS" "$q" "$m" -o allow_root
refused "-o allow_root lets no other user in" "Permission denied" "${user[@]}" ls "$m/"
umount "$m"
ok "its daemon ends" wait_for unlocked

# What does not: the exit status, the option, the reason; and nothing was made.
q=$tmp/refused
no() { # OPTIONS REASON
	gives 1 "-o ${1%%,*}: $2" "-o $1" "$CHRONFS" "$q" "$m" -o "$1"
	ok "-o $1: nothing was made" [ ! -e "$q" ]
	ok "-o $1: nothing is mounted" not is_mounted "$m"
}
no io_uring "requests that are interrupted would keep waiting"
no io_uring_q_depth=8 "requests that are interrupted would keep waiting"
no clone_fd "the number of threads is fixed"
no max_threads=4 "the number of threads is fixed"
no max_idle_threads=4 "the number of threads is fixed"
no max_write=4096 "the sizes of requests are fixed"
no max_readahead=0 "the sizes of requests are fixed"
no kernel_cache "chronfs decides for each file what the kernel may cache"
no direct_io "chronfs decides for each file what the kernel may cache"
no attr_timeout=1 "chronfs decides for each file what the kernel may cache"
no blkdev "a queue is a directory"
no blksize=512 "a queue is a directory"
no subtype=other "the type is always fuse.chronfs"
no subtype= "the type is always fuse.chronfs"
no remount,ro "the options of a mount cannot be changed"
no fsname= "a name expected"
no max_read=x "a number expected"
no max_read=-1 "a number expected"
no max_read=4294967296 "a number expected"
unknown() {
	gives 1 "unknown option(s): \`-o $1'" "-o $1" "$CHRONFS" "$q" "$m" -o "$1"
	ok "-o $1: nothing was made" [ ! -e "$q" ]
}
unknown nonsense
unknown fd=5
unknown rootmode=40000
unknown user_id=0
unknown large_read
gives 1 "exclude each other" "allow_root with allow_other" "$CHRONFS" "$q" "$m" -o allow_root,allow_other
finish
