/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - cq_verify(): reads a whole queue and says what is wrong with it; see check.h
 *
 * One walk over all segments in order, by pread: the segments and their indexes here, their records in
 * verify_records.c.  A writer may be at work: the walk covers the segments that existed when it began, with
 * the records that are committed when it comes to them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/check.h"
#include "check/internal.h"
#include "files/dir.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/record.h"
#include "messages/log.h"
#include "messages/sized.h"
#include "os/fault.h"
#include "os/io.h"

void cq_verify_report(struct cq_verifier *v, bool damage, uint64_t segment, uint64_t offset,
                      const char *format, ...)
{
	struct cq_finding finding = {
		.damage = damage,
		.segment = segment > CQ_SEGMENT_ID_MAX ? UINT32_MAX : (uint32_t)segment,
		.offset = offset,
	};
	char text[400], line[2 * sizeof text];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	cq_printable(line, sizeof line, text);
	finding.text = line;
	if (damage)
		v->result.damage++;
	else
		v->result.information++;
	if (v->finding)
		v->finding(v->finding_arg, &finding);
}

/* ---- one segment ---- */

static void check_header(struct cq_verifier *v)
{
	const struct cq_segment_header *h = &v->header;
	struct cq_order *order = &v->order;

	/* its writer may be filling in the header, to begin or to seal the segment */
	if (!v->sealed && !cq_segment_ext_valid(h) && cq_verify_moving(v, v->id, UINT64_MAX))
		return;
	if ((h->flags & ~CQ_SEALED) != 0)
		CQ_DAMAGE(v, offsetof(struct cq_segment_header, flags), "unknown flags %#" PRIx32,
		          h->flags);
	if (h->ext == 0) {
		if (!cq_verify_all_zero(&h->ext,
		                        sizeof *h - offsetof(struct cq_segment_header, ext)))
			CQ_DAMAGE(v, offsetof(struct cq_segment_header, ext),
			          "reserved bytes of the segment header are not zero");
		return;
	}
	if (!cq_segment_ext_valid(h)) {
		CQ_DAMAGE(v, offsetof(struct cq_segment_header, ext),
		          "the summary in the segment header does not match its checksum");
		return;
	}
	if (v->id == 0 && h->first_seq > 0)
		/* it was made when only the watermark knew the numbers that had been given */
		CQ_NOTE(v, 0,
		        "the records below %" PRIu64 " are gone: somebody has accepted their loss",
		        h->first_seq);
	else if (order->known ? h->first_seq != order->next_seq : h->first_seq < order->next_seq)
		CQ_DAMAGE(v, offsetof(struct cq_segment_header, first_seq),
		          "the header says first sequence number %" PRIu64 " where %" PRIu64
		          " should be",
		          h->first_seq, order->next_seq);
	if (order->known && h->stream_base != order->stream)
		CQ_DAMAGE(v, offsetof(struct cq_segment_header, stream_base),
		          "the header says stream offset %" PRIu64 " where %" PRIu64 " should be",
		          h->stream_base, order->stream);
	cq_verify_gap(v, h->first_seq);
	cq_order_begin(order, h);
}

static void check_summary(struct cq_verifier *v)
{
	const struct cq_segment_header *h = &v->header;

	if (!cq_segment_ext_valid(h) || v->unreadable || cq_contents_match_summary(&v->contents, h))
		return;
	/* a seal fills in the summary just before its flag */
	if (!v->sealed && ((h->records | h->used | h->payload_bytes) == 0 ||
	                   cq_verify_moving(v, v->id, v->walk.offset)))
		return;
	CQ_DAMAGE(v, offsetof(struct cq_segment_header, records),
	          "the header counts %" PRIu64 " records of %" PRIu64 " bytes up to offset %" PRIu64
	          ", the segment has %" PRIu64 " of %" PRIu64 " up to %" PRIu64,
	          h->records, h->payload_bytes, h->used, v->contents.records,
	          v->contents.payload_bytes, v->walk.offset);
}

