#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# live.sh - the metrics of two mounts, through chronfs-textfile and node_exporter, in a real Prometheus: each
# expression of docs/monitoring gives a result there, and alerts come when something happens
. "$(dirname "$0")/../mount/lib/lib.sh"

for program in prometheus prometheus-node-exporter promtool; do
	command -v "$program" >/dev/null || skip_all "no $program here (packages prometheus, prometheus-node-exporter)"
done
docs=$(cd "$here/../../docs/monitoring" && pwd)
# shellcheck source=scripts/cluster.sh
. "$here/../../scripts/cluster.sh"
# shellcheck disable=SC2317 # called by trap
end_shipping() {
	local status=$?
	[ -z "${shipping-}" ] || kill -9 "${shipping[@]}" 2>/dev/null
	cluster_stop
	(exit "$status")
	cleanup
}
trap end_shipping EXIT

# The second mount: a queue with a damaged record, which reads meet.
mkdir "$tmp/second"
printf 'good\nwrong\n' | "$CHRONQ" append --segment-size 64K "$tmp/other" >"$tmp/log" 2>&1 ||
	fail "chronq append: $(cat "$tmp/log")"
"$CHRONFS" "$tmp/other" "$tmp/second" -f >"$tmp/second.log" 2>&1 &
second=$!
mounts+=("$tmp/second")
ok "the second mount" wait_for [ -e "$tmp/second/stats.json" ]
offset=$(grep -abo wrong "$tmp/other/000000000.q" | head -n 1 | cut -d: -f1)
printf 'W' | dd of="$tmp/other/000000000.q" bs=1 seek="$offset" conv=notrunc status=none

start_mount -o "segment_size=64K,max_bytes=1M,retain_age=1d,reader_ttl=1d,reader_max_lag=1G,sync=interval=500"
seq 2000 >"$m/append.lines"
echo roll >"$m/ctl"
sync "$m/append"
"$CHRONQ" cat --reader still "$q" >/dev/full 2>"$tmp/log" # it is made, and nothing can be read

for o in "$m" "$tmp/second"; do
	output=$(promtool check metrics <"$o/metrics" 2>&1) && [ -z "$output" ]
	check "promtool check metrics: names, units and types are as Prometheus wants them" $? "$output"
done

# The queue is shipped, and fetched, by programs that write their metrics into the same directory.
mkdir "$tmp/textfile"
shipping=()
if [ -x "$(dirname "$CHRONQ")/ship/chronq-ship" ] && cluster_program >/dev/null; then
	cluster_start "$tmp/servers" 1 # not in a subshell
	check "a NATS server" $?
	url=nats://$cluster_servers/live
	"$CHRONQ" ship --create --status "$tmp/textfile/chronq_ship_live.prom" "$q" "$url" 2>"$tmp/ship.log" &
	shipping+=($!)
	ok "the stream is made" wait_until stream_leads live
	"$CHRONQ" fetch --status "$tmp/textfile/chronq_fetch_live.prom" "$url" "$tmp/replica" 2>"$tmp/fetch.log" &
	shipping+=($!)
	ok "the replica is made" wait_for [ -e "$tmp/replica/control.meta" ]
else
	skip "ship and fetch" "not built, or no nats-server here"
fi
export SHIPPING="${shipping[*]}" SERVER=${server_pids[1]-}
cases_of python3 "$here/live.py" "$m" "$tmp/second" "$tmp" "$docs" "$daemon"

ended
is "the daemon that was killed" $? 137
umount -l "$m"
ok "umount of the second mount" umount "$tmp/second"
wait "$second"
is "its exit status" $? 0
finish
