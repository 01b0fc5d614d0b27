/* SPDX-License-Identifier: Apache-2.0 */
/* stream_inodes.h - which inode of `stream` a lookup gets; see stream_inodes.c */
#ifndef CHRONFS_STREAM_INODES_H
#define CHRONFS_STREAM_INODES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "held/open_files.h"

struct chronfs;

#define CHRONFS_ASKED 32 /* threads that are remembered from a lookup to the open */

struct chronfs_stream_inodes { /* all under fs->open_files.lock */
	uint64_t last;         /* the node that the last lookup got; 0: none */
	uint64_t begin, end;   /* its positions, as the kernel knows them */
	unsigned next;         /* the instance to try next */
	unsigned cached;       /* open files that are cached */
	unsigned next_asked;   /* in asked[]: to be replaced next */
	struct chronfs_asked { /* a thread that has looked the name up and not opened it */
		pid_t thread;  /* 0: none */
		uint64_t node; /* that it got */
		uint64_t begin;
		bool sent_away; /* its next lookup gets an instance of its own */
	} asked[CHRONFS_ASKED];
};

/* The node for a lookup by this thread, when `stream` goes from `begin` to `end`.  own: only this
 * thread's process has that beginning. */
uint64_t chronfs_stream_inode_choose(struct chronfs *fs, uint64_t begin, uint64_t end, pid_t thread,
                                     bool own);
/* The kernel learns of another end of the node. */
void chronfs_stream_inode_told(struct chronfs *fs, uint64_t node, uint64_t end);
/* Registers an open file of file->node.  cached: it may be cached; *ret_cached: it is.
 *   ESTALE  not registered: the name has to be looked up again */
int chronfs_stream_inode_admit(struct chronfs *fs, struct chronfs_open_file *file, pid_t thread,
                               bool cached, bool *ret_cached);
void chronfs_stream_inode_leave(struct chronfs *fs, struct chronfs_open_file *file, bool cached);

#endif
