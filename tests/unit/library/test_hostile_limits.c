/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile_limits.c - resource limits, and wrong clocks
 *
 * A call that a limit refuses returns an error.  Nothing is lost, and when the limit is lifted the writer
 * works, or the queue can be opened again.  Limits are set in child processes.  Two calls are wrapped:
 * pthread_create(), since no limit stops it for root, and clock_gettime(), since the clock is the machine's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "queue_support.h"
#include "write/writer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define LARGE (256U << 10)
#define DESCRIPTORS 64

/* ---- wrapped calls ---- */

static int threads_left = -1; /* negative: no limit */
static time_t realtime_shift; /* seconds */
/* If set, the clock shows this, plus a nanosecond with each call: so the second stays the same on a slow
 * machine. */
static struct timespec *realtime_is;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
	if (threads_left == 0)
		return EAGAIN;
	if (threads_left > 0)
		threads_left--;
	return __real_pthread_create(thread, attr, run, arg);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = __real_clock_gettime(clock, ret_time);

	if (clock == CLOCK_REALTIME && realtime_is) {
		*ret_time = *realtime_is;
		realtime_is->tv_nsec++;
	} else if (clock == CLOCK_REALTIME) {
		ret_time->tv_sec += realtime_shift;
	}
	return r;
}

/* ---- limits ---- */

static void limit(int resource, rlim_t value)
{
	struct rlimit l;

	CHILD(getrlimit((__rlimit_resource_t)resource, &l) == 0);
	l.rlim_cur = value;
	CHILD(setrlimit((__rlimit_resource_t)resource, &l) == 0);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 4 * DESCRIPTORS; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Appends until an append fails, and returns its error. */
static int fill(struct qs *q, unsigned *count)
{
	char text[32];
	int r = 0;

	while (r == 0) {
		int n = snprintf(text, sizeof text, "record %u", *count);

		r = cq_writer_append(q->writer, 1, text, (size_t)n, NULL);
		*count += r == 0;
		if (*count > 10000)
			break;
	}
	return r;
}

/* Unhandled, SIGXFSZ would end the process. */
static void below_the_segment_size(struct qs *q)
{
	unsigned count = 0;

	limit(RLIMIT_FSIZE, 1000);
	CHILD(qs_try_open(q) == -EFBIG);
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == -EFBIG);
	CHILD(qs_count_names(q->dir, ".q") == 0);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	limit(RLIMIT_FSIZE, 1000);
	CHILD(fill(q, &count) == -EFBIG); /* after the prepared segments */
	CHILD(count >= 31);
	CHILD(fill(q, &count) == -EFBIG);
	CHILD(cq_writer_sync(q->writer) == 0);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	CHILD(cq_writer_append(q->writer, 1, "more", 4, NULL) == 0);
	CHILD(qs_stats(q->writer).next_seq == count + 1);
	CHILD(cq_writer_close(q->writer) == 0);
	/* small files cannot be written either */
	limit(RLIMIT_FSIZE, 0);
	CHILD(qs_try_open(q) == -EFBIG);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	CHILD(qs_stats(q->writer).next_seq == count + 1);
	CHILD(cq_writer_close(q->writer) == 0);
}

/* A placeholder has the size of a segment. */
static void no_placeholder(struct qs *q)
{
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);

	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	qs_append(q->writer, 0, 100);
	CHILD(cq_writer_close(q->writer) == 0);
	CHILD(unlinkat(q->dirfd, "000000001.q", 0) == 0);
	limit(RLIMIT_FSIZE, 1000);
	CHILD(cq_repair(q->dir, &config, &result) == -EFBIG);
	CHILD(qs_count_names(q->dir, ".tmp") == 0);
	limit(RLIMIT_FSIZE, RLIM_INFINITY);
	CHILD(cq_repair(q->dir, &config, &result) == 0 && result.done);
}

static void file_size_limit(void **state)
{
	qs_run(below_the_segment_size, *state);
	qs_anew(*state);
	qs_run(no_placeholder, *state);
}

