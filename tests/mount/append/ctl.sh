#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ctl.sh - ctl: its verbs, what it refuses, its users, and that long commands can be ended
. "$(dirname "$0")/../lib/lib.sh"

start_mount -o segment_size=64K,allow_other
is "ctl is write-only and empty" "$(stat -c '%F %a %s' "$m/ctl")" "regular empty file 200 0"
echo one >>"$m/append"
ok "echo roll >" sh -c 'echo roll >"$1"' sh "$m/ctl"
ok "echo roll >>, of an empty segment" sh -c 'echo roll >>"$1"' sh "$m/ctl"
ok "printf sync, without a newline" sh -c 'printf sync >"$1"' sh "$m/ctl"
ok "tee" sh -c 'echo sync | tee "$1" >/dev/null' sh "$m/ctl"
echo two >>"$m/append"
is "one segment for each record" "$(grep -la -e one -e two "$m"/segments/* | wc -l)" 2
is "root reads nothing" "$(cat "$m/ctl" "$m/ctl" | wc -c)" 0
refused "an unknown verb" "Invalid argument" bash -c 'echo rotate >"$1"' bash "$m/ctl"
cases_of python3 "$here/ctl.py" "$m" "$q"

nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
refused "others cannot write" "Permission denied" "${nobody[@]}" \
	bash -c 'echo roll >"$1"' bash "$m/ctl"
refused "nor read" "Permission denied" "${nobody[@]}" cat "$m/ctl"
stop_mount

# Work that takes a while: thousands of segments to delete.
# It may be over before anybody is interrupted in it, on a fast disk and a busy machine: then once more.
for try in 1 2 3 4 last; do
	q=$tmp/many
	"${MKQUEUE:?makes queues of many segments}" "$q" 8000 || fail "mkqueue"
	start_mount
	cases_of python3 "$here/ctl_interrupt.py" "$m" "$q" "$try"
	[ -e "$tmp/late" ] || break
	stop_mount "an interruption came too late"
	rm -rf "$q" "$tmp/late"
done
is "the mount goes on" "$(echo more >"$m/append" && "$CHRONQ" tail -n 1 "$q")" more
stop_mount "after interruptions"
ok "the queue is sound" "$CHRONQ" verify "$q"

# The mount ends while a command waits.
start_mount
first=$(find "$q" -maxdepth 1 -name '*.q' | sort | head -n 1)
bash -c 'echo trim 7900 >"$1"' bash "$m/ctl" 2>"$tmp/said" &
client=$!
ok "some are deleted" wait_for not [ -e "$first" ]
kill -TERM "$daemon"
wait "$client"
note "the client said: $(cat "$tmp/said")"
await_daemon "SIGTERM while ctl is at work"
ok "the client has been told" [ ! -s "$tmp/said" -o -n "$(grep -e 'not connected' -e 'Software caused' "$tmp/said")" ]
ok "the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/queue
start_mount -o ro
refused "a read-only mount has no ctl" "No such file" stat "$m/ctl"
stop_mount
finish
