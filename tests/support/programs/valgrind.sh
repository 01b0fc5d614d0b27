#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: valgrind.sh PROGRAM [ARGUMENT...]
#
# Runs the program under valgrind's memcheck: uses of undefined or freed memory, leaks. After a report
# the exit status is 99; reports go to stderr, or to the file that VALGRIND_LOG names (%p: process).
exec valgrind --quiet --error-exitcode=99 --leak-check=full --num-callers=25 \
	--errors-for-leak-kinds=definite,possible --show-leak-kinds=definite,possible \
	${VALGRIND_LOG:+--log-file="$VALGRIND_LOG"} "$@"
