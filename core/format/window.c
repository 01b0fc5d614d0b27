/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.c - a segment file, read by pread; see window.h
 *
 * The file is read through a window of a few pages, so that a walk over small records costs one
 * system call per window.  A window is a copy: if the segment's writer is alive, the copy may have a record
 * half-written, or its commit word still zero.  So only a sound record counts in an old window: an end
 * or a damaged record is read again in a fresh copy.
 */
#include "format/window.h"

#include <errno.h>
#include <stdlib.h>

#include "os/fault.h"
#include "os/io.h"

#define WINDOW_SIZE (256ULL << 10)

int cq_window_init(struct cq_window *window, int fd, uint64_t size)
{
	uint8_t *bytes;

	if (size < CQ_FORMAT_SIZE_MIN || size > CQ_FORMAT_SIZE_MAX || size % CQ_ALIGN != 0)
		return -EINVAL;
	bytes = malloc(size < WINDOW_SIZE ? size : WINDOW_SIZE);
	if (!bytes)
		return -ENOMEM;
	*window = (struct cq_window){
		.fd = fd,
		.size = size,
		.bytes = bytes,
	};
	return 0;
}

void cq_window_fini(struct cq_window *window)
{
	free(window->bytes);
	free(window->data);
	*window = (struct cq_window){ .fd = -1 };
}

static int fill(struct cq_window *window, uint64_t offset, uint64_t length)
{
	ssize_t n;

	window->length = 0;
	n = cq_io_pread(window->fd, window->bytes, length, offset);
	if (n < 0)
		return n == -ENOMEM ? -ENOMEM : -EIO;
	window->start = offset;
	window->length = (uint64_t)n;
	return 0;
}

static int refill(struct cq_window *window, uint64_t offset)
{
	uint64_t length = window->size - offset;
	int r;

	r = cq_meter_at(window->meter, offset);
	if (r < 0)
		return r;
	return fill(window, offset, length > WINDOW_SIZE ? WINDOW_SIZE : length);
}

/* Bytes of the file from `offset` on: at least `length` of them (at most a record header), and as many
 * as the window has. */
static int look(struct cq_window *window, uint64_t offset, uint64_t length,
                const uint8_t **ret_bytes, uint64_t *ret_length)
{
	uint64_t end = window->start + window->length;
	int r;

	if (offset < window->start || offset >= end || length > end - offset) {
		r = refill(window, offset);
		if (r < 0)
			return r;
		if (window->length < length)
			return -EIO;
		end = offset + window->length;
	}
	*ret_bytes = window->bytes + (offset - window->start);
	*ret_length = end - offset;
	return 0;
}

static int payload_crc(struct cq_window *window, uint64_t offset, uint64_t length,
                       uint32_t *ret_crc)
{
	const uint8_t *bytes;
	uint32_t crc = 0;
	uint64_t n;
	int r;

	while (length > 0) {
		r = look(window, offset, 1, &bytes, &n);
		if (r < 0)
			return r;
		if (n > length)
			n = length;
		crc = cq_crc32(crc, bytes, n);
		offset += n;
		length -= n;
	}
	*ret_crc = crc;
	return 0;
}

/* As cq_window_record(), in the window as it is. */
static int examine(struct cq_window *window, uint64_t offset, struct cq_record_at *record,
                   enum cq_record_state *state)
{
	struct cq_record_header *h = &record->header;
	const uint8_t *bytes;
	uint64_t n;
	uint32_t crc;
	int r;

	r = look(window, offset, sizeof *h, &bytes, &n);
	if (r < 0)
		return r;
	memcpy(h, bytes, sizeof *h);
	if (h->commit == 0)
		return 0;
	*state = cq_record_check_header(h, h->commit, offset, window->size);
	if (*state != CQ_RECORD_OK)
		return -EIO;
	cq_record_place(record, offset);
	if (h->type == CQ_TYPE_PAD)
		return 1;
	r = payload_crc(window, offset + sizeof *h, record->length, &crc);
	if (r < 0)
		return r;
	if (crc != h->payload_crc && !cq_planted("no_crc_in_recovery")) {
		*state = CQ_RECORD_PAYLOAD;
		return -EIO;
	}
	return 1;
}

int cq_window_record(struct cq_window *window, uint64_t offset, struct cq_record_at *ret_record,
                     enum cq_record_state *ret_state)
{
	enum cq_record_state state = CQ_RECORD_OK;
	struct cq_record_at record;
	bool fresh;
	int r;

	if (!cq_record_fits(window->size, offset))
		return 0;
	fresh = window->length == 0 || window->start == offset;
	r = examine(window, offset, &record, &state);
	if (!fresh && (r == 0 || state != CQ_RECORD_OK)) {
		window->length = 0;
		state = CQ_RECORD_OK;
		r = examine(window, offset, &record, &state);
	}
	if (r > 0 || state == CQ_RECORD_PAYLOAD)
		*ret_record = record;
	if (r <= 0)
		window->length = 0; /* the next call reads a fresh copy */
	if (state != CQ_RECORD_OK)
		*ret_state = state;
	return r;
}

