# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# shipped.sh - scripts/bench ship: chronq ship and fetch beside plain publishing; sourced behind mounted.sh, never run.
#
# A round has each peer once: JetStream's own publish without and with the header, chronq ship in both formats, chronq
# fetch of both.  Streams are made before the clock starts, and deleted afterwards.
# shellcheck disable=SC2154 # $build, $work, $mnt, $rounds and what cluster.sh has

# shellcheck source=scripts/cluster.sh
. "$root/scripts/cluster.sh"

chronq=$build/core/cli/chronq
replica_mnt=$work/replica-mnt
ship='' fetch='' # processes

stop_shipping() {
	local pid
	for pid in $ship $fetch; do kill "$pid" 2>/dev/null || true; done
	for pid in $ship $fetch; do wait "$pid" 2>/dev/null || true; done
	ship='' fetch=''
}

clean_up_ship() {
	stop_shipping
	cluster_stop
	fusermount3 -u -z "$replica_mnt" 2>/dev/null || true
}

# url STREAM [all]: with the first server, as the peer has it; or with all of them.
url() { echo "nats://$([ "${2-}" = all ] && echo "$cluster_servers" || echo "${cluster_servers%%,*}")/$1"; }

peer() { "$build/tests/bench/bench-publish" "nats://${cluster_servers%%,*}" "$@"; }

# a_queue FOLDER BYTES COUNT: a queue of records of so many bytes, all of them durable.  FOLDER-1 has the same identity
# and the first record only.
a_queue() {
	(base64 -w "$(($2 - 1))" /dev/urandom 2>/dev/null || true) | head -n "$3" >"$work/lines"
	head -n 1 "$work/lines" | "$chronq" append "$1"
	cp -r "$1" "$1-1"
	tail -n +2 "$work/lines" | "$chronq" append "$1"
	rm "$work/lines"
}

# add_records HEADING NAME COUNT COMMAND...: one run of a rate.
add_records() {
	local begin=${EPOCHREALTIME/[.,]/}
	"${@:4}" >/dev/null 2>"$work/said" || die "failed: ${*:4}: $(cat "$work/said")"
	add "$1" "$2" records/s "$(awk "BEGIN { print $3 / (${EPOCHREALTIME/[.,]/} - $begin) * 1e6 }")"
}

# add_size HEADING NAME COUNT: bytes on the disk of the server that leads the stream.  Goes behind the rates.
add_size() {
	rounds=$rounds-sizes add "$1" "$2" B "$(($(du -sb "$server_folder/n$(stream_leader bench)" | cut -f 1) / $3))"
}

# publish_round HEADING REPLICAS BYTES COUNT HOW NAME
publish_round() {
	peer bench create "$2"
	add_records "$1" "$6" "$4" peer bench "$5" "$3" "$4"
	peer bench delete
}

# ship_round HEADING REPLICAS QUEUE COUNT OPTION NAME
ship_round() {
	"$chronq" ship --once --create --replicas "$2" "$5" "$3-1" "$(url bench)" 2>"$work/said" ||
		die "$(cat "$work/said")"
	add_records "$1" "ship, $6" "$4" "$chronq" ship --once "$3" "$(url bench)"
	add_size "$1, on the disk of a server" "$6" "$4"
	add_records "$1" "fetch, $6" "$4" "$chronq" fetch --once "$(url bench)" "$work/replica"
	rm -rf "$work/replica"
	peer bench delete
}

# rates REPLICAS BYTES COUNT_OF_MESSAGES COUNT_IN_FRAMES
rates() {
	local heading="R$1, records of $2 bytes" q=$work/queue-$2
	[ -d "$q" ] || {
		a_queue "$q" "$2" "$3"
		a_queue "$q-many" "$2" "$4"
	}
	publish_round "$heading" "$1" "$2" "$3" plain "publish"
	publish_round "$heading" "$1" "$2" "$3" header "publish with the header"
	ship_round "$heading" "$1" "$q" "$3" --per-record "a message a record"
	ship_round "$heading" "$1" "$q-many" "$4" --frame=64K frames
}

# between_mounts REPLICAS COMMAND...: runs it with a queue mounted at $mnt, shipped, fetched, and mounted at $replica_mnt.
between_mounts() {
	mkdir -p "$replica_mnt"
	mount_queue "$all_cpus" ''
	"$chronq" ship --visible --create --replicas "$1" "$queue" "$(url bench all)" 2>"$work/ship.log" &
	ship=$!
	wait_until stream_leads bench || die "no stream: $(cat "$work/ship.log")"
	"$chronq" fetch "$(url bench all)" "$work/replica" 2>"$work/fetch.log" &
	fetch=$!
	echo first >"$mnt/append"
	wait_until test -e "$work/replica/control.meta" || die "no replica: $(cat "$work/fetch.log")"
	"$build/fs/chronfs" -o ro "$work/replica" "$replica_mnt"
	wait_until test -s "$replica_mnt/stream" || die "an empty replica: $(cat "$work/fetch.log")"
	"${@:2}"
	stop_shipping
	fusermount3 -u "$replica_mnt"
	unmount_queue
	rm -rf "$queue" "$work/replica"
	peer bench delete
}

one_latency() { program mounts latency "$mnt" "$replica_mnt" 500; }

# Five runs, each of a new queue, become one figure.
latencies() {
	for _ in 1 2 3 4 5; do
		BENCH_RESULTS=$work/one between_mounts "$1" one_latency >/dev/null
	done
	sed "s/^/R$1: /" "$work/one" >>"$rounds"
	rm "$work/one"
	report
}

# The leader dies while a record a millisecond comes.
one_death() {
	local leader counting
	program mounts pause "$mnt" "$replica_mnt" 8000 >"$work/pause" &
	counting=$!
	sleep 2
	leader=$(stream_leader bench) || die "the stream has no leader"
	server_kill "$leader"
	wait "$counting"
	add "a server that leads is killed" "on the replica's mount" s "$(cat "$work/pause")"
	# of the servers that are left
	cluster_servers=127.0.0.1:${server_ports[leader % 3 + 1]}
	add "a server that leads is killed" "between acknowledgements" s "$(peer bench pause)"
}

# Each run has new servers: one that was killed may take long until its copy of the stream is as good as the others'.
deaths() {
	local i
	for i in 1 2 3 4 5; do
		cluster_start "$work/servers-of-death-$i" 3
		between_mounts 3 one_death
		cluster_stop
		rm -rf "$work/servers-of-death-$i"
	done
	report
}

bench_ship() {
	local replicas
	[ -x "$build/tests/bench/bench-publish" ] || die "no libnats here"
	for replicas in 1 3; do
		cluster_start "$work/servers-$replicas" "$replicas"
		for _ in 1 2 3 4 5; do
			rates "$replicas" 100 60000 1000000
			rates "$replicas" 1024 20000 50000
			rates "$replicas" 65536 1000 1000
		done
		report
		mv "$rounds-sizes" "$rounds"
		report
		latencies "$replicas"
		cluster_stop
		rm -rf "$work/servers-$replicas"
	done
	deaths
	rm -rf "$work"/queue-*
}
