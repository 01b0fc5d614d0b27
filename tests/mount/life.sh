#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# life.sh - start and stop: what the parent waits for, exit codes, who holds the queue, read-only
. "$(dirname "$0")/lib.sh"

# gives STATUS TEXT DESCRIPTION ARGUMENT...: the start fails so, says so, and mounts nothing.
gives() {
	local wanted=$1 text=$2 what=$3 output status
	shift 3
	output=$(timeout 60 "$CHRONFS" "$@" 2>&1)
	status=$?
	is "$what: exit code" "$status" "$wanted"
	if [[ $output == *"$text"* ]]; then
		pass "$what: says \"$text\""
	else
		fail "$what: says \"$text\""
		note "$output"
	fi
}

gives 0 "usage:" "--help" --help
gives 0 "libfuse" "-V" -V
gives 1 "no queue" "no arguments"
gives 2 "no mount point" "no mount point" "$q"
gives 2 "No such file" "a mount point that is not there" "$q" "$tmp/nowhere"
gives 1 "unexpected argument" "three arguments" "$q" "$m" more
gives 1 "unknown option" "an unknown option" "$q" "$m" -o nonsense
for bad in segment_size= segment_size=12x segment_size=4096KK segment_size=-4096 \
	segment_size=4095 segment_size=5G segment_size=99999999999999999999 sync=often \
	sync=interval= sync=interval=0 sync=interval=1s prealloc_wait=x prealloc_wait=5000000000 \
	retain_segments=0 retain_bytes=1T retain_age=1y retain_age=99999999999999d reader_ttl= \
	reader_max_lag=+1 spares=0 spares=9; do
	gives 1 "-o $bad" "$bad" "$q" "$m" -o "$bad"
done 2>/dev/null
gives 1 "segment_size" "a size that is no multiple of 4096" "$q" "$m" -o segment_size=5000
gives 1 "no meaning" "a writer's option on a read-only mount" "$q" "$m" -o ro,sync=always
gives 3 "No such file" "a read-only mount of no queue" "$tmp/nothing" "$m" -o ro
mkdir "$tmp/foreign"
echo x >"$tmp/foreign/file"
gives 3 "no queue" "a directory of something else" "$tmp/foreign" "$m"
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
gives 10 "process $pid (" "a second mount" "$q" "$tmp/second"
gives 10 "process $pid (" "a second mount in the foreground" "$q" "$tmp/second" -f
ok "it leaves nothing mounted" not is_mounted "$tmp/second"
echo second >>"$m/append"
is "the first goes on" "$("$CHRONQ" cat "$q")" $'first\nsecond'

# Looking only, beside the writer.
mounts+=("$tmp/second")
listing() { find "$q" -printf '%f %i %s %m %T@\n' | sort; }
before=$(listing)
ok "a read-only mount beside the writer" "$CHRONFS" "$q" "$tmp/second" -o ro
is "it has no sink" "$(ls "$tmp/second")" segments
ok "it shows the same segments" diff -r "$m/segments" "$tmp/second/segments"
refused "nothing can be made in it" "Read-only" touch "$tmp/second/append"
refused "a segment cannot be opened for writing" "Read-only" \
	dd if=/dev/null of="$tmp/second/segments/000000000.q" conv=notrunc status=none
ok "fsync of what is there" sync "$tmp/second/segments/000000000.q"
is "it has changed nothing in the queue" "$(listing)" "$before"
for ((i = 0; i < 2000; i++)); do echo "line $i"; done >"$tmp/lines"
while IFS= read -r line; do echo "$line"; done <"$tmp/lines" >>"$m/append"
is "segments made meanwhile appear" "$(ls "$tmp/second/segments")" "$(ls "$m/segments")"
is "and what is written, too" "$(strings -n 9 "$tmp/second/segments/"*.q | grep -c '^line 1999$')" 1
ok "its unmount" umount "$tmp/second"
# shellcheck disable=SC2317 # called by wait_for
gone() { [ ! -e "/proc/$pid/exe" ]; } # a zombie has no program any more
ok "unmount of the writer" umount "$m"
ok "it ends" wait_for 20 gone
ok "no temporary file is left" no_temp_files

# The same without any writer.
ok "a read-only mount without a writer" "$CHRONFS" "$q" "$m" -o ro
ok "shows the files" diff "$m/segments/000000000.q" "$q/000000000.q"
ok "unmount" umount "$m"

# Prepared ahead: as many as asked for, at the start and again after a roll.
q=$tmp/ahead
start_mount -o segment_size=64K,spares=3
# shellcheck disable=SC2317 # called by wait_for
newest_is() { [ "$(ls "$m/segments" | tail -n 1)" = "$1" ]; }
ok "spares=3: three beyond the current one" wait_for 20 newest_is 000000003.q
for ((i = 0; i < 17; i++)); do printf '%4000s' x >"$m/append"; done
ok "and three again after a roll" wait_for 20 newest_is 000000004.q
stop_mount

# Damage is found before anything is mounted.
q=$tmp/sound
start_mount -o segment_size=64K
echo "a durable record" >>"$m/append"
stop_mount
cp -a "$q" "$tmp/damaged"
printf 'A' | dd of="$tmp/damaged/000000000.q" bs=1 seek=128 conv=notrunc status=none
gives 11 "damaged" "a damaged queue" "$tmp/damaged" "$m"
cp -a "$q" "$tmp/future"
printf '\3' | dd of="$tmp/future/000000000.q" bs=1 seek=4 conv=notrunc status=none
gives 12 "newer" "a queue of a future version" "$tmp/future" "$m"
ok "nothing is mounted" not is_mounted "$m"
finish
