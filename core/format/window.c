/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.c - a segment file, read by pread; see window.h
 *
 * The file is seen through a window of a few pages, so that a walk over small records costs one
 * system call per window.  A window is a copy: when its writer is alive, the copy may have caught a
 * record half-written, or its commit word as zero.  So nothing but a sound record is believed from
 * an old window: an end or a damaged record is looked at once more in a fresh copy.
 */
#include "format/window.h"

#include <errno.h>
#include <stdlib.h>

#include "os/fault.h"
#include "os/io.h"

#define WINDOW_SIZE (256ULL << 10)

int cq_window_init(struct cq_window *scan, int fd, uint64_t size)
{
	uint8_t *window;

	if (size < CQ_FORMAT_SIZE_MIN || size > CQ_FORMAT_SIZE_MAX || size % CQ_ALIGN != 0)
		return -EINVAL;
	window = malloc(size < WINDOW_SIZE ? size : WINDOW_SIZE);
	if (!window)
		return -ENOMEM;
	*scan = (struct cq_window){
		.fd = fd,
		.size = size,
		.window = window,
	};
	return 0;
}

void cq_window_fini(struct cq_window *scan)
{
	free(scan->window);
	free(scan->data);
	*scan = (struct cq_window){ .fd = -1 };
}

static int fill(struct cq_window *scan, uint64_t offset, uint64_t length)
{
	ssize_t n;

	scan->window_length = 0;
	n = cq_io_pread(scan->fd, scan->window, length, offset);
	if (n < 0)
		return n == -ENOMEM ? -ENOMEM : -EIO;
	scan->window_start = offset;
	scan->window_length = (uint64_t)n;
	return 0;
}

static int refill(struct cq_window *scan, uint64_t offset)
{
	uint64_t length = scan->size - offset;
	int r;

	r = cq_meter_at(scan->meter, offset);
	if (r < 0)
		return r;
	return fill(scan, offset, length > WINDOW_SIZE ? WINDOW_SIZE : length);
}

/* Bytes of the file from `offset` on: at least `length` of them (a record header at most), and as
 * many as the window has. */
static int look(struct cq_window *scan, uint64_t offset, uint64_t length, const uint8_t **ret_bytes,
                uint64_t *ret_length)
{
	uint64_t end = scan->window_start + scan->window_length;
	int r;

	if (offset < scan->window_start || offset >= end || length > end - offset) {
		r = refill(scan, offset);
		if (r < 0)
			return r;
		if (scan->window_length < length)
			return -EIO;
		end = offset + scan->window_length;
	}
	*ret_bytes = scan->window + (offset - scan->window_start);
	*ret_length = end - offset;
	return 0;
}

