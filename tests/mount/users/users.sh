#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# users.sh - uid=, gid=, umask= and ctl_gid=: who may append, read, command and delete, tried by other users;
# attributes that are set to what they are; what each may hold
. "$(dirname "$0")/../lib/lib.sh"

for name in www-data adm nogroup; do
	getent passwd "$name" >/dev/null || getent group "$name" >/dev/null ||
		skip_all "no user or group $name here"
done

# as WHO COMMAND...
#   member     a user with a group of his own, and adm as a further one
#   first      a user whose first group is adm
#   owner      www-data
#   stranger   nobody
as() {
	local who=$1
	shift
	case $who in
	root) "$@" ;;
	member) setpriv --reuid=64001 --regid=64001 --groups=4242,"$(getent group adm | cut -d: -f3)" "$@" ;;
	first) setpriv --reuid=64002 --regid=adm --clear-groups "$@" ;;
	owner) setpriv --reuid=www-data --regid=www-data --clear-groups "$@" ;;
	stranger) setpriv --reuid=nobody --regid=nogroup --clear-groups "$@" ;;
	esac
}

# sh_as WHO TEXT: the text finds the mount in $1.
# shellcheck disable=SC2317 # called by ok and refused
sh_as() { as "$1" sh -c "$2" sh "$m"; }

denied="Permission denied"
permitted="Operation not permitted"

# may WHO WHAT...: of what follows he can do this, and nothing else of it.
#   enter      list the directories
#   read       read every file that is no sink
#   append     append to both sinks, in every way that a shell has
#   command    write to ctl
tries=(enter read append command)
declare -A tried=(
	[enter]='ls "$1"
		ls "$1/segments"
		ls "$1/payload"'
	[read]='cat "$1/stream" >/dev/null
		cat "$1/stats.json" "$1/metrics"
		head -c 1 "$1/segments/000000000.q" >/dev/null
		cat "$1/payload/000000000"'
	[append]='echo x >>"$1/append"
		echo x >"$1/append"
		echo x | tee -a "$1/append.lines"
		echo x >>"$1/append.lines"
		: >"$1/append"
		touch "$1/append"
		truncate -s 0 "$1/append.lines"'
	[command]='echo sync >"$1/ctl"
		echo roll >>"$1/ctl"'
)
may() {
	local who=$1 try line
	shift
	for try in "${tries[@]}"; do
		while read -r line; do
			if [[ " $* " == *" $try "* ]]; then
				ok "$who may $try: $line" sh_as "$who" "$line"
			else
				refused "$who may not $try: $line" "$denied" sh_as "$who" "$line"
			fi
		done <<<"${tried[$try]}"
	done
}

records() { "$CHRONQ" cat --json "$q" | wc -l; }

# shows SINK FILE DIRECTORY CTL: modes and owners, as stat has them, of all that there is in the mount.
shows() {
	local path wanted count=0
	while IFS= read -r path; do
		case $path in
		append | append.lines) wanted=$1 ;;
		ctl) wanted=$4 ;;
		*) if [ -d "$m/$path" ]; then wanted=$3; else wanted=$2; fi ;;
		esac
		count=$((count + 1))
		is "${path:-the root} is $wanted" "$(stat -c '%a %U %G' "$m/$path")" "$wanted"
	done < <(find "$m" -printf '%P\n')
	ok "these are $count, the files of at least one segment among them" [ "$count" -ge 12 ]
}

# mounted OPTIONS: a mount of the queue; it has a record, so that there is something to read.
mounted() {
	note "-o $1"
	if [[ $1 == ro,* ]]; then
		start_mount -o "allow_other,$1"
	else
		start_mount -o "allow_other,segment_size=64K,$1"
		echo first >>"$m/append"
	fi
}

# ---- a group appends ----

mounted gid=adm,umask=007
shows "660 root adm" "440 root adm" "550 root adm" "200 root root"
before=$(records)
may member enter read append
may first enter read append
is "four records of each" "$(($(records) - before))" 8
may stranger
may owner
may root enter read append command
refused "member changes no mode" "$permitted" as member chmod 666 "$m/append"
refused "not even to what it is: it is not his" "$permitted" as member chmod 660 "$m/append"
refused "member changes no owner" "$permitted" as member chgrp 4242 "$m/append"
refused "member deletes nothing" "$denied" as member rm -f "$m/segments/000000000.q"
refused "member makes nothing" "$denied" as member touch "$m/new"
ok "member opens it again through /proc" sh_as member 'exec 5>>"$1/append" && echo x >>/proc/self/fd/5'
refused "stranger does not through another's working directory" "$denied" \
	sh_as root 'cd "$1" && setpriv --reuid=nobody --regid=nogroup --clear-groups cat stream'
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

mounted gid=adm,umask=002
shows "664 root adm" "444 root adm" "555 root adm" "200 root root"
may member enter read append
may stranger enter read
stop_mount

# ---- everybody, nobody ----

mounted umask=0
shows "666 root root" "444 root root" "555 root root" "200 root root"
may stranger enter read append
stop_mount
mounted umask=077
may stranger
may member
may root enter read append command
stop_mount
mounted default_permissions
shows "644 root root" "444 root root" "555 root root" "200 root root"
may stranger enter read
may member enter read
stop_mount