/* The signals of the program are not disturbed: its mask is the same, and none is pending. */
static void leaves_signals_alone(struct qs *q)
{
	sigset_t mask, pending;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHILD(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
	limit(RLIMIT_FSIZE, 1000);
	CHILD(qs_try_open(q) == -EFBIG);
	CHILD(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
	CHILD(sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGXFSZ) == 0);
	CHILD(sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 0);
}

static void file_size_signal(void **state)
{
	qs_run(leaves_signals_alone, *state);
}

/* Ever more descriptors until the queue can be opened; then none for a roll. */
static void few_descriptors(struct qs *q)
{
	const unsigned before = open_descriptors();
	unsigned count = 0, refused = 0;
	int r;

	for (unsigned most = before; most < before + DESCRIPTORS; most++) {
		limit(RLIMIT_NOFILE, most);
		r = qs_try_open(q);
		if (r == 0)
			break;
		CHILD(r == -EMFILE);
		CHILD(open_descriptors() == before);
		refused++;
	}
	CHILD(r == 0 && refused >= 4);
	qs_append(q->writer, 0, 5);
	count = 5;
	limit(RLIMIT_NOFILE, 3);
	CHILD(fill(q, &count) == -EMFILE);
	CHILD(fill(q, &count) == -EMFILE);
	CHILD(cq_writer_sync(q->writer) == 0 || qs_stats(q->writer).error == -EIO);
	qs_flush(q->writer);
	limit(RLIMIT_NOFILE, 4 * DESCRIPTORS);
	qs_append(q->writer, count, 40);
	CHILD(cq_writer_close(q->writer) == 0);
	CHILD(open_descriptors() == before);
	qs_expect(q->dir, 0, count + 40);
}

static void descriptor_limit(void **state)
{
	qs_run(few_descriptors, *state);
}

static size_t address_space(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	CHILD(file && fscanf(file, "%zu", &pages) == 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* No address space for one more mapping: in an open, in a roll, in a reader. */
static void little_memory(struct qs *q)
{
	static char payload[LARGE / 3];
	cq_reader *reader;
	struct cq_record record;
	int r, n = 0;

	q->config.segment_size = 64 * LARGE;
	limit(RLIMIT_AS, address_space() + 4 * LARGE);
	CHILD(qs_try_open(q) == -ENOMEM);
	limit(RLIMIT_AS, RLIM_INFINITY);
	qs_open(q);
	limit(RLIMIT_AS, address_space() + 4 * LARGE);
	while ((r = cq_writer_append(q->writer, 1, payload, sizeof payload, NULL)) == 0)
		n++;
	CHILD(r == -ENOMEM);
	CHILD(n >= 64 * 3 - 3);
	CHILD(cq_writer_sync(q->writer) == 0);
	limit(RLIMIT_AS, address_space() + 4 * LARGE); /* the sync has unmapped sealed segments */
	CHILD(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader) == -ENOMEM);
	limit(RLIMIT_AS, RLIM_INFINITY);
	CHILD(cq_writer_append(q->writer, 1, payload, sizeof payload, NULL) == 0);
	CHILD(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader) == 0);
	for (int i = 0; i <= n; i++)
		CHILD(cq_reader_next(reader, &record) == 1);
	cq_reader_close(reader);
	CHILD(cq_writer_close(q->writer) == 0);
}

static void memory_limit(void **state)
{
	if (SANITIZED)
		NOT_HERE("a sanitizer needs the address space");
	qs_run(little_memory, *state);
}

static void no_thread_left(void **state)
{
	struct qs *q = *state;
	const unsigned before = open_descriptors();

	for (threads_left = 0; threads_left < 2;) {
		const int allowed = threads_left;

		assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), -EAGAIN);
		assert_int_equal(open_descriptors(), before);
		qs_open(q); /* without threads */
		qs_append(q->writer, 5U * (unsigned)allowed, 5);
		qs_close(q);
		threads_left = allowed + 1;
	}
	threads_left = -1;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	qs_append(q->writer, 10, 60);
	qs_close(q);
	qs_expect(q->dir, 0, 70);
}

/* ---- clocks ---- */

static time_t now(void)
{
	struct timespec t;

	__real_clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec;
}

/* Times do not order anything: records keep their order, whatever the clock shows. */
static void wrong_clocks(void **state)
{
	const time_t times[] = {
		-1, -(1LL << 40), 0, 1, 4294967296, 1LL << 36, 1LL << 50, INT32_MAX
	};
	const unsigned count = sizeof times / sizeof times[0];
	static struct timespec time;
	struct qs *q = *state;
	uint64_t ns;

	for (unsigned i = 0; i < count; i++) {
		time = (struct timespec){ .tv_sec = times[i] };
		realtime_is = &time;
		qs_open(q);
		qs_append(q->writer, i * 40, 40);
		qs_prepare(q->writer);
		qs_flush(q->writer);
		ns = qs_stats(q->writer).last_time_ns;
		if (times[i] < 0)
			assert_int_equal(ns, 0);
		else if (times[i] <= 4294967296)
			assert_int_equal(ns / 1000000000, times[i]);
		qs_close(q);
		realtime_is = NULL;
	}
	qs_expect(q->dir, 0, count * 40);
	qs_format_check(q->dir, "--closed");
}

/* A clock that is set back makes no segment old.  A clock that is set ahead makes all sealed segments old. */
static void age_with_a_clock_set_back(void **state)
{
	struct qs *q = *state;

	q->config.retain_age_ms = 3600 * 1000;
	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_flush(q->writer);
	realtime_shift = -(10LL * 365 * 86400);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 0);
	realtime_shift = -now() - 86400; /* before 1970 */
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 0);
	/* five centuries ahead */
	realtime_shift = 500LL * 365 * 86400;
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 2);
	realtime_shift = 0;
	qs_close(q);
	qs_expect(q->dir, 62, 8);
}

/* The time to live of a reader is measured by a clock that cannot be set. */
static void reader_life_ignores_the_date(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	q->config.retain_segments = 1;
	q->config.reader_ttl_ms = 3600 * 1000;
	qs_open(q);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	qs_append(q->writer, 0, 70);
	qs_flush(q->writer);
	for (int i = -1; i <= 1; i++) {
		realtime_shift = i * (20LL * 365 * 86400);
		qs_flush(q->writer);
		assert_int_equal(qs_stats(q->writer).oldest, 0);
	}
	realtime_shift = 0;
	cq_reader_close(reader);
	qs_close(q);
	qs_expect(q->dir, 0, 70);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(file_size_limit),
	QS_TEST(file_size_signal),
	QS_TEST(descriptor_limit),
	QS_TEST(memory_limit),
	QS_TEST(no_thread_left),
	QS_TEST(wrong_clocks),
	QS_TEST(age_with_a_clock_set_back),
	QS_TEST(reader_life_ignores_the_date),
};

QS_MAIN(tests)
