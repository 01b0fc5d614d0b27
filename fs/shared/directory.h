/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - what all directories have in common */
#ifndef CHRONFS_DIRECTORY_H
#define CHRONFS_DIRECTORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_directory {
	pthread_mutex_t lock; /* guards the rest */
	struct timespec
		changed; /* the queue directory's mtime when we last listed it; 0: it may not
	                            * tell of a further change */
	uint32_t oldest, newest;   /* segments then; newest < oldest: none */
	struct timespec published; /* when the set of segments changed: what directories show */
};

void chronfs_directory_init(struct chronfs *fs);
void chronfs_directory_fini(struct chronfs *fs);

/* Collects directory entries until the reply's buffer is full. */
struct chronfs_listing {
	fuse_req_t req;
	char *buffer;
	size_t size;
	size_t used;
	bool plus; /* READDIRPLUS: attributes go along */
};

/* Adds one entry, after which a scan goes on at `cookie`.  entry->ino 0 in a listing that is `plus`
 * leaves the kernel to look the name up.  Returns false when the buffer is full. */
bool chronfs_listing_add(struct chronfs_listing *listing, const char *name,
                         const struct fuse_entry_param *entry, uint64_t cookie);

/* Attributes of the root, segments/ and payload/. */
int chronfs_directory_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                           double *ret_timeout);

#endif
