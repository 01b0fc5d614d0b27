/* SPDX-License-Identifier: Apache-2.0 */
/* crash_message.c - what the record with a given number must hold; see crash.h */
#include "crash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool crash_problem(struct crash_shared *shared, const char *format, ...)
{
	va_list args;

	if (!atomic_exchange(&shared->failed, true)) {
		va_start(args, format);
		(void)vsnprintf(shared->problem, sizeof shared->problem, format, args);
		va_end(args);
	}
	return false;
}

/* splitmix64 */
uint64_t crash_next(struct crash_random *random)
{
	uint64_t z = random->state += 0x9E3779B97F4A7C15U;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
	return z ^ (z >> 31);
}

unsigned crash_below(struct crash_random *random, unsigned below)
{
	return (unsigned)(crash_next(random) % below);
}

uint32_t crash_round_of(const struct crash_shared *shared, uint64_t seq)
{
	uint32_t low = 0, high = atomic_load_explicit(&shared->start_count, memory_order_acquire);

	/* the last that began at or before it: one that wrote nothing has the next one's number */
	while (low + 1 < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (shared->starts[middle].seq <= seq)
			low = middle;
		else
			high = middle;
	}
	return shared->starts[low].round;
}

void crash_message(const struct crash_shared *shared, uint32_t round, uint64_t seq, bool refused,
                   struct crash_message *ret_message)
{
	const unsigned most = (unsigned)(shared->segment_size - 128);
	struct crash_random random = { shared->seed + (uint64_t)round * 2 + refused };
	struct crash_message *m = ret_message;

	/* mixed in between two steps, so that no two of the three can make up for each other */
	random.state = crash_next(&random) + seq;
	random.state = crash_next(&random);
	m->type = (uint16_t)crash_below(&random, CQ_TYPE_MAX + 1);
	switch (crash_below(&random, 24)) {
	case 0:
		m->length = 0;
		break;
	case 1:
		m->length = most;
		break;
	case 2:
		m->length = crash_below(&random, most + 1);
		break;
	default:
		m->length = crash_below(&random, 160);
	}
	for (size_t i = 0; i < (m->length + 7) / 8; i++)
		m->bytes[i] = crash_next(&random);
}

bool crash_matches(struct crash_shared *shared, const struct cq_record *record)
{
	const uint32_t round = crash_round_of(shared, record->seq);
	struct crash_message wanted;

	crash_message(shared, round, record->seq, false, &wanted);
	if (record->type == wanted.type && record->length == wanted.length &&
	    memcmp(record->payload, wanted.bytes, wanted.length) == 0)
		return true;
	return crash_problem(shared,
	                     "record %" PRIu64 " in segment %" PRIu32 " at %" PRIu64
	                     ", %zu bytes of type %u, is not the one of %zu bytes of type %u that "
	                     "round %" PRIu32 " appended",
	                     record->seq, record->segment, record->offset, record->length,
	                     record->type, wanted.length, wanted.type, round);
}
