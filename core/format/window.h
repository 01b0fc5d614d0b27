/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.h - a segment file, read by pread: records, and what lies behind them
 *
 * For recovery, verification and index building, where speed matters less than safety: a file that
 * is cut short while it is read gives a short read, never SIGBUS.  From record to record: walk.h.
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
	uint64_t size;   /* of the segment */
	uint8_t *window; /* bytes of the file from window_start on */
	uint64_t window_start;
	uint64_t window_length;
	struct cq_meter *
		meter; /* told of each window of records that is read, may end the walk; may be NULL */
	struct cq_extent *data; /* of the unused rest: what cq_window_residue() has found */
	size_t data_count, data_capacity;
	size_t data_at;   /* of them, where the last look at it ended */
	uint64_t unsound; /* payload bytes that cq_window_find() has read in vain */
};

int cq_window_init(struct cq_window *scan, int fd, uint64_t size);
void cq_window_fini(struct cq_window *scan);

/*
 * Looks at the record at this offset, its payload included.  Returns 1 with *ret_record; 0: a zero commit
 * word or no room for a record; -EIO, *ret_state telling how, when what stands there is not a sound record
 * (with CQ_RECORD_PAYLOAD it is in *ret_record: the header, which is sound, tells where the next one is);
 * -EIO alone when the file ends early or cannot be read; -ENOMEM; -ECANCELED when the meter ends it.
 */
int cq_window_record(struct cq_window *scan, uint64_t offset, struct cq_record_at *ret_record,
                     enum cq_record_state *ret_state);

/*
 * Looks for a record of this library at or behind `from`, a multiple of 64, at each place where one can
 * begin.  Returns 1 with the first one that is sound and that `fits` accepts (by a header that matches
 * its checksum); 0: there is none; else as cq_window_residue().
 */
typedef bool (*cq_window_fits_fn)(void *arg, const struct cq_record_header *header,
                                  uint64_t offset);
int cq_window_find(struct cq_window *scan, uint64_t from, cq_window_fits_fn fits, void *arg,
                   struct cq_record_at *ret_record);

/*
 * First non-zero byte at or behind `from`; the segment's size when only zeros follow.  The cost is that
 * of the pieces of the file that hold data, not that of its size.
 */
int cq_window_residue(struct cq_window *scan, uint64_t from, uint64_t *ret_offset);
/* The same, further on, in the pieces that cq_window_residue() has found. */
int cq_window_more_residue(struct cq_window *scan, uint64_t from, uint64_t *ret_offset);

#endif
