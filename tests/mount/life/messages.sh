#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# messages.sh - what a mount says: on stderr in the foreground, to syslog in the background; and how
# it starts when it is given no standard streams, no /dev/fuse, no descriptors
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace

# With a socket for the log in it.
own_dev 2>/dev/null || skip_all "no device files can be made here"
log_socket() {
	python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
    log.bind("/dev/log")
    open(sys.argv[1] + ".ready", "w").close()
    with open(sys.argv[1], "ab", buffering=0) as to:
        while True:
            to.write(log.recv(65536).rstrip(b"\0\n") + b"\n")
' "$tmp/syslog"
}
log_socket &
listener=$!
wait_for [ -e "$tmp/syslog.ready" ]
mkdir "$tmp/second"
mounts+=("$m")
# shellcheck disable=SC2317 # called by wait_for, too
logged() { grep -qF "$1" "$tmp/syslog"; }
# shellcheck disable=SC2317 # called by wait_for
unlocked() { flock -n "$q/writer.lock" true; }

# A segment cut short beneath the mount is something that it tells: by recovery at the next start.
damage() {
	printf garbage | dd of="$q/000000000.q" bs=1 seek=20000 conv=notrunc status=none
}

start_mount -o segment_size=64K
echo one >>"$m/append"
stop_mount
is "a mount that goes well says nothing" "$(cat "$log")" ""
damage
start_mount
ok "in the foreground recovery speaks on stderr" wait_for grep -qF "chronfs: $q: " "$log"
stop_mount
ok "not to syslog" not logged chronfs

damage
output=$("$CHRONFS" "$q" "$m" 2>&1)
ok "before it is in the background, on stderr, too" test -n "$output"
ok "each line names program and queue" not grep -qvF "chronfs: $q: " <<<"$output"

# In the background: a foreign file has the next segment's name.
read -r pid _ <"$q/writer.lock"
for ((id = 2; id < 12; id++)); do
	echo foreign >"$q/$(printf '%09d.q' $id)"
done
for ((i = 0; i < 40; i++)); do printf '%4000s' x >"$m/append" || break; done 2>/dev/null
ok "in the background, to syslog" wait_for logged "$q: "
ok "with name, process and facility" grep -qE "^<(27|28|29)>.*chronfs\[$pid\]: $q: " "$tmp/syslog"
note "$(cat "$tmp/syslog")"
ok "unmount" umount "$m"
ok "the daemon ends" wait_for unlocked

# ---- a log without a reader keeps no request waiting ----

