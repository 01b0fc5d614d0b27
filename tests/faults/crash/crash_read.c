/* SPDX-License-Identifier: Apache-2.0 */
/* crash_read.c - the process that reads through every kill and every recovery; see crash.h */
#include "crash.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long ms)
{
	const struct timespec span = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&span, NULL);
}

/* The queue is made by the writer, which may be killed before there is anything to open. */
static int open_reader(const struct crash_shared *s, cq_reader **ret_reader)
{
	int r;

	while ((r = cq_reader_open(s->dir, NULL, CQ_START_OLDEST, 0, ret_reader)) == -ENOENT ||
	       r == -ENOTEMPTY)
		pause_ms(1);
	return r;
}

void crash_read(struct crash_shared *shared)
{
	struct cq_record record;
	cq_reader *reader;
	uint64_t next = 0;
	bool gap = false, first = true;
	int r;

	r = open_reader(shared, &reader);
	while (r >= 0) {
		r = cq_reader_next(reader, &record);
		if (r == 0)
			r = cq_reader_wait(reader, 3);
		else if (r == -ENODATA) { /* retention and trims may be faster */
			gap = true;
			r = 0;
		} else if (r == 1) {
			if (!first && (gap ? record.seq < next : record.seq != next)) {
				crash_problem(shared,
				              "the attached reader got %" PRIu64 " where %" PRIu64
				              " was next%s",
				              record.seq, next, gap ? ", or later" : "");
				_exit(1);
			}
			if (!crash_matches(shared, &record))
				_exit(1);
			next = record.seq + 1;
			first = gap = false;
			atomic_fetch_add(&shared->read, 1);
			atomic_store(&shared->seen, next);
		}
	}
	crash_problem(shared, "the attached reader, behind record %" PRIu64 ": %s", next,
	              strerrordesc_np(-r));
	_exit(1);
}
