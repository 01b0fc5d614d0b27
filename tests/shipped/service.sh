# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # top and systems are of packages.sh, patience of tap.sh
#
# service.sh - chronfs@.service as an operator meets it, in a system with systemd and the package; sourced by
# packages.sh, never run

# eventually COMMAND...: waits until it succeeds.
eventually() {
	local i
	for ((i = 0; i < patience * 10; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

property() { booted systemctl show --property "$1" --value "$2"; }
as() { booted setpriv --reuid "$1" --regid "$1" --init-groups sh -c "$2"; }

# try_service SYSTEM PASSTHROUGH: the cases; leaves the system running, with a queue mounted.  PASSTHROUGH: what
# stats.json says of that on a mount by root.
try_service() {
	local root=$systems/$1 log output first second exposure block unit=chronfs@orders
	log=$systems/boot.log
	in_system "$1" groupadd operators
	in_system "$1" useradd --groups operators alice
	in_system "$1" useradd bob
	mkdir -p "$root/etc/chronfs" "$root/mnt/orders"
	printf 'MOUNTPOINT=/mnt/orders\nOPTIONS=segment_size=1M,gid=operators,umask=007\n' >"$root/etc/chronfs/orders.conf"
	: >"$root/etc/chronfs/plain.conf"
	echo 'OPTIONS=no_such_option' >"$root/etc/chronfs/wrong.conf"
	if ! boot_begin "$root" "$log"; then
		skip "chronfs@.service" "systemd cannot be started here: $(tail -n 1 "$log")"
		boot_end
		return
	fi
	[ "$(booted systemctl is-system-running)" = running ]
	check "systemd runs" $? "$(booted systemctl --failed --no-legend)"

	output=$(booted systemd-analyze verify --recursive-errors=no "/usr/lib/systemd/system/chronfs@.service" 2>&1)
	[ -z "$output" ]
	check "systemd-analyze verify has nothing to say" $? "$output"
	output=$(booted systemd-analyze security "$unit" --no-pager 2>&1)
	exposure=$(sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p' <<<"$output")
	awk -v exposure="$exposure" 'BEGIN { exit !(exposure > 0 && exposure <= 3.5) }'
	check "systemd-analyze security: $exposure" $? "$output"

	block=$(awk '/^```sh needs=fresh,systemd$/ { take = 1; next } /^```$/ { take = 0 } take' "$top/docs/INSTALL.md")
	[[ $block == *"systemctl enable"* ]] && ok "the commands of INSTALL.md run" booted sh -ec "$block"
	[ "$(booted cat /run/chronfs/events/stream)" = hello ]
	check "and append" $?

	ok "the service starts" booted systemctl start "$unit"
	first=$(property MainPID "$unit")
	[ "$(booted stat -c %U "/proc/$first")" = chronfs ]
	check "the daemon is a process of the user chronfs" $?
	ok "a user of the group appends" as alice 'echo one >/mnt/orders/append'
	! as bob 'echo two >/mnt/orders/append' 2>/dev/null
	check "another user does not" $?
	[ "$(as alice 'cat /mnt/orders/stream')" = one ]
	check "a user of the group reads" $?
	[ "$(booted stat -c %U:%a /var/lib/chronfs/orders)" = chronfs:750 ]
	check "the queue belongs to the user chronfs" $?

	output=$(booted grep '"passthrough"' /mnt/orders/stats.json)
	[ -n "$2" ] && [ "$output" = "$2" ]
	check "the kernel reads segments by itself where it does for root:$2" $? "$output"

	booted sh -c "kill -KILL $first"
	# shellcheck disable=SC2317 # called by eventually
	restarted() {
		second=$(property MainPID "$unit")
		[ "$second" -ne 0 ] && [ "$second" -ne "$first" ] && [ "$(property ActiveState "$unit")" = active ]
	}
	eventually restarted
	check "killed with SIGKILL, it is started again" $? "$(booted systemctl status "$unit" 2>&1)"
	ok "and takes records" as alice 'echo three >/mnt/orders/append'
	[ "$(as alice 'cat /mnt/orders/stream')" = $'one\nthree' ]
	check "all are there" $?

	booted sh -c 'exec tail -f /mnt/orders/stream' >/dev/null 2>&1 &
	eventually booted sh -c 'ls -l /proc/[0-9]*/fd | grep -q /mnt/orders/stream'
	ok "it stops while somebody reads" booted systemctl stop "$unit"
	! booted grep -q ' /mnt/orders ' /proc/mounts
	check "nothing is mounted then" $?
	[ "$(property Result "$unit")" = success ]
	check "and that is a success" $? "$(booted systemctl status "$unit" 2>&1)"
	ok "the queue is in order" booted chronq verify /var/lib/chronfs/orders
	kill $! 2>/dev/null

	! booted systemctl start chronfs@none 2>/dev/null
	check "a service without a file does not start" $?
	! booted systemctl start chronfs@wrong 2>/dev/null && [ "$(property NRestarts chronfs@wrong)" = 0 ] &&
		[ "$(property ExecMainStatus chronfs@wrong)" = 1 ]
	check "a service with a wrong option fails, and is not tried again" $?
	ok "a service with an empty file starts" booted systemctl start chronfs@plain
	booted sh -c 'echo four >/run/chronfs/plain/append' && [ "$(booted chronq tail /var/lib/chronfs/plain)" = four ]
	check "root appends to it" $?
}
