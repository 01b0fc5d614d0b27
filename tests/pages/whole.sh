#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: whole.sh SCRIPT [ARGUMENT...]
#
# whole.sh - runs links.py or messages.py, which look at the pages and run nothing
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../support/programs/tap.sh
. "$here/../support/programs/tap.sh"
# shellcheck source=cases.sh
. "$here/cases.sh"

cases_of_page "$1" "$here/../.." "${@:2}"
finish
