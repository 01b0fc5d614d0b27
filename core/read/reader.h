/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - inside of cq_reader: shared by reader.c, follow.c, wait.c and seek.c
 *
 * A reader belongs to one thread.  It is a position {segment, offset} with the segment mapped (its
 * view), or, while there is no segment at all, a position alone (view.map.base is NULL).
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
	CQ_SEQ_NEXT,     /* it is next_seq: the record before it stands in the same segment */
	CQ_SEQ_BOUNDARY, /* it should be next_seq, and records are missing if it is higher */
	CQ_SEQ_GAP,      /* the same, but ENODATA has been reported for that already */
};

struct cq_reader {
	/* what each record needs, side by side */
	uint64_t process;    /* that opened it (os/process.h) */
	const uint8_t *base; /* mapped.map.base, or NULL */
	uint64_t offset;     /* of the next record; 64 or more */
	uint64_t size;       /* of the segment; 64 without a mapped */
	uint64_t next_seq;
	enum cq_seq_state seq_state;
	int pending; /* not 0: cq_reader_wait() met this error, cq_reader_next() reports it */
	uint32_t segment;
	struct cq_reader_stats stats;

	struct cq_mapped mapped;
	bool exact; /* without a mapped: the position is of that very segment, any other is a gap; an
	             * offset in it is one that could not be gone to yet */
	cq_queue *queue;
	bool passive;
	struct cq_control control; /* page is NULL: not there (yet) */

	char name[CQ_READER_NAME_MAX + 1]; /* "": anonymous */
	int cursor_fd;                     /* -1: not opened yet */
	bool have_cursor;                  /* cursor is the committed position */
	struct cq_reader_file cursor;
};

/* Takes the view over and stands at offset in it, not knowing what came before. */
void cq_reader_place(cq_reader *reader, const struct cq_mapped *mapped, uint64_t offset);

/* Stands before whatever comes first, in a queue where nothing can be mapped now. */
void cq_reader_unplace(cq_reader *reader);

/* Opens a segment of this reader's queue. Errors as cq_mapped_open(). */
int cq_reader_mapped(cq_reader *reader, uint32_t id, struct cq_mapped *ret_mapped);

/*
 * Nothing stands at the current position: goes on to where the next record is or will be.  Returns
 * 1 when it is worth looking again, 0 when there is nothing, else as cq_reader_next().
 */
int cq_reader_follow(cq_reader *reader);

/* Maps control.meta if that has not been done, or again if it has been replaced. */
void cq_reader_control(cq_reader *reader);

/* Stands at a committed position, or where the records before it end, or, where that segment cannot
 * be opened, before whatever takes its place. */
int cq_reader_resume(cq_reader *reader, uint32_t segment, uint64_t offset);

/* At a committed position, as far as its records are there.  Errors as cq_mapped_open(). */
int cq_reader_place_committed(cq_reader *reader, uint32_t segment, uint64_t offset);

static inline bool cq_reader_has_record(const cq_reader *reader)
{
	return cq_record_fits(reader->size, reader->offset) &&
	       cq_commit_load(reader->base + reader->offset) != 0;
}

#endif
