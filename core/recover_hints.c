/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover_hints.c - what a repair says of control.meta, index.meta, durable.meta and the indexes
 *
 * None of them decides anything.  The three small ones are set right by every writer that opens and
 * closes; so here they are only looked at.  Indexes are built anew.
 */
#include "recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "durable.h"
#include "fault.h"
#include "io.h"
#include "record.h"
#include "repair.h"
#include "seekindex.h"
#include "segdir.h"
#include "trust.h"

/* Reads up to `length` bytes of a small file; *ret_size: how many it has. */
static int read_small(int dirfd, const char *name, void *bytes, size_t length, uint64_t *ret_size)
{
	struct stat st;
	ssize_t n;
	int fd, r;

	memset(bytes, 0, length);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	n = r < 0 ? r : cq_io_pread(fd, bytes, length, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Behind the last segment that there can be nothing goes on: where a file says the queue ends is then
 * as good as any. */
static bool ends_at(const struct cq_recovery *v, uint64_t segment, uint64_t offset)
{
	return cq_recover_current(v) > CQ_SEGMENT_ID_MAX ||
	       (segment == cq_recover_current(v) && offset == cq_recover_offset(v));
}

/* Why control.meta has to be written anew; NULL: it need not. */
static const char *control_wrong(const struct cq_recovery *v, const struct cq_control_page *page,
                                 uint64_t size)
{
	if (size != sizeof *page || page->magic != CQ_CONTROL_MAGIC ||
	    page->version != CQ_CONTROL_VERSION || page->init_state != CQ_CONTROL_READY)
		return "it is damaged";
	if (page->segment_size != v->segment_size)
		return "it says another size of segments";
	if (page->segment_gen & 1)
		return "it was left in the middle of a roll";
	if (!ends_at(v, page->current_segment, page->write_offset))
		return "it does not say where the queue ends";
	return NULL;
}

static const char *position_wrong(const struct cq_recovery *v,
                                  const struct cq_position_file *position, uint64_t size)
{
	if (size != sizeof *position)
		return "it is damaged";
	if (!ends_at(v, position->current_segment, position->write_offset))
		return "it does not say where the queue ends";
	return NULL;
}

static const char *mark_wrong(const struct cq_durable_slot *slots, uint64_t size)
{
	static const struct cq_durable_slot none;
	bool any = false;

	if (size < 2 * sizeof *slots)
		return "it is cut short";
	for (int i = 0; i < 2; i++) {
		if (memcmp(&slots[i], &none, sizeof none) == 0)
			continue;
		if (!cq_durable_slot_valid(&slots[i]))
			return i == 0 ? "slot 0 is damaged" : "slot 1 is damaged";
		any = true;
	}
	return any ? NULL : "it says nothing";
}

/* Something in the queue was written by this library, so it had a watermark. */
static bool is_ours(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		if (cq_segment_ext_valid(&v->candidates[i].header))
			return true;
	return false;
}

static void tell(struct cq_recovery *v, const char *name, const char *why)
{
	if (why)
		cq_recover_step(v, &(struct cq_repair_step){
					   .action = CQ_REPAIR_REWRITE,
					   .file = name,
					   .text = why,
				   });
}

int cq_recover_tell_hints(struct cq_recovery *v)
{
	struct cq_control_page page;
	struct cq_position_file position;
	struct cq_durable_slot slots[2];
	uint64_t size = 0;
	int r;

	r = read_small(v->dirfd, CQ_CONTROL_NAME, &page, sizeof page, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	tell(v, CQ_CONTROL_NAME, r < 0 ? "it is missing" : control_wrong(v, &page, size));
	r = read_small(v->dirfd, CQ_POSITION_NAME, &position, sizeof position, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	tell(v, CQ_POSITION_NAME, r < 0 ? "it is missing" : position_wrong(v, &position, size));
	r = read_small(v->dirfd, CQ_DURABLE_NAME, slots, sizeof slots, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0)
		tell(v, CQ_DURABLE_NAME, mark_wrong(slots, size));
	else if (is_ours(v))
		tell(v, CQ_DURABLE_NAME, "it is missing");
	return 0;
}

/* ---- indexes ---- */

static bool same_entries(const struct cq_seekindex *a, const struct cq_seekindex *b, uint64_t count)
{
	return memcmp(a->entries, b->entries, count * sizeof *a->entries) == 0;
}

/* The index is of what the segment holds, or held when it was written. */
static bool index_fits(const struct cq_seekindex *index, const struct cq_seekindex *right,
                       bool sealed)
{
	const struct cq_index_header *h = &index->header, *now = &right->header;

	if (h->flags & CQ_INDEX_PARTIAL) /* begins in the middle: chronicle-rs's own */
		return true;
	if (h->entries > now->entries || !same_entries(index, right, h->entries))
		return false;
	if (!sealed)
		return h->max_seq <= now->max_seq && h->max_time_ns <= now->max_time_ns;
	return h->entries == now->entries && h->min_seq == now->min_seq &&
	       h->max_seq == now->max_seq && h->min_time_ns == now->min_time_ns &&
	       h->max_time_ns == now->max_time_ns;
}

/* Builds the right index of a segment. */
static int build(const struct cq_recovery *v, uint32_t id, struct cq_meter *meter,
                 struct cq_seekindex *ret_index)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_seekindex_build(fd, id, v->segment_size, meter, ret_index);
	close(fd);
	return r;
}

static int check(struct cq_recovery *v, struct cq_candidate *c, bool sealed)
{
	struct cq_seekindex index, right;
	char name[CQ_NAME_MAX];
	int r;

	r = cq_seekindex_read(v->dirfd, c->id, v->segment_size, &index);
	if (r == -ENOENT) {
		c->index = sealed && cq_segment_ext_valid(&c->header) && c->survey.records > 0;
		return 0;
	}
	if (r == -EBADMSG || r == -ELOOP) {
		c->index = true;
		cq_index_name(name, c->id);
		return cq_trust_no_directory(v->dirfd, name, v->config);
	}
	if (r < 0)
		return r;
	r = build(v, c->id, &v->meter, &right);
	if (r == 0) {
		c->index = !index_fits(&index, &right, sealed);
		cq_seekindex_fini(&right);
	} else if (r == -EBADMSG) { /* cut, and the index with it */
		c->index = true;
		r = 0;
	}
	cq_seekindex_fini(&index);
	return r;
}

int cq_recover_check_indexes(struct cq_recovery *v)
{
	int r = 0;

	cq_meter_begin(&v->meter, CQ_PHASE_INDEXES, v->candidate_count, v->segment_size);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		switch (c->act) {
		case CQ_ACT_KEEP:
			r = check(v, c, c->kind == CQ_KIND_SEALED);
			break;
		case CQ_ACT_CONTINUE:
			r = check(v, c, false);
			break;
		case CQ_ACT_SEAL:
		case CQ_ACT_CUT_AND_SEAL:
			c->index = c->survey.records > 0;
			break;
		case CQ_ACT_SET_ASIDE:
			break;
		}
		cq_meter_next(&v->meter);
	}
	return r;
}

int cq_recover_build_indexes(struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];
		struct cq_seekindex index;

		if (!c->index)
			continue;
		if (!cq_recover_stays_sealed(c)) {
			r = cq_repair_drop_index(v->dirfd, c->id);
			continue;
		}
		/* one segment's time, and steps have been done: not told */
		r = build(v, c->id, NULL, &index);
		if (r == 0) {
			r = cq_seekindex_write(v->dirfd, &index);
			cq_seekindex_fini(&index);
		}
		cq_point("repair.index_written");
	}
	return r;
}
