/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - what is there: the segments, their size, the watermark; see check.h */
#include "check/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/listing.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/record.h"
#include "messages/log.h"
#include "meta/boot.h"
#include "meta/control.h"
#include "os/fault.h"
#include "os/io.h"

#define GAPS_LOGGED 10

static int file_size(int dirfd, uint32_t id, uint64_t *ret_size)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int r;

	cq_segment_name(name, id);
	r = cq_io_stat_at(dirfd, name, &st);
	if (r == 0)
		*ret_size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return r;
}

/* A power cut may have left only the names of a queue that was just made: *ret_size is 0 then. */
static int size_of_any(const struct cq_recovery *v, uint64_t *ret_size)
{
	uint64_t size = 0;
	bool empty = true;
	int r;

	for (size_t i = 0; i < v->count; i++) {
		r = file_size(v->dirfd, v->ids[i], &size);
		if (r == 0 && cq_segment_size_possible(size))
			*ret_size = size;
		if (r < 0 || cq_segment_size_possible(size))
			return r;
		empty = empty && size == 0;
	}
	*ret_size = 0;
	return empty ? 0 : -EBADMSG;
}

static bool same_boot(const struct cq_recovery *v, const struct cq_control_page *page)
{
	static const uint8_t unknown[CQ_BOOT_ID_SIZE];

	return memcmp(v->boot_id, unknown, sizeof unknown) != 0 &&
	       memcmp(v->boot_id, page->boot_id, sizeof unknown) == 0;
}

/* The segment size: what the files agree on, else control.meta's, else the caller's wish. */
static int find_geometry(struct cq_recovery *v)
{
	uint64_t first = 0, last = 0, size = 0, wish = v->config->segment_size;
	struct cq_control control;
	int r;

	if (cq_control_open(&control, v->dirfd, false) == 0) {
		if (cq_segment_size_possible(control.page->segment_size))
			size = control.page->segment_size;
		if (control.page->epoch <= CQ_EPOCH_HINT_MAX)
			v->epoch = control.page->epoch;
		v->have_position = cq_control_position(&control, &v->position) == 0;
		v->same_boot = same_boot(v, control.page);
		cq_control_close(&control);
	}
	if (v->count > 0) {
		r = file_size(v->dirfd, v->ids[0], &first);
		if (r == 0)
			r = file_size(v->dirfd, v->ids[v->count - 1], &last);
		if (r < 0)
			return r;
		/* a single file may have been cut short: then control.meta decides */
		if (cq_segment_size_possible(first) &&
		    ((first == last && v->count > 1) || size == 0))
			size = first;
		if (size == 0)
			size = last;
		r = cq_segment_size_possible(size) ? 0 : size_of_any(v, &size);
		if (r == -EBADMSG)
			cq_log(v->config, CQ_ERROR, "no segment has a size that the format knows");
		if (r < 0)
			return r;
	}
	if (size != 0 && wish != 0 && wish != size) {
		cq_log(v->config, CQ_ERROR,
		       "the queue has segments of %" PRIu64
		       " bytes: segment_size cannot be %" PRIu64,
		       size, wish);
		return -EINVAL;
	}
	v->segment_size = size ? size : wish ? wish : CQ_SEGMENT_SIZE_DEFAULT;
	if (v->config->max_bytes != 0 && v->config->max_bytes / 2 < v->segment_size) {
		cq_log(v->config, CQ_ERROR,
		       "max_bytes has to hold two segments of %" PRIu64
		       " bytes (segment_size) at least, and is %" PRIu64,
		       v->segment_size, v->config->max_bytes);
		return -EINVAL;
	}
	return 0;
}

int cq_inspect_segment(const struct cq_recovery *v, struct cq_candidate *c)
{
	struct cq_segment_start start;
	int r;

	c->kind = CQ_KIND_BAD;
	r = cq_segment_look(v->dirfd, c->id, v->segment_size, &start);
	if (r < 0)
		return r;
	c->kind = start.kind;
	c->size = start.size;
	c->header = start.header;
	if (c->kind != CQ_KIND_TOO_NEW)
		return 0;
	cq_log(v->config, CQ_ERROR, "segment %09u has format version %u; this is too new", c->id,
	       start.header.version);
	return -EPROTONOSUPPORT;
}

/* Logs the ids without a file between those that have one.  Readers meet them as gaps. */
static void report_gaps(const struct cq_recovery *v)
{
	unsigned logged = 0;

	for (size_t i = 1; i < v->count && logged < GAPS_LOGGED; i++) {
		if (v->ids[i] == v->ids[i - 1] + 1)
			continue;
		cq_log(v->config, CQ_WARNING, "segments %09u to %09u are missing",
		       v->ids[i - 1] + 1, v->ids[i] - 1);
		logged++;
	}
}

