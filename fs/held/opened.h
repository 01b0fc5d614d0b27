/* SPDX-License-Identifier: Apache-2.0 */
/* opened.h - open files that have to be found by their node */
#ifndef CHRONFS_OPENED_H
#define CHRONFS_OPENED_H

#include <pthread.h>
#include <stdint.h>

struct chronfs;
struct chronfs_opened;

#define CHRONFS_OPENED_BITS 12
#define CHRONFS_OPENED_BUCKETS (1U << CHRONFS_OPENED_BITS)

struct chronfs_opened_tables {
	pthread_mutex_t lock; /* guards the two below, and struct chronfs_copies */
	struct chronfs_opened *files[CHRONFS_OPENED_BUCKETS];   /* open files, by their nodes */
	struct chronfs_opened *holders[CHRONFS_OPENED_BUCKETS]; /* of `stream`, by process */
};

void chronfs_opened_init(struct chronfs *fs);

/* The first part of what such a file keeps: its handle leads to it. */
struct chronfs_opened {
	struct chronfs_opened *next, **link; /* in a table, under its lock */
	uint64_t node;
};

/* These with fs->opened.lock held. */
void chronfs_opened_add(struct chronfs *fs, struct chronfs_opened *file);
void chronfs_opened_remove(struct chronfs_opened *file);
/* An open file of the node, and the next one of the same node.  NULL: there is none (more). */
struct chronfs_opened *chronfs_opened_find(struct chronfs *fs, uint64_t node);
struct chronfs_opened *chronfs_opened_next(const struct chronfs_opened *file);
/* The same for struct chronfs_holder, whose `node` is a process. */
void chronfs_holder_add(struct chronfs *fs, struct chronfs_opened *holder);
struct chronfs_opened *chronfs_holder_find(struct chronfs *fs, uint64_t process);
/* When no request is served any more: releases those that are still open. */
void chronfs_opened_fini(struct chronfs *fs);

#endif
