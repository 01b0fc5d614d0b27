# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# cluster.sh - NATS servers with JetStream on 127.0.0.1, for programs that need some for a while; sourced, never run.
#
# All arrays are indexed by the number of a server, from 1.  The caller has set cluster_stop as its trap, or calls it.

declare -a server_pids=() server_ports=() server_monitors=() server_routes=()
server_folder='' # configuration, log and store of each server are below it
cluster_size=0
cluster_servers='' # 127.0.0.1:PORT,... as in the URL of a stream
cluster_patience=60 # seconds in which a server has to answer, and a stream to have a leader

# cluster_program: the server program, also for users without /usr/sbin in PATH.
cluster_program() { PATH=$PATH:/usr/sbin command -v nats-server; }

# free_port: prints a port of 127.0.0.1 on which nobody listens now, below those that the kernel gives to clients.
free_port() {
	local port
	while :; do
		port=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# cluster_start FOLDER SERVERS: starts so many servers, with ports that are free now, and returns when all are ready.
cluster_start() {
	local i try
	server_folder=$1
	cluster_size=$2
	for try in 1 2 3; do
		cluster_servers=''
		for ((i = 1; i <= cluster_size; i++)); do
			server_ports[i]=$(free_port)
			server_monitors[i]=$(free_port)
			server_routes[i]=$(free_port)
			cluster_servers+=${cluster_servers:+,}127.0.0.1:${server_ports[i]}
		done
		for ((i = 1; i <= cluster_size; i++)); do
			server_configure "$i"
			server_start "$i"
		done
		! cluster_ready || return 0
		cluster_stop
		# Somebody else has taken a port in the meantime.
		grep -q 'address already in use' "$server_folder"/*.log || break
		[ "$try" -lt 3 ] || break
	done
	cat "$server_folder"/*.log >&2
	return 1
}

# server_configure N: writes the configuration of server N.
server_configure() {
	local i routes=''
	for ((i = 1; i <= cluster_size; i++)); do routes+="${routes:+, }\"nats://127.0.0.1:${server_routes[i]}\""; done
	mkdir -p "$server_folder/n$1"
	{
		echo "server_name: n$1"
		echo "listen: \"127.0.0.1:${server_ports[$1]}\""
		echo "http: \"127.0.0.1:${server_monitors[$1]}\""
		echo "jetstream { store_dir: \"$server_folder/n$1\", max_memory_store: 64MB, max_file_store: 64GB }"
		[ "$cluster_size" -eq 1 ] ||
			echo "cluster { name: here, listen: \"127.0.0.1:${server_routes[$1]}\", routes: [$routes] }"
	} >"$server_folder/n$1.conf"
}

# server_start N: starts server N, which is not running.
server_start() {
	"$(cluster_program)" -c "$server_folder/n$1.conf" >>"$server_folder/n$1.log" 2>&1 </dev/null &
	server_pids[$1]=$!
}

# server_get N PATH: prints what the monitoring port of server N answers.
server_get() {
	local monitor
	# The port may be closed, or the server die in the middle.
	exec {monitor}<>"/dev/tcp/127.0.0.1/${server_monitors[$1]}" || return
	printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&"$monitor" && timeout 5 cat <&"$monitor"
	exec {monitor}>&-
} 2>/dev/null

# server_ready N: whether server N answers, with JetStream.
server_ready() { [[ $(server_get "$1" /healthz) == *'"ok"'* ]]; }

# wait_until COMMAND...: until it succeeds; fails after $cluster_patience seconds.
wait_until() {
	local end=$((SECONDS + cluster_patience))
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# cluster_ready: waits until every server answers and they have elected one that manages the streams.
cluster_ready() {
	local i
	for ((i = 1; i <= cluster_size; i++)); do
		wait_until server_ready_or_dead "$i" && kill -0 "${server_pids[i]}" 2>/dev/null || return
	done
	[ "$cluster_size" -eq 1 ] || wait_until meta_leader_known
}

server_ready_or_dead() { server_ready "$1" || ! kill -0 "${server_pids[$1]}" 2>/dev/null; }

meta_leader_known() { server_get 1 /jsz | grep -qE '"leader": "n[0-9]'; }

# stream_leader STREAM: prints the number of the server that leads the stream; fails if none does now.
stream_leader() {
	local i leader
	for ((i = 1; i <= cluster_size; i++)); do
		# The first leader behind the stream's name.
		leader=$(server_get "$i" '/jsz?accounts=true&streams=true' | awk -v name="\"name\": \"$1\"" '
			index($0, name) { found = 1 }
			found && match($0, /"leader": "n[0-9]+"/) { print substr($0, RSTART + 12, RLENGTH - 13); found = 0 }
		') || true
		[ -z "$leader" ] || {
			echo "$leader"
			return 0
		}
	done
	return 1
}

# stream_leads STREAM: whether the stream has a leader.
stream_leads() { stream_leader "$1" >/dev/null; }

# server_kill N: kills server N by SIGKILL, as a crash of the program does.
server_kill() {
	kill -9 "${server_pids[$1]}"
	wait "${server_pids[$1]}" 2>/dev/null || true
	server_pids[$1]=''
}

# cluster_stop: ends all servers that are running.
cluster_stop() {
	local pid
	for pid in "${server_pids[@]}"; do [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; done
	for pid in "${server_pids[@]}"; do [ -z "$pid" ] || wait "$pid" 2>/dev/null || true; done
	server_pids=()
}
