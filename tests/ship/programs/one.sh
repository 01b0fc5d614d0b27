#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: FILE=NAME one.sh TEST
#
# Runs TEST of the file NAME.py, as tests/faults/planted/faults.sh wants it.
exec python3 "$(dirname "$0")/../run.py" "${FILE:?}" "$1"
