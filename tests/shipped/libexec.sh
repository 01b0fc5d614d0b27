#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: libexec.sh LIBRARY
#
# libexec.sh - chronq ship and chronq fetch are programs of their own, which chronq finds and runs; chronq, chronfs and
# the library are without the NATS library
set -uo pipefail
export LC_ALL=C

library=$1
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../support/programs/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for file in "$CHRONQ" "$CHRONFS" "$library"; do
	needed=$(readelf -d "$file" | grep NEEDED)
	[ -n "$needed" ] && [[ $needed != *libnats* ]] && [[ $(ldd "$file") != *libnats* ]]
	check "${file##*/} is not linked with libnats" $? "$needed"
done

mkdir "$dir/a folder"
cp "$CHRONQ" "$dir/a folder/chronq"
ln -s "a folder/chronq" "$dir/link"
# gives CODE TEXT COMMAND...: its exit code, and a line that it writes.
gives() {
	local output status
	output=$("${@:3}" 2>&1)
	status=$?
	[ "$status" -eq "$1" ] && grep -qxF -- "$2" <<<"$output" && return
	echo "exit code $status: $output"
	return 1
}
# What a chronq says that has no program beside it; its own place is none of the installed one's.
for command in ship fetch; do
	said=$("$dir/link" $command --help 2>&1)
	status=$?
	place=$(sed -n 's/^chronq: chronq .* needs the package chronq-nats: there is no //p' <<<"$said")
	if [ "$status" -eq 0 ]; then
		skip "$command: the program is missing" "it is installed here"
	else
		[ "$status" -eq 3 ] && [[ $place == /*/chronq/chronq-$command ]] && [ ! -e "$place" ]
		check "$command: a program that is missing: exit code 3, the package is named" $? "$said"
	fi
	if [ "$status" -eq 3 ] && [ ! -e "$dir/a folder/ship" ]; then
		: >"$dir/a folder/ship" # a file where the folder may be
		ok "$command: the same with a file of the folder's name" \
			gives 3 "chronq: chronq $command needs the package chronq-nats: there is no $place" "$dir/link" $command
		rm "$dir/a folder/ship"
	fi
	mkdir -p "$dir/a folder/ship"
	cat >"$dir/a folder/ship/chronq-$command" <<-'PROGRAM'
		#!/bin/sh
		printf '[%s]' "$@"
		echo
		exit 7
	PROGRAM
	if [ "$(id -u)" -ne 0 ] || [ "$status" -eq 3 ]; then
		ok "$command: one that may not be run" gives 3 "chronq: cannot run chronq-$command: Permission denied" "$dir/link" $command
	fi
	chmod +x "$dir/a folder/ship/chronq-$command"
	ok "$command: is found beside chronq, gets all words, gives the exit code" \
		gives 7 '[-x][a b][][--]' "$dir/link" $command -x 'a b' '' --
	ok "$command: chronq help $command" gives 7 '[--help]' "$dir/link" help $command
done
finish
