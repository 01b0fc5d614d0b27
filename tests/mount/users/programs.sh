#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: programs.sh [PART...]
#
# programs.sh - what docs/recipes.md says of programs beyond its own commands: reopening while others write,
# a daemon that is killed and mounted again, and what does not work.  The configurations are those of the page.
# All processes end with the namespace of the test.
# shellcheck disable=SC2317 # the parts are called by their names
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace
for name in www-data adm; do getent group "$name" >/dev/null || skip_all "no group $name here"; done

parts=("$@")
[ $# -gt 0 ] || parts=(nginx rsyslog python service supervisord tcpdump rotation)
root=$(cd "$here/../../.." && pwd)
python=/usr/bin/python3 # one that users can run, too
work=$tmp/work          # the members of adm may write there
mkdir "$work" && chgrp adm "$work" && chmod 775 "$work"

# have PROGRAM...: whether all are here; if not, skips a case that names the first one that is missing.
have() {
	local name
	for name in "$@"; do
		command -v "$name" >/dev/null || {
			skip "$part" "no $name here"
			return 1
		}
	done
}

# snippet FILE: the block of the page that makes this file, with the test's own paths.
snippet() {
	PYTHONPATH=$root/tests/pages python3 - "$root" "$1" <<-'END' |
		import pagefile, sys
		blocks = pagefile.Page(sys.argv[1], "docs/recipes.md").blocks
		print(next(block.text for block in blocks if block.file == sys.argv[2]), end="")
	END
		sed -E "s#/mnt/(events|web)/#$m/#g; s#/mnt/log.sock#$work/log.sock#; s#/etc/rsyslog.d/#$work/#;
			s#127.0.0.1:8480#unix:$work/web.sock#"
}

member=(setpriv --reuid=64001 --regid=64001 --groups="$(getent group adm | cut -d: -f3)")

# records TEXT: how many records have it.
records() { "$CHRONQ" cat --json "$q" | grep -cF -- "$1"; }
# counts RE: how many different texts that match are in how many records each: "100 once ".
counts() {
	"$CHRONQ" cat --json "$q" | grep -oE "\"payload\":.*$1" | grep -oE "$1" | sort | uniq -c |
		awk '{ print $1 == 1 ? "once" : $1 " times" }' | sort | uniq -c | sed 's/^ *//' | tr '\n' ' '
}
has() { [ "$(records "$1")" -ge "${2-1}" ]; }

dead() { stat "$m" 2>&1 | grep -q 'not connected'; }
kill_mount() {
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null
	daemon=
	wait_for dead || fail "the mount dies"
}

# ---- nginx ----

get() { curl -s --max-time "$patience" --unix-socket "$work/web.sock" "http://x/$1"; }
in_nginx() { nginx -p "$work" -c nginx.conf "$@" 2>>"$work/said"; }

nginx_begins() {
	rm -f "$work/error.log"
	in_nginx || fail "nginx starts"
	is "nginx serves" "$(get "$1")" hello
}
nginx_ends() {
	local pid
	pid=$(<"$work/nginx.pid")
	in_nginx -s quit
	wait_for not kill -0 "$pid"
}

part_nginx() {
	local i client clients=()
	have nginx curl || return
	snippet nginx.conf >"$work/nginx.conf"
	start_mount -o allow_other,uid=www-data,gid=adm,umask=027
	nginx_begins first
	for client in 1 2 3 4; do
		for i in {1..50}; do get "request-$client$i-" >>"$work/got$client"; done &
		clients+=($!)
	done
	for i in {1..20}; do in_nginx -s reopen; done
	wait "${clients[@]}"
	ok "every request of four clients has its line, over twenty reopens" wait_for has GET 201
	is "each is a record, once" "$(counts 'GET /request-[0-9]+-')" "200 once "
	ok "nginx complains of nothing" not grep -E 'emerg|alert|error' "$work/error.log"
	kill_mount
	is "without the mount nginx serves on" "$(get dead)" hello
	start_mount -o recover,allow_other,uid=www-data,gid=adm,umask=027
	in_nginx -s reopen
	# the request that is logged is the first one behind the reopening, whose end nobody tells
		reopened() { get again >/dev/null && has /again; }
	ok "after a reopen it writes again" wait_for reopened
	nginx_ends
	stop_mount

	start_mount -o allow_other,gid=www-data,umask=002
	nginx_begins other-owner
	in_nginx -s reopen
	ok "with another owner the reopen fails" wait_for grep -q 'chown(.*failed (1: Operation not permitted)' \
		"$work/error.log"
	get kept >/dev/null
	ok "and nginx writes on" wait_for has /kept
	nginx_ends
	stop_mount
}

# ---- rsyslog ----

part_rsyslog() {
	local i rsyslog
	have rsyslogd logger || return
	snippet rsyslog.conf >"$work/rsyslog.conf"
	{
		snippet /etc/rsyslog.d/events.conf
		echo 'template(name="own" type="string" string="'"$m"'/%programname%.log")'
		echo 'template(name="queue" type="string" string="'"$tmp"'/%programname%/append.lines")'
		echo 'if $programname == "own" then action(type="omfile" dynaFile="own")'
		echo 'if $programname == "mnt" then action(type="omfile" dynaFile="queue")'
	} >"$work/events.conf"
	start_mount -o allow_other,gid=adm,umask=007
	"${member[@]}" rsyslogd -n -f "$work/rsyslog.conf" -i NONE >"$work/said" 2>&1 &
	rsyslog=$!
	ok "rsyslogd starts, as a member of the group" wait_for [ -S "$work/log.sock" ]
	say() { logger -u "$work/log.sock" -t "${2-test}" "$1"; }
	for i in {1..50}; do
		say "message-$i-"
		[ "$i" -ne 25 ] || kill -HUP "$rsyslog"
	done
	ok "every message is a record, over a HUP" wait_for has message- 50
	say dynamic mnt # the name of the mount point
	ok "a file for each program, which is a mount" wait_for has dynamic 2
	say nowhere own
	ok "a file that is not there fails" wait_for grep -q "own.log.*Operation not permitted\|own.log.*Permission denied" \
		"$work/said"
	kill_mount
	for i in {51..60}; do say "message-$i-"; done
	ok "without the mount it fails" wait_for grep -q "not connected" "$work/said"
	start_mount -o recover,allow_other,gid=adm,umask=007
	ok "mounted again it gets what came meanwhile" wait_for has message- 60
	is "each once" "$(counts 'message-[0-9]+-')" "60 once "
	kill "$rsyslog"
	wait "$rsyslog"
	stop_mount
}

# ---- Python ----

part_python() {
	local i client
	have "$python" || return
	# where other users reach them, wherever the source tree is
	install -m 644 "$here/handlers.py" "$lib"/*.py "$work"
	snippet events.py >"$work/events.py"
	start_mount -o allow_other,gid=adm,umask=007
	cases_of "${member[@]}" "$python" "$work/handlers.py" "$m"
	for i in FileHandler WatchedFileHandler EventsHandler; do
		is "$i: ten messages are ten records" "$(records "\"$i message")" 10
	done
	mkfifo -m 660 "$work/lines"
	chgrp adm "$work/lines"
	"${member[@]}" "$python" "$work/handlers.py" "$m" "$work/lines" >"$work/said" 2>&1 &
	client=$!
	exec 7<>"$work/lines" # opens, too, if the client has ended
	echo before >&7
	ok "all write" wait_for has before 3
	kill_mount
	echo dead >&7
	ok "without the mount none does, and the program goes on" wait_for grep -q 'done: dead' "$work/said"
	start_mount -o recover,allow_other,gid=adm,umask=007
	echo again >&7
	ok "mounted again" wait_for grep -q 'done: again' "$work/said"
	ok "EventsHandler writes again" wait_for has "EventsHandler again"
	is "FileHandler and WatchedFileHandler do not" "$(records "FileHandler again")" 0
	echo end >&7 # the daemon has the pipe open, too
	wait "$client"
	exec 7>&-
	stop_mount
}

# ---- a service ----

# What systemd does with the unit of the page: it opens the output as root, then takes the user and the group.
part_service() {
	local script service
	snippet /etc/systemd/system/app.service | sed "s#/mnt/events#$m#" >"$work/app.service"
	script=$(sed -n "s/^ExecStart=.*-c '\(.*\)'$/\1/p" "$work/app.service")
	is "the output of the unit" "$(sed -n 's/^StandardOutput=//p' "$work/app.service")" "append:$m/append.lines"
	is "its group" "$(sed -n 's/^Group=//p' "$work/app.service")" adm
	start_mount -o allow_other,gid=adm,umask=007
	setpriv --reuid=64001 --regid=adm --clear-groups sh -c "${script/sleep 10/sleep 0.1}" \
		>>"$m/append.lines" 2>"$work/said" &
	service=$!
	ok "the service appends by its group" wait_for has '"up\n"' 2
	ok "and its output" wait_for has "$(date +%Y)" 2
	kill "$service"
	wait "$service" 2>/dev/null
	ok "without a word" [ ! -s "$work/said" ]
	wait_for umount "$m" # its sleep has the output open, too
	await_daemon umount
}

# ---- supervisord ----

part_supervisord() {
	local pid
	have supervisord || return
	start_mount -o allow_other,gid=adm,umask=007
	snippet supervisord.conf | sed "s#^user=app#user=www-data#; s#^\\(logfile\\|pidfile\\)=#\\1=$work/#;
		s#^command=.*#command=sh -c 'i=0; while :; do i=\$((i + 1)); echo \"this is line \$i\"; sleep 0.02; done'#" \
		>"$work/supervisord.conf"
	supervisord -c "$work/supervisord.conf" >/dev/null 2>&1 &
	pid=$!
	ok "a program's output" wait_for has "this is line 40"
	kill "$pid"
	wait "$pid"
	sed -i 's/maxbytes=0/maxbytes=100/; s/this is line/another line/' "$work/supervisord.conf"
	supervisord -c "$work/supervisord.conf" >"$work/said" 2>&1 &
	pid=$!
	ok "with maxbytes the rename fails" wait_for grep -q "closing channel.*Operation not permitted" \
		"$work/said" "$work/supervisord.log"
	kill "$pid"
	wait "$pid"
	ok "and the further output is lost" [ "$(records "another line")" -lt 12 ]
	stop_mount
}

# ---- tcpdump ----

part_tcpdump() {
	have tcpdump "$python" || return
	getent passwd tcpdump >/dev/null || {
		skip "$part" "no user tcpdump here"
		return
	}
	"$python" - "$work/in.pcap" <<-'END'
		import struct, sys
		with open(sys.argv[1], "wb") as file:
		    file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
		    for i in range(200):
		        file.write(struct.pack("<IIII60x", 1700000000 + i, 0, 60, 60))
	END
	start_mount -o allow_other,uid=tcpdump,gid=tcpdump,umask=007
	ok "tcpdump -w" tcpdump -r "$work/in.pcap" -w "$m/append"
	ok "stream is the capture" cmp "$work/in.pcap" "$m/stream"
	stop_mount
	q=$tmp/other
	start_mount -o allow_other,gid=tcpdump,umask=007
	refused "with another owner tcpdump ends" "Couldn't change ownership of savefile" \
		tcpdump -r "$work/in.pcap" -w "$m/append"
	stop_mount
}

# ---- programs that rotate, and the like ----

rotates() { # DIRECTIVES FILE
	printf '%s {\nsize 1\nrotate 2\n%b\n}\n' "$m/$2" "$1" >"$work/logrotate.conf"
	chmod 600 "$work/logrotate.conf"
	logrotate -s "$work/state" -f "$work/logrotate.conf"
}

part_rotation() {
	local permitted="Operation not permitted"
	start_mount -o allow_other
	echo first >"$m/append"
	if have logrotate; then
		refused "logrotate copytruncate" "error creating output file $m/append.lines.1: $permitted" \
			rotates copytruncate append.lines
		refused "logrotate create" "failed to rename $m/append.lines to $m/append.lines.1: $permitted" \
			rotates 'create 0644 root root' append.lines
		refused "logrotate of stream" "failed to rename $m/stream to $m/stream.1: $permitted" \
			rotates 'create 0644 root root' stream
		refused "logrotate of stream, copytruncate" "error opening $m/stream: $permitted" \
			rotates copytruncate stream
		mkdir "$work/old"
		chmod 755 "$work" "$work/old"
		ok "logrotate copies stream elsewhere" rotates "copy\\nolddir $work/old" stream
		is "whole" "$(cat "$work/old/stream.1")" first
	fi
	if have rotatelogs; then
		ok "rotatelogs -t" sh -c 'seq 3 | rotatelogs -t "$1/append.lines" 86400' sh "$m"
		is "appends" "$(tail -n 3 "$m/stream" | tr '\n' ' ')" "1 2 3 "
		refused "rotatelogs with names of its own" "($permitted)" \
			sh -c 'seq 3 | rotatelogs "$1/append.lines" 86400' sh "$m"
	fi
	if have multilog; then
		refused "multilog" "unable to lock directory" sh -c 'seq 3 | multilog t "$1"' sh "$m"
	fi
	ok "script -a" script -q -a -c "echo scripted" "$m/append.lines"
	is "appends" "$(records scripted)" 2 # the command, and what it printed
	echo a line >"$work/plain"
	refused "install" "cannot remove '$m/append': $permitted" install "$work/plain" "$m/append"
	stop_mount
}

for part in "${parts[@]}"; do
	q=$tmp/queue-$part
	"part_$part"
done
finish
