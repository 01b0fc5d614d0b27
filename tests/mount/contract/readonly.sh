#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# readonly.sh - a read-only mount: it shows what another process writes, ours or not, and changes nothing
. "$(dirname "$0")/../lib/lib.sh"

# All that can be seen of the queue's files without opening them, and what is in them.
listing() { find "$1" -printf '%P %i %s %m %n %T@ %C@\n' | sort; }
sums() { find "$1" -type f -exec md5sum {} + | sort; }
views="metrics payload readers records segments stats.json stream "

# Written by chronicle-rs: at rest, then going on.
cp -a "${GOLDEN:?}/v2-killed" "$q"
cp "$GOLDEN/v2-killed.txt" "$tmp/records.txt"
before=$(listing "$q")$(sums "$q")
start_mount -o ro
is "no sink, no ctl" "$(ls "$m" | tr '\n' ' ')" "$views"
refused "which are not found either" "No such file" stat "$m/append" "$m/append.lines" "$m/ctl"
refused "nothing can be made" "Read-only" touch "$m/new"
refused "nothing deleted" "Read-only" rm -f "$m/segments/000000000.q"
refused "nothing changed" "Read-only" chmod 600 "$m/stream"
refused "stream cannot be opened to write" "Read-only" dd if=/dev/null of="$m/stream" conv=notrunc status=none
cat "$m"/stream "$m"/payload/* "$m"/records/* "$m"/segments/* "$m"/stats.json "$m"/metrics "$m"/readers/* >"$tmp/all" 2>/dev/null
is "the payloads are the stream" "$(cat "$m"/payload/* | md5sum)" "$(md5sum <"$m/stream")"
getfattr -d "$m"/segments/* >"$tmp/xattrs" 2>/dev/null
du "$m" >"$tmp/du"
is "reading all of it has changed nothing in the queue" "$(listing "$q")$(sums "$q")" "$before"
cases_of python3 "$here/readonly.py" "$m" "$q"
stop_mount

# What the daemon calls, while it is read and the queue grows.
what="the daemon makes no call that could change a queue"
if grep -qaE '__(asan|tsan)_init' "$CHRONFS"; then
	note "a sanitizer's daemon makes calls of its own: not traced"
elif command -v strace >/dev/null; then
	start_mount -o ro
	strace -f -qq -p "$daemon" -o "$tmp/trace" \
		-e trace=open,openat,mmap,ftruncate,fallocate,rename,renameat2,unlink,unlinkat,flock,fcntl,mkdirat,msync,pwrite64,utimensat &
	tracer=$!
	# shellcheck disable=SC2317 # called by wait_for
	each_thread_traced() { ! cat "/proc/$daemon/task/"*/status | grep -q 'TracerPid:.0$'; }
	ok "each of the daemon's threads is traced" wait_for each_thread_traced
	echo 200 | python3 "$here/foreign.py" "$q" >/dev/null
	cat "$m"/stream "$m"/payload/* "$m"/records/* "$m"/segments/* "$m"/readers/* >"$tmp/all"
	timeout 0.5 tail -f "$m/stream" >/dev/null
	kill "$tracer"
	wait "$tracer" 2>/dev/null
	bad=$(grep -E 'O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|PROT_WRITE.*MAP_SHARED|ftruncate|fallocate|rename|unlink|flock|F_SETLK|mkdir|msync|pwrite|utimens' "$tmp/trace")
	is "$what" "$bad" ""
	ok "and the trace saw it at work" grep -q '\.q"' "$tmp/trace"
	stop_mount
else
	skip "$what" "no strace here"
fi

# A queue that cannot be written at all.
mkdir "$tmp/frozen"
if mount --bind "$q" "$tmp/frozen" && mount -o remount,ro,bind "$tmp/frozen"; then
	mounts+=("$tmp/frozen")
	written=$q
	q=$tmp/frozen
	refused "a writer on a read-only file system" "read-only" "$CHRONFS" "$q" "$m"
	start_mount -o ro
	is "a read-only mount of it" "$(cat "$m"/payload/* | md5sum)" "$(md5sum <"$m/stream")"
	stop_mount "of a queue on a read-only file system"
	umount "$tmp/frozen"
	q=$written
else
	skip "a read-only mount of a read-only file system" "no bind mount here"
fi

# Written by a mount of ours.
q=$tmp/ours
start_mount -o segment_size=64K
mkdir "$tmp/looking"
mounts+=("$tmp/looking")
ok "a read-only mount before the first record" "$CHRONFS" "$q" "$tmp/looking" -o ro
is "its stream is empty" "$(stat -c %s "$tmp/looking/stream")" 0
seq 1 2000 >"$tmp/lines"
cat "$tmp/lines" >"$m/append.lines"
ok "what was written is there at once" cmp "$tmp/lines" "$tmp/looking/stream"
exec 7<"$tmp/looking/stream"
cat <&7 >"$tmp/first"
echo more >"$m/append"
is "an open file goes on" "$(cat <&7)" more
exec 7<&-
is "sizes agree" "$(stat -c %s "$tmp/looking/stream")" "$(stat -c %s "$m/stream")"
ok "the next segment is prepared" wait_for spare_is_there # not between two listings
ok "nothing differs" diff -r "$m/payload" "$tmp/looking/payload"
ok "nor in the lists of records" diff -r "$m/records" "$tmp/looking/records"
ok "nor here" diff -r "$m/segments" "$tmp/looking/segments"
ok "its unmount" umount "$tmp/looking"
stop_mount

# Another queue takes the place of the first; all its files have the same names and sizes.
q=$tmp/again
make_queue() { yes "$1" | head -n 2000 | "$CHRONQ" append --segment-size 64K "$q"; }
same_as_files() {
	cmp -s "$q/000000000.q" "$m/segments/000000000.q" && [ "$(head -n 1 "$m/payload/000000000")" = "$1" ]
}
make_queue one
start_mount -o ro
ok "a queue that is made again: the first one" same_as_files one
number=$(stat -c %i "$m/segments/000000000.q" "$m/payload/000000000" "$m/records/000000000")
rm -r "$q"/*
make_queue two
ok "and the second one, not the first one's page cache" wait_for same_as_files two
is "the inode numbers are the same" \
	"$(stat -c %i "$m/segments/000000000.q" "$m/payload/000000000" "$m/records/000000000")" "$number"
stop_mount
finish
