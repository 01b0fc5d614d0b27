/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims.c - the places that small files claim: control.meta, index.meta, durable.meta, readers/NAME.meta
 *
 * Invariant, so that a writer at work is not taken for damage: the claims are read first, the writer's
 * position after them, the segments last.  So each claim is at or before that position, and everything
 * before the position was complete when the walk began.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/internal.h"
#include "files/dir.h"
#include "format/place.h"
#include "meta/reader_file.h"
#include "meta/watermark.h"
#include "os/io.h"

#define DATA_START sizeof(struct cq_segment_header)

static int compare_claims(const void *a, const void *b, void *arg)
{
	const struct cq_claim *x = a, *y = b;
	const struct cq_verifier *v = arg;

	return cq_place_compare(x->segment, x->offset, y->segment, y->offset, v->segment_size);
}

static int add_claim(struct cq_verifier *v, enum cq_claimant by, const char *name, uint64_t segment,
                     uint64_t offset)
{
	struct cq_claim *claims;
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	claims = realloc(v->claims, (v->claim_count + 1) * sizeof *claims);
	if (!claims) {
		free(copy);
		return -ENOMEM;
	}
	v->claims = claims;
	claims[v->claim_count++] =
		(struct cq_claim){ .by = by, .name = copy, .segment = segment, .offset = offset };
	return 0;
}

void cq_claims_free(struct cq_verifier *v)
{
	for (size_t i = 0; i < v->claim_count; i++)
		free(v->claims[i].name);
	free(v->claims);
}

/* ---- a writer at work ---- */

/* A writer that takes the lock writes its name into the file: so this changes with each writer. */
static struct timespec lock_time(const struct cq_verifier *v)
{
	struct stat st;

	if (cq_io_stat_at(v->queue->dirfd, CQ_LOCK_NAME, &st) < 0)
		return (struct timespec){ 0 };
	return st.st_mtim;
}

/* Where the lock is no regular file, no writer holds it, and none can open the queue. */
static bool lock_held(struct cq_verifier *v)
{
	struct cq_holder holder = CQ_SIZED(holder);
	int r = cq_queue_holder(v->queue, &holder);

	if (r == -ELOOP || r == -EBADMSG) {
		CQ_QUEUE_FINDING(v, true,
		                 CQ_LOCK_NAME " is no regular file: no writer can open the queue");
		return false;
	}
	/* a lock whose holder cannot be found out may be held */
	return r < 0 || holder.locked;
}

static bool is_behind(const struct cq_verifier *v, uint64_t segment, uint64_t offset)
{
	return !v->have_position || cq_place_compare(segment, offset, v->position.segment,
	                                             v->position.offset, v->segment_size) >= 0;
}

bool cq_verify_unsettled(const struct cq_verifier *v, uint64_t segment, uint64_t offset)
{
	return v->live && is_behind(v, segment, offset);
}

bool cq_verify_writer_came(struct cq_verifier *v, uint64_t segment, uint64_t offset)
{
	struct timespec now;

	if (!v->writer_came) {
		now = lock_time(v);
		v->writer_came =
			now.tv_sec != v->lock_time.tv_sec || now.tv_nsec != v->lock_time.tv_nsec;
		v->live |= v->writer_came;
	}
	return v->writer_came && is_behind(v, segment, offset);
}

bool cq_verify_moving(struct cq_verifier *v, uint64_t segment, uint64_t offset)
{
	return cq_verify_writer_came(v, segment, offset) || cq_verify_unsettled(v, segment, offset);
}

bool cq_verify_short_of_means(struct cq_verifier *v, int error)
{
	if (error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ECANCELED)
		return false;
	if (v->error == 0)
		v->error = error;
	return true;
}

/* ---- before the walk ---- */

static int collect_position(struct cq_verifier *v)
{
	struct cq_position_file position;
	int r;

	r = cq_metadata_read_position(v->queue->dirfd, &position);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && (position.current_segment | position.write_offset) != 0)
		return add_claim(v, CQ_CLAIM_POSITION, CQ_POSITION_NAME, position.current_segment,
		                 position.write_offset);
	cq_metadata_report_useless(v, v->queue->dirfd, CQ_POSITION_NAME, r);
	return 0;
}

