/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - what an opening writer does with what it finds; see recover.h */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "durable.h"
#include "fault.h"
#include "io.h"
#include "log.h"
#include "record.h"
#include "repair.h"
#include "segdir.h"
#include "survey.h"

enum kind {
	FRESH,     /* published, no record yet */
	OPEN,      /* holds records, not sealed */
	SEALED,
	UNWRITTEN, /* its name is there, its first bytes never reached the disk */
	BAD,       /* anything else: wrong size, header, ... */
};

enum act { KEEP, SEAL, CUT_AND_SEAL, CONTINUE, SET_ASIDE };

struct candidate {
	uint32_t id;
	enum kind kind;
	enum act act;
	struct cq_segment_header header;
	struct cq_active *segment; /* opened and counted; SEAL, CUT_AND_SEAL, CONTINUE */
	struct cq_survey survey;
};

struct recovery {
	int dirfd;
	const struct cq_config *config;
	uint64_t segment_size;
	uint32_t *ids; /* all that are published */
	size_t count;
	bool marked;   /* the watermark is known */
	struct cq_durable_slot mark;
	uint64_t epoch; /* highest seen */

	struct candidate *candidates; /* from the watermark on */
	size_t candidate_count;

	/* the plan */
	uint32_t active_id;
	uint64_t tail;    /* where the queue ends, in active_id */
	bool hole;        /* something before a later segment is missing */
	uint64_t end_seq; /* next sequence number at that point, where known */
	bool end_seq_known;
};

/* ---- looking ---- */

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

/* Geometry: what the files agree on, else control.meta, else the caller's wish. */
static int find_segment_size(struct recovery *v)
{
	uint64_t first = 0, last = 0, size = 0, wish = v->config->segment_size;
	struct cq_control control;
	int r;

	if (cq_control_open(&control, v->dirfd, false) == 0) {
		if (size_sound(control.page->segment_size))
			size = control.page->segment_size;
		v->epoch = control.page->epoch;
		cq_control_close(&control);
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
		if (!size_sound(size)) {
			cq_log(v->config, CQ_ERROR, "no segment has a size that the format knows");
			return -EBADMSG;
		}
	}
	if (size != 0 && wish != 0 && wish != size) {
		cq_log(v->config, CQ_ERROR,
		       "the queue has segments of %" PRIu64 " bytes, not %" PRIu64, size, wish);
		return -EINVAL;
	}
	v->segment_size = size ? size : wish ? wish : CQ_SEGMENT_SIZE_DEFAULT;
	return 0;
}

static int look_at(struct recovery *v, struct candidate *c)
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

	c->kind = BAD;
	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r == -ELOOP)
		return 0;
	if (r < 0)
		return r;
	memset(&start, 0, sizeof start);
	r = cq_io_stat(fd, &st);
	n = r;
	if (r == 0 && S_ISREG(st.st_mode))
		n = cq_io_pread(fd, &start, sizeof start.header + sizeof start.commit, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	c->header = start.header;
	if (!S_ISREG(st.st_mode))
		return 0;
	if (memcmp(&start.header, &zero, sizeof zero) == 0 && start.commit == 0)
		c->kind = UNWRITTEN;
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
		c->kind = SEALED;
	else
		c->kind = start.commit == 0 ? FRESH : OPEN;
	return 0;
}

