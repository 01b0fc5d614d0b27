/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - the segment catalogue of a queue handle: which segments there are, and what is known of them
 *
 * The catalogue has two parts.
 *   Listed ids   the segments that the stream of payload bytes consists of.  The last one is the
 *                segment that the writer is in: prepared segments are not listed.
 *   Entries      what is known of a segment that a caller has asked about: where it begins in the stream,
 *                how many bytes it holds, and which file it was when it was found sealed.
 * A segment takes 4 bytes in the one and 48 bytes in the other.
 *
 * Who changes what
 *   This process's writer, if there is one, says which segments there are: stream/bounds.c asks it.  For
 *   a queue of another process the tail follower finds out (stream/tail_follower.c).  A seek lists the
 *   directory (read/seek.c).
 *   A thread holds `refresh` while it changes the ids, looks at the directory, or reads headers and
 *   records to find out where a segment begins.  So one thread finds that out, and others that need
 *   it wait for that thread.  A reader's seek needs no `refresh`: the reader has its own queue handle.
 *   Any thread adds the attributes of sealed segments (segment_attr.c, segment_info.c), without
 *   `refresh`.  Attributes of a listed segment place it, too.
 *
 * Locks
 *   `lock` guards memory.  Each function here takes it, and under it only reads and changes the
 *   catalogue; entries are copied out.  A thread that holds `refresh` may read the ids without `lock`.
 *   Order: `refresh`, then the writer's locks or `lock`.
 *
 * For how long
 *   The stream base of a segment does not change while the segment is listed and a stream is open.  What
 *   a sealed file says is valid while the name leads to the same file: its inode number and both its
 *   times tell.
 *   When the last stream of the handle is closed, all is forgotten: before the next one is opened, another
 *   queue may have taken the place of this one.  A seek forgets nothing: its reader is open.
 *   Nothing is remembered of the file of a segment that is not sealed, or whose times are not final.
 *   If there is no memory to remember an attribute, it is read again when it is needed.
 *
 * Where a segment begins in the stream is told by the first of these that can tell:
 *   its own header or first record, if this library wrote them;
 *   a segment before it that tells, and what that and those between hold, if none is missing;
 *   a segment behind it, likewise;
 *   the nearest one before it, as if nothing were missing; and for the oldest one, `origin`.
 * So a queue of ours is searched by reading a few headers, and only what chronicle-rs wrote is
 * walked.
 */
#ifndef CQ_CATALOG_H
#define CQ_CATALOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "chronq.h"
#include "format/format.h"

/* Which file it was.  Times only to be compared: far from 1970 they wrap. */
struct cq_file_id {
	uint64_t inode;
	uint64_t modified_ns;
	uint64_t changed_ns;
};

