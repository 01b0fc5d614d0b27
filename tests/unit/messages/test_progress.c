/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_progress.c - recovery, repair and verification report their progress, and end on request
 *
 * Five full segments and one in use.  After the crash none of them is known to be on the disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "messages/meter.h"
#include "queue_support.h"

#define RECORDS 160U /* 31 to a segment */
#define SEGMENTS 6U

static struct {
	unsigned calls;
	unsigned last;      /* the call that ends the run; 0: none */
	unsigned phases[3]; /* calls in each */
	struct cq_progress now;
} reports;

static int on_progress(void *arg, const struct cq_progress *p)
{
	assert_ptr_equal(arg, &reports);
	assert_true(reports.last == 0 || reports.calls < reports.last);
	assert_in_range(p->phase, 0, 2);
	assert_true(p->segments_done <= p->segments && p->bytes_done <= p->bytes);
	assert_int_equal(p->bytes, p->segments * QS_SIZE);
	assert_in_range(p->bytes_done, p->segments_done * QS_SIZE,
	                (p->segments_done + 1) * QS_SIZE);
	if (reports.phases[p->phase] > 0) {
		assert_int_equal(p->phase, reports.now.phase); /* no phase comes twice */
		assert_int_equal(p->segments, reports.now.segments);
		assert_true(p->segments_done >= reports.now.segments_done);
		assert_true(p->bytes_done >= reports.now.bytes_done);
	}
	reports.now = *p;
	reports.phases[p->phase]++;
	return ++reports.calls == reports.last ? 7 : 0;
}

static void forget(unsigned last)
{
	memset(&reports, 0, sizeof reports);
	reports.last = last;
}

static void append_and_die(struct qs *q)
{
	qs_killed_writer(q, 0, RECORDS);
}

static void crashed(struct qs *q)
{
	append_and_die(q);
	qs_mark(q->dir, 0, 64, 0);
	q->config.progress = on_progress;
	q->config.progress_arg = &reports;
}

static void lock_is_free(const struct qs *q)
{
	int fd = openat(q->dirfd, "writer.lock", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

static void recovery_reports(void **state)
{
	struct qs *q = *state;

	crashed(q);
	forget(0);
	qs_open(q);
	assert_int_equal(reports.now.segments, SEGMENTS);
	assert_int_equal(reports.now.segments_done, SEGMENTS - 1);
	assert_in_range(reports.phases[CQ_PHASE_RECOVER], SEGMENTS, reports.calls);
	qs_close(q);
	qs_expect(q->dir, 0, RECORDS);
}

/* Recovery does not read segments that are known to be on the disk: with nothing to read there are no reports. */
static void nothing_to_report(void **state)
{
	struct qs *q = *state;

	q->config.progress = on_progress;
	q->config.progress_arg = &reports;
	forget(0);
	qs_open(q);
	assert_int_equal(reports.calls, 0);
	qs_append(q->writer, 0, 1);
	qs_close(q);
	forget(0);
	qs_open(q);
	assert_int_equal(reports.now.segments, 1);
}

/* An open that is ended in any of its reports changes nothing and releases the lock; the next open recovers. */
static void recovery_ends(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	unsigned calls;

	crashed(q);
	forget(0);
	qs_open(q);
	calls = reports.calls;
	qs_close(q);
	for (unsigned last = 1; last <= calls; last++) {
		qs_anew(q);
		crashed(q);
		qs_snapshot(q->dir, &before);
		forget(last);
		assert_int_equal(qs_try_open(q), -ECANCELED);
		assert_int_equal(reports.calls, last);
		qs_unchanged(q->dir, &before);
		lock_is_free(q);
		forget(0);
		qs_open(q);
		assert_int_equal(reports.calls, calls);
		qs_close(q);
		qs_expect(q->dir, 0, RECORDS);
	}
}

static void repair_reports_and_ends(void **state)
{
	struct qs *q = *state;
	struct cq_repair_config config = { .size = sizeof config,
		                           .progress = on_progress,
		                           .progress_arg = &reports };
	struct cq_repair_result result = { .size = sizeof result, .steps = 77 };
	struct qs_snapshot before;
	unsigned calls;

	qs_write(q, 0, RECORDS);
	assert_int_equal(unlinkat(q->dirfd, "index.meta", 0), 0); /* something to repair */
	config.dry_run = true;
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.steps > 0 && !result.done);
	assert_in_range(reports.phases[CQ_PHASE_RECOVER], SEGMENTS, reports.calls);
	assert_in_range(reports.phases[CQ_PHASE_INDEXES], 1, reports.calls);
	calls = reports.calls;
	config.dry_run = false;
	result.steps = 77;
	for (unsigned last = 1; last <= calls; last++) {
		qs_snapshot(q->dir, &before);
		forget(last);
		assert_int_equal(cq_repair(q->dir, &config, &result), -ECANCELED);
		assert_int_equal(result.steps, 77);
		qs_unchanged(q->dir, &before);
		lock_is_free(q);
	}
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
	qs_expect(q->dir, 0, RECORDS);
	forget(0); /* a sound queue is read and reported, too */
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(!result.done && result.steps == 0);
	assert_true(reports.calls > 0);
}

/* A repair opens and seals segments below the watermark.  It does not report that: a repair that has begun
 * cannot be ended. */
static void repair_does_not_end_half_way(void **state)
{
	struct qs *q = *state;
	struct cq_repair_config config = { .size = sizeof config,
		                           .dry_run = true,
		                           .progress = on_progress,
		                           .progress_arg = &reports };
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs_snapshot before;
	unsigned calls;

	qs_write(q, 0, RECORDS);
	qs_unseal(q->dir, 1);
	qs_unseal(q->dir, 3);
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.steps > 1);
	calls = reports.calls;
	config.dry_run = false;
	qs_snapshot(q->dir, &before);
	forget(calls);
	assert_int_equal(cq_repair(q->dir, &config, &result), -ECANCELED);
	qs_unchanged(q->dir, &before);
	forget(calls + 1);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
	assert_int_equal(reports.calls, calls);
	qs_expect(q->dir, 0, RECORDS);
}

