#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# request_size.sh - fs.fuse.max_pages_limit is lowered: a write is one record or EMSGSIZE, never a part
#
# The kernel takes the setting over when it mounts, so it is lowered for just that moment.
. "$(dirname "$0")/../lib/lib.sh"

sysctl=/proc/sys/fs/fuse/max_pages_limit
[ -e "$sysctl" ] || skip_all "no $sysctl (before Linux 6.13)"
# Another run of this test would take the lowered one for the usual.
{ exec 9<"$sysctl" && flock 9; } || skip_all "$sysctl cannot be locked here"
usual=$(<"$sysctl")
{ echo "$usual" >"$sysctl"; } 2>/dev/null || skip_all "$sysctl cannot be changed here"
[ "$usual" -ge 256 ] || skip_all "$sysctl is lowered already"
# shellcheck disable=SC2317 # called by trap
restore() {
	local status=$?
	echo "$usual" >"$sysctl"
	(exit "$status")
	cleanup
}
trap restore EXIT
page=$(getconf PAGESIZE)

limit_of() { sed -n 's/^chronfs_record_limit_bytes //p' "$m/metrics"; }

for pages in 64 2; do
	q=$tmp/$pages
	echo "$pages" >"$sysctl"
	start_mount -o segment_size=4M
	echo "$usual" >"$sysctl"
	is "$pages pages: the limit" "$(limit_of)" $(((pages - 1) * page))
	is "$pages pages: in stats.json, too" "$(grep -o '"record_bytes": *[0-9]*' "$m/stats.json" | grep -o '[0-9]*$')" \
		$(((pages - 1) * page))
	ok "$pages pages: the log says why" wait_for grep -q "max_pages_limit is $pages" "$log"
	cases_of timeout "$patience" python3 "$here/request_size.py" "$m" $(((pages - 1) * page))
	seq 1 30000 >"$tmp/lines"
	ok "$pages pages: append.lines takes writes of any size" dd if="$tmp/lines" of="$m/append.lines" bs=921600 status=none
	ok "$pages pages: and every line" cmp "$tmp/lines" <(tail -c "$(stat -c %s "$tmp/lines")" "$m/stream")
	stop_mount "$pages pages"
	ok "$pages pages: the queue is sound" "$CHRONQ" verify "$q"
done

# With one page even short writes come in pieces.
q=$tmp/one
echo 1 >"$sysctl"
mounts+=("$m")
gives 4 "max_pages_limit" "one page: a writing mount" "$CHRONFS" "$tmp/2" "$m"
ok "one page: nothing is mounted" not is_mounted "$m"
q=$tmp/2
start_mount -o ro
echo "$usual" >"$sysctl"
is "one page: a read-only mount reads" "$(tail -n 1 "$m/stream")" 30000
stop_mount "one page, read-only"

q=$tmp/usual
start_mount
is "with the usual setting the limit" "$(limit_of)" $(((1 << 20) - page))
cases_of timeout "$patience" python3 "$here/request_size.py" "$m" $(((1 << 20) - page))
stop_mount "the usual setting"
finish
