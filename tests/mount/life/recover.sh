#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# recover.sh - a daemon that was killed: what its clients see, what survives, and which mounts may clear the
# dead mount away
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace

# shellcheck disable=SC2317 # called by wait_for
dead() { stat "$1" 2>&1 | grep -q 'not connected'; }

# kill_daemon QUEUE MOUNTPOINT: kill -9, and waits until the mount is dead.
kill_daemon() {
	local pid
	read -r pid _ <"$1/writer.lock"
	kill -9 "$pid"
	wait_for dead "$2" || fail "the mount at $2 is dead"
}

# released QUEUE: unmounted, its daemon ends a little later.
# shellcheck disable=SC2317 # called by ok
released() { flock -w "$patience" "$1/writer.lock" true; }

mount_count() { grep -cF " $1 " /proc/self/mounts; }

# ---- what is lost, and what is not ----

mounts+=("$m")
"$CHRONFS" "$q" "$m" -o recover || fail "-o recover where there is nothing to recover"
exec 4>>"$m/append" 5<"$m/segments/000000000.q"
echo one >&4
echo two >"$m/append"
kill_daemon "$q" "$m"
refused "an open file says that nobody is there" "not connected" bash -c 'echo three >&4'
refused "a path, too" "not connected" cat "$m/stream"
refused "and the directory" "not connected" ls "$m"
is "what was written is in the queue" "$("$CHRONQ" cat "$q")" $'one\ntwo'

gives 2 "$q: at $m there is a mount of this queue whose process died" "without the option" \
	"$CHRONFS" "$q" "$m"
gives 2 "-o recover" "the way out is said" "$CHRONFS" "$q" "$m"
gives 2 "below a mount whose process died: $m" "a mount point below it" \
	"$CHRONFS" "$q" "$m/segments" -o recover
output=$("$CHRONFS" "$q" "$m/segments/deeper" -o recover 2>&1)
is "one deeper below it: exit status" $? 2
# the kernel may keep the name "segments" for a second, and chronfs then finds the dead mount above it
ok "one deeper below it: says why" grep -qE "not connected|below a mount whose process died" <<<"$output"
gives 2 "not one of this queue: fuse.chronfs of $q" "another queue does not take it away" \
	"$CHRONFS" "$tmp/other" "$m" -o recover
ok "the dead mount is still there" [ "$(mount_count "$m")" -eq 1 ]

gives 0 "$q: a dead mount was unmounted from $m" "-o recover" "$CHRONFS" "$q" "$m" -o recover
is "one mount is there" "$(mount_count "$m")" 1
refused "a file opened before stays dead" "not connected" sh -c 'cat <&5'
exec 4>&- 5<&-
echo three >>"$m/append"
is "it goes on" "$("$CHRONQ" cat "$q")" $'one\ntwo\nthree'

gives 2 "$q: mounted at $m already, by a process that is alive" "a live mount is left alone" \
	"$CHRONFS" "$q" "$m" -o recover
echo four >>"$m/append"
is "and goes on" "$("$CHRONQ" tail -n 1 "$q")" four

# In the foreground, as a service may run it; and with an open line in the kill.
kill_daemon "$q" "$m"
start_mount -o recover
is "-f -o recover" "$(cat "$log")" "chronfs: $q: a dead mount was unmounted from $m"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# ---- as mount(8) tries it ----

"$CHRONFS" "$q" "$m" || fail "a mount to be killed"
kill_daemon "$q" "$m"
ln -s "$CHRONFS" "$tmp/mount.chronfs"
gives 0 "at $m there is a mount of this queue whose process died" "-f -o recover" \
	"$tmp/mount.chronfs" "$q" "$m" -f -o recover
gives 2 "-o recover" "-f alone" "$tmp/mount.chronfs" "$q" "$m" -f
ok "-f takes nothing away" [ "$(mount_count "$m")" -eq 1 ]
umount "$m"

# Directly below the root.  Nobody else sees that in this namespace.
mkdir "$own/q"
mounts+=("$top")
ok "a mount directly below the root" "$CHRONFS" "$own/q" "$top"
kill_daemon "$own/q" "$top"
gives 0 "unmounted from $top" "is recovered, too" "$CHRONFS" "$own/q" "$top/" -o recover
ok "unmount" umount "$top"

# ---- names that the table of mounts writes otherwise ----

odd="$tmp/a queue, \\ and 100%"
point="$tmp/mount point\\040"
mkdir "$point"
"$CHRONFS" "$odd" "$point" || fail "a mount with odd names"
kill_daemon "$odd" "$point"
gives 0 "unmounted" "names with blanks, commas, backslashes" "$CHRONFS" "$odd" "$point" -o recover
ok "unmount" umount "$point"
ok "its daemon ends" released "$odd"

"$CHRONFS" "$odd" "$m" -o fsname=named,recover || fail "a mount with a name of its own"
kill_daemon "$odd" "$m"
gives 2 "not one of this queue: fuse.chronfs of named" "a source that the table does not show" \
	"$CHRONFS" "$odd" "$m" -o recover
gives 0 "unmounted" "one that it shows" "$CHRONFS" "$odd" "$m" -o fsname=named,recover
ok "unmount" umount "$m"
ok "its daemon ends" released "$odd"

# ---- a foreign mount ----

# Another program's file system with our queue as its source; its process has ended.
python3 - "$odd" "$m" <<'END' || fail "a mount of another type"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
source, target = (os.fsencode(name) for name in sys.argv[1:])
if libc.mount(source, target, b"fuse.other", 0, data.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
END
ok "it is dead" dead "$m"
gives 2 "not one of this queue: fuse.other of $odd" "another type of file system" \
	"$CHRONFS" "$odd" "$m" -o recover
umount "$m"

# ---- as an ordinary user, by fusermount3 ----

users_can_run
if [ -u "$(command -v fusermount3)" ] && own_dev 2>/dev/null && own_etc; then
	home=$tmp/home
	mkdir -p "$home/mnt"
	chown -R 65534:65534 "$home"
	mounts+=("$home/mnt")
	ok "a user's mount" "${user[@]}" "$CHRONFS" "$home/q" "$home/mnt"
	ok "a user's record" "${user[@]}" sh -c 'echo mine >>"$1"' sh "$home/mnt/append"
	read -r pid _ <"$home/q/writer.lock"
	kill -9 "$pid"
	# shellcheck disable=SC2317 # called by wait_for
	dead_for_user() { "${user[@]}" stat "$home/mnt" 2>&1 | grep -q 'not connected'; }
	ok "a user's mount dies" wait_for dead_for_user
	gives 0 "unmounted" "a user's recovery" \
		"${user[@]}" "$CHRONFS" "$home/q" "$home/mnt" -o recover
	is "one mount is there" "$(mount_count "$home/mnt")" 1
	is "what a user wrote is there" "$("$CHRONQ" cat "$home/q")" mine
	ok "a user's unmount" "${user[@]}" fusermount3 -u "$home/mnt"
	ok "a user's daemon ends" released "$home/q"
else
	skip "a user's recovery" "needs device files and fusermount3"
fi
finish