static void find(void *arg, const struct cq_finding *finding)
{
	unsigned *damage = arg;

	*damage += finding->damage;
}

static void verification_reports_and_ends(void **state)
{
	struct qs *q = *state;
	unsigned damage = 0, calls;
	const struct cq_verify_config config = { sizeof config, find, &damage, on_progress,
		                                 &reports };
	struct cq_verify_result result = { .size = sizeof result, .segments = 77 };

	qs_write(q, 0, RECORDS);
	forget(0);
	assert_int_equal(cq_verify_with(q->dir, &config, &result), 0);
	assert_int_equal(reports.now.segments, result.segments);
	assert_true(result.segments >= SEGMENTS && result.damage == 0);
	calls = reports.phases[CQ_PHASE_VERIFY];
	assert_int_equal(calls, reports.calls);
	result.segments = 77;
	for (unsigned last = 1; last <= calls; last++) {
		forget(last);
		assert_int_equal(cq_verify_with(q->dir, &config, &result), -ECANCELED);
		assert_int_equal(result.segments, 77);
		assert_int_equal(damage, 0);
	}
	assert_int_equal(cq_verify_with(q->dir,
	                                &(struct cq_verify_config){
						.size = sizeof(struct cq_verify_config) },
	                                &result),
	                 0);
	assert_int_equal(result.damage, 0);
}

/* A caller that has ended it hears no more. */
static void ended_once(void **state)
{
	struct cq_meter meter = { .report = on_progress, .arg = &reports };

	(void)state;
	forget(1);
	cq_meter_begin(&meter, CQ_PHASE_VERIFY, 2, QS_SIZE);
	assert_int_equal(cq_meter_at(&meter, 64), -ECANCELED);
	assert_int_equal(cq_meter_at(&meter, 128), -ECANCELED);
	assert_int_equal(reports.calls, 1);
	assert_int_equal(reports.now.bytes_done, 64);
}

static void for_people(void **state)
{
	static const struct {
		uint64_t done, total, elapsed_ms;
		const char *text;
	} cases[] = {
		{ 0, 100, 0, "0 %" },
		{ 0, 100, 5000, "0 %" },
		{ 35, 100, 100, "35 %" },
		{ 35 << 20, 100 << 20, 1000, "35 %, 35 MiB/s, 2 s left" },
		{ 100 << 20, 100 << 20, 1000, "100 %, 100 MiB/s, 0 s left" },
		{ 200 << 20, 100 << 20, 1000, "100 %, 200 MiB/s, 0 s left" },
		{ 1 << 20, 1ULL << 32, 1000, "0 %, 1024 KiB/s, 68 min left" },
		{ 1 << 20, 1ULL << 40, 1000, "0 %, 1024 KiB/s, 291 h left" },
		{ 9999, 0, 1000, "9999 bytes, 9999 bytes/s" },
		{ 20480, 0, 2000, "20 KiB, 10 KiB/s" },
		{ 20480, 0, 100, "20 KiB" },
		{ 1ULL << 40, 0, 1000, "1024 GiB, 1024 GiB/s" },
		{ UINT64_MAX, 0, 1000000, "16777215 TiB, 16777 TiB/s" },
	};
	char text[CQ_PROGRESS_TEXT], brief[5];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cq_progress_text(text, sizeof text, cases[i].done, cases[i].total,
		                 cases[i].elapsed_ms);
		assert_string_equal(text, cases[i].text);
	}
	cq_progress_text(brief, sizeof brief, 35 << 20, 100 << 20, 1000);
	assert_string_equal(brief, "35 %");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(for_people),
	QS_TEST(recovery_reports),
	QS_TEST(nothing_to_report),
	QS_TEST(recovery_ends),
	QS_TEST(repair_reports_and_ends),
	QS_TEST(repair_does_not_end_half_way),
	QS_TEST(verification_reports_and_ends),
	QS_TEST(ended_once),
};

QS_MAIN(tests)
