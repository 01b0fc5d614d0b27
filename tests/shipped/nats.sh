# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2317 # systems is of packages.sh; functions are called by others
#
# nats.sh - chronq-nats: the programs with a server, without systemd and as the services chronq-ship@ and
# chronq-fetch@; sourced by packages.sh behind service.sh, never run.  Each server listens on 127.0.0.1 alone.

# try_programs SYSTEM: ship and fetch as chronq runs them.
try_programs() {
	local root=$systems/$1 log=$systems/nats.log port=
	server=
	# The port is the system's choice; the server says it.
	chroot "$root" /usr/sbin/nats-server -js -sd /tmp/store -a 127.0.0.1 -p -1 >"$log" 2>&1 &
	server=$!
	eventually grep -q 'Server is ready' "$log"
	port=$(sed -n 's/.*Listening for client connections on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$log")
	[ -n "$port" ]
	check "nats-server runs" $? "$(cat "$log")"
	works "chronq ship --create --once" in_system "$1" chronq ship --create --once /var/spool/queue "nats://127.0.0.1:$port/first"
	works "chronq fetch --once" in_system "$1" chronq fetch --once "nats://127.0.0.1:$port/first" /var/spool/replica
	[ "$(in_system "$1" chronq tail /var/spool/replica)" = hello ]
	check "the replica has the record" $? "$(cat "$systems/log")"
	kill "$server"
	wait "$server"
	server=
	rm -rf "$root/tmp/store" "$root/var/spool/replica"
}

# is_restarted UNIT PID: another process than this one is at work.
is_restarted() {
	local pid
	pid=$(property MainPID "$1")
	[ "$pid" -ne 0 ] && [ "$pid" -ne "$2" ] && [ "$(property ActiveState "$1")" = active ]
}
# has_records QUEUE RECORD...: they are all that it has.
has_records() { [ "$(booted chronq cat "/var/lib/chronfs/$1")" = "$(printf '%s\n' "${@:2}")" ]; }
# has_state UNIT STATE
has_state() { [ "$(property ActiveState "$1")" = "$2" ]; }

# try_nats_services SYSTEM: in the system that try_service has started, with the queue of chronfs@plain mounted.
try_nats_services() {
	local root=$systems/$1 output exposure unit first metrics=/var/lib/prometheus/node-exporter
	[ -n "$boot_first" ] || return 0
	mkdir -p "$root/etc/chronq/ship" "$root/etc/chronq/fetch" "$root$metrics"
	printf 'URL=nats://127.0.0.1/plain\nOPTIONS=--create --per-record --visible\n' >"$root/etc/chronq/ship/plain.conf"
	echo 'URL=nats://127.0.0.1/plain' >"$root/etc/chronq/ship/orders.conf"
	echo 'URL=nats://127.0.0.1/plain' >"$root/etc/chronq/fetch/replica.conf"
	for unit in chronq-ship chronq-fetch; do
		output=$(booted systemd-analyze verify --recursive-errors=no "/usr/lib/systemd/system/$unit@.service" 2>&1)
		[ -z "$output" ]
		check "$unit@.service: systemd-analyze verify has nothing to say" $? "$output"
		output=$(booted systemd-analyze security "$unit@x" --no-pager 2>&1)
		exposure=$(sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' <<<"$output")
		awk -v exposure="$exposure" 'BEGIN { exit !(exposure > 0 && exposure <= 2.5) }'
		check "$unit@.service: systemd-analyze security: $exposure" $? "$output"
	done

	ok "the services start before there is a server" booted systemctl start chronq-ship@plain chronq-fetch@replica
	ok "a server" booted systemd-run -q --unit test-nats /usr/sbin/nats-server -js -sd /var/lib/nats -a 127.0.0.1 -p 4222
	eventually has_records replica four
	check "the replica gets the record" $? "$(booted journalctl -q --no-pager -u 'chronq-*' 2>&1 | tail -n 20)"
	booted sh -c 'echo seven >/run/chronfs/billing/append' && eventually has_records copy seven
	check "so do those of the commands of INSTALL.md" $? "$(booted journalctl -q --no-pager -u 'chronq-*' 2>&1 | tail -n 20)"
	first=$(property MainPID chronq-ship@plain)
	[ "$(booted stat -c %U "/proc/$first")" = chronfs ] && [ "$(booted stat -c %U:%a /var/lib/chronfs/replica)" = chronfs:750 ]
	check "both run as the user chronfs" $?
	eventually booted grep -q '^chronq_ship_acked_records_total{.*} 1$' "$metrics/chronq_ship_plain.prom" &&
		eventually booted grep -q '^chronq_fetch_records_total{.*} 1$' "$metrics/chronq_fetch_replica.prom"
	check "the metrics are where node_exporter looks" $? "$(booted sh -c "ls -l $metrics; cat $metrics/*" 2>&1)"

	booted sh -c "kill -KILL $first"
	booted sh -c 'echo five >/run/chronfs/plain/append'
	eventually has_records replica four five && is_restarted chronq-ship@plain "$first"
	check "ship: killed with SIGKILL, it is started again" $? "$(booted systemctl status chronq-ship@plain 2>&1)"
	first=$(property MainPID chronq-fetch@replica)
	booted sh -c "kill -KILL $first"
	booted sh -c 'echo six >/run/chronfs/plain/append'
	eventually has_records replica four five six && is_restarted chronq-fetch@replica "$first"
	check "so is fetch" $? "$(booted systemctl status chronq-fetch@replica 2>&1)"

	booted systemctl start chronq-ship@orders
	eventually has_state chronq-ship@orders failed && [ "$(property ExecMainStatus chronq-ship@orders)" = 5 ] &&
		[ "$(property NRestarts chronq-ship@orders)" = 0 ]
	check "another queue's stream: exit code 5, and it is not started again" $? "$(booted systemctl status chronq-ship@orders 2>&1)"
	booted test -L "$metrics/chronq_ship_orders.prom" -a -f "$metrics/chronq_ship_orders.prom"
	check "its metrics stay, and grow old" $?
	! booted systemctl start chronq-ship@none 2>/dev/null
	check "a service without a file does not start" $?

	ok "the mount stops while ship reads the queue" booted systemctl stop chronfs@plain
	[ "$(property Result chronfs@plain)" = success ] && ! grep -qs ' /run/chronfs/plain ' /proc/"$(property MainPID chronq-ship@plain)"/mounts
	check "and nothing of it is left" $? "$(booted systemctl status chronfs@plain 2>&1)"
	ok "ship and fetch stop" booted systemctl stop chronq-ship@plain chronq-fetch@replica
	[ "$(property Result chronq-ship@plain) $(property Result chronq-fetch@replica)" = "success success" ] &&
		! booted test -L "$metrics/chronq_ship_plain.prom" && ! booted test -L "$metrics/chronq_fetch_replica.prom"
	check "which is a success, and removes the metrics" $? "$(booted systemctl status 'chronq-*' 2>&1)"
	ok "the replica is in order" booted chronq verify /var/lib/chronfs/replica
	booted systemctl start chronfs@plain chronq-ship@plain # for the purge
}
