/* SPDX-License-Identifier: Apache-2.0 */
/* places.c - see places.h; a failure to make a queue fails the test */
#include "places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "format/format.h"
#include "format/record.h"
#include "support.h"

#define SIZE 4096U
#define RECORD(i) (64 + 1088ULL * (i))

/* ---- making them ---- */

static uint8_t whole[SEGMENTS][SIZE]; /* as our writer left them */

void places_make(struct stream_fixture *f)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];
	cq_writer *writer;
	uint64_t end = 0;

	stream_writer(f->dir, SIZE, &writer);
	for (unsigned i = 0; i < SEGMENTS * 3; i++)
		stream_append(writer, &end, EACH);
	assert_int_equal(cq_writer_close(writer), 0);
	for (uint32_t id = 0; id < SEGMENTS; id++) {
		cq_segment_name(name, id);
		support_peek(f->dir, name, 0, whole[id], SIZE);
	}
	/* a prepared one, if the writer had it before it was closed */
	cq_segment_name(name, SEGMENTS);
	support_path(path, f->dir, name);
	assert_true(unlink(path) == 0 || errno == ENOENT);
}

static void strip(uint8_t *bytes, unsigned records)
{
	memset(bytes + offsetof(struct cq_segment_header, ext), 0,
	       sizeof(struct cq_segment_header) - offsetof(struct cq_segment_header, ext));
	for (unsigned i = 0; i < records; i++)
		memset(bytes + RECORD(i) + offsetof(struct cq_record_header, ext), 0,
		       sizeof(struct cq_record_header) - offsetof(struct cq_record_header, ext));
}

static void put_segment(const char *dir, uint32_t id, enum kind kind)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];
	uint8_t bytes[SIZE] __attribute__((aligned(64)));
	int fd;

	cq_segment_name(name, id);
	support_path(path, dir, name);
	if (kind == MISSING) {
		assert_true(unlink(path) == 0 || errno == ENOENT);
		return;
	}
	memcpy(bytes, whole[id], SIZE);
	if (kind == THEIRS || kind == CONTINUED)
		strip(bytes, kind == THEIRS ? 3 : 2);
	if (kind == BEGUN || kind == UNUSED)
		memset(bytes + (kind == BEGUN ? RECORD(1) : RECORD(0)), 0,
		       SIZE - (kind == BEGUN ? RECORD(1) : RECORD(0)));
	if (kind == UNUSED)
		strip(bytes, 0);
	if (kind == BEGUN) {
		struct cq_segment_header *h = (struct cq_segment_header *)(void *)bytes;

		h->records = h->used = h->payload_bytes = 0;
		h->ext_crc = cq_segment_ext_crc(h);
	}
	if (kind == BEGUN || kind == UNUSED)
		memset(bytes + offsetof(struct cq_segment_header, flags), 0, sizeof(uint32_t));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, SIZE, 0), SIZE);
	close(fd);
}

/* ---- the rules of catalog.h ---- */

static bool is_there(const struct mixture *m, uint32_t id)
{
	return id < SEGMENTS && m->kinds[id] != MISSING;
}

static uint64_t placed(const struct mixture *m, uint32_t id)
{
	uint32_t at = id, last = id;

	while (is_there(m, last + 1))
		last++;
	/* itself, or one before it, none missing between */
	for (at = id + 1; at-- > 0 && is_there(m, at);)
		if (m->kinds[at] == OURS)
			return (uint64_t)id * PER;
	/* one behind it: by its beginning or, if it is the last of them, by any record */
	for (at = id + 1; at <= last; at++)
		if (m->kinds[at] == OURS)
			return (uint64_t)id * PER;
	if (m->kinds[last] == CONTINUED)
		return (uint64_t)id * PER;
	/* the nearest before it, as if nothing were missing */
	for (at = id; at-- > 0;)
		if (is_there(m, at))
			return placed(m, at) + PER;
	return 0;
}

void places_by_rule(struct mixture *m)
{
	bool any = false;

	m->begin = m->end = 0;
	for (uint32_t id = 0; id < SEGMENTS; id++) {
		if (!is_there(m, id))
			continue;
		m->base[id] = placed(m, id);
		if (!any)
			m->begin = m->base[id];
		any = true;
		m->end = m->base[id] + PER;
	}
}

