/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - one segment file judged: what it is, whether its records follow one another, and whether
 * its header says what it holds
 *
 * An opening writer, a repair and a verification use the same judgements.  They differ in what they do
 * next: an opening writer and a repair stop at the first record that is not sound, because the records
 * that survive are a prefix; a verification reports the record and goes on.
 */
#ifndef CQ_CHECK_SEGMENT_H
#define CQ_CHECK_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "files/wsegment.h"
#include "format/format.h"
#include "format/record.h"
#include "messages/meter.h"

/* Opens the file of segment `id` for reading, whatever it is. */
int cq_segment_open_named(int dirfd, uint32_t id, int *ret_fd);

/* ---- the file ---- */

enum cq_kind {
	CQ_KIND_FRESH, /* published, no record yet */
	CQ_KIND_OPEN,  /* holds records, not sealed */
	CQ_KIND_SEALED,
	/* the others are no sound segments */
	CQ_KIND_UNWRITTEN, /* the name exists, the file's first bytes never reached the disk */
	CQ_KIND_NO_FILE,   /* not a regular file */
	CQ_KIND_TOO_NEW,   /* of a later version of the format */
	CQ_KIND_BAD,       /* anything else: wrong size, header, ... */
};

static inline bool cq_kind_is_sound(enum cq_kind kind)
{
	return kind <= CQ_KIND_SEALED;
}

struct cq_segment_start {
	enum cq_kind kind;
	uint64_t size; /* of the file */
	struct cq_segment_header header;
};

/* Tells what the file is, by its size, its header and its first commit word. */
int cq_segment_look(int dirfd, uint32_t id, uint64_t segment_size,
                    struct cq_segment_start *ret_start);

/* ---- from one record to the next ---- */

/* What the next record has to be.  All zero: nothing is known of it. */
struct cq_order {
	bool known;        /* this library's next record has exactly next_seq and stream, else at
	                    * least next_seq */
	bool exact;        /* and no record of chronicle-rs has come since that was known */
	uint64_t next_seq; /* the highest sequence number seen, plus 1 */
	uint64_t stream;   /* the next record's stream offset */
	bool run_known;    /* chronicle-rs's next record has run_seq, or 0 after a restart */
	uint64_t run_seq;
	uint32_t epoch; /* of the last record of this library; epochs never decrease */
};

/* What is wrong with a record. */
enum cq_order_fault {
	CQ_ORDER_SEQ = 1,     /* sequence number of this library's: next_seq was due */
	CQ_ORDER_RUN = 2,     /* of chronicle-rs's: run_seq was due */
	CQ_ORDER_STREAM = 4,  /* stream offset */
	CQ_ORDER_EPOCH = 8,   /* lower than the one before */
	CQ_ORDER_RESTART = 16 /* no fault: chronicle-rs has begun at 0 again */
};

/* Takes up what a sound segment header says of the segment's first record, if it says it. */
void cq_order_begin(struct cq_order *order, const struct cq_segment_header *header);

/* Judges the next record, which is no PAD, and goes on behind it.  Returns bits of enum cq_order_fault. */
unsigned cq_order_next(struct cq_order *order, const struct cq_record_header *record);

/* ---- all records of a segment ---- */

struct cq_contents {
	uint64_t tail;    /* offset behind the last sound record */
	uint64_t records; /* PAD excluded, as in all that follows */
	uint64_t payload_bytes;
	uint64_t first_seq, max_seq; /* valid when records > 0 */
	bool first_foreign;          /* the first record is chronicle-rs's, and so is first_seq */
	uint64_t last_time;
	bool has_stream_offset; /* stream_end is known from a record's own stream offset */
	uint64_t stream_end;
	bool damaged;          /* the tail is a record that is not sound, not a zero commit word */
	struct cq_order order; /* behind the last sound record */
	/* at the place that the caller asked about */
	bool place_found; /* a record begins there, or the records end */
	struct cq_order place_order;
};

void cq_contents_add(struct cq_contents *contents, const struct cq_record_at *record);

/* What else a caller wants of a scan. */
struct cq_scan_wish {
	struct cq_wsegment *count; /* gets every record by cq_wsegment_count() */
	struct cq_meter *meter;    /* hears of the progress; may end the scan */
	uint64_t place;            /* offset to ask about; 0: none */
};

/*
 * Reads the records of segment `header` in the file fd up to the first place with no sound record: bounds,
 * CRCs, and for records of this library a sequence number that follows and an epoch not lower.  Records of
 * chronicle-rs are sound with any sequence number.  wish NULL: no wish.
 */
int cq_contents_scan(int fd, uint64_t size, const struct cq_segment_header *header,
                     const struct cq_scan_wish *wish, struct cq_contents *ret_contents);

/* The header's summary counts what the segment holds. */
bool cq_contents_match_summary(const struct cq_contents *contents,
                               const struct cq_segment_header *header);

#endif