static const uint8_t *first_nonzero(const uint8_t *bytes, uint64_t length)
{
	uint64_t word;

	for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
		memcpy(&word, bytes, sizeof word);
		if (word != 0)
			break;
	}
	for (; length > 0; bytes++, length--)
		if (*bytes != 0)
			return bytes;
	return NULL;
}

static int add_data(struct cq_window *window, uint64_t begin, uint64_t end)
{
	struct cq_extent *more;
	size_t capacity;

	if (window->data_count == window->data_capacity) {
		capacity = window->data_capacity ? window->data_capacity * 2 : 16;
		more = realloc(window->data, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		window->data = more;
		window->data_capacity = capacity;
	}
	window->data[window->data_count++] = (struct cq_extent){ .begin = begin, .end = end };
	return 0;
}

/* Lists the pieces that may hold data from `from` on, without reading holes and unwritten extents. */
static int find_data(struct cq_window *window, uint64_t from)
{
	uint64_t begin, end;
	int r;

	window->data_count = window->data_at = 0;
	for (; from < window->size; from = end) {
		r = cq_io_seek_data(window->fd, from, &begin, &end);
		if (r < 0)
			return r;
		if (begin >= window->size)
			break;
		if (begin < from || end <= begin) /* the file ends early */
			return -EIO;
		if (end > window->size)
			end = window->size;
		r = add_data(window, begin, end);
		if (r < 0)
			return r;
	}
	return 0;
}

int cq_window_more_residue(struct cq_window *window, uint64_t from, uint64_t *ret_offset)
{
	const uint8_t *found;
	uint64_t n;
	int r;

	/* mostly continues where the last search ended: a file may have many pieces */
	if (window->data_at >= window->data_count || window->data[window->data_at].begin > from)
		window->data_at = 0;
	for (; window->data_at < window->data_count; window->data_at++) {
		const struct cq_extent *piece = &window->data[window->data_at];

		for (uint64_t at = from > piece->begin ? from : piece->begin; at < piece->end;
		     at += n) {
			n = piece->end - at < WINDOW_SIZE ? piece->end - at : WINDOW_SIZE;
			r = fill(window, at, n);
			if (r < 0)
				return r;
			if (window->length < n)
				return -EIO;
			found = first_nonzero(window->bytes, n);
			if (found) {
				*ret_offset = at + (uint64_t)(found - window->bytes);
				return 0;
			}
		}
	}
	*ret_offset = window->size;
	return 0;
}

/*
 * A read brings more into the page cache than it asks for: the rest of the last page, and what the
 * kernel reads ahead.  All of that counts as data from then on.  So all pieces are listed before the first
 * one is read: otherwise each read would find the pages that the read before it has brought in, through the
 * whole segment.
 */
int cq_window_residue(struct cq_window *window, uint64_t from, uint64_t *ret_offset)
{
	int r = find_data(window, from);

	return r < 0 ? r : cq_window_more_residue(window, from, ret_offset);
}

/* Many sound headers with damaged payloads could each make us read all that follows: this is the limit. */
#define UNSOUND_MAX 4 /* segments */

int cq_window_find(struct cq_window *window, uint64_t from, cq_window_fits_fn fits, void *arg,
                   struct cq_record_at *ret_record)
{
	enum cq_record_state state;
	struct cq_record_at record;
	struct cq_record_header h;
	const uint8_t *bytes;
	uint64_t at, n;
	int r = 0;

	if (window->data_count == 0 || from < window->data[0].begin)
		r = find_data(window, from);
	for (at = from; r == 0 && window->size - at >= sizeof h; at += CQ_ALIGN) {
		if (at < window->start || at + sizeof h > window->start + window->length) {
			r = cq_window_more_residue(window, at, &at);
			if (r < 0 || at >= window->size)
				break;
			at -= at % CQ_ALIGN;
			r = cq_meter_at(window->meter, at);
		}
		if (r == 0)
			r = look(window, at, sizeof h, &bytes, &n);
		if (r < 0)
			break;
		memcpy(&h, bytes, sizeof h);
		if (h.commit == 0 || h.ext != 1 || h.type == CQ_TYPE_PAD ||
		    cq_record_check_header(&h, h.commit, at, window->size) != CQ_RECORD_OK ||
		    !fits(arg, &h, at))
			continue;
		state = CQ_RECORD_OK;
		r = examine(window, at, &record, &state);
		if (r > 0) {
			*ret_record = record;
			return 1;
		}
		if (state != CQ_RECORD_OK) {
			r = 0;
			window->unsound += h.commit;
			if (window->unsound > UNSOUND_MAX * window->size)
				break;
		}
	}
	return r;
}
