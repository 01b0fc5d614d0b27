#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# lock.sh - one writer to a queue: its lock file removed, its directory replaced, its end waited for
. "$(dirname "$0")/../lib/lib.sh"

second=$tmp/second
mkdir "$second"
mounts+=("$m" "$second")

# append_durable MOUNT TEXT: succeeds if the write and its fsync do.
# shellcheck disable=SC2317 # called by ok and refused
append_durable() {
	printf '%s\n' "$2" | dd of="$1/append" conv=fsync,notrunc status=none
}
# shellcheck disable=SC2317 # called by wait_for
mounts_second() { "$CHRONFS" "$q" "$second"; }
# shellcheck disable=SC2317 # called by wait_for
unlocked() { flock -n "$q/writer.lock" true; }

# both TEXT...: what the durable records have to be after an end of both mounts
ends_with() {
	umount "$second"
	ok "the second ends" wait_for unlocked
	is "every record that was durable is there" "$("$CHRONQ" cat "$q" | grep -v lost)" "$1"
	ok "the queue is sound" "$CHRONQ" verify "$q"
}

# ---- the lock file is removed ----

start_mount -o segment_size=64K
ok "the first writes" append_durable "$m" one
rm "$q/writer.lock"
ok "a second writer comes in, if only after a while" wait_for mounts_second
ok "it writes" append_durable "$second" two
refused "the first one gets EIO" "Input/output error" append_durable "$m" lost
refused "and its fsync" "Input/output error" sync "$m/append"
ok "its log says why" wait_for grep -qF "writer.lock was removed or replaced" "$log"
is "its state, too" "$(grep -oE '"writer_error": "[A-Z]+"' "$m/stats.json")" '"writer_error": "EIO"'
ok "the second goes on" append_durable "$second" three
ok "unmount of the first" umount "$m"
ended
is "which says that it ended badly" $? 7
check_log "the first"
ok "the second still goes on" append_durable "$second" four
ends_with $'one\ntwo\nthree\nfour'

# ---- the directory is moved away, and made again ----

start_mount -o segment_size=64K
ok "the first writes" append_durable "$m" five
mv "$q" "$q.old"
ok "a queue that was only moved goes on" append_durable "$m" six
mkdir "$q"
ok "a second writer on the new one" wait_for mounts_second
refused "the first one gets EIO" "Input/output error" append_durable "$m" lost
ok "its log says why" wait_for grep -qF "the queue's directory was moved" "$log"
ok "the second writes" append_durable "$second" seven
umount "$m"
ended
check_log "the first"
ends_with seven
is "what was durable before is in the moved one" "$("$CHRONQ" cat "$q.old" | grep -v lost | tail -n 2)" \
	$'five\nsix'
# ---- a daemon that takes its time to close ----

# slow_mount: each of the daemon's syncs takes two seconds from now on.
slow_mount() {
	# A leak checker cannot work in a process that is traced.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 start_mount -o segment_size=64K "$@"
	strace -f -qq -o /dev/null -p "$daemon" -e inject=fdatasync:delay_enter=2000000 2>"$tmp/strace" &
	tracer=$!
	wait_for traced
}
# shellcheck disable=SC2317 # called by wait_for
traced() { ! grep -qE '^TracerPid:\s*0$' "/proc/$daemon/task/"*/status; }
q=$tmp/slow
if strace -o /dev/null -e inject=fdatasync:delay_enter=1 true 2>/dev/null; then
	slow_mount
	for ((i = 0; i < 50; i++)); do printf '%4000s\n' x >"$m/append"; done
	ok "umount of a daemon with much to sync" umount "$m"
	gives 0 "is closing the queue; waiting for it" "chronq append waits for it" \
		bash -c 'echo more | "$0" append "$1"' "$CHRONQ" "$q"
	ended
	is "that daemon ends with 0" $? 0
	wait "$tracer"
	slow_mount
	for ((i = 0; i < 50; i++)); do printf '%4000s\n' x >"$m/append"; done
	ok "umount" umount "$m"
	gives 0 "being closed by process $daemon (" "a mount waits for it" "$CHRONFS" "$q" "$m"
	ended
	wait "$tracer"
	is "all is there" "$("$CHRONQ" cat "$q" | wc -l)" 101
	umount "$m"
	ok "its daemon ends" wait_for unlocked

	slow_mount
	printf 'x\n' >"$m/append"
	gives 10 "in use by process $daemon (" "one that does not close is not waited for" \
		"$CHRONFS" "$q" "$second"
	umount "$m"
	ended
	wait "$tracer"
else
	skip "a daemon that takes its time to close" "strace cannot delay calls here"
fi
# ---- a daemon that outlives its unmount, since another mount namespace has a copy ----

q=$tmp/elsewhere
start_mount -o segment_size=64K
if unshare --mount --propagation private true 2>/dev/null; then
	mkfifo "$tmp/go"
	unshare --mount --propagation private sh -c 'echo >"$1.there"; read -r _ <"$1"' sh "$tmp/go" &
	other=$!
	wait_for [ -e "$tmp/go.there" ]
	umount "$m"
	gives 10 "its mount was unmounted here and is left in the mount namespace of process $other (sh)" \
		"the copy is named" "$CHRONFS" "$q" "$second"
	echo >"$tmp/go"
	wait "$other"
	await_daemon "the copy goes, and"
	ok "then the queue is free" "$CHRONFS" "$q" "$second"
	umount "$second"
	ok "its daemon ends" wait_for unlocked
else
	skip "a copy in another mount namespace" "namespaces cannot be made here"
	stop_mount
fi
finish