# ---- an owner ----

mounted uid=www-data,gid=adm,umask=027
shows "640 www-data adm" "440 www-data adm" "550 www-data adm" "200 root root"
may owner enter read append
may member enter read
may stranger
may root enter read append command
stop_mount

# ---- operators ----

mounted uid=www-data,ctl_gid=adm
shows "644 www-data root" "444 www-data root" "555 www-data root" "220 root adm"
may owner enter read append
may member enter read command
may first enter read command
may stranger enter read
refused "a member reads no ctl" "$denied" as member cat "$m/ctl"
stop_mount

mounted uid=www-data,gid=adm,umask=022,allow_trim
for _ in 1 2 3; do echo roll >"$m/ctl" && echo more >>"$m/append"; done
oldest() { ls "$m/segments" | head -n 1; }
is "segments/ is the owner's to delete in" "$(stat -c '%a %U %G' "$m/segments")" "755 www-data adm"
was=$(oldest)
refused "member does not" "$denied" as member rm -f "$m/segments/$was"
refused "stranger does not" "$denied" as stranger rm -f "$m/segments/$was"
is "it is still there" "$(oldest)" "$was"
ok "owner deletes the oldest" as owner rm -f "$m/segments/$was"
ok "it is gone" [ "$(oldest)" != "$was" ]
stop_mount

# ---- read-only ----

mounted ro,gid=adm,umask=027
shows_ro() { stat -c '%a %U %G' "$m" "$m/stream" "$m/segments/$(oldest)" | sort -u; }
is "the modes of a read-only mount" "$(shows_ro | tr '\n' ,)" "440 root adm,550 root adm,"
ok "member reads" as member cat "$m/stream"
refused "stranger does not" "$denied" as stranger cat "$m/stream"
refused "member appends nothing" "Read-only" sh_as member 'echo x >>"$1/append"'
refused "root neither" "Read-only" sh_as root 'echo x >>"$1/append"'
stop_mount

# ---- attributes that are set to what they are ----

q=$tmp/same
mounted uid=www-data,gid=adm,umask=026
head -c 3000 /dev/urandom >"$tmp/file" && chmod 640 "$tmp/file" && chown www-data:adm "$tmp/file"
for who in root owner; do
	ok "$who: chmod 640 append" as "$who" chmod 640 "$m/append"
	ok "$who: chown www-data append" as "$who" chown www-data "$m/append"
	ok "$who: chmod 551 ." as "$who" chmod 551 "$m"
	ok "$who: chmod 440 stream" as "$who" chmod 440 "$m/stream"
	refused "$who: chmod 600 append" "$permitted" as "$who" chmod 600 "$m/append"
	refused "$who: chmod u+s stream" "$permitted" as "$who" chmod u+s "$m/stream"
	before=$(records)
	ok "$who: cp -p" as "$who" cp -p "$tmp/file" "$m/append"
	is "$who: it is one record more" "$(records)" $((before + 1))
done
ok "chown to nobody at all: chown -1" python3 -c 'import os, sys; os.chown(sys.argv[1], -1, -1)' "$m/append"
refused "chmod g+s append" "$permitted" chmod g+s "$m/append"
ok "chmod g+s by the owner is without effect: he is not of the group" as owner chmod g+s "$m/append"
is "as the mode shows" "$(stat -c %a "$m/append")" 640
refused "chown root" "$permitted" chown root "$m/append"
refused "chgrp root" "$permitted" chgrp root "$m/append"
refused "owner gives nothing away" "$permitted" as owner chown nobody "$m/append"
is "the bytes of cp -p" "$(tail -c 3000 "$m/stream" | cksum)" "$(cksum <"$tmp/file")"
stop_mount

# ---- root elsewhere is a stranger here ----

contained() { as stranger unshare --user --map-root-user sh -c 'id -u && echo x >>"$1/append"' sh "$m"; }
if as stranger unshare --user --map-root-user true 2>/dev/null; then
	mounted umask=022
	refused "root of another user's namespace does not append" "$denied" contained
	stop_mount
	mounted uid=nobody
	is "unless the user who is root there owns the files" "$(contained)" 0
	stop_mount
else
	skip "root of another user's namespace" "users make no namespaces here"
fi

# ---- what each may hold ----

q=$tmp/limits
mounted gid=adm,umask=002,max_open=40
cases_of python3 "$here/holding.py" "$m"
stop_mount

# ---- what is wrong ----

q=$tmp/wrong
no() { # OPTIONS MESSAGE
	gives 1 "chronfs: -o $2" "-o $1" "$CHRONFS" "$q" "$m" -o "$1"
	ok "-o $1: nothing was made" [ ! -e "$q" ]
}
no uid=nobody-here "uid=nobody-here: there is no such user"
no gid=nobody-here "gid=nobody-here: there is no such group"
no ctl_gid=4294967295 "ctl_gid=4294967295: there is no such group"
no umask=8 "umask=8: an octal number from 0 to 777 expected"
no ro,ctl_gid=adm "ctl_gid=adm has no meaning on a read-only mount"
finish