static int payload_crc(struct cq_window *scan, uint64_t offset, uint64_t length, uint32_t *ret_crc)
{
	const uint8_t *bytes;
	uint32_t crc = 0;
	uint64_t n;
	int r;

	while (length > 0) {
		r = look(scan, offset, 1, &bytes, &n);
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

/* One look: as cq_window_record(). */
static int examine(struct cq_window *scan, uint64_t offset, struct cq_record_at *record,
                   enum cq_record_state *state)
{
	struct cq_record_header *h = &record->header;
	const uint8_t *bytes;
	uint64_t n;
	uint32_t crc;
	int r;

	r = look(scan, offset, sizeof *h, &bytes, &n);
	if (r < 0)
		return r;
	memcpy(h, bytes, sizeof *h);
	if (h->commit == 0)
		return 0;
	*state = cq_record_check_header(h, h->commit, offset, scan->size);
	if (*state != CQ_RECORD_OK)
		return -EIO;
	cq_record_place(record, offset);
	if (h->type == CQ_TYPE_PAD)
		return 1;
	r = payload_crc(scan, offset + sizeof *h, record->length, &crc);
	if (r < 0)
		return r;
	if (crc != h->payload_crc && !cq_planted("no_crc_in_recovery")) {
		*state = CQ_RECORD_PAYLOAD;
		return -EIO;
	}
	return 1;
}

int cq_window_record(struct cq_window *scan, uint64_t offset, struct cq_record_at *ret_record,
                     enum cq_record_state *ret_state)
{
	enum cq_record_state state = CQ_RECORD_OK;
	struct cq_record_at record;
	bool fresh;
	int r;

	if (!cq_record_fits(scan->size, offset))
		return 0;
	fresh = scan->window_length == 0 || scan->window_start == offset;
	r = examine(scan, offset, &record, &state);
	if (!fresh && (r == 0 || state != CQ_RECORD_OK)) {
		scan->window_length = 0;
		state = CQ_RECORD_OK;
		r = examine(scan, offset, &record, &state);
	}
	if (r > 0 || state == CQ_RECORD_PAYLOAD)
		*ret_record = record;
	if (r <= 0)
		scan->window_length = 0; /* the next call shall not find this copy again */
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

static int add_data(struct cq_window *scan, uint64_t begin, uint64_t end)
{
	struct cq_extent *more;
	size_t capacity;

	if (scan->data_count == scan->data_capacity) {
		capacity = scan->data_capacity ? scan->data_capacity * 2 : 16;
		more = realloc(scan->data, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		scan->data = more;
		scan->data_capacity = capacity;
	}
	scan->data[scan->data_count++] = (struct cq_extent){ .begin = begin, .end = end };
	return 0;
}

/* Lists what may hold data from `from` on; holes and unwritten extents are left out unread. */
static int find_data(struct cq_window *scan, uint64_t from)
{
	uint64_t begin, end;
	int r;

	scan->data_count = scan->data_at = 0;
	for (; from < scan->size; from = end) {
		r = cq_io_seek_data(scan->fd, from, &begin, &end);
		if (r < 0)
			return r;
		if (begin >= scan->size)
			break;
		if (begin < from || end <= begin) /* the file ends early */
			return -EIO;
		if (end > scan->size)
			end = scan->size;
		r = add_data(scan, begin, end);
		if (r < 0)
			return r;
	}
	return 0;
}

int cq_window_more_residue(struct cq_window *scan, uint64_t from, uint64_t *ret_offset)
{
	const uint8_t *found;
	uint64_t n;
	int r;

	/* as a rule it goes on where it was: a file may have a great many pieces */
	if (scan->data_at >= scan->data_count || scan->data[scan->data_at].begin > from)
		scan->data_at = 0;
	for (; scan->data_at < scan->data_count; scan->data_at++) {
		const struct cq_extent *piece = &scan->data[scan->data_at];

		for (uint64_t at = from > piece->begin ? from : piece->begin; at < piece->end;
		     at += n) {
			n = piece->end - at < WINDOW_SIZE ? piece->end - at : WINDOW_SIZE;
			r = fill(scan, at, n);
			if (r < 0)
				return r;
			if (scan->window_length < n)
				return -EIO;
			found = first_nonzero(scan->window, n);
			if (found) {
				*ret_offset = at + (uint64_t)(found - scan->window);
				return 0;
			}
		}
	}
	*ret_offset = scan->size;
	return 0;
}

/*
 * A read brings more into the page cache than it asks for: the rest of the last page, and what the
 * kernel reads ahead.  What is there counts as data from then on.  So all pieces are listed before the
 * first one is read: otherwise each read would find the pages that the one before it has brought in,
 * through the whole segment.
 */
int cq_window_residue(struct cq_window *scan, uint64_t from, uint64_t *ret_offset)
{
	int r = find_data(scan, from);

	return r < 0 ? r : cq_window_more_residue(scan, from, ret_offset);
}

/* Headers that are sound and whose payload is not could make us read all that follows, for each. */
#define UNSOUND_MAX 4 /* segments */

int cq_window_find(struct cq_window *scan, uint64_t from, cq_window_fits_fn fits, void *arg,
                   struct cq_record_at *ret_record)
{
	enum cq_record_state state;
	struct cq_record_at record;
	struct cq_record_header h;
	const uint8_t *bytes;
	uint64_t at, n;
	int r = 0;

	if (scan->data_count == 0 || from < scan->data[0].begin)
		r = find_data(scan, from);
	for (at = from; r == 0 && scan->size - at >= sizeof h; at += CQ_ALIGN) {
		if (at < scan->window_start ||
		    at + sizeof h > scan->window_start + scan->window_length) {
			r = cq_window_more_residue(scan, at, &at);
			if (r < 0 || at >= scan->size)
				break;
			at -= at % CQ_ALIGN;
			r = cq_meter_at(scan->meter, at);
		}
		if (r == 0)
			r = look(scan, at, sizeof h, &bytes, &n);
		if (r < 0)
			break;
		memcpy(&h, bytes, sizeof h);
		if (h.commit == 0 || h.ext != 1 || h.type == CQ_TYPE_PAD ||
		    cq_record_check_header(&h, h.commit, at, scan->size) != CQ_RECORD_OK ||
		    !fits(arg, &h, at))
			continue;
		state = CQ_RECORD_OK;
		r = examine(scan, at, &record, &state);
		if (r > 0) {
			*ret_record = record;
			return 1;
		}
		if (state != CQ_RECORD_OK) {
			r = 0;
			scan->unsound += h.commit;
			if (scan->unsound > UNSOUND_MAX * scan->size)
				break;
		}
	}
	return r;
}
