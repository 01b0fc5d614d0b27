#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# mounting.sh - installed, and mounted by mount(8): types, fstab lines, the helper's letters, users
#
# The programs are installed into a directory of the test's own, and shown at their places in a mount
# namespace of the test's own.
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace

build=$(dirname "$(dirname "$CHRONFS")")
[ -d "$build/meson-info" ] || skip_all "needs CHRONFS in its build directory"
if ! DESTDIR=$tmp/root meson install -C "$build" --no-rebuild >"$tmp/install.log" 2>&1; then
	fail "meson install"
	note "$(cat "$tmp/install.log")"
	finish
fi
target=$(readlink "$tmp/root/sbin/mount.chronfs") ||
	skip_all "this build installs no mount helper (mount_helper_dir)"
mkdir -p "$(dirname "$target")"
show_in /sbin "$tmp/root/sbin"
show_in "$(dirname "$target")" "$(dirname "$tmp/root$target")"
ok "the helpers lead to the program" cmp /sbin/mount.fuse.chronfs "$CHRONFS"
mounts+=("$m")

# shellcheck disable=SC2317 # called by wait_for
unlocked() { flock -n "$q/writer.lock" true; }

# mounted DESCRIPTION: it is, it takes a record; then it is unmounted, and its daemon ends.
number=0
mounted() {
	number=$((number + 1))
	is "$1: in the table" "$(findmnt -n -r -o SOURCE,FSTYPE -M "$m")" "$q fuse.chronfs"
	echo "$number" >>"$m/append"
	is "$1: takes a record" "$("$CHRONQ" tail -n 1 "$q")" "$number"
	ok "$1: umount" umount "$m"
	ok "$1: the daemon ends" wait_for unlocked
}

# options: of the mount at $m
options() { findmnt -n -o OPTIONS -M "$m"; }

# ---- types ----

ok "mount -t chronfs" mount -t chronfs "$q" "$m" -o segment_size=64K
mounted "mount -t chronfs"
ok "mount -t fuse.chronfs" mount -t fuse.chronfs "$q" "$m"
mounted "mount -t fuse.chronfs"
for end in "umount -l" "fusermount3 -u" "fusermount3 -u -z"; do
	mount -t chronfs "$q" "$m"
	# shellcheck disable=SC2086 # a command and its options
	ok "$end" $end "$m"
	ok "$end ends the daemon" wait_for unlocked
done
(
	cd "$tmp" || exit
	mount -t chronfs queue mnt
)
mounted "mount with relative paths"

# ---- options of mount(8), of fstab(5), of ours ----

ok "all that mount(8) knows" mount -t chronfs "$q" "$m" -o \
	defaults,auto,noauto,user,nouser,users,owner,group,_netdev,nofail,comment=x,x-a.b=c,X-d=e \
	-o relatime,strictatime,lazytime,nodiratime,iversion,silent,uhelper=x,helper=y,async
mounted "all that mount(8) knows"
ok "mount -r" mount -r -t chronfs "$q" "$m"
ok "is read-only" [ ! -e "$m/append" ]
umount "$m"
mount -t chronfs "$q" "$m" -o sync
is "mount -o sync is sync=always" "$(grep -o '"sync": "[a-z]*"' "$m/stats.json")" '"sync": "always"'
umount "$m"
wait_for unlocked
mount -t chronfs "$q" "$m" -o noatime,sync,noexec
is "the kernel's mount options" "$(options | grep -oE 'noatime|sync|noexec' | sort | tr '\n' ' ')" \
	"noatime noexec sync "
mounted "options for the kernel"
mount -t chronfs "$q" "$m" -o allow_other,uid=nobody,gid=adm,umask=007,ctl_gid=nogroup
is "owner, group and mode" "$(stat -c '%a %U %G' "$m/append" "$m/ctl" "$m" | tr '\n' ,)" \
	"660 nobody adm,220 root nogroup,550 nobody adm,"
mounted "owner, group and mode"
# a newer mount(8) looks for the user before it calls us
gives 1 "nobody-here" "mount -o uid=" mount -t chronfs "$q" "$m" -o uid=nobody-here
gives 1 "remount" "mount -o remount" mount -t chronfs "$q" "$m" -o remount,ro
gives 1 "unknown option(s): \`-o nonsense'" "an unknown option" mount -t chronfs "$q" "$m" -o nonsense
gives 1 "segment_size=7" "a wrong value" mount -t chronfs "$q" "$m" -o segment_size=7
gives 1 "-t chronfs.sub" "an unknown type" mount -t chronfs.sub "$q" "$m"
gives 2 "No such file" "no mount point" /sbin/mount.chronfs "$q" "$tmp/nowhere"
gives 0 "usage: /sbin/mount.chronfs" "--help" /sbin/mount.chronfs --help
gives 0 "libfuse" "-V" /sbin/mount.chronfs -V
gives 1 "-x: unknown option" "a letter that mount(8) does not have" /sbin/mount.chronfs "$q" "$m" -x
ok "none of these mounted anything" not is_mounted "$m"
mount -t chronfs "$q" "$m"
mkdir "$tmp/second"
gives 10 "in use by process" "a second mount" mount -t chronfs "$q" "$tmp/second"
mounted "after all that"

