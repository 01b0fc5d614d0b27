/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.c - moves named readers whose position is where no record is any more
 *
 * A power cut, or a loss that was accepted, takes records that a reader has read and committed.  The next
 * appends get their places, and a reader that opens later would skip them as read.  So a reader behind the
 * end is moved to the end, and its new position is on the disk before anything is appended.  A reader in a
 * segment for which a repair makes a placeholder is moved to the placeholder's beginning.
 *
 * Where one slot of a reader's file is damaged, as a rule the newer one, the reader goes back to the other
 * slot's position.  The log says so, and the damaged slot is written again.
 *
 * A fault in one reader's file concerns only that reader: a file that cannot be read is skipped, one that
 * cannot be written is left as it is, with a message in the log.  The open fails for want of descriptors
 * or memory.
 */
#include "check/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format/place.h"
#include "messages/log.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "os/io.h"

struct visit {
	struct cq_recovery *v;
	uint64_t segment, offset; /* the end */
	int result;
};

/* Sets *cursor to where the reader has to be.  False: it is there already. */
static bool misplaced(const struct visit *visit, struct cq_reader_file *cursor)
{
	const struct cq_recovery *v = visit->v;

	if (cq_place_compare(cursor->segment, cursor->offset, visit->segment, visit->offset,
	                     v->segment_size) > 0) {
		cursor->segment = visit->segment;
		cursor->offset = visit->offset;
		return true;
	}
	for (size_t i = 0; i < v->gap_count; i++) {
		if (cursor->segment >= v->gaps[i].first && cursor->segment <= v->gaps[i].last &&
		    cursor->offset > sizeof(struct cq_segment_header)) {
			cursor->offset = sizeof(struct cq_segment_header);
			return true;
		}
	}
	return false;
}

static bool is_short_of_means(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/* A cq_reader_file_visit_fn. */
static void move(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct visit *visit = arg;
	struct cq_reader_file moved = *cursor;
	const bool gone = misplaced(visit, &moved);
	int fd, r;

	if ((!gone && cursor->damaged == 0) || visit->result < 0)
		return;
	r = cq_reader_file_open(visit->v->dirfd, name, true, &fd);
	if (r == 0) {
		for (int i = 0; r == 0 && i < 2; i++) /* both slots */
			r = cq_reader_file_write(fd, &moved);
		if (r == 0)
			r = cq_io_sync_data(fd);
		close(fd);
	}
	if (r == 0 && !gone)
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s: slot %u of its file was damaged and is written again; it may be given "
		       "records a second time",
		       name, cursor->damaged - 1);
	else if (!gone)
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s: slot %u of its file is damaged, and cannot be written again: %s",
		       name, cursor->damaged - 1, strerrordesc_np(-r));
	else if (r == 0)
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s is moved to segment %09" PRIu64 " offset %" PRIu64
		       ": the records before its position are gone",
		       name, moved.segment, moved.offset);
	else
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s is at a place without records, and cannot be moved: %s", name,
		       strerrordesc_np(-r));
	if (is_short_of_means(r))
		visit->result = r;
}

int cq_readers_move(struct cq_recovery *v, uint32_t segment, uint64_t offset)
{
	struct visit visit = { .v = v, .segment = segment, .offset = offset };
	int r;

	if (cq_planted("reader_not_moved"))
		return 0;
	r = cq_reader_file_each(v->dirfd, move, &visit);
	if (visit.result < 0)
		return visit.result;
	if (is_short_of_means(r))
		return r;
	if (r < 0)
		cq_log(v->config, CQ_WARNING, CQ_READERS_DIR " cannot be looked at: %s",
		       strerrordesc_np(-r));
	return 0;
}

/* A cq_reader_file_visit_fn. */
static void report(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	char file[sizeof CQ_READERS_DIR "/" CQ_READER_SUFFIX + CQ_READER_NAME_MAX];
	const struct visit *visit = arg;
	struct cq_reader_file moved = *cursor;
	const bool gone = misplaced(visit, &moved);

	if (!gone && cursor->damaged == 0)
		return;
	(void)snprintf(file, sizeof file, CQ_READERS_DIR "/%s" CQ_READER_SUFFIX, name);
	cq_report_step(visit->v, CQ_REPAIR_REWRITE, file,
	               gone                   ? "it is at a place without records"
	               : cursor->damaged == 1 ? "slot 0 is damaged"
	                                      : "slot 1 is damaged");
}

int cq_readers_report(struct cq_recovery *v)
{
	struct visit visit = {
		.v = v,
		.segment = cq_plan_current(v),
		.offset = cq_plan_offset(v),
	};
	int r;

	r = cq_reader_file_each(v->dirfd, report, &visit);
	return is_short_of_means(r) ? r : 0;
}
