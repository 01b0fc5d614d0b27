/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata.c - the small files: control.meta, index.meta, durable.meta and readers/NAME.meta
 *
 * What a verification and a repair say of files that cannot be used, which of them a repair reports as to be
 * rewritten, and the move of named readers.  (What a verification says of the places that they name: claims.c.)
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
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format/place.h"
#include "format/record.h"
#include "messages/log.h"
#include "meta/reader_file.h"
#include "meta/watermark.h"
#include "os/fault.h"
#include "os/io.h"

/* ---- reading ---- */

/* Reads at most `size` bytes of a small file.  *ret_blank: it is empty, or holds only zeros, because a
 * power cut kept its contents from the disk. */
static int read_small(int dirfd, const char *name, void *buffer, size_t size, size_t *ret_length,
                      bool *ret_blank)
{
	const uint8_t *bytes = buffer;
	bool blank = true;
	ssize_t n;
	int fd, r;

	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	n = cq_io_pread(fd, buffer, size, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n; i++)
		blank = blank && bytes[i] == 0;
	*ret_length = (size_t)n;
	*ret_blank = blank;
	return 0;
}

/* Reports a file that claims no place; error: the result of reading it, or 0. */
void cq_metadata_report_useless(struct cq_verifier *v, int dirfd, const char *name, int error)
{
	uint8_t bytes[sizeof(struct cq_control_page)];
	size_t length = 0;
	bool blank = true;
	int r;

	if (cq_verify_short_of_means(v, error))
		return;
	r = read_small(dirfd, name, bytes, sizeof bytes, &length, &blank);
	if (cq_verify_short_of_means(v, r))
		return;
	if (r == 0 && error != -ENOENT && error != -EBADMSG) /* it could not be read a moment ago */
		r = error;
	if (r < 0)
		CQ_QUEUE_FINDING(v, true, "%s cannot be read: %s", name, strerrordesc_np(-r));
	else if (blank)
		CQ_QUEUE_FINDING(v, false, "%s is empty", name);
	else
		CQ_QUEUE_FINDING(v, true, "%s is damaged", name);
}

int cq_metadata_read_position(int dirfd, struct cq_position_file *ret_position)
{
	struct cq_position_file position;
	size_t length = 0;
	bool blank;
	int r;

	r = read_small(dirfd, CQ_POSITION_NAME, &position, sizeof position, &length, &blank);
	if (r < 0)
		return r;
	if (length < sizeof position)
		return -EBADMSG;
	*ret_position = position;
	return 0;
}

/* ---- named readers ---- */

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

/* Writes both slots.  *moved: the position in the file, which may have changed since it was read last; gets
 * the one that is stored, with what was found `damaged`.  *ret_gone: it has been moved. */
static int move_locked(const struct visit *visit, int fd, struct cq_reader_file *moved,
                       bool *ret_gone)
{
	int r = cq_reader_file_read(fd, moved);

	if (r < 0)
		return r;
	*ret_gone = misplaced(visit, moved);
	if (!*ret_gone && moved->damaged == 0)
		return 0;
	for (int i = 0; r == 0 && i < 2; i++)
		r = cq_reader_file_store_locked(fd, moved);
	return r == 0 ? cq_io_sync_data(fd) : r;
}

/* A cq_reader_file_visit_fn. */
static void move(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct visit *visit = arg;
	struct cq_reader_file moved = *cursor;
	bool gone = misplaced(visit, &moved);
	int fd, r;

	if ((!gone && cursor->damaged == 0) || visit->result < 0)
		return;
	r = cq_reader_file_open(visit->v->dirfd, name, false, &fd);
	if (r == -ENOENT)
		return; /* it was deleted meanwhile */
	if (r == 0) {
		cq_point("recover.reader_misplaced");
		r = cq_reader_file_lock(fd, true);
		if (r == 0) {
			r = move_locked(visit, fd, &moved, &gone);
			cq_reader_file_unlock(fd);
		}
		close(fd);
	}
	if (r == 0 && !gone && moved.damaged == 0)
		return; /* its reader has written it meanwhile */
	if (r == 0 && !gone)
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s: slot %u of its file was damaged and is written again; it may be given "
		       "records a second time",
		       name, moved.damaged - 1);
	else if (!gone)
		cq_log(visit->v->config, CQ_WARNING,
		       "reader %s: slot %u of its file is damaged, and cannot be written again: %s",
		       name, moved.damaged - 1, strerrordesc_np(-r));
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

/* A cq_reader_file_unreadable_fn. */
static void tell_unreadable(void *arg, const char *name, int error)
{
	const struct visit *visit = arg;

	cq_log(visit->v->config, CQ_WARNING,
	       "reader %s: its file cannot be read, so it stays where it is: %s", name,
	       strerrordesc_np(-error));
}

