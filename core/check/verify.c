/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - cq_verify(): reads a whole queue and says what is wrong with it
 *
 * One walk over all segments in order, by pread: the segments and their indexes here, their records
 * in verify_records.c, the files that point into them in claims.c.  A writer may be at work: the
 * walk goes through the segments that were there when it began, with what is committed in them by then.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "os/io.h"

void cq_verify_report(struct cq_verify *v, bool damage, uint64_t segment, uint64_t offset,
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
		v->finding(v->arg, &finding);
}

/* ---- one segment ---- */

static void check_header(struct cq_verify_walk *w)
{
	const struct cq_segment_header *h = &w->header;
	struct cq_verify_order *order = &w->order;

	/* its writer may be filling it in, to begin it or to seal it */
	if (!w->sealed && !cq_segment_ext_valid(h) && cq_verify_moving(&w->v, w->id, UINT64_MAX))
		return;
	if ((h->flags & ~CQ_SEALED) != 0)
		CQ_DAMAGE(w, offsetof(struct cq_segment_header, flags), "unknown flags %#" PRIx32,
		          h->flags);
	if (h->ext == 0) {
		if (!cq_verify_all_zero(&h->ext,
		                        sizeof *h - offsetof(struct cq_segment_header, ext)))
			CQ_DAMAGE(w, offsetof(struct cq_segment_header, ext),
			          "reserved bytes of the segment header are not zero");
		return;
	}
	if (!cq_segment_ext_valid(h)) {
		CQ_DAMAGE(w, offsetof(struct cq_segment_header, ext),
		          "the summary in the segment header does not match its checksum");
		return;
	}
	if (w->id == 0 && h->first_seq > 0)
		/* made anew where the watermark alone told which numbers had been given */
		CQ_NOTE(w, 0,
		        "the records below %" PRIu64 " are gone: somebody has accepted their loss",
		        h->first_seq);
	else if (order->anchored ? h->first_seq != order->next_seq : h->first_seq < order->next_seq)
		CQ_DAMAGE(w, offsetof(struct cq_segment_header, first_seq),
		          "the header says first sequence number %" PRIu64 " where %" PRIu64
		          " should be",
		          h->first_seq, order->next_seq);
	if (order->in_stream && h->stream_base != order->stream)
		CQ_DAMAGE(w, offsetof(struct cq_segment_header, stream_base),
		          "the header says stream offset %" PRIu64 " where %" PRIu64 " should be",
		          h->stream_base, order->stream);
	order->anchored = true;
	order->exact = true;
	order->next_seq = h->first_seq;
	order->in_stream = true;
	order->stream = h->stream_base;
}

static void check_summary(struct cq_verify_walk *w)
{
	const struct cq_segment_header *h = &w->header;

	if (!cq_segment_ext_valid(h) || w->broken)
		return;
	if (h->records == w->records && h->used == w->walk.offset &&
	    h->payload_bytes == w->payload_bytes)
		return;
	/* filled in by the seal, just before its flag */
	if (!w->sealed && ((h->records | h->used | h->payload_bytes) == 0 ||
	                   cq_verify_moving(&w->v, w->id, w->walk.offset)))
		return;
	CQ_DAMAGE(w, offsetof(struct cq_segment_header, records),
	          "the header counts %" PRIu64 " records of %" PRIu64 " bytes up to offset %" PRIu64
	          ", the segment has %" PRIu64 " of %" PRIu64 " up to %" PRIu64,
	          h->records, h->payload_bytes, h->used, w->records, w->payload_bytes,
	          w->walk.offset);
}

static void read_index(struct cq_verify_walk *w)
{
	char name[CQ_NAME_MAX];
	int r;

	r = cq_index_read(w->v.queue->dirfd, w->id, w->v.segment_size, &w->index);
	w->have_index = r == 0;
	w->index_next = 0;
	if (r == 0 || r == -ENOENT)
		return;
	cq_index_name(name, w->id);
	if (r == -EBADMSG && cq_index_is_torn(w->v.queue->dirfd, w->id))
		/* it is replaced without a sync */
		CQ_NOTE(w, 0, "the index %s has not come to the disk whole", name);
	else if (!cq_verify_short_of_means(&w->v, r))
		CQ_DAMAGE(w, 0, "the index %s cannot be used: %s", name,
		          r == -EBADMSG ? "it is damaged" : strerrordesc_np(-r));
}

/* A partial index speaks of the records that were there when it was written. */
static void check_index(struct cq_verify_walk *w)
{
	const struct cq_index_header *h = &w->index.header;

	if (!w->have_index)
		return;
	if (!w->broken && !cq_verify_unsettled(&w->v, w->id, w->walk.offset)) {
		if (w->index_next != h->entries)
			CQ_DAMAGE(w, w->walk.offset,
			          "the index has an entry that is not of a record here");
		else if (w->records > 0 && !(h->flags & CQ_INDEX_PARTIAL) &&
		         (h->min_seq != w->min_seq || h->max_seq != w->max_seq ||
		          h->min_time_ns != w->min_time || h->max_time_ns != w->max_time))
			CQ_DAMAGE(w, 0, "the index does not cover the records of the segment");
	}
	cq_index_fini(&w->index);
	w->have_index = false;
}