kill "$listener"
wait "$listener" 2>/dev/null
rm /dev/log
# deaf KIND PATH: holds the other end of the socket or pipe PATH, full, and never reads it.
deaf() {
	python3 "$here/deaf.py" "$1" "$2" "$tmp/deaf.ready" &
	listener=$!
	wait_for [ -e "$tmp/deaf.ready" ] && rm "$tmp/deaf.ready"
}
# chatter QUEUE MOUNTPOINT: rolls again and again to names of foreign files, each time with a message.
chatter() {
	local id newest
	newest=$(find "$1" -name '*.q' | sort | tail -n 1)
	newest=$((10#$(basename "$newest" .q)))
	for ((id = newest + 1; id < newest + 11; id++)); do
		echo foreign >"$1/$(printf '%09d.q' $id)"
	done
	for ((i = 0; i < 60; i++)); do printf '%4000s' x >"$2/append" || break; done 2>/dev/null
	true
}
ended_by() { # PID
	timeout "$patience" tail -s 0.01 --pid="$1" -f /dev/null
}
# speaks_and_ends WAY PID: this daemon has messages to write, answers all the same, and ends.
speaks_and_ends() {
	ok "$1: it has something to say" timeout "$patience" bash -c "$(declare -f chatter); chatter '$q' '$m'"
	ok "$1: it answers" timeout "$patience" cat "$m/stats.json"
	if [ "$1" = umount ]; then
		ok "umount" timeout "$patience" umount "$m"
	else
		kill "$2"
	fi
}

q=$tmp/deaf
for way in umount SIGTERM; do
	deaf socket /dev/log
	ok "a mount beside a stuck log" timeout "$patience" "$CHRONFS" "$q" "$m" -o segment_size=64K
	read -r pid _ <"$q/writer.lock"
	speaks_and_ends "$way" "$pid"
	ok "$way: the daemon ends" ended_by "$pid"
	ok "$way: the queue is unlocked" unlocked
	ok "$way: nothing is mounted" not is_mounted "$m"
	kill "$listener"
	wait "$listener" 2>/dev/null
	rm -r /dev/log "$q"
done

for way in umount SIGTERM; do
	mkfifo "$tmp/pipe"
	deaf pipe "$tmp/pipe"
	q=$tmp/deaf
	"$CHRONFS" "$q" "$m" -f -o segment_size=64K 2>"$tmp/pipe" &
	daemon=$!
	ok "in the foreground, stderr a full pipe: mounted" wait_for is_mounted "$m"
	speaks_and_ends "$way" "$daemon"
	ended
	is "$way: it ends in order" $? 0
	ok "$way: the queue is unlocked" unlocked
	# what the start says is in the way of nothing either
	damage
	"$CHRONFS" "$q" "$m" -f 2>"$tmp/pipe" &
	daemon=$!
	ok "recovery with something to say: mounted" wait_for is_mounted "$m"
	ok "ends by umount" timeout "$patience" umount "$m"
	ended
	is "$way: it ends in order, too" $? 0
	kill "$listener"
	wait "$listener" 2>/dev/null
	rm -r "$tmp/pipe" "$q"
done

# ---- libfuse's own messages take the same way ----

q=$tmp/plain
gives 1 "chronfs: $q: fuse: unknown option(s): \`-o nonsense,more' (see --help)" "in one line, with the queue" \
	"$CHRONFS" "$q" "$m" -o nonsense,more
mount --bind /dev/null /dev/fuse
gives 4 "chronfs: $q: fuse: " "no /dev/fuse" "$CHRONFS" "$q" "$m"
ok "no queue is left behind" [ ! -e "$q" ]
gives 4 "chronfs: $q: fuse: " "no /dev/fuse, in the foreground" "$CHRONFS" "$q" "$m" -f
umount /dev/fuse
ok "nothing is mounted" not is_mounted "$m"

# ---- a poor environment ----

timeout "$patience" "$CHRONFS" "$q" "$m" <&- >&- 2>&-
is "started without standard streams" $? 0
gives 10 "in use by process" "it keeps its lock" "$CHRONFS" "$q" "$tmp/second" -f
echo record >>"$m/append"
is "and works" "$("$CHRONQ" cat "$q")" record
umount "$m"
ok "the daemon ends" wait_for unlocked
mv "$own/dev/null" "$own/dev/away"
gives 5 "chronfs: /dev/null: No such file" "nor with anything in their place" \
	bash -c 'exec "$@" <&-' bash "$CHRONFS" "$q" "$m"
mv "$own/dev/away" "$own/dev/null"
if "$CHRONFS" --version >/dev/null && (ulimit -n 4 && "$CHRONFS" --version) >/dev/null 2>&1; then
	gives 5 "chronfs: $q: cannot go to the background: Too many open files" \
		"no descriptors left" bash -c 'ulimit -n 4; "$@"' bash "$CHRONFS" "$q" "$m"
else
	skip "no descriptors left" "this build needs some for itself"
fi

# Fewer threads than a mount needs: it works, or it is not there and the exit status and a message say so.
if command -v fusermount3 >/dev/null && "${user[@]}" test -w /dev/fuse; then
	users_can_run
	poor=$tmp/poor
	mkdir "$poor" "$poor/mnt"
	chown -R 65534:65534 "$poor"
	mounts+=("$poor/mnt")
	worked=0 failed=0 wrong=
	# shellcheck disable=SC2317 # called by wait_for
	released() { flock -n "$poor/queue/writer.lock" true; }
	for ((threads = 1; threads < 20; threads++)); do
		# shellcheck disable=SC2016 # the inner shell expands these
		output=$("${user[@]}" bash -c 'ulimit -u "$0"; exec "$@"' "$threads" \
			"$CHRONFS" "$poor/queue" "$poor/mnt" 2>&1)
		status=$?
		if [ $status -ne 0 ]; then
			failed=$((failed + 1))
			[ -n "$output" ] && [ ! -e "$poor/mnt/append" ] || wrong+=" $threads: status $status, '$output';"
			! is_mounted "$poor/mnt" || umount -l "$poor/mnt"
		elif "${user[@]}" sh -c 'echo record >"$0/append" && grep -qx record "$0/stream"' "$poor/mnt"; then
			worked=$((worked + 1))
			umount "$poor/mnt"
			wait_for released
		else
			wrong+=" $threads: reported, and does not work;"
		fi
		rm -rf "$poor/queue"
	done
	is "with few threads a mount works, or its exit status and a message say that it does not" "$wrong" ""
	ok "both happen" [ "$worked" -gt 0 -a "$failed" -gt 0 ]
else
	skip "with few threads a mount works, or says that it does not" "users cannot mount here"
fi
finish
