/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - inside of cq_reader: shared by the files of this folder
 *
 * A reader belongs to one thread.  It is a position {segment, offset} with the segment mapped or, if no
 * segment can be mapped, a position alone (`base` is NULL).
 */
#ifndef CQ_READER_H
#define CQ_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "catalog/queue.h"
#include "chronq.h"
#include "format/record.h"
#include "meta/control.h"
#include "meta/reader_file.h"

/* What is known about the sequence number of the next record. */
enum cq_seq_state {
	CQ_SEQ_UNKNOWN,  /* nothing: after a seek, or a record that this library has not written */
	CQ_SEQ_NEXT,     /* it is next_seq: the record before it is in the same segment */
	CQ_SEQ_BOUNDARY, /* it should be next_seq, and records are missing if it is higher */
	CQ_SEQ_GAP,      /* the same, but ENODATA has been reported for that already */
};

/* Places of records in one segment that the reader has been at, in their order (landmarks.c). */
#define CQ_LANDMARKS 64U
struct cq_landmarks {
	uint32_t segment;
	unsigned count;
	uint64_t stride; /* records between two of them, at least */
	struct {
		uint64_t seq, offset;
	} at[CQ_LANDMARKS];
};

struct cq_reader {
	/* what each record needs, side by side */
	uint64_t process;    /* that opened it (os/process.h) */
	const uint8_t *base; /* mapped.map.base, or NULL */
	uint64_t offset;     /* of the next record; 64 or more */
	uint64_t size;       /* of the segment; 64 if none is mapped */
	uint64_t next_seq;
	enum cq_seq_state seq_state;
	int pending; /* not 0: cq_reader_wait() met this error, cq_reader_next() reports it */
	uint32_t segment;
	struct cq_reader_stats stats;

	struct cq_mapped mapped;
	bool exact; /* no segment is mapped: the reader wants this one, any other is a gap.  offset may be
	             * one inside it that could not be reached yet */
	cq_queue *queue;
	bool passive;
	struct cq_control control; /* page is NULL: not there (yet) */

	char name[CQ_READER_NAME_MAX + 1]; /* "": anonymous */
	int committed_fd;                  /* the reader's file, locked; -1: anonymous */
	bool have_committed;               /* `committed` is valid */
	struct cq_reader_file committed;
	/* where cq_reader_commit_seq() last committed: behind all records with a lower number than seq */
	struct cq_reader_place {
		bool known;
		uint32_t segment;
		uint64_t offset;
		uint64_t seq;
	} behind;

	struct cq_landmarks landmarks;
	struct cq_bridge *bridge; /* its descriptor's (fd.c), or NULL */
};

/* cq_reader_open() without the commit that makes a new reader. */
int cq_reader_open_unstored(const char *dir, const char *name, enum cq_start start, unsigned flags,
                            cq_reader **ret_reader);

/* Makes a place the committed position.  Errors as cq_reader_commit(). */
int cq_reader_store(cq_reader *reader, uint32_t segment, uint64_t offset);

/* A passive anonymous reader that borrows the handle of a queue, for a look; not to be closed. */
void cq_reader_scout(cq_reader *ret_scout, cq_queue *queue);
void cq_reader_scout_end(cq_reader *scout);

/* Moves to an offset in a mapped segment, which now belongs to the reader.  Forgets the sequence
 * number. */
void cq_reader_place(cq_reader *reader, const struct cq_mapped *mapped, uint64_t offset);

/* At the beginning of a segment: its header says which number is due.  So a reader that does not know it, since it has
 * just been opened or placed there, learns of a gap behind a placeholder, also when the segment becomes one later. */
void cq_reader_expect(cq_reader *reader);

/* Moves before the first record of a queue in which nothing can be mapped now. */
void cq_reader_unplace(cq_reader *reader);

/* Opens a segment of this reader's queue. Errors as cq_mapped_open(). */
int cq_reader_mapped(cq_reader *reader, uint32_t id, struct cq_mapped *ret_mapped);

/*
 * There is no record at the current position: moves to where the next one is or will be.  Returns 1
 * when the caller should look again, 0 when there is nothing, else as cq_reader_next().
 */
int cq_reader_follow(cq_reader *reader);

/* Maps control.meta if it is not mapped yet, or again if it has been replaced. */
void cq_reader_control(cq_reader *reader);

/* Moves to a committed position, or to where the records before it end.  If that segment cannot be
 * opened, moves before the segment that takes its place. */
int cq_reader_resume(cq_reader *reader, uint32_t segment, uint64_t offset);

/* Moves to a committed position, or to where the records before it end.  Errors as cq_mapped_open(). */
int cq_reader_place_committed(cq_reader *reader, uint32_t segment, uint64_t offset);

/* Remembers the place of this record. */
void cq_landmarks_note(cq_reader *reader, const struct cq_record *record);

/* The offset of a record in this segment that is known, or is the reader's next one, before which all numbers are
 * lower than `seq`; 0: none is. */
uint64_t cq_landmarks_before(const cq_reader *reader, const struct cq_mapped *mapped, uint64_t seq);

/* Would cq_reader_next() give something?  The reader may move on into the successor here: it leaves no
 * record behind.  An error on the way is kept for cq_reader_next(). */
bool cq_reader_ready(cq_reader *reader);

/* Of a reader with a bridge.  cq_reader_next() has found nothing: the descriptor becomes readable when there is
 * something. */
void cq_bridge_arm(cq_reader *reader);
/* The reader is at another place: the descriptor is readable. */
void cq_bridge_moved(cq_reader *reader);
/* Ends it, if there is one. */
void cq_bridge_close(cq_reader *reader);

/* How long the thread of a bridge sleeps at most before it looks again.  Tests set another time. */
#define CQ_BRIDGE_SLICE_MS 1000U
extern uint32_t cq_bridge_slice_ms;

/* How long cq_queue_wait_durable() sleeps at most, before it looks again.  Tests set another time. */
#define CQ_DURABLE_SLICE_MS 1000U
extern uint32_t cq_durable_slice_ms;

static inline bool cq_reader_has_record(const cq_reader *reader)
{
	return cq_record_fits(reader->size, reader->offset) &&
	       cq_commit_load(reader->base + reader->offset) != 0;
}

#endif
