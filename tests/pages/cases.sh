# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# cases.sh - the lines of the programs in this folder as cases; sourced behind tap.sh, never run.

pages_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# cases_of_page PROGRAM ARGUMENT...: runs the program, and takes over its cases, each as soon as it is there:
# "ok - WHAT", "not ok - WHAT", "skip - WHAT # WHAT IS MISSING"; all other lines explain the case before.
# shellcheck disable=SC2154 # failures is of tap.sh
cases_of_page() {
	local line before=$failures
	while IFS= read -r line; do
		case $line in
		"ok - "*) pass "${line#ok - }" ;;
		"not ok - "*) fail "${line#not ok - }" ;;
		"skip - "*)
			line=${line#skip - }
			skip "${line%" # "*}" "not here: ${line##*" # "}"
			;;
		"ended "*) [ "$line" = "ended 0" ] || [ "$failures" -gt "$before" ] || fail "$1 $line" ;;
		*) note "$line" ;;
		esac
	done < <(PYTHONDONTWRITEBYTECODE=1 python3 "$pages_folder/$1" "${@:2}" 2>&1 </dev/null; echo "ended $?")
}