/* Where the records end, and that they end in one place. */
static void note_end(struct cq_verify_walk *w)
{
	struct cq_verify *v = &w->v;
	uint64_t end = w->walk.offset;

	if (w->have_unsealed && (w->records > 0 || w->sealed)) {
		if (!cq_verify_came(v, w->unsealed.segment, w->unsealed.offset))
			cq_verify_report(v, true, w->unsealed.segment, w->unsealed.offset,
			                 "not sealed, but segment %" PRIu32 " goes on", w->id);
		w->have_unsealed = false;
	}
	if (!w->have_unsealed) {
		v->tail = (struct cq_position){ w->id, end };
		v->have_tail = !w->broken;
	}
	if (!w->sealed && !w->have_unsealed) {
		w->have_unsealed = true;
		w->unsealed = (struct cq_position){ w->id, end };
	}
}

/* To be read it is good enough. */
static void check_trust(struct cq_verify_walk *w)
{
	struct stat file, directory;
	const char *doubt = NULL;

	if (cq_io_stat(cq_segment_fd(w->segment), &file) == 0 &&
	    cq_io_stat(w->v.queue->dirfd, &directory) == 0)
		doubt = cq_trust_doubt(&file, &directory);
	if (doubt)
		CQ_NOTE(w, 0, "no writer of ours would write to the file: %s", doubt);
}

/* A repair has said here that records are gone: so nothing is to go on behind it. */
static void note_stand_in(struct cq_verify_walk *w)
{
	if (!w->sealed || w->broken || w->records > 0 || !cq_placeholder_is(&w->header))
		return;
	CQ_NOTE(w, 0, "an empty segment stands in for one that is gone");
	cq_verify_lose_track(w);
}

static void walk_segment(struct cq_verify_walk *w)
{
	int r;

	w->broken = w->told = false;
	w->records = w->payload_bytes = 0;
	r = cq_segment_header(w->segment, &w->header);
	if (r == 0)
		r = cq_window_init(&w->scan, cq_segment_fd(w->segment), w->v.segment_size);
	if (r < 0) {
		cq_verify_unreadable(w, 0, r);
		return;
	}
	w->scan.meter = &w->meter;
	w->walk = cq_walk_file(&w->scan);
	w->sealed = (w->header.flags & CQ_SEALED) != 0;
	check_trust(w);
	check_header(w);
	read_index(w);
	cq_verify_records(w);
	check_summary(w);
	check_index(w);
	note_stand_in(w);
	note_end(w);
	cq_window_fini(&w->scan);
	w->v.result.segments++;
	w->v.result.records += w->records;
	w->v.result.payload_bytes += w->payload_bytes;
}

/* ---- the queue ---- */

/* The file is there and is no segment of this queue.  Says why, as exactly as can be. */
static void report_invalid(struct cq_verify_walk *w, bool last)
{
	struct cq_segment_header header;
	char name[CQ_NAME_MAX];
	struct stat st;
	ssize_t n = 0;
	int fd, r;

	cq_segment_name(name, w->id);
	r = cq_io_stat_at(w->v.queue->dirfd, name, &st);
	if (r == 0 && !S_ISREG(st.st_mode)) {
		CQ_DAMAGE(w, 0, "not a regular file");
		return;
	}
	if (r == 0)
		r = cq_io_open(w->v.queue->dirfd, name, O_RDONLY, &fd);
	if (r == 0) {
		n = cq_io_pread(fd, &header, sizeof header, 0);
		close(fd);
	}
	if (r < 0 || n < 0) {
		cq_verify_unreadable(w, 0, r < 0 ? r : (int)n);
		return;
	}
	if (w->v.segment_size != 0 && (uint64_t)st.st_size != w->v.segment_size)
		CQ_DAMAGE(w, 0, "the file has %jd bytes where %" PRIu64 " should be",
		          (intmax_t)st.st_size, w->v.segment_size);
	else if (n == (ssize_t)sizeof header && header.magic == CQ_SEGMENT_MAGIC &&
	         header.version > CQ_SEGMENT_VERSION)
		CQ_DAMAGE(w, 0, "segment version %" PRIu32 " is not known", header.version);
	else if (last && n == (ssize_t)sizeof header && cq_verify_all_zero(&header, sizeof header))
		/* a power cut kept the header from the disk: the marks tell if records went too */
		CQ_NOTE(w, 0, "the header was never written");
	else
		CQ_DAMAGE(w, 0, "the segment header is damaged");
}

/* Retention may have deleted it since the listing: then it is older than all that is there now. */
static bool was_trimmed(const struct cq_verify_walk *w)
{
	uint32_t oldest;

	return cq_dir_next(w->v.queue->dirfd, 0, &oldest) == 0 && oldest > w->id;
}