void places_put(struct stream_fixture *f, struct mixture *m)
{
	uint32_t current = 0;

	for (uint32_t id = 0; id < SEGMENTS; id++) {
		put_segment(f->dir, id, m->kinds[id]);
		if (is_there(m, id) && m->kinds[id] != UNUSED)
			current = id;
	}
	support_poke(f->dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, current_segment),
	             &current, sizeof current);
	places_by_rule(m);
}

/* ---- asking ---- */

static int expect_segment(cq_stream *stream, const struct mixture *m, uint32_t id)
{
	struct cq_span span;
	int r = cq_stream_segment(stream, id, &span);

	if (!is_there(m, id))
		return r == -ENOENT ? 0 : r < 0 ? r : WRONG;
	if (r < 0)
		return r;
	return span.begin == m->base[id] && span.bytes == PER ? 0 : WRONG;
}

/* The segment that holds a position; SEGMENTS: none does. */
static uint32_t holder(const struct mixture *m, uint64_t position)
{
	uint32_t id = 0;

	while (id < SEGMENTS &&
	       !(is_there(m, id) && position >= m->base[id] && position - m->base[id] < PER))
		id++;
	return id;
}

/* The bytes at a position, or ENODATA where there are none. */
static int expect_bytes(cq_stream *stream, const struct mixture *m, uint64_t position)
{
	const uint32_t begins = holder(m, position);
	uint8_t bytes[PER];
	ssize_t n;

	n = cq_stream_pread(stream, bytes, sizeof bytes, position);
	if (begins == SEGMENTS)
		return n == (position < m->end ? -ENODATA : 0) ? 0 : n < 0 ? (int)n : WRONG;
	if (n <= 0)
		return n < 0 ? (int)n : WRONG;
	for (uint64_t at = position; at < position + (uint64_t)n; at++) {
		const uint32_t id = holder(m, at);

		if (id == SEGMENTS ||
		    bytes[at - position] != stream_byte((uint64_t)id * PER + (at - m->base[id])))
			return WRONG;
	}
	return 0;
}

/* From there on: the first byte, and behind that the first place where bytes are missing. */
static int expect_hole(cq_stream *stream, const struct mixture *m, uint64_t position)
{
	uint64_t data = m->end, hole = m->end, at;
	uint32_t behind = SEGMENTS;
	int r;

	if (position < m->begin)
		position = m->begin;
	for (uint32_t id = SEGMENTS; id-- > 0;)
		if (is_there(m, id) && m->base[id] + PER > position)
			data = m->base[id] > position ? m->base[id] : position;
	for (uint32_t id = SEGMENTS; id-- > 0;) {
		if (!is_there(m, id))
			continue;
		if (behind < SEGMENTS && m->base[behind] > m->base[id] + PER &&
		    m->base[id] + PER > data)
			hole = m->base[id] + PER;
		behind = id;
	}
	r = cq_stream_next_data(stream, position, &at);
	if (r < 0 || at != data)
		return r < 0 ? r : WRONG;
	if (data == m->end)
		return 0;
	r = cq_stream_next_hole(stream, data, &at);
	return r < 0 ? r : at == hole ? 0 : WRONG;
}

static int expect_extent(cq_stream *stream, const struct mixture *m)
{
	uint64_t begin, end;
	int r = cq_stream_extent(stream, &begin, &end);

	assert_int_not_equal(r, -ENOENT); /* that one segment is gone is no reason */
	if (r < 0)
		return r;
	return begin == m->begin && end == m->end ? 0 : WRONG;
}

/* Until something fails, or is wrong. */
int places_ask(cq_stream *stream, const struct mixture *m, uint64_t *sequence, unsigned times)
{
	int r = 0;

	while (r == 0 && times-- > 0) {
		const uint64_t position = stream_random(sequence, m->end + 10);

		switch (stream_random(sequence, 4)) {
		case 0:
			r = expect_segment(stream, m,
			                   (uint32_t)stream_random(sequence, SEGMENTS + 1));
			break;
		case 1:
			r = expect_hole(stream, m, position);
			break;
		case 2:
			r = expect_extent(stream, m);
			break;
		default:
			r = expect_bytes(stream, m, position);
			break;
		}
	}
	return r;
}

void places_print(const struct mixture *m, uint64_t sequence)
{
	print_message("# ");
	for (uint32_t id = 0; id < SEGMENTS; id++)
		print_message("%c", "OTC.?BU"[m->kinds[id]]);
	print_message(" sequence %llu\n", (unsigned long long)sequence);
}