static int collect_durable(struct cq_verifier *v)
{
	struct cq_watermark_state state;
	struct stat st;
	int r;

	r = cq_watermark_read(v->queue->dirfd, &state);
	if (r == 0 && state.found) {
		if (state.damaged != 0)
			CQ_QUEUE_FINDING(v, true,
			                 CQ_DURABLE_NAME
			                 ": slot %u is damaged; what was durable may "
			                 "be more than the other one says",
			                 state.damaged == 1 ? 0U : 1U);
		r = add_claim(v, CQ_CLAIM_DURABLE, CQ_DURABLE_NAME, state.slot.segment,
		              state.slot.offset);
		if (r == 0)
			v->claims[v->claim_count - 1].seq = state.slot.seq;
		return r;
	}
	if (r == 0)
		r = -ENOENT;
	if (cq_io_stat_at(v->queue->dirfd, CQ_DURABLE_NAME, &st) != -ENOENT)
		cq_metadata_report_useless(v, v->queue->dirfd, CQ_DURABLE_NAME, r);
	return 0;
}

static void check_identity(struct cq_verifier *v)
{
	struct cq_identity identity;
	const int r = cq_identity_read(v->queue->dirfd, &identity);

	if (r == -EBADMSG)
		CQ_QUEUE_FINDING(v, true, CQ_IDENTITY_NAME " is damaged");
	else if (r < 0 && r != -ENOENT && !cq_verify_short_of_means(v, r))
		CQ_QUEUE_FINDING(v, true, CQ_IDENTITY_NAME " cannot be read: %s",
		                 strerrordesc_np(-r));
}

struct reader_visit {
	struct cq_verifier *v;
	int result;
};

static void visit_reader(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct reader_visit *visit = arg;

	if (cursor->damaged != 0)
		CQ_QUEUE_FINDING(visit->v, true,
		                 CQ_READERS_DIR "/%s" CQ_READER_SUFFIX
		                                ": slot %u is damaged; its reader may have been "
		                                "further than the other one says",
		                 name, cursor->damaged - 1);
	if (visit->result == 0)
		visit->result =
			add_claim(visit->v, CQ_CLAIM_READER, name, cursor->segment, cursor->offset);
}

static bool has_claim(const struct cq_verifier *v, const char *name)
{
	for (size_t i = 0; i < v->claim_count; i++)
		if (v->claims[i].by == CQ_CLAIM_READER && /* GCOV_EXCL_BR_LINE: no others yet */
		    strcmp(v->claims[i].name, name) == 0)
			return true;
	return false;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && strcmp(name + length - tail, suffix) == 0;
}

