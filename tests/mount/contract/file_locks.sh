#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# file_locks.sh - locks end when they do on any file: the same questions to an ordinary file and to the sinks
. "$(dirname "$0")/../lib/lib.sh"

: >"$tmp/file"
timeout "$patience" python3 "$here/file_locks.py" "$tmp/file" >"$tmp/wanted" 2>&1
is "an ordinary file: ends with 0" $? 0
note "$(<"$tmp/wanted")"
start_mount -o segment_size=64K
for file in append append.lines; do
	timeout "$patience" python3 "$here/file_locks.py" "$m/$file" >"$tmp/got" 2>&1
	is "$file: ends with 0" $? 0
	while IFS= read -r line; do
		is "$file: ${line%: *}" "$(grep -F "${line%: *}: " "$tmp/got")" "$line"
	done <"$tmp/wanted"
done
is "no lock is left" "$(sed -n 's/^chronfs_held{kind="locks"} //p' "$m/metrics")" 0

# The line that a close ends is in the queue before the lock goes.
rounds=50
ok "writers that lock" timeout "$patience" python3 - "$m/append.lines" "$rounds" <<'PYTHON'
import fcntl, os, sys
path = sys.argv[1]
for i in range(int(sys.argv[2])):
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        other = os.open(path, os.O_RDWR)
        fcntl.lockf(other, fcntl.LOCK_EX)
        os.write(other, b"second %d\n" % i)
        os._exit(0)
    os.write(fd, b"first %d" % i)
    os.close(fd)
    os.waitpid(pid, 0)
PYTHON
is "append.lines: an open line is appended before the lock is free" "$(cat "$m/stream")" \
	"$(for ((i = 0; i < rounds; i++)); do printf 'first %dsecond %d\n' "$i" "$i"; done)"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
