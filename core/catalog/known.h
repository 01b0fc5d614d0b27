/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - what a queue handle remembers of sealed segments
 *
 * A sealed segment never changes.  So what was found out about one holds as long as its name leads to
 * the same file, which its inode number and both its times tell.  Nothing is remembered of a segment
 * that is not sealed, nor of one whose times are not final.
 *
 * Each call locks by itself and does nothing under the lock but look at memory.  Without memory to
 * remember a thing, it is found out again when it is needed.
 */
#ifndef CQ_KNOWN_H
#define CQ_KNOWN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "chronq.h"

/* Which file it was.  Times only to be compared: far from 1970 they wrap. */
struct cq_file_id {
	uint64_t inode;
	uint64_t modified_ns;
	uint64_t changed_ns;
};

static inline struct cq_file_id cq_file_id(const struct stat *st)
{
	return (struct cq_file_id){
		.inode = st->st_ino,
		.modified_ns =
			(uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec,
		.changed_ns =
			(uint64_t)st->st_ctim.tv_sec * 1000000000U + (uint64_t)st->st_ctim.tv_nsec,
	};
}

/* A queue may have 100,000 of them: this is all that is kept of each. */
struct cq_known_segment {
	struct cq_file_id file;
	uint64_t payload_bytes;
	uint32_t id;
	bool have_payload;
};

/* Contents that had to be counted by reading whole segments: the last few asked for. */
#define CQ_KNOWN_CONTENTS 8
struct cq_known_content {
	struct cq_file_id file;
	uint64_t asked; /* by the count of questions; 0: none is here */
	uint32_t id;
	struct cq_segment_content content;
};

struct cq_known_chunk;

struct cq_known {
	pthread_mutex_t lock;           /* all of the following */
	struct cq_known_chunk **chunks; /* each with entries by ascending id, none empty */
	size_t count, capacity;
	struct cq_known_content contents[CQ_KNOWN_CONTENTS];
	uint64_t questions;
};

void cq_known_init(struct cq_known *known);
void cq_known_fini(struct cq_known *known);

/* What is known of segment `id`, if that is this file still. */
bool cq_known_get(struct cq_known *known, uint32_t id, struct cq_file_id file,
                  struct cq_known_segment *ret_segment);

/* Remembers a segment.  No segment below `oldest` is there any more: when the table has to grow,
 * those go first. */
void cq_known_put(struct cq_known *known, const struct cq_known_segment *segment, uint32_t oldest);

/* There is no such segment any more. */
void cq_known_forget(struct cq_known *known, uint32_t id);

bool cq_known_get_content(struct cq_known *known, uint32_t id, struct cq_file_id file,
                          struct cq_segment_content *ret_content);
void cq_known_put_content(struct cq_known *known, uint32_t id, struct cq_file_id file,
                          const struct cq_segment_content *content);

#endif
