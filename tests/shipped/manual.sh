#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# manual.sh - the manual pages: sound mdoc, and complete against what the programs say of themselves
# and, where they cannot say all of it, against the sources
set -uo pipefail
export LC_ALL=C

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../support/programs/tap.sh"

# missing PAGE WORD...: those words that the page does not have.
missing() {
	local page=$top/docs/$1 word
	shift
	for word in "$@"; do
		grep -qE -- "(^|[^a-z_-])${word}([^a-z_]|$)" "$page" || printf '%s ' "$word"
	done
}

# all DESCRIPTION FOUND-MISSING WORD...: nothing is missing, of at least one word.
all() {
	local what=$1 lost=$2
	shift 2
	[ $# -gt 0 ] && [ -z "$lost" ]
	check "$what${lost:+ (not: $lost)}" $?
}

for page in chronfs.1 chronq.1 chronq-fetch.1 chronq-ship.1; do
	if command -v groff >/dev/null; then
		output=$(groff -mdoc -Tascii -ww -z "$top/docs/$page" 2>&1)
		[ -z "$output" ]
		check "$page: groff has nothing to say ${output%%$'\n'*}" $?
	else
		skip "$page: groff" "it is not installed"
	fi
	if command -v mandoc >/dev/null; then
		output=$(mandoc -Tlint -Wwarning "$top/docs/$page" 2>/dev/null)
		[ -z "$output" ]
		check "$page: mandoc has nothing to say ${output%%$'\n'*}" $?
	else
		skip "$page: mandoc" "it is not installed"
	fi
done

# ---- chronfs ----

help=$("$CHRONFS" --help)
mapfile -t options < <(grep -rhoE '^	OPTION\("[^"]+"' "$top/fs" --include='*.c' | cut -d'"' -f2 |
	sed 's/=$//; s/^--*//' | sort -u)
all "chronfs.1 has all options" "$(missing chronfs.1 "${options[@]}")" "${options[@]}"
lost=
for option in "${options[@]}"; do
	grep -qE -- "(-|-o )$option([^a-z_]|$)" <<<"$help" || lost+="$option "
done
all "chronfs --help has all options" "$lost" "${options[@]}"

mapfile -t codes < <(grep -rhoE 'CHRONFS_EXIT_[A-Z_]+ = [0-9]+' "$top/fs" --include='*.h' | cut -d' ' -f3)
lost=
for code in "${codes[@]}"; do
	grep -qx "\.It $code" "$top/docs/chronfs.1" || lost+="$code "
done
all "chronfs.1 has all exit codes" "$lost" "${codes[@]}"

mapfile -t errors < <(sed -n '/^| errno |/,$p' "$top/docs/semantics.md" | grep -oE '^\| E[A-Z, ]+' |
	grep -oE 'E[A-Z]+')
lost=
for error in "${errors[@]}"; do
	grep -qx "\.It Bq Er $error" "$top/docs/chronfs.1" || lost+="$error "
done
all "chronfs.1 has all errors of semantics.md" "$lost" "${errors[@]}"

# ---- chronq ----

help=$("$CHRONQ" --help)
mapfile -t commands < <(awk -v RS= 'NR == 2' <<<"$help" | awk '{ print $1 }') # its second paragraph
all "chronq.1 has all commands" "$(missing chronq.1 "${commands[@]}")" "${commands[@]}"
for command in "${commands[@]}"; do
	page=chronq.1
	case $command in
	fetch | ship)
		# programs of their own, which are not built everywhere
		page=chronq-$command.1
		"$CHRONQ" "$command" --help >/dev/null 2>&1 || continue
		;;
	esac
	mapfile -t options < <("$CHRONQ" "$command" --help | grep -oE '^  -.*' |
		grep -oE -- ' --?[a-z-]+' | sed 's/^ -*//' | sort -u)
	all "$page has the options of $command" "$(missing "$page" "${options[@]}")" "${options[@]}"
done

finish
