#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# troubles.sh - what docs/TROUBLESHOOTING.md says of the system around a mount: syncs that do not reach the
# daemon, copies by the kernel, mappings of what is trimmed, shared descriptors, bind mounts, overlays
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace

python=(python3 "$here/troubles.py")

# records: the sizes of all records in the queue.
records() { "$CHRONQ" cat --json "$q" | grep -o '"length":[0-9]*' | cut -d: -f2 | tr '\n' ' '; }

# ---- syncs ----

start_mount -o segment_size=4M
echo one >"$m/append"
# unheard DESCRIPTION COMMAND...
unheard() {
	ok "$1 succeeds" "${@:2}"
	is "$1: the daemon has heard of no sync" "$(grep -oP '"requests": \K[0-9]+' "$m/stats.json")" 0
}
unheard sync sync
unheard "sync -f" sync -f "$m/append"
unheard syncfs "${python[@]}" syncfs "$m"
ok "sync FILE" sync "$m/append"
is "is a sync" "$(grep -oP '"durable_seq": \K[0-9]+' "$m/stats.json")" 1
echo two >"$m/append"
ok "sync of the directory" sync "$m"
is "is one, too" "$(grep -oP '"durable_seq": \K[0-9]+' "$m/stats.json")" 2

# ---- copies by the kernel ----

before=$(records)
head -c 150000 /dev/zero >"$tmp/file"
ok "sendfile" "${python[@]}" sendfile "$tmp/file" "$m/append"
is "makes a record of every 64 KiB" "$(records)" "${before}65536 65536 18928 "
before=$(records)
dd if="$tmp/file" of="$m/append" bs=512K status=none
is "dd bs=512K makes one" "$(records)" "${before}150000 "

# ---- open files by their names ----

exec 5>"$m/append"
: >>"$m/append"
is "/proc says (deleted) of an open append, when it was opened again" "$(readlink /proc/self/fd/5)" \
	"$m/append (deleted)"
echo kept >&5
exec 5>&-
is "and what is written there is kept" "$("$CHRONQ" tail -n 1 "$q")" kept
stop_mount

# ---- an open line, and a kill ----

start_mount
"${python[@]}" openline "$m" "$daemon" || fail "a writer of lines"
wait "$daemon" 2>/dev/null
daemon=
umount -l "$m"
is "killed, the daemon loses the end of a line that waited, and nothing else" \
	"$("$CHRONQ" tail -n 1 "$q")" whole

# ---- a mapping of what is trimmed ----

q=$tmp/mapped
start_mount -o segment_size=1M
is "a page that was trimmed raises SIGBUS" "$("${python[@]}" sigbus "$m" | tail -n 1)" SIGBUS
stop_mount

# ---- descriptors that are shared ----

q=$tmp/shared
start_mount -o segment_size=64K,max_bytes=256K,full=block=3600000
cases_of "${python[@]}" shared "$m"
stop_mount

# ---- bind mounts, and what a recovery makes of them ----

q=$tmp/bound
mkdir "$tmp/bind" "$tmp/slave" "$tmp/parent" "$tmp/parent/mnt"
mount --bind "$tmp/parent" "$tmp/parent"
mount --make-shared "$tmp/parent"
m=$tmp/parent/mnt
"$CHRONFS" "$q" "$m" || fail "mount"
mounts+=("$tmp/bind" "$tmp/slave/mnt" "$tmp/slave" "$m" "$tmp/parent")
mount --bind "$m" "$tmp/bind"
mount --rbind "$tmp/parent" "$tmp/slave"
mount --make-rslave "$tmp/slave"
echo hello >"$m/append"
is "a bind mount shows the queue" "$(cat "$tmp/bind/stream")" hello
read -r pid _ <"$q/writer.lock"
kill -9 "$pid"
# shellcheck disable=SC2317 # called by wait_for
dead() { stat "$m" 2>&1 | grep -q 'not connected'; }
ok "the mount dies" wait_for dead
gives 0 "unmounted" "-o recover" "$CHRONFS" "$q" "$m" -o recover
is "shows the queue again" "$(cat "$m/stream")" hello
refused "a bind mount of it does not" "not connected" cat "$tmp/bind/stream"
is "a bind mount of the directory above, rslave, does" "$(cat "$tmp/slave/mnt/stream")" hello
umount "$tmp/bind"
mount --bind "$m" "$tmp/bind"
is "bound again, it does" "$(cat "$tmp/bind/stream")" hello
umount "$tmp/bind"
umount -l "$tmp/slave"

# ---- an overlay over the mount ----

mkdir "$own/up" "$own/work" "$tmp/over"
if mount -t overlay overlay -o "lowerdir=$m,upperdir=$own/up,workdir=$own/work" "$tmp/over" 2>/dev/null; then
	ok "append through an overlayfs succeeds" sh -c 'echo dropped >>"$1/append"' sh "$tmp/over"
	is "is in the overlay's own file" "$(cat "$own/up/append")" dropped
	is "and not in the queue" "$("$CHRONQ" cat "$q")" hello
	umount "$tmp/over"
else
	skip "append through an overlayfs" "no overlayfs here"
fi
umount "$m"
umount -l "$tmp/parent"
finish
