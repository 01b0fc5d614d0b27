# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# mounted.sh - the benchmarks of scripts/bench that need a mount or a disk of their own; sourced by it, never run.
#
# Peers run in turn in each of five rounds, so that all of them meet the same machine.  A round adds its
# figures to $rounds; report prints them.
# The caller has set $build, $work (an empty folder on the file system to be measured), $results.
# shellcheck disable=SC2154 # $build, $work, $results

mnt=$work/mnt
null=$work/null
queue=$work/queue
rounds=$work/rounds
all_cpus=0-$(($(nproc) - 1))
disk='' # where a disk of our own is mounted
cgroup=''

clean_up() {
	local folder
	for folder in "$mnt" "$null"; do
		fusermount3 -u -z "$folder" 2>/dev/null || true
	done
	[ -z "$disk" ] || as_root umount -l "$disk" 2>/dev/null || true
	drop_cgroup
}

# ---- mounts ----

# mount_queue CPUS OPTIONS: mounts $queue at $mnt; the daemon runs on CPUS.
mount_queue() {
	mkdir -p "$mnt"
	taskset -c "$1" "$build/fs/chronfs" "$queue" "$mnt" ${2:+-o "$2"}
}

unmount_queue() {
	fusermount3 -u "$mnt"
	flock "$queue/writer.lock" true # the daemon has it until it has flushed and ended
}

# mounted CPUS OPTIONS COMMAND...: runs it with a fresh queue mounted at $mnt.
mounted() {
	mount_queue "$1" "$2"
	"${@:3}"
	unmount_queue
	rm -rf "$queue"
}

# beside_null CPUS OPTIONS COMMAND...: runs it while a daemon that only answers is mounted at $null.
beside_null() {
	mkdir -p "$null"
	taskset -c "$1" "$build/tests/bench/bench-null-fuse" ${2:+-o "$2"} "$null"
	"${@:3}"
	fusermount3 -u "$null"
}

# The process that has mounted $queue.
daemon() { pgrep -n -f -- "^$build/fs/chronfs $queue $mnt"; }

# ---- figures ----

# add HEADING NAME UNIT VALUE: one run of a figure.
add() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$rounds"; }

report() { python3 "$results" merge "$rounds"; }

# seconds COMMAND: how long it takes, made in $work because its path may have blanks.  Fails if the command fails.
seconds() {
	local TIMEFORMAT=%R
	{ time sh -c "cd \"\$0\" && { $1; } >/dev/null 2>&3" "$work"; } 3>&2 2>&1
}

# add_rate HEADING NAME BYTES COMMAND: one run of a rate.
add_rate() {
	local spent
	spent=$(seconds "$4") || die "failed: $4"
	add "$1" "$2" GB/s "$(awk "BEGIN { printf \"%.4f\", $3 / $spent / 1e9 }")"
}

