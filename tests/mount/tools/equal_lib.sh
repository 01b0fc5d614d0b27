# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# equal_lib.sh - lib.sh, and the round trip: what goes into a sink comes out of every view; sourced.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/lib.sh"

# A sanitizer's daemon takes for a sixteenth as long as another for all of it.
large=${LARGE:-$((1 << 30))}
if grep -qaE '__(asan|tsan)_init' "$CHRONFS"; then
	large=$((1 << 26))
	note "a sanitizer's daemon: 64 MiB where it would be 1 GiB"
fi
free=$(($(stat -f -c '%a * %S' "$tmp")))
[ "$free" -gt $((6 * large)) ] || skip_all "needs $((6 * large)) bytes free in $tmp"

# round_trip SINK KIND BYTES SEGMENT_SIZE: KIND is one of material.py's
round_trip() {
	local sink=$1 kind=$2 bytes=$3 begin end
	local what="$2, $3 bytes > $1"
	python3 "$lib/material.py" "$kind" "$bytes" >"$tmp/file"
	start_mount -o segment_size="$4"
	begin=$(date +%s%N)
	ok "$what" sh -c 'cat "$1" >"$2"' sh "$tmp/file" "$m/$sink"
	end=$(date +%s%N)
	[ "$bytes" -lt "$large" ] || note "$((bytes * 1000 / (end - begin))) MB/s"
	ok "$what: cmp file stream" cmp "$tmp/file" "$m/stream"
	ok "$what: cat payload/* | cmp - stream" sh -c 'cat "$1"/payload/* | cmp - "$1/stream"' sh "$m"
	ok "$what: chronq cat" cmp <("$CHRONQ" cat "$q") "$tmp/file"
	if [ "$sink" = append.lines ] && [ "$kind" = text ]; then
		is "$what: a record for each line" "$(next_seq)" "$(grep -c '' "$tmp/file")"
	fi
	stop_mount "$what: umount"
	ok "$what: the queue is sound" "$CHRONQ" verify "$q"
	rm -rf "$q"
}

next_seq() {
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["position"]["next_seq"])' \
		"$m/stats.json"
}
