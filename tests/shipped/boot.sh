# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# boot.sh - starts systemd in a folder that has a Debian system with systemd; sourced, never run
#
# systemd is the first process of namespaces of its own (mounts, processes, network, host name, IPC, cgroups), as
# in a container.  It sees its own mounts and devices alone, and cannot change settings of the kernel: /proc/sys
# and /sys are read-only, and it has no capability for modules and clocks.  It ends with its first process, which
# the kernel kills when this shell's child `unshare` ends.
#
# Needs root, and a cgroup2 hierarchy; $top is the source tree.
# shellcheck disable=SC2154 # top, and patience of tap.sh
# shellcheck source=scripts/mounts.sh
. "$top/scripts/mounts.sh"

boot_group='' boot_hierarchy='' boot_child='' boot_first=''

# boot_begin ROOT LOG: starts the system, and waits until it has started.  Fails, with the reason as the last line
# of LOG, if it does not.
boot_begin() {
	local root=$1 log=$2 state i
	boot_hierarchy=$(mktemp -d)
	if ! mount -t cgroup2 none "$boot_hierarchy" 2>>"$log"; then
		rmdir "$boot_hierarchy"
		echo "no cgroup2 here" >>"$log"
		return 1
	fi
	boot_group=$(mktemp -d "$boot_hierarchy/chronfs-test.XXXXXX")
	# A namespace's root is the group of the process that makes it.
	(
		echo "$BASHPID" >"$boot_group/cgroup.procs"
		exec setpriv --pdeathsig KILL \
			--bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-mac_admin,-mac_override,-audit_control \
			unshare --mount --mount-proc --pid --uts --ipc --net --cgroup --fork --kill-child \
			bash "$top/tests/shipped/boot_inside.sh" "$(mount_namespace)" "$top" "$root"
	) </dev/null >>"$log" 2>&1 &
	boot_child=$!
	# shellcheck disable=SC2154 # patience is of tap.sh
	for ((i = 0; i < patience * 5; i++)); do
		boot_first=$(grep -l "^PPid:[[:space:]]*$boot_child\$" /proc/[0-9]*/status 2>/dev/null | tr -cd '0-9')
		state=$([ -z "$boot_first" ] || booted systemctl is-system-running 2>&1)
		case $state in
		running | degraded) return 0 ;;
		esac
		kill -0 "$boot_child" 2>/dev/null || break
		sleep 0.2
	done
	echo "systemd has not started: $state" >>"$log"
	return 1
}

# booted COMMAND...: runs it in the started system.
booted() {
	nsenter --target "$boot_first" --mount --pid --uts --ipc --net --cgroup --root --wd \
		env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 "$@"
}

# boot_end: stops the system, and removes what boot_begin has made outside of it.
boot_end() {
	local i
	if [ -n "$boot_child" ]; then
		[ -z "$boot_first" ] || kill -s RTMIN+3 "$boot_first" 2>/dev/null
		for ((i = 0; i < 100; i++)); do
			kill -0 "$boot_child" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$boot_child" 2>/dev/null
		wait "$boot_child" 2>/dev/null
		boot_child='' boot_first=''
	fi
	if [ -n "$boot_group" ]; then
		for ((i = 0; i < 100; i++)); do
			find "$boot_group" -depth -type d -exec rmdir {} + 2>/dev/null
			[ -d "$boot_group" ] || break
			sleep 0.1
		done
		umount "$boot_hierarchy"
		rmdir "$boot_hierarchy"
		boot_group=''
	fi
}
