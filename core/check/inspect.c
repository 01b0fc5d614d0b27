/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - what is there; see internal.h */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/trust.h"
#include "format/record.h"
#include "messages/log.h"
#include "meta/boot.h"
#include "meta/control.h"
#include "os/fault.h"
#include "os/io.h"

#define GAPS_TOLD 10

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

static bool size_sound(uint64_t size)
{
	return size >= CQ_FORMAT_SIZE_MIN && size <= CQ_FORMAT_SIZE_MAX && size % CQ_ALIGN == 0;
}

/* Of a queue just made, a power cut may have left the names alone: 0 then, nothing is in it. */
static int size_of_any(const struct cq_recovery *v, uint64_t *ret_size)
{
	uint64_t size = 0;
	bool empty = true;
	int r;

	for (size_t i = 0; i < v->count; i++) {
		r = file_size(v->dirfd, v->ids[i], &size);
		if (r == 0 && size_sound(size))
			*ret_size = size;
		if (r < 0 || size_sound(size))
			return r;
		empty = empty && size == 0;
	}
	*ret_size = 0;
	return empty ? 0 : -EBADMSG;
}

static int same_boot(const struct cq_control_page *page, bool *ret_same)
{
	static const uint8_t unknown[CQ_BOOT_ID_SIZE];
	uint8_t now[CQ_BOOT_ID_SIZE];
	int r;

	r = cq_boot_id(now);
	if (r == 0)
		*ret_same = memcmp(now, unknown, sizeof now) != 0 &&
		            memcmp(now, page->boot_id, sizeof now) == 0;
	return r;
}

/* Geometry: what the files agree on, else control.meta, else the caller's wish. */
int cq_recover_geometry(struct cq_recovery *v)
{
	uint64_t first = 0, last = 0, size = 0, wish = v->config->segment_size;
	struct cq_control control;
	int r;

	if (cq_control_open(&control, v->dirfd, false) == 0) {
		if (size_sound(control.page->segment_size))
			size = control.page->segment_size;
		if (control.page->epoch <= CQ_EPOCH_HINT_MAX)
			v->epoch = control.page->epoch;
		v->have_position = cq_control_position(&control, &v->position) == 0;
		r = same_boot(control.page, &v->same_boot);
		cq_control_close(&control);
		if (r < 0)
			return r;
	}
	if (v->count > 0) {
		r = file_size(v->dirfd, v->ids[0], &first);
		if (r == 0)
			r = file_size(v->dirfd, v->ids[v->count - 1], &last);
		if (r < 0)
			return r;
		/* one file alone may have been cut short: control.meta knows better */
		if (size_sound(first) && ((first == last && v->count > 1) || size == 0))
			size = first;
		if (size == 0)
			size = last;
		r = size_sound(size) ? 0 : size_of_any(v, &size);
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

int cq_recover_look_at(struct cq_recovery *v, struct cq_candidate *c)
{
	struct {
		struct cq_segment_header header;
		uint32_t commit;
	} start;
	static const struct cq_segment_header zero;
	char name[CQ_NAME_MAX];
	struct stat st;
	ssize_t n;
	int fd, r;

	c->kind = CQ_KIND_BAD;
	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r == -ELOOP || r == -EBADMSG)
		return 0;
	if (r < 0)
		return r;
	memset(&start, 0, sizeof start);
	r = cq_io_stat(fd, &st);
	n = r;
	if (r == 0)
		n = cq_io_pread(fd, &start, sizeof start.header + sizeof start.commit, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	c->header = start.header;
	if (memcmp(&start.header, &zero, sizeof zero) == 0 && start.commit == 0)
		c->kind = CQ_KIND_UNWRITTEN;
	if ((uint64_t)st.st_size != v->segment_size)
		return 0;
	if (start.header.magic == CQ_SEGMENT_MAGIC && start.header.version > CQ_SEGMENT_VERSION) {
		cq_log(v->config, CQ_ERROR, "segment %09u has format version %u; this is too new",
		       c->id, start.header.version);
		return -EPROTONOSUPPORT;
	}
	if (!cq_segment_header_valid(&start.header, c->id))
		return 0;
	if (start.header.flags & CQ_SEALED)
		c->kind = CQ_KIND_SEALED;
	else
		c->kind = start.commit == 0 ? CQ_KIND_FRESH : CQ_KIND_OPEN;
	return 0;
}

/* Ids without a file between those that have one.  Readers meet them as gaps; people are told here. */
static void report_gaps(const struct cq_recovery *v)
{
	unsigned told = 0;

	for (size_t i = 1; i < v->count && told < GAPS_TOLD; i++) {
		if (v->ids[i] == v->ids[i - 1] + 1)
			continue;
		cq_log(v->config, CQ_WARNING, "segments %09u to %09u are missing",
		       v->ids[i - 1] + 1, v->ids[i] - 1);
		told++;
	}
}

bool cq_recover_is_trusted(const struct cq_recovery *v, const struct cq_candidate *c)
{
	return (size_t)(c - v->candidates) < v->trusted ||
	       (!v->marked && c->kind == CQ_KIND_SEALED);
}

int cq_recover_look(struct cq_recovery *v)
{
	size_t first = 0;
	int r;

	report_gaps(v);
	while (v->marked && first < v->count && v->ids[first] < v->mark.segment)
		first++;
	if (v->seal_missing)
		first--;
	if (v->repairer) {
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
		r = cq_recover_look_at(v, c);
		if (r == -EIO && cq_recover_is_trusted(v, c))
			continue; /* what cannot be read is damaged, too: plan_repair.c */
		if (r == 0 && !cq_recover_is_trusted(v, c))
			r = cq_trust_named(v->dirfd, name, v->config);
		if (r < 0)
			return r;
	}
	return 0;
}

/* How many segments will be read: those that plan.c counts, and plan_repair.c's. */
static uint64_t count_to_read(const struct cq_recovery *v)
{
	uint64_t count = 0;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];
		const bool trusted = cq_recover_is_trusted(v, c);

		count += c->kind != CQ_KIND_BAD && c->kind != CQ_KIND_UNWRITTEN &&
		         (trusted ? v->repairer != NULL : c->kind != CQ_KIND_FRESH);
	}
	return count;
}

