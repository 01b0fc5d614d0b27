/* SPDX-License-Identifier: Apache-2.0 */
/* stream_inodes.h - which of the nodes of `stream` its name leads to */
#ifndef CHRONFS_STREAM_INODES_H
#define CHRONFS_STREAM_INODES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "held/open_files.h"

struct chronfs;

#define CHRONFS_ASKED 32 /* lookups of `stream` that are remembered until the open */

struct chronfs_stream_inodes { /* under fs->open_files.lock */
	uint64_t last;         /* node that the name led to last; 0: none */
	uint64_t begin, end;   /* positions, as they were told of it */
	unsigned next;         /* numbers the others */
	unsigned cached;       /* open files that are */
	unsigned next_asked;
	struct chronfs_asked {  /* threads that have looked the name up, and not opened */
		pid_t thread;   /* 0: none */
		uint64_t node;  /* that it was led to */
		uint64_t begin; /* its first position */
		bool sent_away; /* it is to ask again for a node of its own */
	} asked[CHRONFS_ASKED];
};

/* The node for a lookup by this thread, which is told that `stream` goes from `begin` to `end`.  own:
 * others are told another beginning. */
uint64_t chronfs_stream_inode_choose(struct chronfs *fs, uint64_t begin, uint64_t end, pid_t thread,
                                     bool own);
/* The kernel is told another end of the node. */
void chronfs_stream_inode_told(struct chronfs *fs, uint64_t node, uint64_t end);
/* Takes in an open file of file->node.  *ret_cached: `cached`, it may be, and there is no reason not to.
 *   ESTALE  not taken in: the name is to be looked up again */
int chronfs_stream_inode_admit(struct chronfs *fs, struct chronfs_open_file *file, pid_t thread,
                               bool cached, bool *ret_cached);
void chronfs_stream_inode_leave(struct chronfs *fs, struct chronfs_open_file *file, bool cached);

#endif
