#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: faults.sh FAULT BINARY TEST
#
# Shows that a test can fail: passes if TEST of BINARY (or a part of a mount test) succeeds as it is and
# fails with CHRONQ_PLANT=FAULT, a deliberate bug that builds with -Dplanted_faults=true carry.  Output:
# TAP.
set -u
fault=$1 binary=$2 test=$3
export CMOCKA_MESSAGE_OUTPUT=tap
echo 1..2

# run: the test's own line of TAP, empty if it did not get that far.
run() {
	timeout 500 "$binary" "$test" 2>&1 | tee /dev/stderr | grep -E "^(not )?ok [0-9]+ - $test\$"
}

without=$(run)
if [ "${without%% *}" = ok ]; then
	echo "ok 1 - $test succeeds"
else
	echo "not ok 1 - $test succeeds"
fi
with=$(CHRONQ_PLANT=$fault run)
if [ "${with%% *}" = not ]; then
	echo "ok 2 - $test catches $fault"
else
	echo "not ok 2 - $test catches $fault"
fi