/* Reports readers' files without a position, and files whose names only look like theirs. */
static int report_bad_readers(struct cq_verifier *v)
{
	char name[CQ_READER_NAME_MAX + 1];
	const char *file;
	DIR *stream;
	int dirfd, r;

	r = cq_io_open_dir(v->queue->dirfd, CQ_READERS_DIR, &dirfd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = cq_io_list(dirfd, &stream);
	if (r < 0)
		goto close_dir;
	while ((r = cq_io_next_name(stream, &file)) > 0)
		if (!cq_reader_file_name_parse(name, file)) {
			if (ends_in(file, CQ_READER_SUFFIX))
				CQ_QUEUE_FINDING(v, false, "no reader can have the name of %s",
				                 file);
		} else if (!has_claim(v, name)) {
			cq_metadata_report_useless(v, dirfd, file, 0);
		}
	closedir(stream);
close_dir:
	close(dirfd);
	return r;
}

static int collect_readers(struct cq_verifier *v)
{
	struct reader_visit visit = { .v = v };
	int r;

	r = cq_reader_file_each(v->queue->dirfd, visit_reader, NULL, &visit);
	if (r == 0 && visit.result == 0)
		r = report_bad_readers(v);
	if (visit.result < 0)
		return visit.result;
	if (r < 0 && !cq_verify_short_of_means(v, r))
		CQ_QUEUE_FINDING(v, true, CQ_READERS_DIR " cannot be read: %s",
		                 strerrordesc_np(-r));
	return 0;
}

static int collect_control(struct cq_verifier *v)
{
	struct cq_control control;
	uint64_t segment_size;
	int r;

	r = cq_control_open(&control, v->queue->dirfd, false);
	if (r == -ENOENT)
		CQ_QUEUE_FINDING(v, false, CQ_CONTROL_NAME " is missing");
	else if (r < 0)
		cq_metadata_report_useless(v, v->queue->dirfd, CQ_CONTROL_NAME, r);
	if (r < 0)
		return 0;
	segment_size = control.page->segment_size;
	v->have_position = cq_control_position(&control, &v->position) == 0;
	cq_control_close(&control);
	if (v->segment_size != 0 && segment_size != v->segment_size)
		CQ_QUEUE_FINDING(v, true,
		                 CQ_CONTROL_NAME " says segments of %" PRIu64
		                                 " bytes, but they have %" PRIu64,
		                 segment_size, v->segment_size);
	if (!v->have_position) {
		CQ_QUEUE_FINDING(v, false, CQ_CONTROL_NAME " was left in the middle of a roll");
		return 0;
	}
	return add_claim(v, CQ_CLAIM_CONTROL, CQ_CONTROL_NAME, v->position.segment,
	                 v->position.offset);
}

int cq_claims_collect(struct cq_verifier *v)
{
	int r;

	v->lock_time = lock_time(v);
	v->live = !v->no_writer && lock_held(v);
	r = collect_readers(v);
	if (r == 0)
		r = collect_durable(v);
	if (r == 0)
		r = collect_position(v);
	if (r == 0)
		r = collect_control(v);
	check_identity(v);
	if (r == 0 && v->claim_count > 0)
		qsort_r(v->claims, v->claim_count, sizeof *v->claims, compare_claims, v);
	return r;
}

/* ---- during the walk ---- */

void cq_claims_pass(struct cq_verifier *v, uint32_t segment, uint64_t offset)
{
	const struct cq_order *order = &v->order;

	for (; v->claim_next < v->claim_count; v->claim_next++) {
		struct cq_claim *claim = &v->claims[v->claim_next];
		int compared = cq_place_compare(claim->segment, claim->offset, segment, offset,
		                                v->segment_size);

		if (compared > 0)
			return;
		claim->on_boundary = compared == 0;
		claim->seq_there = order->next_seq;
		claim->seq_differs = claim->on_boundary && claim->by == CQ_CLAIM_DURABLE &&
		                     order->exact && claim->seq != order->next_seq;
	}
}

void cq_claims_skip(struct cq_verifier *v, uint32_t segment)
{
	for (; v->claim_next < v->claim_count; v->claim_next++) {
		if (v->claims[v->claim_next].segment > segment)
			return;
		v->claims[v->claim_next].on_boundary = v->claims[v->claim_next].segment == segment;
	}
}

/* ---- after the walk ---- */

#define report_claim(v, damage, claim, ...) \
	cq_verify_report(v, damage, (claim)->segment, (claim)->offset, __VA_ARGS__)

static void judge_stale(struct cq_verifier *v, const struct cq_claim *claim)
{
	/* a reader may be anywhere, and the watermark may lag */
	if (claim->by == CQ_CLAIM_DURABLE || claim->by == CQ_CLAIM_READER || !v->have_tail ||
	    cq_verify_moving(v, UINT64_MAX, 0))
		return;
	report_claim(
		v, false, claim,
		"%s names a place before the end of the records, as after a writer that did not close "
		"the queue",
		claim->name);
}

static void judge_claim(struct cq_verifier *v, const struct cq_claim *claim)
{
	int to_tail;

	if (cq_place_compare(claim->segment, claim->offset, v->oldest, 0, v->segment_size) < 0) {
		if (claim->by == CQ_CLAIM_READER)
			report_claim(v, false, claim,
			             "reader %s is before the oldest segment: what it still had "
			             "to read is gone",
			             claim->name);
		else
			judge_stale(v, claim);
		return;
	}
	to_tail = cq_place_compare(claim->segment, claim->offset, v->tail.segment, v->tail.offset,
	                           v->segment_size);
	if (claim->seq_differs)
		report_claim(v, true, claim,
		             "%s says that record %" PRIu64 " comes next here, and it is %" PRIu64,
		             claim->name, claim->seq, claim->seq_there);
	if (claim->on_boundary) {
		if (to_tail < 0)
			judge_stale(v, claim);
		return;
	}
	if (cq_verify_moving(v, claim->segment, claim->offset))
		return;
	if (!v->have_tail || to_tail < 0)
		report_claim(v, true, claim, "%s%s is at a place where no record begins",
		             claim->by == CQ_CLAIM_READER ? "reader " : "", claim->name);
	else if (claim->segment == v->tail.segment + 1ULL && claim->offset <= DATA_START)
		/* a power cut took the name of the empty successor, and no record with it */
		report_claim(v, false, claim, "%s names the next segment, which is not there",
		             claim->name);
	else if (claim->by == CQ_CLAIM_READER)
		report_claim(v, true, claim, "reader %s is behind the last record", claim->name);
	else
		report_claim(v, true, claim, "records are missing: %s%s", claim->name,
		             claim->by == CQ_CLAIM_DURABLE
		                     ? " says that they were durable up to here"
		                     : " says that they went up to here");
}

void cq_claims_judge(struct cq_verifier *v)
{
	for (size_t i = 0; i < v->claim_count; i++)
		judge_claim(v, &v->claims[i]);
}
