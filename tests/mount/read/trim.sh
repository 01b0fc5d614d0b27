#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# trim.sh - rm in segments/: the oldest sealed segment, with -o allow_trim, and nothing else ever
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"

# make_segments N: as many sealed segments of one record each.
make_segments() {
	local i
	for ((i = 0; i < $1; i++)); do
		echo "record $i" >>"$m/append"
		echo roll >>"$m/ctl"
	done
}

# Not asked for: nothing can be deleted.
start_mount -o segment_size=64K,allow_other
make_segments 2
refused "rm without allow_trim" "Operation not permitted" rm -f "$m/segments/000000000.q"
refused "rm without allow_trim, others" "Permission denied" \
	"${user[@]}" rm -f "$m/segments/000000000.q"
is "segments/ is not writable" "$(stat -c %a "$m/segments")" 555
ok "nothing is gone" [ -e "$q/000000000.q" ]
stop_mount

start_mount -o segment_size=64K,allow_trim,allow_other
make_segments 6
is "segments/ belongs to the mounter, who may write there" "$(stat -c '%a %U' "$m/segments")" \
	"755 root"
refused "rm by others" "Permission denied" "${user[@]}" rm -f "$m/segments/000000000.q"
refused "rm of another than the oldest" "resource busy" rm -f "$m/segments/000000001.q"
refused "rm of what is not there" "No such file" rm "$m/segments/000000999.q"
refused "rm of no segment's name" "No such file" rm "$m/segments/readers"
for what in "$m/append" "$m/ctl" "$m/stats.json" "$m/payload/000000000" "$m/stream"; do
	[ -e "$what" ] && refused "rm of ${what#"$m/"}" "Operation not permitted" rm -f "$what"
done
refused "rmdir" "Operation not permitted" rmdir "$m/segments"
refused "mv within segments/" "Operation not permitted" \
	mv "$m/segments/000000000.q" "$m/segments/000000100.q"
refused "touch of a new name" "Operation not permitted" touch "$m/segments/000000100.q"
refused "mkdir" "Operation not permitted" mkdir "$m/segments/dir"

# The oldest goes, at once and for everybody.
cat "$m/segments/000000000.q" >/dev/null
ok "rm of the oldest" rm -f "$m/segments/000000000.q"
ok "its file is gone" not [ -e "$q/000000000.q" ]
# the flusher, if it came by just now, removes the index that it has written
ok "and its index" wait_for not ls "$q"/000000000.*
ok "it is found no more" not [ -e "$m/segments/000000000.q" ]
ok "nor listed" not grep -q 000000000 <<<"$(ls "$m/segments")"
refused "rm of it again" "No such file" rm "$m/segments/000000000.q"
is "what follows is still there" "$(ls "$m/segments" | head -n 2 | tr '\n' ' ')" "000000001.q 000000002.q "
is "and can be read" "$("$CHRONQ" cat "$q" | head -n 1)" "record 1"
cases_of python3 "$here/trim.py" "$m" "$q"
ok "rm -f segments/* complains" not rm -f "$m"/segments/*
current=$(printf '%09d.q' "$(sed -n 's/^chronfs_segment //p' "$m/metrics")")
is "and takes all but the current one, and those prepared" "$(ls "$m/segments" | head -n 1)" \
	"$current"
refused "the current one" "resource busy" rm -f "$m/segments/$current"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# An ordinary user's mount is that user's to trim.
what="a user's own mount"
if [ -u "$(command -v fusermount3)" ] && users_have_fuse; then
	users_can_run
	home=$tmp/home
	mkdir -p "$home/mnt"
	chown -R 65534:65534 "$home"
	mounts+=("$home/mnt")
	ok "$what" "${user[@]}" "$CHRONFS" "$home/q" "$home/mnt" -o segment_size=64K,allow_trim
	# shellcheck disable=SC2016 # for the inner shell
	ok "$what: rm and trim" "${user[@]}" bash -euc '
		for i in 1 2 3; do echo $i >"$1/append"; echo roll >"$1/ctl"; done
		rm -f "$1/segments/000000000.q"
		echo trim 2 >"$1/ctl"' bash "$home/mnt"
	is "$what: what is left" "$(cd "$home/q" && echo ?????????.q | cut -d' ' -f1)" 000000002.q
	ok "$what: umount" umount "$home/mnt"
else
	skip "$what" "no device files, or fusermount3 is not for users here"
fi

start_mount -o ro
refused "a read-only mount" "Read-only" rm -f "$m/segments/$current"
stop_mount
finish
