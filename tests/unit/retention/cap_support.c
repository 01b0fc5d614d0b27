/* SPDX-License-Identifier: Apache-2.0 */
/* cap_support.c - see cap_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <semaphore.h>
#include <time.h>

#include "cap_support.h"

static sem_t told;

static void tell(void *arg)
{
	sem_post(arg);
}

int cap_times_told(void)
{
	int n;

	assert_int_equal(sem_getvalue(&told, &n), 0);
	return n;
}

void cap_await_told(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&told, &until), 0);
}

void cap_limit(struct qs *q, uint64_t max_bytes)
{
	sem_destroy(&told);
	assert_int_equal(sem_init(&told, 0, 0), 0);
	q->config.max_bytes = max_bytes;
	q->config.space = tell;
	q->config.space_arg = &told;
}

unsigned cap_files(struct qs *q)
{
	unsigned n = qs_count_names(q->dir, ".q");

	assert_int_equal(qs_stats(q->writer).file_bytes, (uint64_t)n * QS_SIZE);
	return n;
}

int cap_append_one(struct qs *q)
{
	char text[32];
	int n = snprintf(text, sizeof text, "record %u", (unsigned)qs_stats(q->writer).next_seq);

	return cq_writer_append(q->writer, CQ_TYPE_DEFAULT, text, (size_t)n, NULL);
}

unsigned cap_fill(struct qs *q, bool prepare, unsigned most_files)
{
	unsigned n = 0;
	int r;

	while ((r = cap_append_one(q)) == 0) {
		n++;
		if (prepare)
			qs_prepare(q->writer);
		assert_true(qs_count_names(q->dir, ".q") <= most_files);
	}
	assert_int_equal(r, -EDQUOT);
	return n;
}
