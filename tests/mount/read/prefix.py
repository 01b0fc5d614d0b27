#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prefix.py COPY QUEUE - segments that were copied to the directory COPY while they were written: each record
that is committed in a copy is the same in the queue's file.  (The header of the segment and what follows the
last record may differ: both were still to be written.)"""

import os
import struct
import sys


def content(directory, name):
    with open(f"{directory}/{name}", "rb") as file:
        return file.read()


def compare(copy, file):
    if len(copy) != len(file) or copy[:12] != file[:12]:
        return "not the same segment"
    offset = 64
    while offset <= len(copy) - 64:
        commit = struct.unpack_from("<I", copy, offset)[0]
        if commit == 0:
            break
        end = offset + (64 + commit - 1 + 63) // 64 * 64
        if end > len(copy) or copy[offset:end] != file[offset:end]:
            return f"the record at {offset} differs"
        offset = end
    return None


copies, queue = sys.argv[1:]
for segment in sorted(os.listdir(copies)):
    if found := compare(content(copies, segment), content(queue, segment)):
        sys.exit(f"{segment}: {found}")