int cq_metadata_move_readers(struct cq_recovery *v, uint32_t segment, uint64_t offset)
{
	struct visit visit = { .v = v, .segment = segment, .offset = offset };
	int r;

	if (cq_planted("reader_not_moved"))
		return 0;
	r = cq_reader_file_each(v->dirfd, move, tell_unreadable, &visit);
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

static int report_readers(struct cq_recovery *v)
{
	struct visit visit = {
		.v = v,
		.segment = cq_plan_current(v),
		.offset = cq_plan_offset(v),
	};
	int r;

	r = cq_reader_file_each(v->dirfd, report, NULL, &visit);
	return is_short_of_means(r) ? r : 0;
}

/* ---- what a repair says ----
 *
 * None of these files decides anything, and every writer that opens and closes sets them right.
 */

/* The queue cannot go on behind the last possible id: then any end that a file names will do. */
static bool ends_at(const struct cq_recovery *v, uint64_t segment, uint64_t offset)
{
	return cq_plan_current(v) > CQ_SEGMENT_ID_MAX ||
	       (segment == cq_plan_current(v) && offset == cq_plan_offset(v));
}

static const char other_end[] = "it does not say where the queue ends";

static const char *control_wrong(const struct cq_recovery *v, const struct cq_control *control)
{
	struct cq_position position;

	if (control->page->segment_size != v->segment_size)
		return "it says another size of segments";
	if (cq_control_position(control, &position) < 0)
		return "it was left in the middle of a roll";
	return ends_at(v, position.segment, position.offset) ? NULL : other_end;
}

/* The segment that the watermark is in, or the one that it is at the end of. */
static const struct cq_candidate *watermark_segment(const struct cq_recovery *v)
{
	const struct cq_watermark_slot *w = &v->watermark;
	const struct cq_candidate *before = NULL;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE || !c->scanned)
			continue;
		if (c->id == w->segment)
			return c;
		if ((uint64_t)c->id + 1 == w->segment &&
		    w->offset == sizeof(struct cq_segment_header))
			before = c;
	}
	return before;
}

/* Why the watermark cannot be right; NULL: it can. */
static const char *watermark_misplaced(const struct cq_recovery *v)
{
	const struct cq_candidate *c = watermark_segment(v);
	const struct cq_order *order;

	if (!c || cq_plan_is_loss(v))
		return NULL;
	if (c->id == v->watermark.segment && !c->contents.place_found)
		return "it names a place where no record begins";
	order = c->id == v->watermark.segment ? &c->contents.place_order : &c->contents.order;
	return order->exact && order->next_seq != v->watermark.seq
	               ? "it says another sequence number than the records"
	               : NULL;
}

/* This library has written to the queue, so there was a watermark. */
static bool is_ours(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		if (cq_segment_ext_valid(&v->candidates[i].header))
			return true;
	return false;
}

static int durable_wrong(const struct cq_recovery *v, const char **ret_why)
{
	struct stat st;
	int r;

	if (!v->have_watermark_file) {
		*ret_why = is_ours(v) ? "it is missing" : NULL;
		return 0;
	}
	r = cq_io_stat_at(v->dirfd, CQ_DURABLE_NAME, &st);
	if (r < 0)
		return r;
	*ret_why = (uint64_t)st.st_size < 2 * sizeof v->watermark ? "it is cut short"
	           : v->damaged_slots & 1                         ? "slot 0 is damaged"
	           : v->damaged_slots                             ? "slot 1 is damaged"
	           : v->watermark.generation == 0                 ? "it says nothing"
	                                                          : watermark_misplaced(v);
	return 0;
}

/* Why a file is rewritten; r: the result of reading it.  NULL: it is sound. */
static const char *unusable(int r)
{
	return r == -ENOENT ? "it is missing" : r < 0 ? "it is damaged" : NULL;
}

static bool is_unusable(int r)
{
	return r == -ENOENT || r == -EBADMSG || r == -ELOOP;
}

int cq_metadata_report(struct cq_recovery *v)
{
	struct cq_position_file position;
	struct cq_control control;
	const char *why;
	int r;

	r = cq_control_open(&control, v->dirfd, false);
	if (r < 0 && !is_unusable(r))
		return r;
	why = r < 0 ? unusable(r) : control_wrong(v, &control);
	if (r == 0)
		cq_control_close(&control);
	cq_report_step(v, CQ_REPAIR_REWRITE, CQ_CONTROL_NAME, why);
	r = cq_metadata_read_position(v->dirfd, &position);
	if (r < 0 && !is_unusable(r))
		return r;
	why = unusable(r);
	if (!why && !ends_at(v, position.current_segment, position.write_offset))
		why = other_end;
	cq_report_step(v, CQ_REPAIR_REWRITE, CQ_POSITION_NAME, why);
	r = durable_wrong(v, &why);
	if (r < 0)
		return r;
	cq_report_step(v, CQ_REPAIR_REWRITE, CQ_DURABLE_NAME, why);
	cq_report_step(v, CQ_REPAIR_REWRITE, CQ_IDENTITY_NAME,
	               v->identity_damaged
	                       ? "it is damaged: the queue gets another identity, and is no replica"
	                       : NULL);
	return report_readers(v);
}