static int inspect_all(struct cq_recovery *v)
{
	size_t first = 0;
	int r;

	report_gaps(v);
	while (v->have_watermark && first < v->count && v->ids[first] < v->watermark.segment)
		first++;
	if (v->seal_missing)
		first--;
	if (v->repair) {
		v->trusted = first;
		first = 0;
	}
	v->candidates = calloc(v->count - first + 1, sizeof *v->candidates);
	if (!v->candidates)
		return -ENOMEM;
	v->candidate_count = v->count - first;
	for (size_t i = 0; i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];
		char name[CQ_NAME_MAX];

		c->id = v->ids[first + i];
		cq_segment_name(name, c->id);
		r = cq_inspect_segment(v, c);
		c->trusted = i < v->trusted || (!v->have_watermark && c->kind == CQ_KIND_SEALED);
		if (r == -EIO && c->trusted)
			continue; /* plan_repair.c sets it aside as damaged */
		if (r == 0 && !c->trusted)
			r = cq_trust_to_write(v->dirfd, name, v->config);
		if (r < 0)
			return r;
	}
	return 0;
}

/* How many segments plan.c and plan_repair.c are going to read. */
static uint64_t count_to_read(const struct cq_recovery *v)
{
	uint64_t count = 0;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		count += cq_kind_is_sound(c->kind) &&
		         (c->trusted ? v->repair != NULL : c->kind != CQ_KIND_FRESH);
	}
	return count;
}

/* Tells the caller how much is going to be read. */
static int announce(struct cq_recovery *v)
{
	cq_meter_begin(&v->meter, CQ_PHASE_RECOVER, count_to_read(v), v->segment_size);
	return v->meter.now.segments > 0 ? cq_meter_at(&v->meter, 0) : 0;
}

static void note_scanned(struct cq_recovery *v, struct cq_candidate *c)
{
	c->scanned = true;
	if (c->contents.order.epoch > v->epoch)
		v->epoch = c->contents.order.epoch;
}

/* The place in the segment that the watermark names; 0: it names another segment. */
static uint64_t watermark_place(const struct cq_recovery *v, const struct cq_candidate *c)
{
	return v->watermark.generation != 0 && v->watermark.segment == c->id ? v->watermark.offset
	                                                                     : 0;
}

int cq_inspect_contents(struct cq_recovery *v, struct cq_candidate *c, struct cq_meter *meter)
{
	struct cq_scan_wish wish = { .meter = meter, .place = watermark_place(v, c) };
	int r;

	cq_point("recover.reading");
	r = cq_wsegment_open(v->dirfd, c->id, v->segment_size, &c->segment);
	wish.count = c->segment;
	if (r == 0)
		r = cq_contents_scan(c->segment->map.fd, v->segment_size, &c->header, &wish,
		                     &c->contents);
	if (meter)
		cq_meter_next(meter);
	if (r == 0)
		note_scanned(v, c);
	return r;
}

int cq_inspect_read(struct cq_recovery *v, struct cq_candidate *c)
{
	const struct cq_scan_wish wish = { .meter = &v->meter, .place = watermark_place(v, c) };
	int fd, r;

	r = cq_segment_open_named(v->dirfd, c->id, &fd);
	if (r < 0)
		return r;
	r = cq_contents_scan(fd, v->segment_size, &c->header, &wish, &c->contents);
	close(fd);
	cq_meter_next(&v->meter);
	if (r == -EIO) { /* a segment that cannot be read counts as damaged */
		c->kind = CQ_KIND_BAD;
		return 0;
	}
	if (r == 0)
		note_scanned(v, c);
	return r;
}

bool cq_inspect_is_placeholder(const struct cq_candidate *c)
{
	return c->kind == CQ_KIND_SEALED && cq_placeholder_is(&c->header);
}

bool cq_inspect_summary_agrees(const struct cq_candidate *c)
{
	return cq_segment_ext_valid(&c->header)
	               ? cq_contents_match_summary(&c->contents, &c->header)
	               : !c->contents.damaged;
}

bool cq_inspect_first_seq(const struct cq_candidate *c, uint64_t *ret_seq)
{
	const bool foreign = c->scanned && c->contents.first_foreign;

	if (cq_segment_ext_valid(&c->header)) {
		*ret_seq = c->header.first_seq;
		/* a writer that continued the segment may have entered chronicle-rs's number there */
		return !foreign || c->header.first_seq != c->contents.first_seq;
	}
	*ret_seq = c->contents.first_seq;
	return c->scanned && c->contents.has_stream_offset && !foreign;
}

