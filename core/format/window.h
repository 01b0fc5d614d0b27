/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.h - a segment file, read by pread: records, and the bytes behind them
 *
 * For recovery, verification and index building, where speed matters less than safety: a file that
 * is cut short while it is read gives a short read, never SIGBUS.  The iterator over records: walk.h.
 */
#ifndef CQ_WINDOW_H
#define CQ_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "format/format.h"
#include "format/record.h"
#include "messages/meter.h"

struct cq_extent {
	uint64_t begin, end;
};

struct cq_window {
	int fd;
	uint64_t size;  /* of the segment */
	uint8_t *bytes; /* bytes of the file from `start` on */
	uint64_t start;
	uint64_t length;
	struct cq_meter *
		meter; /* gets each window of records that is read, may end the walk; may be NULL */
	struct cq_extent *data; /* pieces of the unused rest, found by cq_window_residue() */
	size_t data_count, data_capacity;
	size_t data_at;   /* index of the piece where the last search ended */
	uint64_t unsound; /* payload bytes of damaged records that cq_window_find() has read */
};

int cq_window_init(struct cq_window *window, int fd, uint64_t size);
void cq_window_fini(struct cq_window *window);

/*
 * Reads the record at this offset, and checks its payload.  Returns 1 with *ret_record; 0: a zero commit
 * word, or no room for a record; -EIO with *ret_state: the record is damaged (with CQ_RECORD_PAYLOAD
 * *ret_record has its header, which is sound and says where the next record is); -EIO with *ret_state
 * unchanged: the file ends early or cannot be read; -ENOMEM; -ECANCELED: the meter ended the walk.
 */
int cq_window_record(struct cq_window *window, uint64_t offset, struct cq_record_at *ret_record,
                     enum cq_record_state *ret_state);

/*
 * Searches for a record of this library at or behind `from`, a multiple of 64, at each place where one can
 * begin.  Returns 1 with the first sound record whose header `fits` accepts (it is asked only about headers
 * that match their checksum); 0: there is none; else as cq_window_residue().
 */
typedef bool (*cq_window_fits_fn)(void *arg, const struct cq_record_header *header,
                                  uint64_t offset);
int cq_window_find(struct cq_window *window, uint64_t from, cq_window_fits_fn fits, void *arg,
                   struct cq_record_at *ret_record);

/*
 * The first non-zero byte at or behind `from`, or the segment's size.  The cost depends on how much of the
 * file holds data, not on its size.
 */
int cq_window_residue(struct cq_window *window, uint64_t from, uint64_t *ret_offset);
/* The same further on, in the pieces that cq_window_residue() has found. */
int cq_window_more_residue(struct cq_window *window, uint64_t from, uint64_t *ret_offset);

#endif
