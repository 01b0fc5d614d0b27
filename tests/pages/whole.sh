#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: whole.sh SCRIPT [ARGUMENT...]
#
# whole.sh - runs a program that looks at the pages, and makes TAP of it
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../support/programs/tap.sh
. "$here/../support/programs/tap.sh"
export PYTHONDONTWRITEBYTECODE=1

output=$(python3 "$here/$1" "$here/../.." "${@:2}" 2>&1) || status=$?
while IFS= read -r line; do
	case $line in
	"ok - "*) pass "${line#ok - }" ;;
	"not ok - "*) fail "${line#not ok - }" ;;
	*) note "$line" ;;
	esac
done <<<"$output"
[ "${status-0}" -eq 0 ] || [ "$failures" -gt 0 ] || fail "$1 ended with ${status-0}"
finish