bool cq_inspect_end_seq(const struct cq_candidate *c, uint64_t *ret_seq)
{
	if (!c->scanned || cq_inspect_is_placeholder(c))
		return false;
	if (c->contents.records == 0) {
		*ret_seq = c->header.first_seq;
		return cq_segment_ext_valid(&c->header);
	}
	*ret_seq = c->contents.max_seq + 1;
	return c->contents.has_stream_offset;
}

/*
 * A watermark at the beginning of a segment, or behind the newest segment, comes from a flush after a
 * roll: the segment before it was sealed.  Where that segment is not sealed and holds records, and the
 * watermark is at the beginning of the next id, only the seal is missing; plan.c judges by the records
 * whether the segment holds all that was durable.  Otherwise (the segment is empty, the watermark is
 * further away, or no segment can have its id) the watermark says that something is lost and not where
 * to go on: readers would wait in that segment for ever.
 */
static int look_before_watermark(struct cq_recovery *v)
{
	struct cq_candidate before = { 0 };
	size_t n = v->count;
	bool newest, next;
	int r;

	while (n > 0 && v->ids[n - 1] >= v->watermark.segment)
		n--;
	if (!v->have_watermark || n == 0)
		return 0;
	before.id = v->ids[n - 1];
	newest = n == v->count;
	next = v->watermark.segment == before.id + 1ULL &&
	       v->watermark.offset <= sizeof(struct cq_segment_header) &&
	       v->watermark.segment <= CQ_SEGMENT_ID_MAX;
	if (!newest && !next)
		return 0;
	r = cq_inspect_segment(v, &before);
	if (r < 0)
		return r;
	v->seal_missing = next && before.kind == CQ_KIND_OPEN;
	v->watermark_ahead =
		!v->seal_missing &&
		(before.kind == CQ_KIND_OPEN || before.kind == CQ_KIND_FRESH ||
	         (v->watermark.segment > CQ_SEGMENT_ID_MAX && before.id < CQ_SEGMENT_ID_MAX));
	v->have_watermark = !v->watermark_ahead;
	return 0;
}

static int check_temp(void *arg, const char *name)
{
	const struct cq_recovery *v = arg;

	return cq_trust_no_directory(v->dirfd, name, v->config);
}

static int read_directory(struct cq_recovery *v)
{
	int r;

	r = cq_dir_list_and_temps(v->dirfd, &v->ids, &v->count, &v->leftovers);
	return r == 0 && v->leftovers ? cq_dir_each_temp(v->dirfd, check_temp, v) : r;
}

/* All that follows from the segments' ids, and what durable.meta says. */
static int inspect_listed(struct cq_recovery *v, const struct cq_watermark_state *state)
{
	int r;

	r = find_geometry(v);
	if (r < 0)
		return r;
	v->have_watermark = state->found;
	v->damaged_slots = !cq_planted("slot_not_missed") ? state->damaged : 0;
	if (v->have_watermark)
		v->watermark = state->slot;
	if (v->watermark.epoch > v->epoch)
		v->epoch = v->watermark.epoch;
	r = look_before_watermark(v);
	return r == 0 ? inspect_all(v) : r;
}

static void forget_listed(struct cq_recovery *v)
{
	free(v->candidates);
	free(v->ids);
	v->candidates = NULL;
	v->candidate_count = 0;
	v->ids = NULL;
	v->count = 0;
	v->seal_missing = v->watermark_ahead = false;
}

int cq_inspect(struct cq_recovery *v)
{
	struct cq_watermark_state state = { .found = false };
	bool recalled;
	int r;

	r = cq_boot_id(v->boot_id);
	if (r < 0)
		return r;
	r = cq_watermark_read(v->dirfd, &state);
	if (r < 0 && r != -ENOENT) /* without it a loss could not be seen */
		return r;
	v->have_watermark_file = r == 0;
	/* a repair takes nothing on trust */
	recalled = !v->repair && cq_listing_holds(v->dirfd, &state.listing, v->boot_id);
	r = recalled ? cq_listing_ids(&state.listing, &v->ids, &v->count) : read_directory(v);
	if (r == 0)
		r = inspect_listed(v, &state);
	if (r == -ENOENT && recalled) { /* the list is wrong after all */
		forget_listed(v);
		r = read_directory(v);
		if (r == 0)
			r = inspect_listed(v, &state);
	}
	return r == 0 ? announce(v) : r;
}
