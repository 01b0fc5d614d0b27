#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# life.sh - start and stop: what the parent waits for, exit codes, the owner of the queue, read-only
. "$(dirname "$0")/../lib/lib.sh"

# exits STATUS TEXT DESCRIPTION ARGUMENT...: the start ends so, and says so.
exits() { gives "${@:1:3}" "$CHRONFS" "${@:4}"; }

exits 0 "usage:" "--help" --help
exits 0 "libfuse" "-V" -V
for option in --help --version; do
	# shellcheck disable=SC2016 # the inner shell expands it
	gives 3 "chronfs: standard output: No space left on device" "$option to a full disk" \
		bash -c '"$@" >/dev/full' bash "$CHRONFS" "$option"
done
exits 1 "no queue" "no arguments"
exits 1 "no mount point" "no mount point" "$q"
exits 3 "No such file" "a queue whose parent is not there" "$tmp/no/such/queue" "$m"
exits 2 "No such file" "a mount point that is not there" "$q" "$tmp/nowhere"
exits 1 "unexpected argument" "three arguments" "$q" "$m" more
exits 2 "Not a directory" "a mount point that is a file" "$q" /etc/passwd
exits 2 "would hide the queue" "the queue as mount point" "$q" "$q"
exits 2 "would hide the queue" "the queue below the mount point" "$m/queue" "$m"
exits 1 "unknown option" "an unknown option" "$q" "$m" -o nonsense
exits 1 "-o remount" "remount" "$q" "$m" -o remount,ro
for bad in segment_size= segment_size=12x segment_size=4096KK segment_size=-4096 \
	segment_size=4095 segment_size=5G segment_size=99999999999999999999 sync=often \
	sync=interval= sync=interval=0 sync=interval=1s prealloc_wait=x prealloc_wait=5000000000 \
	retain_segments=0 retain_bytes=1T retain_age=1y retain_age=99999999999999d reader_ttl= \
	reader_max_lag=+1 spares=0 spares=9 segment_size=5000 sync=interval=4294967296 max_bytes= \
	max_bytes=8191 max_bytes=1P full= full=wait full=block= full=block=0 full=block=9999999999 \
	full=block=1s line_timeout= line_timeout=-1 line_timeout=1w passthrough= passthrough=on; do
	exits 1 "-o $bad" "$bad" "$q" "$m" -o "$bad"
done
ok "nothing was made for these" [ ! -e "$q" ]
for writing in segment_size=64K sync=none sync=interval=9 sync=always prealloc_wait=1 spares=2 \
	require_prealloc retain_segments=5 retain_bytes=1G retain_age=1d reader_ttl=1h reader_max_lag=1M \
	accept_loss trust_files max_bytes=1G full=error full=block full=block=5 line_timeout=5 allow_trim; do
	exits 1 "-o $writing has no meaning on a read-only mount" "ro,$writing" "$q" "$m" -r -o "$writing"
done
exits 1 "max_bytes has to hold two segments" "max_bytes below two segments" \
	"$q" "$m" -o segment_size=64K,max_bytes=131071
rm -rf "$q"
exits 3 "No such file" "a read-only mount of no queue" "$tmp/nothing" "$m" -o ro
mkdir "$tmp/foreign"
echo x >"$tmp/foreign/file"
exits 3 "no queue" "a directory of something else" "$tmp/foreign" "$m"
ok "which stays as it was" [ "$(ls "$tmp/foreign")" = file ]
rm -rf "$q"

# In the background: the start returns when the mount answers, and not before.
mounts+=("$m")
ok "start in the background" "$CHRONFS" "$q" "$m" -o segment_size=64K
ok "the mount answers at once" [ -e "$m/append" ]
is "it is named after the queue" "$(findmnt -n -o SOURCE,FSTYPE "$m" | tr -s ' ')" \
	"$q fuse.chronfs"
read -r pid _ <"$q/writer.lock"
is "the lock names the process that stayed" "$(readlink "/proc/$pid/exe")" \
	"$(readlink -f "$CHRONFS")"
is "it is in no one's directory" "$(readlink "/proc/$pid/cwd")" /
is "it has let go of our terminal" "$(readlink "/proc/$pid/fd/2")" /dev/null
echo first >>"$m/append"

# A second one.
mkdir "$tmp/second"
exits 10 "process $pid (" "a second mount" "$q" "$tmp/second"
exits 10 "process $pid (" "a second mount in the foreground" "$q" "$tmp/second" -f
ok "it leaves nothing mounted" not is_mounted "$tmp/second"
echo second >>"$m/append"
is "the first goes on" "$("$CHRONQ" cat "$q")" $'first\nsecond'

# The two arguments in the wrong order.
mkdir "$tmp/empty"
mounts+=("$q") # if it is mounted all the same
exits 2 "is a queue itself" "a queue as mount point" "$tmp/empty" "$q"
ok "no queue was made there" [ -z "$(ls "$tmp/empty")" ]

# Another queue at the same place would hide the first one.
exits 2 "at $m another queue is mounted: $q; umount $m first" "an occupied mount point" "$tmp/other" "$m"
exits 2 "another queue is mounted" "an occupied mount point, -o ro" "$tmp/other" "$m" -o ro,nonempty
ok "no queue was made for it" [ ! -e "$tmp/other" ]
is "the first is there" "$(cat "$m/stream")" $'first\nsecond'

