/* SPDX-License-Identifier: Apache-2.0 */
/* wsegment.c - one segment file from temp name to seal; see wsegment.h */
#include "files/wsegment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/record.h"
#include "os/fault.h"
#include "os/io.h"

static void temp_name(char name[CQ_NAME_MAX], const struct cq_wsegment *segment)
{
	if (segment->prepared_by == CQ_BY_PREPARER)
		snprintf(name, CQ_NAME_MAX, CQ_SEGMENT_TEMP, segment->id);
	else
		snprintf(name, CQ_NAME_MAX, CQ_SEGMENT_TEMP_FALLBACK, segment->id);
}

static int new_wsegment(uint32_t id, uint64_t size, struct cq_wsegment **ret_segment)
{
	/* as many entries as the smallest records can make, so that appending never allocates */
	const uint64_t capacity = size / CQ_ALIGN / CQ_INDEX_STRIDE + 1;
	struct cq_wsegment *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->map = CQ_MAPPING_NONE;
	s->id = id;
	s->index_capacity = capacity;
	s->index = calloc(capacity, sizeof *s->index);
	if (!s->index) {
		free(s);
		return -ENOMEM;
	}
	*ret_segment = s;
	return 0;
}

void cq_wsegment_free(struct cq_wsegment *segment)
{
	if (!segment)
		return;
	cq_mapping_close(&segment->map);
	free(segment->index);
	free(segment);
}

int cq_wsegment_prefault(struct cq_wsegment *segment, uint64_t offset)
{
	uint64_t length = segment->map.size - offset;
	int r;

	if (length > CQ_PREFAULT_WINDOW)
		length = CQ_PREFAULT_WINDOW;
	r = cq_mapping_populate(&segment->map, offset, length);
	if (r == -EINVAL) /* Linux before 5.14 cannot */
		r = 0;
	__atomic_store_n(&segment->populated, offset + length, __ATOMIC_RELEASE);
	return r;
}

int cq_wsegment_prepare(int dirfd, uint32_t id, uint64_t size, enum cq_preparer by,
                        struct cq_wsegment **ret_segment)
{
	char name[CQ_NAME_MAX];
	struct cq_wsegment *s;
	struct cq_segment_header *h;
	int r;

	r = new_wsegment(id, size, &s);
	if (r < 0)
		return r;
	s->created = true;
	s->prepared_by = by;
	temp_name(name, s);
	r = cq_mapping_create_new(&s->map, dirfd, name, size);
	if (r == -EEXIST) {
		/* A leftover: this process holds the queue's lock and has prepared no such id. */
		r = cq_io_unlink(dirfd, name);
		if (r == 0 || r == -ENOENT)
			r = cq_mapping_create_new(&s->map, dirfd, name, size);
	}
	if (r < 0)
		goto fail;
	/* Before the first store: this reports an error that the store could only raise as SIGBUS. */
	r = cq_wsegment_prefault(s, 0);
	if (r < 0)
		goto fail;
	cq_point("prepare.populated");
	h = cq_wsegment_header(s);
	h->magic = CQ_SEGMENT_MAGIC;
	h->version = s->version = CQ_SEGMENT_VERSION;
	h->id = id;
	s->used = sizeof *h;
	*ret_segment = s;
	return 0;
fail:
	if (s->map.base && !cq_planted("temp_left_behind"))
		(void)cq_io_unlink(dirfd, name);
	cq_wsegment_free(s);
	return r;
}

int cq_wsegment_publish(int dirfd, struct cq_wsegment *segment)
{
	char temp[CQ_NAME_MAX], name[CQ_NAME_MAX];
	int r;

	temp_name(temp, segment);
	cq_segment_name(name, segment->id);
	r = cq_planted("publish_replaces") ? cq_io_rename(dirfd, temp, name)
	                                   : cq_io_rename_noreplace(dirfd, temp, name);
	if (r == 0) {
		cq_point("publish.renamed");
		segment->published = true;
	}
	return r;
}

