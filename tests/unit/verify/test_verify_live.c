/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verify_live.c - cq_verify while the queue changes: a running writer is no damage, and what
 * comes and goes in the middle of the walk changes no finding
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fault.h"
#include "verify_support.h"

static pid_t start_writer(struct vs *f, void (*work)(cq_writer *writer, int started))
{
	struct cq_config config;
	cq_writer *writer;
	int started[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(started, O_CLOEXEC), 0);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		cq_config_init(&config);
		config.segment_size = 4096;
		config.retain_segments = 20;
		if (cq_writer_open(f->dir, &config, &writer) < 0)
			_exit(1);
		work(writer, started[1]);
		_exit(0);
	}
	close(started[1]);
	assert_int_equal(read(started[0], &byte, 1), 1);
	close(started[0]);
	return pid;
}

static void append_for_ever(cq_writer *writer, int started)
{
	char payload[300];

	memset(payload, 'p', sizeof payload);
	for (unsigned i = 0;; i++) {
		if (cq_writer_append(writer, 1, payload, i % sizeof payload, NULL) < 0)
			return;
		/* a writer at full speed leaves its own flusher behind */
		if (i % 64 == 0 && cq_writer_sync(writer) < 0)
			return;
		if (i == 20 && write(started, "", 1) != 1)
			return;
	}
}

static void running_writer_is_no_damage(void **state)
{
	struct vs *f = *state;
	struct cq_queue_info info = CQ_SIZED(info);
	cq_queue *queue;
	uint32_t first = UINT32_MAX, trims = 0;
	uint64_t limit;
	int status, rounds = 0;
	pid_t pid;

	f->show = true;
	pid = start_writer(f, append_for_ever);
	assert_int_equal(cq_queue_open(f->dir, &queue), 0);
	/* until rolls and retention have gone on under it */
	limit = cq_monotonic_ns() + 60 * 1000000000ULL;
	while (rounds < 200 || (trims < 20 && cq_monotonic_ns() < limit)) {
		assert_int_equal(vs_verify_live(f), 0);
		assert_int_equal(cq_queue_info(queue, &info), 0);
		if (info.oldest != first)
			trims++;
		first = info.oldest;
		rounds++;
	}
	cq_queue_close(queue);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it did not end by itself */
	assert_true(trims >= 20);
	f->show = false;
	assert_int_equal(vs_verify_live(f) / 10, 0);
	support_append(f->dir, 0, 3);
	assert_int_equal(vs_verify_live(f) / 10, 0);
}

static void trim_three(struct vs *f)
{
	vs_delete(f, "000000000.q");
	vs_delete(f, "000000001.q");
	vs_delete(f, "000000002.q");
}

static cq_writer *writer_meanwhile;

static void append_forty(struct vs *f)
{
	(void)f;
	for (int i = 0; i < 40; i++)
		assert_int_equal(cq_writer_append(writer_meanwhile, 1, "a payload", 9, NULL), 0);
}

static void come_and_go(struct vs *f)
{
	support_append(f->dir, 0, 40);
}

/* The queue changes in the middle of the walk, each time while the finding of a damaged payload is reported:
 * there is that finding, and no other. */
static void changes_during_the_walk(void **state)
{
	struct vs *f = *state;
	struct cq_config config;

	support_append(f->dir, 0, 5 * SUPPORT_PER_SEGMENT - 10);
	vs_flip(f, "000000000.q", 128, 1);
	f->meanwhile = trim_three;
	assert_int_equal(vs_verify(f), 10);
	assert_int_equal(vs_verify(f), 0);

	/* a writer that was not there when it began */
	vs_flip(f, "000000003.q", 128, 1);
	f->meanwhile = come_and_go;
	assert_int_equal(vs_verify(f), 10);
	vs_flip(f, "000000003.q", 128, 1);
	assert_int_equal(vs_verify(f), 0);

	/* a writer that rolls, into a segment that was there when it began */
	cq_config_init(&config);
	assert_int_equal(cq_writer_open(f->dir, &config, &writer_meanwhile), 0);
	append_forty(f);
	while (!support_exists(f->dir, "000000008.q"))
		sched_yield();
	vs_flip(f, "000000007.q", 128, 1);
	f->meanwhile = append_forty;
	assert_int_equal(vs_verify_live(f), 10);
	assert_int_equal(cq_writer_close(writer_meanwhile), 0);
	vs_flip(f, "000000007.q", 128, 1);
	assert_int_equal(vs_verify(f), 0);
}

#ifdef CQ_FAULTS
static char *empty_dir;

static void make_queue(const char *place)
{
	if (strcmp(place, "verify.claims_collected") != 0)
		return;
	cq_point_heard = NULL;
	support_append(empty_dir, 0, 3);
}

/* The first writer comes when it was clear already that there is nothing. */
static void queue_is_made_meanwhile(void **state)
{
	struct vs *f = *state;

	f->show = true;
	empty_dir = f->dir;
	cq_point_heard = make_queue;
	assert_int_equal(vs_verify_live(f), 1); /* the note that there is no control.meta */
	assert_null(cq_point_heard);
	assert_int_equal(f->result.records, 3);
}
#endif

#define WITH(test) cmocka_unit_test_setup_teardown(test, vs_setup, vs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(running_writer_is_no_damage),
		WITH(changes_during_the_walk),
#ifdef CQ_FAULTS
		WITH(queue_is_made_meanwhile),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