static void visit_segment(struct cq_verify_walk *w, uint32_t id, bool last)
{
	int r;

	w->id = id;
	r = cq_segment_open(w->v.queue, id, &w->segment);
	if (r == 0) {
		walk_segment(w);
		cq_segment_close(w->segment);
		return;
	}
	cq_verify_lose_track(w);
	if (r == -ENOENT && was_trimmed(w)) {
		w->v.oldest = id + 1;
		return;
	}
	if (r == -EBADMSG)
		report_invalid(w, last);
	else
		cq_verify_unreadable(w, 0, r);
	cq_verify_excuse(&w->v, id);
	w->v.have_tail = false;
}

/* Whether segment `id` is sealed, or has a record at `offset`; false also where it cannot be read. */
static bool is_sealed_or_used(struct cq_verify *v, uint64_t id, uint64_t offset)
{
	struct cq_segment_header header;
	cq_segment *segment;
	uint32_t commit = 0;
	bool result = false;

	if (cq_segment_open(v->queue, (uint32_t)id, &segment) < 0)
		return false;
	if (cq_segment_pread(segment, &commit, sizeof commit, offset) == (ssize_t)sizeof commit)
		result = commit != 0;
	if (cq_segment_header(segment, &header) == 0)
		result |= (header.flags & CQ_SEALED) != 0;
	cq_segment_close(segment);
	return result;
}

/*
 * Behind an unsealed segment, with a writer at work, the walk is at its end: what the next one holds has
 * come since.  Unless nobody can have written it in turn: the next one is in use, and after that is seen
 * the unsealed one still ends where it did.
 */
static bool is_at_the_end(struct cq_verify_walk *w, uint32_t next)
{
	return w->v.live && w->have_unsealed &&
	       (!is_sealed_or_used(&w->v, next, sizeof(struct cq_segment_header)) ||
	        is_sealed_or_used(&w->v, w->unsealed.segment, w->unsealed.offset));
}

static void visit_all(struct cq_verify_walk *w, const uint32_t *ids, size_t count)
{
	struct cq_verify *v = &w->v;

	v->oldest = ids[0];
	if (ids[0] == 0) {
		w->order.anchored = true;
		w->order.in_run = true;
		w->order.in_stream = true;
	}
	cq_meter_begin(&w->meter, CQ_PHASE_VERIFY, count, v->segment_size);
	for (size_t i = 0; i < count && !w->meter.stopped && !is_at_the_end(w, ids[i]); i++) {
		if (i > 0 && ids[i] != ids[i - 1] + 1) {
			w->id = ids[i - 1] + 1;
			CQ_DAMAGE(w, 0,
			          "missing: there is no segment from %09" PRIu32 " to %09" PRIu32,
			          w->id, ids[i] - 1);
			cq_verify_lose_track(w);
		}
		visit_segment(w, ids[i], i + 1 == count);
		cq_meter_next(&w->meter);
	}
}

/* A listing may miss a segment that is published while it runs, and show the next one.  The second has
 * all that the first has, and all between. */
static int list(struct cq_verify *v, uint32_t **ret_ids, size_t *ret_count)
{
	uint32_t *ids = NULL, last;
	size_t count = 0;
	int r;

	r = cq_dir_list(v->queue->dirfd, &ids, &count);
	if (r == 0 && v->live && count > 0) {
		last = ids[count - 1];
		free(ids);
		r = cq_dir_list(v->queue->dirfd, &ids, &count);
		while (r == 0 && count > 0 && ids[count - 1] > last)
			count--;
	}
	if (r < 0)
		return r;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

static int verify(cq_queue *queue, bool at_rest, const struct cq_verify_config *config,
                  struct cq_verify_result *ret_result)
{
	struct cq_verify_walk w = {
		.v = { .queue = queue,
		       .finding = config->finding,
		       .arg = config->finding_arg,
		       .result = CQ_SIZED(w.v.result),
		       .at_rest = at_rest },
		.meter = { .tell = config->progress, .arg = config->progress_arg },
	};
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_segment_size(queue, &w.v.segment_size);
	if (r < 0)
		return r;
	r = cq_verify_collect(&w.v);
	if (r < 0)
		goto free_marks;
	r = list(&w.v, &ids, &count);
	if (r < 0)
		goto free_marks;
	if (count > 0) {
		visit_all(&w, ids, count);
	} else {
		w.v.tail = (struct cq_position){ 0, sizeof(struct cq_segment_header) };
		w.v.have_tail = true;
		cq_verify_pass(&w.v, &w.order, 0, w.v.tail.offset);
	}
	free(ids);
	if (!w.meter.stopped)
		cq_verify_judge(&w.v);
	r = w.meter.stopped ? -ECANCELED : w.v.error;
	if (r == 0 && ret_result)
		*ret_result = w.v.result;
free_marks:
	cq_verify_free_marks(&w.v);
	return r;
}

int cq_verify_queue(cq_queue *queue, bool at_rest, cq_finding_fn finding, void *arg,
                    struct cq_verify_result *ret_result)
{
	return verify(queue, at_rest,
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