void cq_wsegment_discard(int dirfd, const struct cq_wsegment *segment)
{
	char name[CQ_NAME_MAX];

	if (segment->published)
		return;
	temp_name(name, segment);
	(void)cq_io_unlink(dirfd, name);
}

int cq_wsegment_open(int dirfd, uint32_t id, uint64_t size, struct cq_wsegment **ret_segment)
{
	char name[CQ_NAME_MAX];
	struct cq_wsegment *s;
	const struct cq_segment_header *h;
	int r;

	cq_segment_name(name, id);
	r = new_wsegment(id, size, &s);
	if (r < 0)
		return r;
	r = cq_mapping_open(&s->map, dirfd, name, size, true);
	if (r < 0)
		goto fail;
	h = cq_wsegment_header(s);
	r = -EBADMSG;
	if (!cq_segment_header_valid(h, id))
		goto fail;
	s->version = h->version;
	s->used = sizeof *h;
	s->published = true;
	*ret_segment = s;
	return 0;
fail:
	cq_wsegment_free(s);
	return r;
}

int cq_wsegment_publish_or_open(int dirfd, struct cq_wsegment **segment)
{
	const uint32_t id = (*segment)->id;
	const uint64_t size = (*segment)->map.size;
	int r;

	r = cq_wsegment_publish(dirfd, *segment);
	if (r == 0)
		return 0;
	cq_wsegment_discard(dirfd, *segment);
	cq_wsegment_free(*segment);
	*segment = NULL;
	return r == -EEXIST ? cq_wsegment_open(dirfd, id, size, segment) : r;
}

int cq_wsegment_open_or_create(int dirfd, uint32_t id, uint64_t size,
                               struct cq_wsegment **ret_segment)
{
	char name[CQ_NAME_MAX];
	struct cq_wsegment *s;
	int r;

	cq_segment_name(name, id);
	if (cq_planted("replacing_create"))
		(void)cq_io_unlink(dirfd, name);
	r = cq_wsegment_open(dirfd, id, size, ret_segment);
	if (r != -ENOENT)
		return r;
	r = cq_wsegment_prepare(dirfd, id, size, CQ_BY_ROLL, &s);
	if (r < 0)
		return r;
	cq_point("open_or_create.before_publish");
	r = cq_wsegment_publish_or_open(dirfd, &s);
	if (r == 0)
		*ret_segment = s;
	return r;
}

int cq_wsegment_create_first(int dirfd, uint32_t id, uint64_t size, uint64_t first_seq,
                             uint64_t stream_base, struct cq_wsegment **ret_segment)
{
	struct cq_wsegment *s;
	int r;

	r = cq_wsegment_prepare(dirfd, id, size, CQ_BY_ROLL, &s);
	if (r < 0)
		return r;
	if (!cq_planted("begin_after_name"))
		cq_wsegment_take(s, first_seq, stream_base);
	r = cq_io_sync_data(s->map.fd);
	cq_point("begin.synced");
	if (r == 0)
		r = cq_wsegment_publish(dirfd, s);
	if (r < 0) {
		cq_wsegment_discard(dirfd, s);
		cq_wsegment_free(s);
		return r;
	}
	if (cq_planted("begin_after_name"))
		cq_wsegment_take(s, first_seq, stream_base);
	*ret_segment = s;
	return 0;
}

bool cq_wsegment_is_fresh(const struct cq_wsegment *segment)
{
	const uint8_t *base = segment->map.base;

	return !(cq_segment_flags_load(base) & CQ_SEALED) &&
	       cq_commit_load(base + sizeof(struct cq_segment_header)) == 0;
}

/* Extension fields first, their CRC over them, and ext last: a torn header reads as ext = 0 or as a
 * wrong CRC, both of which mean "derive it". */
static void write_ext(struct cq_wsegment *segment)
{
	struct cq_segment_header *h = cq_wsegment_header(segment);

	h->stream_base = segment->stream_base;
	h->first_seq = segment->first_seq;
	cq_point("summary.fields");
	h->ext_crc = cq_segment_ext_crc(h);
	cq_point("summary.crc");
	__atomic_store_n(&h->ext, 1, __ATOMIC_RELEASE);
}