# in_turn HEADING (NAME COMMAND)...: seconds of five runs of each.
in_turn() {
	local n spent
	for _ in 1 2 3 4 5; do
		for ((n = 2; n < $#; n += 2)); do
			sync
			spent=$(seconds "${*:n+1:1}") || die "failed: ${*:n+1:1}"
			add "$1" "${!n}" s "$spent"
		done
	done
	report
}

# ---- writing ----

# appends CPUS WRITERS 'BYTES COUNT'...: each run writes through chronfs, and then through null FUSE.
appends() {
	local shape
	for shape in "${@:3}"; do
		# shellcheck disable=SC2086 # two words
		taskset -c "$1" "$build/tests/bench/bench-sink" $shape 5 "$2" plain \
			chronfs "$mnt/append" 'null FUSE' "$null/append"
	done
}

bench_mount() {
	beside_null 0 '' mounted 0 retain_segments=4 \
		appends 0 1 '64 100000' '4096 50000' '65536 10000' '1044480 1000'
}

# microseconds_an_echo CPUS FILE
microseconds_an_echo() {
	# shellcheck disable=SC2016 # for that bash
	taskset -c "$1" bash -c 'begin=${EPOCHREALTIME/[.,]/}
		for ((i = 0; i < 5000; i++)); do echo x >>"$0"; done
		end=${EPOCHREALTIME/[.,]/}
		awk "BEGIN { print ($end - $begin) / 5000 }"' "$2"
}

echoes() {
	for _ in 1 2 3 4 5; do
		add "echo x >> append in bash, pinned" chronfs us "$(microseconds_an_echo "$1" "$mnt/append")"
		add "echo x >> append in bash, pinned" "null FUSE" us "$(microseconds_an_echo "$1" "$null/append")"
	done
	report
}

bench_echo() {
	local cpus
	beside_null 0 '' mounted 0 retain_segments=4 echoes 0
	for cpus in 0 "$all_cpus"; do
		say "four writers, daemons and writers on CPU $cpus"
		beside_null "$cpus" entry_timeout=0,fresh mounted "$cpus" retain_segments=4 \
			appends "$cpus" 4 '64 50000'
	done
}

bench_cat() {
	head -c 1073741824 /dev/urandom >"$work/source"
	beside_null "$all_cpus" '' mounted "$all_cpus" retain_segments=4 in_turn "cat of 1 GiB" \
		"chronfs: > append" "cat source > mnt/append" \
		"null FUSE: > append" "cat source > null/append" \
		"file system: >> a file" "rm -f copy; cat source >> copy"
	rm -f "$work/source" "$work/copy"
}

# The same line contents for all: printable, 100 bytes with the newline.
make_lines() { base64 -w 99 /dev/urandom | head -c "$1" >"$work/source" || true; }

bench_lines() {
	make_lines 1073741800
	mounted "$all_cpus" retain_segments=4 in_turn "1 GiB of lines of 100 bytes" \
		"chronfs: cat > append.lines" "cat source > mnt/append.lines" \
		"file system: cat >> a file" "rm -f copy; cat source >> copy" \
		"s6-log" "cat source | s6-log -b n20 s268435455 ./s6"
	rm -rf "$work/source" "$work/copy" "$work/s6"
}

fsyncs() {
	local writers
	for _ in 1 2 3 4 5; do
		for writers in 1 32; do
			BENCH_RESULTS=$rounds "$build/tests/bench/bench-sink" 64 50 1 "$writers" fsync chronfs \
				"$mnt/append" >/dev/null
		done
	done
	report
}

bench_fsync() { mounted "$all_cpus" '' fsyncs; }

# ---- reading ----

# read_round HEADING NAME FILES BYTES: the first time in a new mount, and again.
read_round() {
	add_rate "$1" "$2, first" "$4" "cat $3"
	add_rate "$1" "$2, warm" "$4" "cat $3"
}

bench_reading() {
	local bytes=536870900 heading="reading 512 MiB of lines of 100 bytes with cat"
	make_lines $bytes
	mount_queue "$all_cpus" ''
	cat "$work/source" >"$mnt/append.lines"
	echo roll >"$mnt/ctl"
	unmount_queue
	sync
	cat "$queue"/*.q >/dev/null
	for _ in 1 2 3 4 5; do
		mount_queue "$all_cpus" ''
		seconds "cat source" >/dev/null # the second time counts, as of the others
		add_rate "$heading" "plain file, warm" $bytes "cat source"
		read_round "$heading" stream mnt/stream $bytes
		read_round "$heading" payload/ 'mnt/payload/*' $bytes
		read_round "$heading" records/ 'mnt/records/*' $((bytes / 100 * 90))
		read_round "$heading" segments/ 'mnt/segments/*' "$(cat "$queue"/*.q | wc -c)"
		add_rate "$heading" "the segment files, warm" "$(cat "$queue"/*.q | wc -c)" 'cat queue/*.q'
		unmount_queue
	done
	rm -rf "$queue" "$work/source"
	report
}

waits_for_records() {
	program waiting library "$work"
	program waiting poll "$mnt"
}

bench_waiting() { mounted "$all_cpus" '' waits_for_records; }

# ---- a disk of our own ----

# loop_disk MIB: makes a file system on a loop device and mounts it at $disk; $queue is there.
loop_disk() {
	truncate -s "$1M" "$work/image"
	mkfs.ext4 -q -F "$work/image"
	disk=$work/disk
	mkdir -p "$disk"
	as_root mount -o loop "$work/image" "$disk"
	as_root chmod 777 "$disk"
	queue=$disk/queue
}

drop_disk() {
	as_root umount "$disk"
	disk=''
	rm -f "$work/image"
	queue=$work/queue
}

# The name of the device below $disk: major:minor.
disk_device() { mountpoint -d "$disk"; }

# throttle_reads PID BYTES_PER_SECOND: what this process reads from $disk comes no faster.
throttle_reads() {
	if [ -d /sys/fs/cgroup/blkio ]; then
		cgroup=/sys/fs/cgroup/blkio/chronfs-bench
		as_root mkdir -p "$cgroup"
		as_root sh -c "echo '$(disk_device) $2' >$cgroup/blkio.throttle.read_bps_device"
	elif grep -qw io /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
		cgroup=/sys/fs/cgroup/chronfs-bench
		as_root sh -c "echo +io >/sys/fs/cgroup/cgroup.subtree_control"
		as_root mkdir -p "$cgroup"
		as_root sh -c "echo '$(disk_device) rbps=$2' >$cgroup/io.max"
	else
		die "no cgroup here that can slow a disk"
	fi
	as_root sh -c "echo $1 >$cgroup/cgroup.procs"
}

# A cgroup goes when its last process has ended.
drop_cgroup() {
	local tries
	[ -n "$cgroup" ] || return 0
	for ((tries = 0; tries < 50; tries++)); do
		as_root rmdir "$cgroup" 2>/dev/null && break
		sleep 0.1
	done
	cgroup=''
}

# ext4 skips deleted inodes for some time when it makes a file, so each series needs a new one.
bench_dir_contention() {
	local series
	for series in '10000 0 5 1' '10000 0 5 4' '5000 1000 5 1' '5000 1000 5 4'; do
		[ "$(id -u)" -ne 0 ] || loop_disk 2048
		# shellcheck disable=SC2086 # four words
		program dir-contention "${disk:-$work}" $series
		[ -z "$disk" ] || drop_disk
	done
}

append_once() {
	BENCH_RESULTS=$rounds "$build/tests/bench/bench-sink" 64 5000 1 1 plain "$1" "$mnt/append" >/dev/null
}

# Each round appends alone, and then beside three greps that wait for the disk.
appends_beside_greps() {
	local files greps
	for _ in 1 2 3 4 5; do
		append_once "alone: a slow disk"
		greps=()
		for files in 'segments/00000000[6-9].q' 'payload/00000000[345]' stream; do
			# shellcheck disable=SC2086 # a pattern
			(cd "$mnt" && exec grep -c no-such-text $files >/dev/null) &
			greps+=($!)
		done
		sleep 0.5 # they have read what is cached, and wait for the disk
		append_once "beside three greps: a slow disk"
		kill "${greps[@]}" 2>/dev/null || say "a grep had ended: the disk was not slow enough"
		wait "${greps[@]}" 2>/dev/null || true
	done
	report
}

bench_cold() {
	loop_disk 3072
	mount_queue "$all_cpus" ''
	head -c 1342177280 /dev/urandom >"$mnt/append"
	echo roll >"$mnt/ctl"
	unmount_queue
	as_root umount "$disk" # drops its cache
	as_root mount -o loop "$work/image" "$disk"
	mount_queue "$all_cpus" ''
	throttle_reads "$(daemon)" 10000000
	appends_beside_greps
	unmount_queue
	drop_cgroup
	drop_disk
}

# sectors_written: what the device below $disk has written, in bytes.
bytes_written() { awk '{ print $7 * 512 }' "/sys/dev/block/$(disk_device)/stat"; }

bench_written() {
	local before bytes=536870912
	loop_disk 3072
	head -c $bytes /dev/urandom >"$work/source"
	for _ in 1 2 3 4 5; do
		mount_queue "$all_cpus" ''
		sync
		before=$(bytes_written)
		cat "$work/source" >"$mnt/append"
		unmount_queue
		sync
		add "cat of 512 MiB into append, sync=none" "bytes written for each" B \
			"$(awk "BEGIN { print ($(bytes_written) - $before) / $bytes }")"
		rm -rf "$queue"
	done
	rm -f "$work/source"
	drop_disk
	report
}

# ---- the daemon ----

# Sleeps that a thread of the daemon has begun: each of them ended with a wake-up.
wake_ups() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1"/task/*/status; }

count_wake_ups() {
	local pid before after
	pid=$(daemon)
	echo x >"$mnt/append"
	sleep 3
	for _ in 1 2 3 4 5; do
		before=$(wake_ups "$pid")
		sleep 10
		after=$(wake_ups "$pid")
		paste <(echo "$before") <(echo "$after") |
			awk '{ n = $2 - $1; sum += n; if (n > most) most = n } END { print sum, most }' >"$work/count"
		add "an idle mount in 10 s" "wake-ups" times "$(cut -d ' ' -f 1 "$work/count")"
		add "an idle mount in 10 s" "of the busiest thread" times "$(cut -d ' ' -f 2 "$work/count")"
	done
	report
}

bench_idle() { mounted "$all_cpus" '' count_wake_ups; }

anonymous_memory() { awk '/^RssAnon/ { print $2 * 1024 }' "/proc/$(daemon)/status"; }

# memory_of QUEUE: prints the daemon's memory after a start, and after ls -l.
memory_of() {
	queue=$1
	mount_queue "$all_cpus" ''
	anonymous_memory
	ls -l "$mnt/segments" >/dev/null
	anonymous_memory
	unmount_queue
}

bench_memory() {
	local few many count
	for count in 10 10000; do
		queue=$work/queue-$count
		mount_queue "$all_cpus" segment_size=4096
		dd if=/dev/zero of="$mnt/append" bs=3968 count="$count" status=none
		unmount_queue
	done
	for _ in 1 2 3 4 5; do
		mapfile -t few < <(memory_of "$work/queue-10")
		mapfile -t many < <(memory_of "$work/queue-10000")
		add "memory for each segment" "after the start" B $(((many[0] - few[0]) / 9990))
		add "memory for each segment" "after ls -l" B $(((many[1] - few[1]) / 9990))
	done
	rm -rf "$work/queue-10" "$work/queue-10000"
	queue=$work/queue
	report
}
