/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.c - durable.meta; see watermark.h */
#include "meta/watermark.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "format/place.h"
#include "format/record.h"
#include "os/fault.h"
#include "os/io.h"

static uint32_t slot_crc(const struct cq_watermark_slot *slot)
{
	return cq_crc32(0, slot, offsetof(struct cq_watermark_slot, crc));
}

bool cq_watermark_slot_valid(const struct cq_watermark_slot *slot)
{
	return slot->crc == slot_crc(slot) && slot->segment <= CQ_SEGMENT_ID_MAX + 1ULL &&
	       slot->offset <= CQ_FORMAT_SIZE_MAX && slot->offset % CQ_ALIGN == 0 &&
	       slot->seq <= CQ_COUNT_MAX;
}

/* a is later than b.  No writer stores one generation twice; if two slots have the same, the higher place
 * counts, so that no durable record is lost without a message. */
static bool is_later(const struct cq_watermark_slot *a, const struct cq_watermark_slot *b)
{
	if (a->generation != b->generation)
		return (int32_t)(a->generation - b->generation) > 0;
	return cq_place_compare(a->segment, a->offset, b->segment, b->offset, 0) > 0;
}

static void judge_slots(const struct cq_watermark_slot slots[2], struct cq_watermark_state *state)
{
	static const struct cq_watermark_slot none;

	*state = (struct cq_watermark_state){ .found = false };
	for (unsigned i = 0; i < 2; i++) {
		if (memcmp(&slots[i], &none, sizeof none) == 0)
			continue;
		if (!cq_watermark_slot_valid(&slots[i])) {
			state->damaged |= 1U << i;
			continue;
		}
		if (!state->found || is_later(&slots[i], &state->slot)) {
			state->slot = slots[i];
			state->newest = i;
		}
		state->found = true;
	}
}

/* A slot may be read while its writer stores it: it is damaged only if it stays so. */
#define SAME_TWICE 10

static int read_watermark_slots(int fd, struct cq_watermark_state *ret_state)
{
	struct cq_watermark_slot before[2];
	struct cq_durable_file file;
	ssize_t n;

	memset(before, 0, sizeof before);
	for (int i = 0; i < SAME_TWICE; i++) {
		memset(&file, 0, sizeof file);
		n = cq_io_pread(fd, &file, sizeof file, 0);
		if (n < 0)
			return (int)n;
		judge_slots(file.slots, ret_state);
		ret_state->listing = file.listing;
		if (ret_state->damaged == 0 || memcmp(file.slots, before, sizeof before) == 0)
			break;
		memcpy(before, file.slots, sizeof before);
	}
	return 0;
}

int cq_watermark_read(int dirfd, struct cq_watermark_state *ret_state)
{
	struct cq_watermark_state state;
	int fd, r;

	r = cq_io_open(dirfd, CQ_DURABLE_NAME, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = read_watermark_slots(fd, &state);
	close(fd);
	if (r < 0)
		return r;
	*ret_state = state;
	return 0;
}

int cq_watermark_open(struct cq_watermark *ret_watermark, int dirfd)
{
	static const struct cq_watermark_slot none[2];
	struct cq_watermark_state state = { .found = false };
	int fd, r;

	r = cq_io_open(dirfd, CQ_DURABLE_NAME, O_RDWR, &fd);
	if (r == -ENOENT)
		r = cq_io_create_new(dirfd, CQ_DURABLE_NAME, 0640, &fd);
	if (r < 0)
		return r;
	r = read_watermark_slots(fd, &state);
	if (r == 0 && !state.found) { /* whatever is in it, it is no watermark */
		cq_point("durable.created");
		r = cq_io_pwrite(fd, none, sizeof none, 0);
		cq_point("durable.emptied");
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_watermark = (struct cq_watermark){ .fd = fd,
		                                .generation = state.slot.generation,
		                                .newest = state.newest };
	return 0;
}

void cq_watermark_close(struct cq_watermark *watermark)
{
	close(watermark->fd);
	watermark->fd = -1;
}

int cq_watermark_store(struct cq_watermark *watermark, struct cq_watermark_slot slot)
{
	const unsigned at =
		cq_planted("mark_overwritten") ? watermark->newest : 1 - watermark->newest;
	int r;

	slot.generation = watermark->generation + 1;
	slot.reserved = 0;
	slot.crc = slot_crc(&slot);
	r = cq_io_pwrite(watermark->fd, &slot, sizeof slot, at * sizeof slot);
	if (r < 0)
		return r;
	watermark->generation = slot.generation;
	watermark->newest = at;
	return 0;
}