static void read_index(struct cq_verifier *v)
{
	char name[CQ_NAME_MAX];
	int r;

	r = cq_index_read(v->queue->dirfd, v->id, v->segment_size, &v->index);
	v->have_index = r == 0;
	v->index_check = (struct cq_index_check){ .index = &v->index };
	if (r == 0 || r == -ENOENT)
		return;
	cq_index_name(name, v->id);
	if (r == -EBADMSG && cq_index_is_torn(v->queue->dirfd, v->id))
		/* an index is replaced without a sync */
		CQ_NOTE(v, 0, "the index %s has not come to the disk whole", name);
	else if (!cq_verify_short_of_means(v, r))
		CQ_DAMAGE(v, 0, "the index %s cannot be used: %s", name,
		          r == -EBADMSG ? "it is damaged" : strerrordesc_np(-r));
}

static void check_index(struct cq_verifier *v)
{
	enum cq_index_verdict verdict;

	if (!v->have_index)
		return;
	verdict = cq_index_check_end(&v->index_check, v->sealed);
	if (v->unreadable || cq_verify_unsettled(v, v->id, v->walk.offset))
		verdict = CQ_INDEX_FITS;
	if (verdict == CQ_INDEX_TOO_LONG)
		CQ_DAMAGE(v, v->walk.offset, "the index has an entry that is not of a record here");
	else if (verdict == CQ_INDEX_OTHER_RANGE)
		CQ_DAMAGE(v, 0, "the index does not cover the records of the segment");
	cq_index_fini(&v->index);
	v->have_index = false;
}

/* Notes where the records end.  They end in one place: behind an unsealed segment there are none. */
static void note_end(struct cq_verifier *v)
{
	uint64_t end = v->walk.offset;

	if (v->have_unsealed && (v->contents.records > 0 || v->sealed)) {
		if (!cq_verify_writer_came(v, v->unsealed.segment, v->unsealed.offset))
			cq_verify_report(v, true, v->unsealed.segment, v->unsealed.offset,
			                 "not sealed, but segment %" PRIu32 " has records", v->id);
		v->have_unsealed = false;
	}
	if (!v->have_unsealed) {
		v->tail = (struct cq_position){ v->id, end };
		v->have_tail = !v->unreadable;
	}
	if (!v->sealed && !v->have_unsealed) {
		v->have_unsealed = true;
		v->unsealed = (struct cq_position){ v->id, end };
	}
}

/* A file that a writer would refuse can be read all the same. */
static void check_trust(struct cq_verifier *v)
{
	struct stat file, directory;
	const char *doubt = NULL;

	if (cq_io_stat(cq_segment_fd(v->segment), &file) == 0 &&
	    cq_io_stat(v->queue->dirfd, &directory) == 0)
		doubt = cq_trust_why_not(&file, &directory);
	if (doubt)
		CQ_NOTE(v, 0, "a writer of this library would not write to the file: %s", doubt);
}

/* A repair made it, because records are gone here, or a skip: the numbers need not continue behind it. */
static void note_placeholder(struct cq_verifier *v)
{
	if (!v->sealed || v->unreadable || v->contents.records > 0 ||
	    !cq_placeholder_is(&v->header))
		return;
	CQ_NOTE(v, 0, "an empty placeholder segment is in the place of what is gone");
	cq_verify_forget_order(v);
	v->at_gap = true;
}

static void walk_segment(struct cq_verifier *v)
{
	int r;

	v->unreadable = v->behind_reported = false;
	v->contents = (struct cq_contents){ .records = 0 };
	r = cq_segment_read_header(v->segment, &v->header);
	if (r == 0)
		r = cq_window_init(&v->window, cq_segment_fd(v->segment), v->segment_size);
	if (r < 0) {
		cq_verify_unreadable(v, 0, r);
		return;
	}
	v->window.meter = &v->meter;
	v->walk = cq_walk_file(&v->window);
	v->sealed = (v->header.flags & CQ_SEALED) != 0;
	check_trust(v);
	check_header(v);
	read_index(v);
	cq_verify_records(v);
	v->contents.tail = v->walk.offset;
	check_summary(v);
	check_index(v);
	note_placeholder(v);
	note_end(v);
	cq_window_fini(&v->window);
	v->result.segments++;
	v->result.records += v->contents.records;
	v->result.payload_bytes += v->contents.payload_bytes;
}