static int look_at_all(struct recovery *v)
{
	size_t first = 0;
	int r;

	while (v->marked && first < v->count && v->ids[first] < v->mark.segment)
		first++;
	v->candidate_count = v->count - first;
	v->candidates = calloc(v->candidate_count + 1, sizeof *v->candidates);
	if (!v->candidates)
		return -ENOMEM;
	for (size_t i = 0; i < v->candidate_count; i++) {
		v->candidates[i].id = v->ids[first + i];
		r = look_at(v, &v->candidates[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Opens the segment and counts what it holds. */
static int survey(struct recovery *v, struct candidate *c)
{
	int r;

	r = cq_segment_open_writable(v->dirfd, c->id, v->segment_size, &c->segment);
	if (r == 0)
		r = cq_survey(c->segment->map.fd, v->segment_size, &c->header, c->segment,
		              &c->survey);
	if (r == 0 && c->survey.epoch > v->epoch)
		v->epoch = c->survey.epoch;
	return r;
}

/* ---- deciding ---- */

/* Does this segment begin where the one before it ended?  Unknown counts as yes. */
static bool connects(const struct recovery *v, const struct candidate *c)
{
	uint64_t first;

	if (cq_segment_ext_valid(&c->header))
		first = c->header.first_seq;
	else if (c->survey.records > 0 && c->survey.anchored)
		first = c->survey.first_seq;
	else
		return true;
	return !v->end_seq_known || first == v->end_seq;
}

static void end_at(struct recovery *v, const struct candidate *c, uint64_t tail)
{
	v->active_id = c->id;
	v->tail = tail;
	if (c->survey.records > 0) {
		v->end_seq = c->survey.max_seq + 1;
		v->end_seq_known = c->survey.anchored;
	} else if (cq_segment_ext_valid(&c->header)) {
		v->end_seq = c->header.first_seq;
		v->end_seq_known = true;
	}
}

static bool summary_agrees(const struct candidate *c)
{
	const struct cq_segment_header *h = &c->header;

	if (!cq_segment_ext_valid(h))
		return !c->survey.damaged;
	return h->used == c->survey.tail && h->records == c->survey.records &&
	       h->payload_bytes == c->survey.payload_bytes;
}

/* A segment with records, or what may have been one, before or at the last such. */
static int decide_one(struct recovery *v, struct candidate *c, bool last)
{
	bool lost; /* something that was durable */
	int r;

	if (c->kind == BAD || c->kind == UNWRITTEN) {
		c->act = SET_ASIDE;
		v->hole = true;
		v->active_id = c->id;
		v->tail = sizeof(struct cq_segment_header);
		return 0;
	}
	if (c->kind == SEALED && !v->marked) { /* taken as it is */
		v->active_id = c->id + 1;
		v->tail = sizeof(struct cq_segment_header);
		v->end_seq_known = false;
		return 0;
	}
	r = survey(v, c);
	if (r < 0)
		return r;
	if (v->marked && !connects(v, c)) {
		c->act = SET_ASIDE;
		v->hole = true;
		return 0;
	}
	end_at(v, c, c->survey.tail);
	lost = v->marked && c->id == v->mark.segment && c->survey.tail < v->mark.offset;
	if (c->kind == SEALED && summary_agrees(c) && !lost) {
		c->act = KEEP;
	} else if (c->kind == SEALED) {
		c->act = CUT_AND_SEAL;
		v->hole = true;
	} else if (last) {
		c->act = CONTINUE;
		return 0;
	} else {
		c->act = c->survey.damaged || lost ? CUT_AND_SEAL : SEAL;
		v->hole |= v->marked && c->act == CUT_AND_SEAL;
	}
	/* What a sealed segment says of its end is as good as the successor's beginning. */
	if (c->act != CUT_AND_SEAL) {
		v->active_id = c->id + 1;
		v->tail = sizeof(struct cq_segment_header);
	}
	return 0;
}

static int decide(struct recovery *v)
{
	size_t end = v->candidate_count; /* behind the last segment that is or was in use */
	int r;

	for (; end > 0; end--) {
		struct candidate *spare = &v->candidates[end - 1];

		/* an unwritten one is a spare of which only the name arrived */
		if (spare->kind == UNWRITTEN)
			spare->act = SET_ASIDE;
		else if (spare->kind != FRESH || cq_planted("advance_because_next_exists"))
			break;
	}
	v->active_id = v->marked && v->mark.segment <= CQ_SEGMENT_ID_MAX ? (uint32_t)v->mark.segment
	               : v->count > 0                                    ? v->ids[0]
	                                                                 : 0;
	v->tail = sizeof(struct cq_segment_header);
	if (v->candidate_count > 0 && v->candidates[0].id > v->active_id) {
		if (v->candidate_count < v->count) { /* retention takes the oldest first */
			v->hole = true;
		} else { /* it took what the watermark last named */
			v->active_id = v->candidates[0].id;
			v->marked = v->marked && end > 0;
		}
	}
	for (size_t i = 0; i < end; i++) {
		struct candidate *c = &v->candidates[i];

		if (v->marked && i > 0 && c->id != v->candidates[i - 1].id + 1)
			v->hole = true;
		if (v->hole && v->marked) {
			if (c->kind != FRESH)
				c->act = SET_ASIDE;
			continue;
		}
		r = decide_one(v, c, i + 1 == end);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_loss(const struct recovery *v)
{
	if (!v->marked)
		return false;
	return v->active_id < v->mark.segment ||
	       (v->active_id == v->mark.segment && v->tail < v->mark.offset);
}

/* ---- acting ---- */

static int act_on(struct recovery *v, struct candidate *c)
{
	char aside[CQ_NAME_MAX];
	uint64_t bytes;
	int r;

	if (c->act == SET_ASIDE) {
		r = cq_repair_set_aside(v->dirfd, c->id, aside);
		if (r == 0)
			cq_log(v->config, CQ_WARNING, "segment %09u set aside as %s: %s", c->id,
			       aside,
			       c->kind == BAD || c->kind == UNWRITTEN
			               ? "it is not a sound segment"
			               : "records before it are missing");
		return r;
	}
	if (c->act == KEEP)
		return 0;
	r = cq_repair_tail(v->dirfd, c->segment, c->survey.tail, &bytes);
	if (r < 0)
		return r;
	if (bytes > 0)
		cq_log(v->config, CQ_NOTICE,
		       "segment %09u: what an unfinished write left behind offset %" PRIu64
		       " is now in " CQ_SEGMENT_BROKEN,
		       c->id, c->survey.tail, c->id);
	return 0;
}

/* The numbers that hold at the beginning of segment `id`, from what is before it. */
static int find_beginning(struct recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base)
{
	uint64_t seq = 0, behind = 0;

	for (size_t i = v->count; i-- > 0;) {
		struct candidate c = { .id = v->ids[i] };
		struct cq_survey s;
		char name[CQ_NAME_MAX];
		int fd, r;

		if (c.id >= id)
			continue;
		r = look_at(v, &c);
		if (r == -ENOENT || c.kind == BAD || c.kind == UNWRITTEN)
			continue; /* set aside, or missing */
		if (r < 0)
			return r;
		if (c.kind == SEALED && cq_segment_ext_valid(&c.header)) {
			uint64_t next = c.header.first_seq + c.header.records;

			*ret_seq = next > seq ? next : seq;
			*ret_base = c.header.stream_base + c.header.payload_bytes + behind;
			return 0;
		}
		cq_segment_name(name, c.id);
		r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
		if (r < 0)
			return r;
		r = cq_survey(fd, v->segment_size, &c.header, NULL, &s);
		close(fd);
		if (r < 0)
			return r;
		if (s.records > 0 && s.max_seq + 1 > seq)
			seq = s.max_seq + 1;
		if (s.anchored || cq_segment_ext_valid(&c.header)) {
			*ret_seq = seq > c.header.first_seq ? seq : c.header.first_seq;
			*ret_base = behind + (s.anchored ? s.stream_end
			                                 : c.header.stream_base + s.payload_bytes);
			return 0;
		}
		behind += s.payload_bytes;
	}
	*ret_seq = seq;
	*ret_base = behind;
	return 0;
}

/* Gives a counted segment the numbers that it began with. */
static int number(struct recovery *v, struct candidate *c, uint64_t *ret_end_seq)
{
	struct cq_active *s = c->segment;
	uint64_t seq, base;
	int r;

	if (cq_segment_ext_valid(&c->header)) {
		seq = c->header.first_seq;
		base = c->header.stream_base;
	} else {
		r = find_beginning(v, c->id, &seq, &base);
		if (r < 0)
			return r;
	}
	if (c->survey.anchored)
		base = c->survey.stream_end - c->survey.payload_bytes;
	*ret_end_seq = seq;
	if (c->survey.records > 0) {
		if (c->survey.max_seq + 1 > seq)
			*ret_end_seq = c->survey.max_seq + 1;
		seq = c->survey.first_seq;
		/* earlier segments went further: counting from here would not show it */
		if (seq + c->survey.records != *ret_end_seq)
			s->mixed = true;
	}
	cq_segment_take(s, seq, base);
	return 0;
}

static int act(struct recovery *v, struct cq_recovered *out)
{
	struct candidate *current = NULL;
	struct candidate fresh = { .id = v->active_id, .kind = FRESH };
	uint64_t end_seq;
	int r;

	for (size_t i = 0; i < v->candidate_count; i++) {
		struct candidate *c = &v->candidates[i];

		r = act_on(v, c);
		if (r < 0)
			return r;
		if (c->act == SEAL || c->act == CUT_AND_SEAL) {
			r = number(v, c, &end_seq);
			if (r < 0)
				return r;
			cq_segment_seal(c->segment);
			r = cq_io_sync_data(c->segment->map.fd);
			if (r < 0)
				return r;
			if (v->active_id == c->id)
				v->active_id++; /* cut short: go on behind it */
			fresh.id = v->active_id;
		} else if (c->act == CONTINUE) {
			current = c;
		}
	}
	cq_point("recover.repaired");
	if (!current) {
		if (fresh.id > CQ_SEGMENT_ID_MAX)
			return -EOVERFLOW;
		r = cq_segment_open_or_create(v->dirfd, fresh.id, v->segment_size, CQ_BY_WRITER,
		                              &fresh.segment);
		if (r < 0)
			return r;
		fresh.header = *cq_active_header(fresh.segment);
		fresh.survey.tail = sizeof(struct cq_segment_header);
		fresh.act = CONTINUE;
		current = &fresh;
		/* older records may stand behind a first page that never came to the disk */
		r = cq_segment_is_fresh(fresh.segment) ? act_on(v, &fresh) : -EBADMSG;
	}
	if (r == 0)
		r = number(v, current, &end_seq);
	if (r < 0) {
		if (current == &fresh)
			cq_segment_free(fresh.segment);
		return r;
	}
	out->active = current->segment;
	current->segment = NULL;
	out->next_seq = end_seq;
	out->stream_end = out->active->stream_base + out->active->payload_bytes;
	out->last_time = current->survey.last_time;
	return 0;
}

static void report_loss(struct recovery *v)
{
	const enum cq_level level = v->config->accept_loss ? CQ_WARNING : CQ_ERROR;
	uint64_t first = v->end_seq, base;

	if (v->end_seq_known || (v->tail == sizeof(struct cq_segment_header) &&
	                         find_beginning(v, v->active_id, &first, &base) == 0))
		cq_log(v->config, level,
		       "durable records %" PRIu64 " to %" PRIu64
		       " are missing or damaged, from segment "
		       "%09u offset %" PRIu64 " on",
		       first, v->mark.seq - 1, v->active_id, v->tail);
	else
		cq_log(v->config, level,
		       "durable records up to %" PRIu64
		       " are missing or damaged, from segment %09u "
		       "offset %" PRIu64 " on",
		       v->mark.seq - 1, v->active_id, v->tail);
}

/* The loss is accepted: what remained is what was durable.  Else a kill before the next flush would
 * have it accepted again. */
static int lower_mark(const struct recovery *v, struct cq_durable_slot mark)
{
	struct cq_durable durable;
	int r;

	r = cq_durable_open(&durable, v->dirfd);
	if (r < 0)
		return r;
	r = cq_durable_store(&durable, mark);
	cq_durable_close(&durable);
	return r;
}

static void free_recovery(struct recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		cq_segment_free(v->candidates[i].segment);
	free(v->candidates);
	free(v->ids);
}

int cq_recover(int dirfd, const struct cq_config *config, struct cq_recovered *ret_recovered)
{
	struct recovery v = { .dirfd = dirfd, .config = config };
	struct cq_recovered out = { 0 };
	struct cq_durable_slot remains;
	bool loss;
	int r;

	r = cq_segdir_sweep(dirfd);
	if (r == 0)
		r = cq_segdir_list(dirfd, &v.ids, &v.count);
	if (r < 0)
		return r;
	r = find_segment_size(&v);
	if (r < 0)
		goto out;
	r = cq_durable_read(dirfd, &v.mark);
	if (r < 0 && r != -ENOENT && r != -EIO)
		goto out;
	v.marked = r == 0;
	if (v.marked && v.mark.epoch > v.epoch)
		v.epoch = v.mark.epoch;
	r = look_at_all(&v);
	if (r == 0)
		r = decide(&v);
	if (r < 0)
		goto out;
	loss = is_loss(&v);
	remains = (struct cq_durable_slot){ .segment = v.active_id,
		                            .offset = v.tail,
		                            .epoch = v.mark.epoch };
	if (loss) {
		report_loss(&v);
		r = -EBADMSG;
		if (!config->accept_loss)
			goto out;
	} else if (!v.marked && v.hole && !config->accept_loss) {
		cq_log(config, CQ_ERROR, "segment %09u is not a sound segment", v.active_id);
		r = -EBADMSG;
		goto out;
	}
	out.unsynced_from = v.marked ? (uint32_t)v.mark.segment : 0;
	r = act(&v, &out);
	if (r < 0)
		goto out;
	remains.seq = out.next_seq;
	r = loss ? lower_mark(&v, remains) : 0;
	if (r < 0) {
		cq_segment_free(out.active);
		goto out;
	}
	out.segment_size = v.segment_size;
	out.epoch = (uint32_t)v.epoch + 1;
	out.created = v.count == 0 && !v.marked;
	out.oldest = v.count > 0 ? v.ids[0] : out.active->id;
	*ret_recovered = out;
out:
	free_recovery(&v);
	return r;
}