# Looking only, beside the writer.  That one is stopped meanwhile: a sign of life every second is a change
# of the queue, too.
mounts+=("$tmp/second")
listing() {
	find "$q" -printf '%f %i %s %m %T@\n' | sort
	find "$q" -type f -exec md5sum {} + | sort
}
# shellcheck disable=SC2317 # called by wait_for
stopped() { ! cat "/proc/$pid/task/"*/status | grep -q '^State:.[^T]'; }
# shellcheck disable=SC2317 # called by trap
go_on() {
	local status=$?
	kill -CONT "$pid"
	return "$status"
}
trap 'go_on; cleanup' EXIT
kill -STOP "$pid"
ok "the writer is stopped" wait_for stopped
before=$(listing)
ok "a read-only mount beside the writer" "$CHRONFS" "$q" "$tmp/second" -o ro
is "it has no sink and no ctl" "$(ls "$tmp/second" | tr '\n' ' ')" \
	"metrics payload readers records segments stats.json stream "
refused "nothing can be made in it" "Read-only" touch "$tmp/second/append"
refused "a segment cannot be opened for writing" "Read-only" \
	dd if=/dev/null of="$tmp/second/segments/000000000.q" conv=notrunc status=none
ok "fsync of what is there" sync "$tmp/second/segments/000000000.q"
ok "all of it can be read" cp -r "$tmp/second" "$tmp/copy"
is "it has changed nothing in the queue" "$(listing)" "$before"
go_on
trap cleanup EXIT
ok "it shows the same segments" diff -r "$m/segments" "$tmp/second/segments"
for ((i = 0; i < 2000; i++)); do echo "line $i"; done >"$tmp/lines"
while IFS= read -r line; do echo "$line"; done <"$tmp/lines" >>"$m/append"
ok "the next segment is prepared" wait_for spare_is_there # not between two listings
is "segments made meanwhile appear" "$(ls "$tmp/second/segments")" "$(ls "$m/segments")"
is "and what is written, too" "$(strings -n 9 "$tmp/second/segments/"*.q | grep -c '^line 1999$')" 1
ok "its unmount" umount "$tmp/second"
# shellcheck disable=SC2317 # called by wait_for
gone() { [ ! -e "/proc/$pid/exe" ]; } # a zombie has no program any more
ok "unmount of the writer" umount "$m"
ok "it ends" wait_for gone
ok "no temporary file is left" no_temp_files

exits 1 "segments of 65536 bytes: segment_size cannot be 131072" "another segment size than the queue's" \
	"$q" "$m" -o segment_size=128K

# The same without any writer; options that do not write are taken.
ok "a read-only mount without a writer" "$CHRONFS" "$q" "$m" -o ro,recover,passthrough=off,sync
ok "shows the files" diff "$m/segments/000000000.q" "$q/000000000.q"
ok "unmount" umount "$m"

# Where nothing can be written.
mkdir "$tmp/fixed"
mount --bind "$q" "$tmp/fixed" && mount -o remount,bind,ro "$tmp/fixed"
mounts+=("$tmp/fixed")
exits 3 "$tmp/fixed: the file system is read-only (-o ro" "a directory that is read-only" "$tmp/fixed" "$m"
ok "nothing is mounted" not is_mounted "$m"
ok "-o ro of it" "$CHRONFS" "$tmp/fixed" "$m" -o ro
ok "unmount" umount "$m"
umount -l "$tmp/fixed" # its daemon may be ending still
users_can_run
gives 3 "no permission to write there (-o ro" "another user's queue" "${user[@]}" "$CHRONFS" "$q" "$m"
gives 3 "no permission to read there" "another user's queue, -o ro" \
	"${user[@]}" "$CHRONFS" "$q" "$m" -o ro

# Prepared ahead: as many as asked for, at the start and again after a roll.
q=$tmp/ahead
start_mount -o segment_size=64K,spares=3
# shellcheck disable=SC2317 # called by wait_for
newest_is() { [ "$(ls "$m/segments" | tail -n 1)" = "$1" ]; }
ok "spares=3: three beyond the current one" wait_for newest_is 000000003.q
for ((i = 0; i < 17; i++)); do printf '%4000s' x >"$m/append"; done
ok "and three again after a roll" wait_for newest_is 000000004.q
stop_mount

# Beside the mount point, under a name that begins like its name.
q=$m-queue
start_mount
stop_mount "a queue beside its mount point"

# An end by force is an end like any other, for what is appended as for the exit code.
q=$tmp/forced
start_mount -o segment_size=64K
exec 6>"$m/append.lines"
printf 'no newline' >&6
ok "umount -f" umount -f -l "$m"
exec 6>&-
await_daemon "umount -f"
is "the open line is a record" "$("$CHRONQ" cat "$q")" "no newline"

# Damage is found before anything is mounted.
q=$tmp/sound
start_mount -o segment_size=64K
echo "a durable record" >>"$m/append"
stop_mount
cp -a "$q" "$tmp/damaged"
printf 'A' | dd of="$tmp/damaged/000000000.q" bs=1 seek=128 conv=notrunc status=none
exits 11 "damaged" "a damaged queue" "$tmp/damaged" "$m"
cp -a "$q" "$tmp/future"
printf '\3' | dd of="$tmp/future/000000000.q" bs=1 seek=4 conv=notrunc status=none
exits 12 "newer" "a queue of a future version" "$tmp/future" "$m"
printf '\3' | dd of="$tmp/future/000000001.q" bs=1 seek=4 conv=notrunc status=none
exits 12 "newer" "the same, -o ro" "$tmp/future" "$m" -o ro
ok "nothing is mounted" not is_mounted "$m"
finish