# ---- the helper's letters ----

gives 0 "$q could be mounted at $m" "-f" mount -f -v -t chronfs "$q" "$m"
ok "-f mounts nothing" not is_mounted "$m"
ok "-f of a new queue" mount -f -t chronfs "$tmp/new" "$m"
ok "-f makes no queue" [ ! -e "$tmp/new" ]
gives 1 "nonsense" "-f checks options" mount -f -t chronfs "$q" "$m" -o nonsense
gives 2 "Not a directory" "-f checks the mount point" /sbin/mount.chronfs -f "$q" /etc/passwd
gives 0 "$q mounted at $m" "-v" mount -v -t chronfs "$q" "$m"
mounted "-v"
ok "-s and -n" mount -s -n -t chronfs "$q" "$m" -o nonsense,more=nonsense,allow_other,ro
is "-s keeps what is known" "$(options | grep -oE '^ro|allow_other' | tr '\n' ' ')" "ro allow_other "
umount "$m"
gives 1 "sync=often" "-s is no excuse for a wrong value" \
	mount -s -t chronfs "$q" "$m" -o sync=often

# Entering a namespace leads to its root, which is not ours in a chroot.
if nsenter --mount=/proc/self/ns/mnt test -d "$m"; then
	unshare --mount --propagation "$CHRONFS_TEST_NAMESPACE" sleep 1000 &
	other=$!
	there() { nsenter --mount="/proc/$other/ns/mnt" -- "$@"; }
	# shellcheck disable=SC2317 # called by wait_for
	separate() { [ "$(readlink "/proc/$other/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; }
	wait_for separate
	ok "-N" mount -N "$other" -t chronfs "$q" "$m"
	ok "-N mounts nothing here" not is_mounted "$m"
	is "-N mounts there" "$(there findmnt -n -r -o FSTYPE -M "$m")" fuse.chronfs
	ok "-N: umount there" there umount "$m"
	ok "-N: the daemon ends" wait_for unlocked
	kill "$other"
else
	skip "-N" "in a chroot"
fi
gives 1 "-N /nowhere" "-N of nothing" /sbin/mount.chronfs -N /nowhere "$q" "$m"

# ---- fstab ----

line() { # TYPE OPTIONS
	printf '%s %s %s %s 0 0\n' "${q// /\\040}" "$m" "$1" "$2" >"$tmp/fstab"
}
for type in fuse.chronfs chronfs; do
	line $type defaults,segment_size=64K,_netdev,nofail,noauto,user,x-systemd.automount,gid=adm,umask=027
	ok "a line of type $type" mount -T "$tmp/fstab" "$m"
	is "its group and mode" "$(stat -c '%a %G' "$m/stream")" "440 adm"
	is "its options" "$(options | grep -oE 'nosuid|nodev|noexec' | sort | tr '\n' ' ')" \
		"nodev noexec nosuid "
	mounted "a line of type $type"
done
ok "mount -a leaves noauto alone" mount -T "$tmp/fstab" -a
ok "nothing is mounted" not is_mounted "$m"
line chronfs defaults
ok "mount -a" mount -T "$tmp/fstab" -a
ok "mount -a again" mount -T "$tmp/fstab" -a
is "it is mounted once" "$(grep -cF " $m " /proc/self/mounts)" 1
umount "$m"
ok "mount -a: the daemon ends" wait_for unlocked
was=$q
q="$tmp/a queue"
line chronfs defaults
ok "a queue with a blank" mount -T "$tmp/fstab" "$m"
is "its name" "$(findmnt -n -o SOURCE -M "$m")" "$q"
umount "$m"
ok "its daemon ends" wait_for unlocked
q=$was

q=$tmp/home/q
line chronfs noauto,user
if [ -u "$(command -v mount)" ] && own_dev 2>/dev/null && own_etc "$tmp/fstab"; then
	mkdir -p "$tmp/home"
	chown 65534:65534 "$tmp/home" "$m"
	ok "a user mounts" "${user[@]}" mount "$m"
	is "as the user" "$(stat -c %u "$q")" 65534
	ok "a user appends" "${user[@]}" sh -c 'echo user >>"$1"' sh "$m/append"
	ok "a user unmounts" "${user[@]}" umount "$m"
	ok "the user's daemon ends" wait_for unlocked
	is "the user's record" "$("$CHRONQ" cat "$q")" user
else
	skip "a user mounts" "needs device files and a setuid mount"
fi
q=$was

# ---- without our helper, by libfuse's ----

hide_in /sbin mount.fuse.chronfs
hide_in /sbin mount.chronfs
if [ -x /sbin/mount.fuse ]; then
	line fuse.chronfs defaults,_netdev,nofail,noauto,user,x-systemd.automount,noatime
	ok "mount.fuse3" mount -T "$tmp/fstab" "$m"
	mounted "mount.fuse3"
	gives 10 "in use by process" "its exit code" sh -c \
		'mount -t fuse.chronfs "$1" "$2" && mount -t fuse.chronfs "$1" "$3"' sh \
		"$q" "$m" "$tmp/second"
	umount "$m"
	ok "its daemon ends" wait_for unlocked
else
	skip "mount.fuse3" "it is not installed"
fi
finish