static inline struct cq_file_id cq_file_id_of(const struct stat *st)
{
	return (struct cq_file_id){
		.inode = st->st_ino,
		.modified_ns =
			(uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec,
		.changed_ns =
			(uint64_t)st->st_ctim.tv_sec * 1000000000U + (uint64_t)st->st_ctim.tv_nsec,
	};
}

static inline bool cq_same_file(struct cq_file_id a, struct cq_file_id b)
{
	return a.inode == b.inode && a.modified_ns == b.modified_ns && a.changed_ns == b.changed_ns;
}

#define CQ_ENTRY_PLACED 1U /* `base` is where it begins */
#define CQ_ENTRY_COUNTED \
	2U /* `bytes` and `records` are what it holds: nothing will be added to it */
#define CQ_ENTRY_DAMAGED 4U /* ... before a damaged record that hides what follows it */
#define CQ_ENTRY_SEALED 8U  /* `file` was found sealed, its times final */
#define CQ_ENTRY_LISTED 16U /* it is one of the listed ids; the catalogue sets that */

struct cq_catalog_entry {
	uint32_t id;
	uint32_t flags;
	uint64_t base;    /* position of its first byte in the stream */
	uint32_t bytes;   /* payload bytes in it: a segment is smaller than 4 GiB */
	uint32_t records; /* in it */
	struct cq_file_id file;
};

/* Ids from first to last, none missing. */
struct cq_id_run {
	uint32_t first, last;
};

/* Contents that were counted by reading whole segments: the last few that were asked for. */
#define CQ_CATALOG_CONTENTS 8
struct cq_catalog_content {
	struct cq_file_id file;
	uint64_t asked; /* by the count of questions; 0: none is here */
	uint32_t id;
	struct cq_segment_info content;
};

struct cq_catalog_chunk;

struct cq_catalog {
	pthread_mutex_t refresh; /* see above; also the three below */
	unsigned streams;        /* that are open */
	uint64_t origin;         /* where the oldest segment begins if nothing tells */
	uint32_t failed; /* the segment that the last error of a call with a queue was about */

	pthread_mutex_t lock; /* all of the following */
	uint32_t *ids;        /* the listed ones, ascending; changed under both locks */
	size_t id_count;
	struct cq_catalog_chunk **chunks; /* the entries; ascending, none without an entry */
	size_t chunk_count, chunk_capacity;
	struct cq_catalog_content contents[CQ_CATALOG_CONTENTS];
	uint64_t questions;
};

void cq_catalog_init(struct cq_catalog *catalog);
void cq_catalog_fini(struct cq_catalog *catalog);

/* ---- which segments there are: the caller holds `refresh` ---- */

/* These are all, ascending.  What is known of others is forgotten; also what was learned of these before they
 * were listed, since their files may be others now. */
int cq_catalog_list(struct cq_catalog *catalog, const uint32_t *ids, size_t count);
/* All of these ids are there, too; they are above all others.  As above. */
int cq_catalog_add(struct cq_catalog *catalog, uint32_t first, uint32_t last);
void cq_catalog_remove(struct cq_catalog *catalog, uint32_t id);
void cq_catalog_drop_below(struct cq_catalog *catalog, uint32_t id);
void cq_catalog_forget_all(struct cq_catalog *catalog);

/* The listed ids around `id` without a gap; `id` alone if it is not listed. */
struct cq_id_run cq_catalog_run(const struct cq_catalog *catalog, uint32_t id);
/* The nearest id at or above `from`, at or below `to`. */
bool cq_catalog_next(const struct cq_catalog *catalog, uint32_t from, uint32_t *ret_id);
bool cq_catalog_previous(const struct cq_catalog *catalog, uint32_t to, uint32_t *ret_id);

/* ---- what is known of them: any thread ---- */

/* Behind the last byte of a counted segment.  A damaged record takes the place of one byte: so
 * there is a position at which it is met. */
static inline uint64_t cq_entry_end(const struct cq_catalog_entry *entry)
{
	return entry->base + entry->bytes + ((entry->flags & CQ_ENTRY_DAMAGED) != 0);
}

/* The entry of a segment whose place in the stream is known. */
bool cq_catalog_get(struct cq_catalog *catalog, uint32_t id, struct cq_catalog_entry *ret_entry);

/* Remembers where a segment begins and, if it is counted, what it holds.  ENOMEM.  The caller holds
 * `refresh`. */
int cq_catalog_learn(struct cq_catalog *catalog, const struct cq_catalog_entry *entry);

/* The last listed and placed segment that begins at `position` or before, and the first that begins
 * behind it: false where there is none. */
struct cq_neighbours {
	bool have_before, have_behind;
	struct cq_catalog_entry before, behind;
};
void cq_catalog_around(struct cq_catalog *catalog, uint64_t position,
                       struct cq_neighbours *ret_around);

/* As cq_catalog_find(), if what is known suffices. */
bool cq_catalog_lookup(struct cq_catalog *catalog, uint64_t position,
                       struct cq_catalog_entry *ret_entry);

/* What is known of sealed segment `id`, if that is this file still; otherwise that is forgotten. */
bool cq_catalog_get_sealed(struct cq_catalog *catalog, uint32_t id, struct cq_file_id file,
                           struct cq_catalog_entry *ret_entry);

/* Remembers a sealed segment's file and, as far as the flags say that they are known, what the segment holds
 * and, if it is listed, where it begins.  No segment below `oldest` is there any more: when the catalogue
 * has to grow, those go first. */
void cq_catalog_learn_sealed(struct cq_catalog *catalog, const struct cq_catalog_entry *entry,
                             uint32_t oldest);

/* There is no such file any more. */
void cq_catalog_forget_file(struct cq_catalog *catalog, uint32_t id);

bool cq_catalog_get_content(struct cq_catalog *catalog, uint32_t id, struct cq_file_id file,
                            struct cq_segment_info *ret_content);
void cq_catalog_put_content(struct cq_catalog *catalog, uint32_t id, struct cq_file_id file,
                            const struct cq_segment_info *content);

/* ---- asking a segment (catalog_ask.c); errors as cq_mapped_open() ---- */

/* What a header says of the segment's place in the stream, and of what it holds if it is sealed: sets
 * base, bytes and flags of the entry. */
void cq_catalog_from_header(const struct cq_segment_header *header, uint64_t size,
                            struct cq_catalog_entry *entry);

/* Whether it tells by its beginning, or by its writer if that is this process, where it begins: 1
 * with *ret_entry, counted if it tells that, too, else 0. */
int cq_catalog_ask(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry);

struct cq_walk_count {
	uint64_t records;
	uint64_t bytes;
	bool damaged;  /* they end before a damaged record, or the file was cut short */
	bool told;     /* by a record in it: */
	uint64_t base; /* where it begins */
};

/* Looks at all records of a segment that its writer has left. */
int cq_catalog_walk(cq_queue *queue, uint32_t id, struct cq_walk_count *ret_count);

/* ---- finding out (catalog_find.c): the caller holds `refresh` ---- */

/*
 * The segment that holds the byte at `position`: the last one that begins there or before, counted
 * unless it is the last there is.  The first one there is, if that begins behind `position`.  1
 * with *ret_entry, 0 when there is no segment.
 *
 * This and the following fail like cq_mapped_open() on the segment `failed`.  A damaged record or a
 * file cut short is no failure: see CQ_ENTRY_DAMAGED.
 */
int cq_catalog_find(cq_queue *queue, uint64_t position, struct cq_catalog_entry *ret_entry);

/* Where segment `id` begins. */
int cq_catalog_place(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry);

/* And what it holds: it has been left by its writer. */
int cq_catalog_count(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry);

#endif
