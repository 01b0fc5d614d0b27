/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsegment.h - one segment file from temp name to seal
 *
 * Happy path: cq_wsegment_prepare() writes a complete empty segment under a temp name;
 * cq_wsegment_publish() renames it to its final name unless that exists; the writer takes it
 * (cq_wsegment_take()), appends, and seals it (cq_wsegment_seal()); the flusher syncs and closes it.
 *
 * Invariants
 *   A final name exists => its header is complete.  A file at a final name is opened, never created,
 *   truncated or replaced: every way to a writable segment ends in cq_wsegment_open().
 *   After a failure no temp file is left; a published file is left alone.
 */
#ifndef CQ_WSEGMENT_H
#define CQ_WSEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "format/format.h"
#include "os/mapping.h"

/* What a flush has decided about a sealed segment (flush.c). */
enum cq_disposition {
	CQ_DISPOSITION_SYNC,
	CQ_DISPOSITION_WAIT,
	CQ_DISPOSITION_DROP,
	CQ_DISPOSITIONS
};

/* A writable segment in this process. */
struct cq_wsegment {
	struct cq_mapping map;
	uint32_t id;
	uint32_t version; /* of its header */
	/* owned by the holder of the writer lock until sealed, then by the flusher */
	uint64_t stream_base;
	uint64_t first_seq;
	uint64_t records; /* PAD excluded, as in payload_bytes */
	uint64_t payload_bytes;
	uint64_t used;      /* offset behind the last record */
	uint64_t end_seq;   /* the sequence number that followed when it was sealed */
	uint64_t sealed_ms; /* when it was sealed; CLOCK_BOOTTIME */
	uint64_t last_seq, min_time, max_time; /* valid when records > 0 */
	uint64_t last_time; /* the same; of a placeholder: of the record before it, or 0 */
	struct cq_index_entry *index; /* room for every entry that fits */
	uint64_t index_count;
	uint64_t index_capacity;
	uint64_t populated;     /* offset up to which pages are known to be present; atomic */
	uint32_t mapping_users; /* background threads that use the mapping; atomic */
	enum cq_preparer {
		CQ_BY_PREPARER,
		CQ_BY_ROLL
	} prepared_by; /* each has its own temp names */
	bool created;  /* by this process; else it was opened */
	bool published;
	/* its sequence numbers are not first_seq, first_seq + 1, ..., since it holds records of a
	 * chronicle-rs that began again at 0; such a segment gets no summary */
	bool discontiguous;
	enum cq_disposition disposition; /* by the flush that runs */
	bool finalizing;                 /* by a thread (sealed.c); under the flush lock */
	struct cq_wsegment *next;        /* in a list of sealed segments; under the flush lock */
};

static inline struct cq_segment_header *cq_wsegment_header(struct cq_wsegment *segment)
{
	return (struct cq_segment_header *)(void *)segment->map.base;
}

/* Makes an empty segment under a temp name, its first window of pages present. */
int cq_wsegment_prepare(int dirfd, uint32_t id, uint64_t size, enum cq_preparer by,
                        struct cq_wsegment **ret_segment);

/* Pages are made present ahead of the writer, this many bytes at a time: a whole segment at once
 * would be written to the disk twice, once as zeros. */
#define CQ_PREFAULT_WINDOW (4ULL << 20)

/* Makes the pages of the window at `offset` present.  A hint: where it fails, appends are slower. */
int cq_wsegment_prefault(struct cq_wsegment *segment, uint64_t offset);

/* Gives it its final name.  -EEXIST: that name is taken; both files are as before. */
int cq_wsegment_publish(int dirfd, struct cq_wsegment *segment);

/* Removes the temp file of an unpublished segment. */
void cq_wsegment_discard(int dirfd, const struct cq_wsegment *segment);

/* Opens a published segment for its writer. -EBADMSG: wrong size or header. */
int cq_wsegment_open(int dirfd, uint32_t id, uint64_t size, struct cq_wsegment **ret_segment);

/* Publishes *segment; where its final name is taken, discards it and opens the file of that name
 * instead.  After a failure *segment is NULL. */
int cq_wsegment_publish_or_open(int dirfd, struct cq_wsegment **segment);

/* For a roll or a recovery: opens what is published under id; only if nothing is, prepares and publishes
 * a segment, as above.  Never truncates, never replaces. */
int cq_wsegment_open_or_create(int dirfd, uint32_t id, uint64_t size,
                               struct cq_wsegment **ret_segment);

/* For a new queue that does not begin at 0: makes its first segment, which has these numbers, on the disk, before
 * it has its name.  Never replaces. */
int cq_wsegment_create_first(int dirfd, uint32_t id, uint64_t size, uint64_t first_seq,
                             uint64_t stream_base, struct cq_wsegment **ret_segment);

/* True if it holds no record and is not sealed: the writer may begin in it. */
bool cq_wsegment_is_fresh(const struct cq_wsegment *segment);

/* The writer begins to use an empty segment. */
void cq_wsegment_take(struct cq_wsegment *segment, uint64_t first_seq, uint64_t stream_base);

/*
 * A placeholder is a sealed segment without records that holds one PAD, which distinguishes it from a segment that
 * was cut to nothing.  Behind it numbers and stream offsets may be higher than it says: the records between are
 * missing (quarantine.h makes one in the place of a segment that is gone, a writer makes one of an empty segment).
 */
#define CQ_PLACEHOLDER_USED (sizeof(struct cq_segment_header) + sizeof(struct cq_record_header))

static inline bool cq_wsegment_is_placeholder(const struct cq_wsegment *segment)
{
	return segment->records == 0 && segment->used == CQ_PLACEHOLDER_USED;
}

/* True if nothing is in it, or a PAD alone: it may become a placeholder. */
static inline bool cq_wsegment_is_empty(const struct cq_wsegment *segment)
{
	return segment->records == 0 && segment->used <= CQ_PLACEHOLDER_USED;
}

/* Stores the PAD in an empty segment, unless it is there.  Sealed then, it is a placeholder. */
void cq_wsegment_pad(struct cq_wsegment *segment);

/* Counts the record at `offset`, just appended or found by recovery. */
void cq_wsegment_count(struct cq_wsegment *segment, uint64_t offset, uint64_t seq, uint64_t time_ns,
                       uint64_t payload_length);

/* What a segment holds that this process writes, or has written and not finalized yet. */
struct cq_segment_counts {
	uint64_t records; /* PAD excluded, as in payload_bytes */
	uint64_t payload_bytes;
	uint64_t used;      /* offset behind the last record */
	uint64_t first_seq; /* with the next three valid when records > 0 */
	uint64_t last_seq;
	uint64_t first_time_ns;
	uint64_t last_time_ns;
	uint64_t stream_base; /* payload bytes of the queue before it */
	bool sealed;
};

/* Under the lock that guards the segment's fields.  (For cq_queue: queue.h.) */
void cq_wsegment_get_counts(const struct cq_wsegment *segment, bool sealed,
                            struct cq_segment_counts *ret_counts);

/* Writes the summary, then the seal.  Nothing is stored in the segment afterwards. */
void cq_wsegment_seal(struct cq_wsegment *segment);

/* Its file has been deleted, by retention or by others. */
bool cq_wsegment_is_deleted(const struct cq_wsegment *segment);

/* Unmaps, closes, frees; no file is touched. */
void cq_wsegment_free(struct cq_wsegment *segment);

#endif