int cq_recover_expect(struct cq_recovery *v)
{
	cq_meter_begin(&v->meter, CQ_PHASE_RECOVER, count_to_read(v), v->segment_size);
	return v->meter.now.segments > 0 ? cq_meter_at(&v->meter, 0) : 0;
}

/* Opens the segment and counts what it holds. */
int cq_recover_survey(struct cq_recovery *v, struct cq_candidate *c, struct cq_meter *meter)
{
	int r;

	cq_point("recover.reading");
	r = cq_wsegment_open(v->dirfd, c->id, v->segment_size, &c->segment);
	if (r == 0)
		r = cq_segment_scan_file(c->segment->map.fd, v->segment_size, &c->header,
		                         c->segment, meter, &c->survey);
	if (meter)
		cq_meter_next(meter);
	c->surveyed = r == 0;
	if (r == 0 && c->survey.epoch > v->epoch)
		v->epoch = c->survey.epoch;
	return r;
}

/* By the watermark, and by what is there of their segment. */
void cq_recover_report_loss(struct cq_recovery *v)
{
	const enum cq_level level = v->config->accept_loss ? CQ_WARNING : CQ_ERROR;
	uint64_t first = v->end_seq, base;
	char numbers[64];

	if ((v->end_seq_known || (v->tail == sizeof(struct cq_segment_header) &&
	                          cq_recover_beginning(v, v->active_id, &first, &base) == 0)) &&
	    first < v->mark.seq)
		snprintf(numbers, sizeof numbers, " %" PRIu64 " to %" PRIu64, first,
		         v->mark.seq - 1);
	else if (v->mark.seq > 0 && !v->end_seq_known)
		snprintf(numbers, sizeof numbers, " up to %" PRIu64, v->mark.seq - 1);
	else /* it does not agree with the numbers that are there */
		numbers[0] = '\0';
	cq_log(v->config, level,
	       "durable records%s are missing or damaged, from segment %09u offset %" PRIu64 " on",
	       numbers, v->active_id, v->tail);
}