/* ---- the queue ---- */

/* The file exists and is no segment of this queue.  Says why, as exactly as possible. */
static void report_invalid(struct cq_verifier *v, bool last)
{
	struct cq_segment_start start;
	int r;

	r = cq_segment_look(v->queue->dirfd, v->id, v->segment_size, &start);
	if (r < 0)
		cq_verify_unreadable(v, 0, r);
	else if (start.kind == CQ_KIND_NO_FILE)
		CQ_DAMAGE(v, 0, "not a regular file");
	else if (v->segment_size != 0 && start.size != v->segment_size)
		CQ_DAMAGE(v, 0, "the file has %" PRIu64 " bytes where %" PRIu64 " should be",
		          start.size, v->segment_size);
	else if (start.kind == CQ_KIND_TOO_NEW)
		CQ_DAMAGE(v, 0, "segment version %" PRIu32 " is not known", start.header.version);
	else if (last && start.kind == CQ_KIND_UNWRITTEN && start.size > 0)
		/* a power cut kept the header from the disk: the claims show whether records went, too */
		CQ_NOTE(v, 0, "the header was never written");
	else
		CQ_DAMAGE(v, 0, "the segment header is damaged");
}

/* Retention may have deleted the segment since the listing: then it is older than all others. */
static bool was_trimmed(const struct cq_verifier *v)
{
	uint32_t oldest;

	return cq_dir_next(v->queue->dirfd, 0, &oldest) == 0 && oldest > v->id;
}

static void visit_segment(struct cq_verifier *v, uint32_t id, bool last)
{
	int r;

	v->id = id;
	r = cq_segment_open(v->queue, id, &v->segment);
	if (r == 0) {
		walk_segment(v);
		cq_segment_close(v->segment);
		return;
	}
	cq_verify_forget_order(v);
	if (r == -ENOENT && was_trimmed(v)) {
		v->oldest = id + 1;
		return;
	}
	if (r == -EBADMSG)
		report_invalid(v, last);
	else
		cq_verify_unreadable(v, 0, r);
	cq_claims_skip(v, id);
	v->have_tail = false;
}

/* Whether segment `id` is sealed, or has a record at `offset`; false also where it cannot be read. */
static bool is_sealed_or_used(struct cq_verifier *v, uint64_t id, uint64_t offset)
{
	struct cq_segment_header header;
	cq_segment *segment;
	uint32_t commit = 0;
	bool result = false;

	if (cq_segment_open(v->queue, (uint32_t)id, &segment) < 0)
		return false;
	if (cq_segment_pread(segment, &commit, sizeof commit, offset) == (ssize_t)sizeof commit)
		result = commit != 0;
	if (cq_segment_read_header(segment, &header) == 0)
		result |= (header.flags & CQ_SEALED) != 0;
	cq_segment_close(segment);
	return result;
}

/*
 * With a writer at work, the walk ends behind an unsealed segment: records in the next one have come since.
 * An exception is damage: the next one is in use, and a later look at the unsealed one shows that it still
 * ends where it did, so no writer can have gone on to the next one by a roll.
 */
static bool is_at_the_end(struct cq_verifier *v, uint32_t next)
{
	return v->live && v->have_unsealed &&
	       (!is_sealed_or_used(v, next, sizeof(struct cq_segment_header)) ||
	        is_sealed_or_used(v, v->unsealed.segment, v->unsealed.offset));
}

static void visit_all(struct cq_verifier *v, const uint32_t *ids, size_t count)
{
	v->oldest = ids[0];
	if (ids[0] == 0) {
		v->order.known = true;
		v->order.run_known = true;
	}
	cq_meter_begin(&v->meter, CQ_PHASE_VERIFY, count, v->segment_size);
	for (size_t i = 0; i < count && !v->meter.stopped && !is_at_the_end(v, ids[i]); i++) {
		if (i > 0 && ids[i] != ids[i - 1] + 1) {
			v->id = ids[i - 1] + 1;
			CQ_DAMAGE(v, 0,
			          "missing: there is no segment from %09" PRIu32 " to %09" PRIu32,
			          v->id, ids[i] - 1);
			cq_verify_forget_order(v);
		}
		visit_segment(v, ids[i], i + 1 == count);
		cq_meter_next(&v->meter);
	}
}