void cq_wsegment_take(struct cq_wsegment *segment, uint64_t first_seq, uint64_t stream_base)
{
	struct cq_segment_header *h = cq_wsegment_header(segment);

	segment->first_seq = first_seq;
	segment->stream_base = stream_base;
	if (segment->discontiguous)
		return;
	/* a segment that recovery seals again gets its figures with the seal: a kill before that would leave
	 * a header that says that nothing had ever been in it */
	if (h->flags & CQ_SEALED)
		return;
	/* a writer that was killed between summary and seal has left figures, and more records will follow */
	h->records = h->used = h->payload_bytes = 0;
	write_ext(segment);
}

void cq_wsegment_pad(struct cq_wsegment *segment)
{
	const struct cq_record_header pad = {
		.version =
			(uint8_t)(segment->version == CQ_SEGMENT_VERSION_1 ? 0 : CQ_RECORD_VERSION),
		.type = CQ_TYPE_PAD,
	};
	uint8_t *at = segment->map.base + sizeof(struct cq_segment_header);

	if (cq_wsegment_is_placeholder(segment))
		return;
	memcpy(at + sizeof pad.commit, (const uint8_t *)&pad + sizeof pad.commit,
	       sizeof pad - sizeof pad.commit);
	cq_point("skip.pad_stored");
	cq_commit_store(at, 1);
	segment->used = CQ_PLACEHOLDER_USED;
}

void cq_wsegment_count(struct cq_wsegment *segment, uint64_t offset, uint64_t seq, uint64_t time_ns,
                       uint64_t payload_length)
{
	if (segment->records % CQ_INDEX_STRIDE == 0 &&
	    segment->index_count < segment->index_capacity) /* GCOV_EXCL_BR_LINE: never full */
		segment->index[segment->index_count++] =
			(struct cq_index_entry){ .seq = seq, .time_ns = time_ns, .offset = offset };
	if (segment->records == 0 || time_ns < segment->min_time)
		segment->min_time = time_ns;
	if (segment->records == 0 || time_ns > segment->max_time)
		segment->max_time = time_ns;
	if (seq != segment->first_seq + segment->records)
		segment->discontiguous = true;
	segment->last_seq = seq;
	segment->last_time = time_ns;
	segment->records++;
	segment->payload_bytes += payload_length;
	segment->used = offset + cq_record_span(payload_length);
}

void cq_wsegment_get_counts(const struct cq_wsegment *segment, bool sealed,
                            struct cq_segment_counts *ret_counts)
{
	*ret_counts = (struct cq_segment_counts){
		.records = segment->records,
		.payload_bytes = segment->payload_bytes,
		.used = segment->used,
		.first_seq = segment->first_seq,
		.last_seq = segment->last_seq,
		/* the index always has an entry of the first record */
		.first_time_ns = segment->records > 0 ? segment->index[0].time_ns : 0,
		.last_time_ns = segment->last_time,
		.stream_base = segment->stream_base,
		.sealed = sealed,
	};
}

void cq_wsegment_seal(struct cq_wsegment *segment)
{
	struct cq_segment_header *h = cq_wsegment_header(segment);

	if (segment->discontiguous) {
		/* no summary could say what it holds */
		memset(&h->ext, 0, sizeof *h - offsetof(struct cq_segment_header, ext));
	} else {
		h->records = segment->records;
		h->used = segment->used;
		h->payload_bytes = segment->payload_bytes;
		write_ext(segment);
	}
	cq_point("seal.summary");
	__atomic_store_n(&h->flags, h->flags | CQ_SEALED, __ATOMIC_RELEASE);
}

bool cq_wsegment_is_deleted(const struct cq_wsegment *segment)
{
	struct stat st;

	return cq_io_stat(segment->map.fd, &st) == 0 && st.st_nlink == 0;
}
