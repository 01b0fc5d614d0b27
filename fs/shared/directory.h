/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - what all directories have in common; see directory.c */
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
	pthread_mutex_t lock;
	/* mtime of the queue's directory at our last listing; 0: a change may leave this mtime as
	 * it is; under lock */
	struct timespec changed;
	uint32_t oldest, newest;   /* segments in that listing; newest < oldest: none; under lock */
	struct timespec published; /* when the set of segments changed; under lock */
};

void chronfs_directory_init(struct chronfs *fs);
void chronfs_directory_fini(struct chronfs *fs);

/* Collects directory entries until the reply's buffer is full. */
struct chronfs_listing {
	fuse_req_t req;
	char *buffer;
	size_t size;
	size_t used;
	bool plus; /* READDIRPLUS: entries have attributes */
};

/* Adds an entry; the next scan continues behind it from `cookie`.  If the listing is `plus`,
 * entry->ino 0 leaves the lookup of the name to the kernel.  Returns false if the buffer is
 * full. */
bool chronfs_listing_add(struct chronfs_listing *listing, const char *name,
                         const struct fuse_entry_param *entry, uint64_t cookie);

/* Attributes of the root, and of the directories below it. */
int chronfs_directory_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                           double *ret_timeout);

#endif
