/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata.c - what a repair says of control.meta, index.meta, durable.meta and the indexes
 *
 * None of them decides anything.  The three small ones are set right by every writer that opens and
 * closes; so here they are only looked at.  Indexes are built anew.
 */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/record.h"
#include "format/walk.h"
#include "format/window.h"
#include "meta/watermark.h"
#include "os/fault.h"
#include "os/io.h"

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

static const char *mark_wrong(const struct cq_watermark_slot *slots, uint64_t size)
{
	static const struct cq_watermark_slot none;
	bool any = false;

	if (size < 2 * sizeof *slots)
		return "it is cut short";
	for (int i = 0; i < 2; i++) {
		if (memcmp(&slots[i], &none, sizeof none) == 0)
			continue;
		if (!cq_watermark_slot_valid(&slots[i]))
			return i == 0 ? "slot 0 is damaged" : "slot 1 is damaged";
		any = true;
	}
	return any ? NULL : "it says nothing";
}

/*
 * What comes at the watermark's place in segment c: whether a record begins there or the records end, and
 * the number that is next, where one of ours tells.
 */
struct there {
	bool boundary;
	bool seq_known;
	uint64_t seq;
};

static int look_there(const struct cq_recovery *v, const struct cq_candidate *c, uint64_t offset,
                      struct there *ret_there)
{
	struct there there = { .seq_known = cq_segment_ext_valid(&c->header) &&
		                            !cq_recover_is_stand_in(c),
		               .seq = c->header.first_seq };
	struct cq_record_at record;
	char name[CQ_NAME_MAX];
	struct cq_window scan;
	struct cq_walk walk;
	int fd, r;

	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_window_init(&scan, fd, v->segment_size);
	if (r < 0)
		goto close_segment;
	walk = cq_walk_file(&scan);
	while (walk.offset < offset && (r = cq_walk_step(&walk, &record)) > 0) {
		if (record.header.type == CQ_TYPE_PAD)
			continue;
		there.seq_known = record.header.ext == 1;
		there.seq = record.header.seq + 1;
	}
	there.boundary = walk.offset == offset;
	cq_window_fini(&scan);
	if (r >= 0 || walk.state != CQ_RECORD_OK) {
		*ret_there = there;
		r = 0;
	}
close_segment:
	close(fd);
	return r;
}

/* The segment that the watermark stands in; or the one that it stands at the end of. */
static const struct cq_candidate *marked_one(const struct cq_recovery *v, uint64_t *ret_offset)
{
	const struct cq_watermark_slot *mark = &v->mark;
	const struct cq_candidate *before = NULL;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE)
			continue;
		if (c->id == mark->segment && c->kind != CQ_KIND_FRESH) {
			*ret_offset = mark->offset;
			return c;
		}
		if ((uint64_t)c->id + 1 == mark->segment &&
		    mark->offset == sizeof(struct cq_segment_header) && c->surveyed)
			before = c;
	}
	if (before)
		*ret_offset = before->survey.tail;
	return before;
}

/* Why a sound durable.meta has to be written anew all the same: what it says cannot be. */
static int mark_misplaced(const struct cq_recovery *v, const char **ret_why)
{
	const struct cq_candidate *c;
	struct there there;
	uint64_t offset;
	int r;

	*ret_why = NULL;
	c = v->mark.generation == 0 || cq_recover_is_loss(v) ? NULL : marked_one(v, &offset);
	if (!c)
		return 0;
	r = look_there(v, c, offset, &there);
	if (r < 0)
		return r;
	if (!there.boundary)
		*ret_why = "it names a place where no record begins";
	else if (there.seq_known && there.seq != v->mark.seq)
		*ret_why = "it says another sequence number than the records";
	return 0;
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
	struct cq_watermark_slot slots[2];
	const char *why;
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
	why = r == 0 ? mark_wrong(slots, size) : is_ours(v) ? "it is missing" : NULL;
	r = r == 0 && !why ? mark_misplaced(v, &why) : 0;
	tell(v, CQ_DURABLE_NAME, why);
	return r;
}

/* ---- indexes ---- */

static bool same_entries(const struct cq_index *a, const struct cq_index *b, uint64_t count)
{
	return memcmp(a->entries, b->entries, count * sizeof *a->entries) == 0;
}

/* The index is of what the segment holds, or held when it was written. */
static bool index_fits(const struct cq_index *index, const struct cq_index *right, bool sealed)
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
                 struct cq_index *ret_index)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_index_build(fd, id, v->segment_size, meter, ret_index);
	close(fd);
	return r;
}

static int check(struct cq_recovery *v, struct cq_candidate *c, bool sealed)
{
	struct cq_index index, right;
	char name[CQ_NAME_MAX];
	int r;

	r = cq_index_read(v->dirfd, c->id, v->segment_size, &index);
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
		cq_index_fini(&right);
	} else if (r == -EBADMSG) { /* cut, and the index with it */
		c->index = true;
		r = 0;
	}
	cq_index_fini(&index);
	return r;
}

int cq_recover_check_indexes(struct cq_recovery *v)
{
	int r = 0;

	cq_meter_begin(&v->meter, CQ_PHASE_INDEXES, v->candidate_count, v->segment_size);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		switch (c->act) { /* GCOV_EXCL_BR_LINE: no other value */
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
		struct cq_index index;

		if (!c->index)
			continue;
		if (!cq_recover_stays_sealed(c)) {
			r = cq_quarantine_drop_index(v->dirfd, c->id);
			continue;
		}
		/* one segment's time, and steps have been done: not told */
		r = build(v, c->id, NULL, &index);
		if (r == 0) {
			r = cq_index_write(v->dirfd, &index);
			cq_index_fini(&index);
		}
		cq_point("repair.index_written");
	}
	return r;
}
