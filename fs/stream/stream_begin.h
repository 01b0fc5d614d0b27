/* SPDX-License-Identifier: Apache-2.0 */
/* stream_begin.h - where `stream` begins for a process that has it open */
#ifndef CHRONFS_STREAM_BEGIN_H
#define CHRONFS_STREAM_BEGIN_H

#include <stdint.h>
#include <sys/types.h>

#include "held/open_files.h"

struct chronfs;

/* What a process holds by an open file of `stream`. */
struct chronfs_stream_holder {
	struct chronfs_open_file open_file; /* first member; `node` is the process */
	uint64_t started;                   /* when the process started, in clock ticks */
	uint64_t begin;                     /* position of byte 0 */
};

/* Notes that a thread has opened `stream`, which begins at `begin` for it. */
void chronfs_stream_hold(struct chronfs *fs, struct chronfs_stream_holder *holder, pid_t thread,
                         uint64_t begin);
void chronfs_stream_let_go(struct chronfs *fs, struct chronfs_stream_holder *holder);
/* Where `stream` begins for this thread; `begin` if its process does not have it open. */
uint64_t chronfs_stream_begin_of(struct chronfs *fs, pid_t thread, uint64_t begin);

#endif