/* A listing may miss a segment that is published while it runs, and show a later one.  A second listing has
 * all that are published before the last one of the first. */
static int list(struct cq_verifier *v, uint32_t **ret_ids, size_t *ret_count)
{
	uint32_t *ids = NULL, last;
	size_t count = 0;
	int r;

	r = cq_dir_list(v->queue->dirfd, &ids, &count);
	if (r == 0 && v->live && count > 0) {
		last = ids[count - 1];
		free(ids);
		r = cq_dir_list(v->queue->dirfd, &ids, &count);
		while (r == 0 && count > 0 &&
		       ids[count - 1] > last) /* GCOV_EXCL_BR_LINE: new since */
			count--;
	}
	if (r < 0)
		return r;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static void report_set_aside(struct cq_verifier *v)
{
	const char *name;
	DIR *stream;
	uint32_t id;

	if (cq_io_list(v->queue->dirfd, &stream) < 0)
		return;
	while (cq_io_next_name(stream, &name) > 0)
		if (cq_aside_name_parse(name, &id))
			cq_verify_report(v, false, id, 0, "recovery has set bytes aside: %s", name);
	closedir(stream);
}

static int verify(cq_queue *queue, bool no_writer, const struct cq_verify_config *config,
                  struct cq_verify_result *ret_result)
{
	struct cq_verifier v = {
		.queue = queue,
		.finding = config->finding,
		.finding_arg = config->finding_arg,
		.result = CQ_SIZED(v.result),
		.no_writer = no_writer,
		.meter = { .report = config->progress, .arg = config->progress_arg },
	};
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_segment_size(queue, &v.segment_size);
	if (r < 0)
		return r;
	r = cq_claims_collect(&v);
	if (r < 0)
		goto free_claims;
	cq_point("verify.claims_collected");
	r = list(&v, &ids, &count);
	if (r < 0)
		goto free_claims;
	if (count > 0 && v.segment_size == 0) /* they have come since */
		r = cq_queue_segment_size(queue, &v.segment_size);
	if (r < 0) {
		free(ids);
		goto free_claims;
	}
	if (count > 0) {
		visit_all(&v, ids, count);
	} else {
		v.tail = (struct cq_position){ 0, sizeof(struct cq_segment_header) };
		v.have_tail = true;
		cq_claims_pass(&v, 0, v.tail.offset);
	}
	free(ids);
	if (!v.meter.stopped) {
		cq_claims_judge(&v);
		report_set_aside(&v);
	}
	r = v.meter.stopped ? -ECANCELED : v.error;
	if (r == 0)
		*ret_result = v.result;
free_claims:
	cq_claims_free(&v);
	return r;
}

int cq_verify_queue(cq_queue *queue, bool no_writer, cq_finding_fn finding, void *arg,
                    struct cq_verify_result *ret_result)
{
	return verify(queue, no_writer,
	              &(struct cq_verify_config){ .finding = finding, .finding_arg = arg },
	              ret_result);
}

int cq_verify(const char *dir, cq_finding_fn finding, void *arg,
              struct cq_verify_result *ret_result)
{
	return cq_verify_with(dir,
	                      &(struct cq_verify_config){ .size = sizeof(struct cq_verify_config),
	                                                  .finding = finding,
	                                                  .finding_arg = arg },
	                      ret_result);
}

int cq_verify_with(const char *dir, const struct cq_verify_config *config,
                   struct cq_verify_result *ret_result)
{
	struct cq_verify_config all = CQ_SIZED(all);
	struct cq_verify_result result;
	cq_queue *queue;
	int r;

	r = cq_sized_take(&all, sizeof all, config);
	if (r == 0 && ret_result)
		r = cq_sized_check(ret_result);
	if (r == 0)
		r = cq_queue_open(dir, &queue);
	if (r < 0)
		return r;
	r = verify(queue, false, &all, &result);
	if (r == 0 && ret_result)
		cq_sized_give(ret_result, &result, sizeof result);
	cq_queue_close(queue);
	return r;
}
