/* SPDX-License-Identifier: Apache-2.0 */
/* queue_support.c - see queue_support.h; a failure here fails the test */
#include "queue_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "files/dir.h"
#include "meta/reader_file.h"
#include "write/writer.h"

/* ---- fixture ---- */

static void collect_log(void *arg, enum cq_level level, const char *message)
{
	static const char *const names[] = { "error", "warning", "notice" };
	struct qs *q = arg;
	int n = snprintf(q->log + q->log_length, sizeof q->log - q->log_length, "%s %s\n",
	                 names[level], message);

	if (n > 0 && (size_t)n < sizeof q->log - q->log_length)
		q->log_length += (size_t)n;
}

int qs_setup(void **state)
{
	struct qs *q = calloc(1, sizeof *q);

	assert_non_null(q);
	support_temp_dir(q->base);
	support_path(q->dir, q->base, "q");
	assert_int_equal(mkdir(q->dir, 0750), 0);
	q->dirfd = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(q->dirfd >= 0);
	cq_config_init(&q->config);
	q->config.segment_size = QS_SIZE;
	q->config.prealloc_wait_ms = 0;
	q->config.log = collect_log;
	q->config.log_arg = q;
	*state = q;
	return 0;
}

int qs_teardown(void **state)
{
	struct qs *q = *state;

	(void)cq_writer_close(q->writer);
	close(q->dirfd);
	support_remove(q->base);
	free(q);
	return 0;
}

void qs_anew(struct qs *q)
{
	support_remove(q->dir);
	assert_int_equal(mkdir(q->dir, 0750), 0);
	close(q->dirfd);
	q->dirfd = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(q->dirfd >= 0);
	q->log[0] = '\0';
	q->log_length = 0;
}

bool qs_logged(const struct qs *q, const char *text)
{
	return strstr(q->log, text) != NULL;
}

/* ---- a writer without threads ---- */

int qs_try_open(struct qs *q)
{
	return cq_writer_open_with(q->dir, &q->config, false, &q->writer);
}

void qs_open(struct qs *q)
{
	int r = qs_try_open(q);

	if (r < 0)
		fprintf(stderr, "%s", q->log);
	assert_int_equal(r, 0);
}

void qs_close(struct qs *q)
{
	cq_writer *w = q->writer;

	q->writer = NULL;
	assert_int_equal(cq_writer_close(w), 0);
}

void qs_prepare(cq_writer *w)
{
	while (cq_writer_prepare_step(w) == 0)
		;
}

void qs_flush(cq_writer *w)
{
	while (cq_writer_flush_step(w) == 0)
		;
}

void qs_append(cq_writer *w, unsigned first, unsigned count)
{
	char text[32];

	for (unsigned i = first; i < first + count; i++) {
		int n = snprintf(text, sizeof text, "record %u", i);

		assert_int_equal(cq_writer_append(w, CQ_TYPE_DEFAULT, text, (size_t)n, NULL), 0);
	}
}

void qs_write(struct qs *q, unsigned first, unsigned count)
{
	qs_open(q);
	qs_append(q->writer, first, count);
	qs_close(q);
}

void qs_open_full(struct qs *q, unsigned count)
{
	qs_open(q);
	for (unsigned i = 0; i < count; i++) {
		qs_append(q->writer, i * SUPPORT_PER_SEGMENT, SUPPORT_PER_SEGMENT);
		qs_prepare(q->writer);
	}
}

void qs_open_synced(struct qs *q, unsigned count)
{
	qs_open_full(q, count);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_int_equal(qs_count_names(q->dir, ".idx"), count - 1);
}

void qs_expect_oldest(struct qs *q, uint32_t oldest, uint32_t segments)
{
	char name[CQ_NAME_MAX];

	for (uint32_t id = 0; id <= segments; id++) {
		cq_segment_name(name, id);
		assert_int_equal(support_exists(q->dir, name), id >= oldest);
		cq_index_name(name, id);
		assert_true(!support_exists(q->dir, name) || id >= oldest);
	}
	assert_int_equal(qs_stats(q->writer).oldest, oldest);
	assert_int_equal(qs_stats(q->writer).file_bytes, (segments + 1 - oldest) * QS_SIZE);
}

void qs_place_reader(struct qs *q, const char *name, uint64_t segment)
{
	struct cq_reader_file cursor = { 0 };
	int fd;

	assert_int_equal(cq_reader_file_open(q->dirfd, name, true, &fd), 0);
	(void)cq_reader_file_read(fd, &cursor);
	cursor.segment = segment;
	cursor.offset = 64;
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
}

struct cq_stats qs_stats(cq_writer *w)
{
	struct cq_stats stats = CQ_SIZED(stats);

	cq_writer_stats(w, &stats);
	return stats;
}

/* ---- processes ---- */

int qs_child(void (*run)(struct qs *q), struct qs *q)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* a failed assertion must not go on with the next test in here */
		CHILD(setenv("CMOCKA_TEST_ABORT", "1", 1) == 0);
		run(q);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void qs_run(void (*run)(struct qs *q), struct qs *q)
{
	int status = qs_child(run, q);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

void qs_run_killed(void (*run)(struct qs *q), struct qs *q)
{
	int status = qs_child(run, q);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static unsigned killed_first, killed_count;

static void write_and_die(struct qs *q)
{
	char text[32];

	CHILD(qs_try_open(q) == 0);
	for (unsigned i = killed_first; i < killed_first + killed_count; i++) {
		int n = snprintf(text, sizeof text, "record %u", i);

		(void)cq_writer_prepare_step(q->writer);
		CHILD(cq_writer_append(q->writer, CQ_TYPE_DEFAULT, text, (size_t)n, NULL) == 0);
	}
	kill(getpid(), SIGKILL);
}

void qs_killed_writer(struct qs *q, unsigned first, unsigned count)
{
	killed_first = first;
	killed_count = count;
	qs_run_killed(write_and_die, q);
}

void qs_hold(struct qs *q, const char *point)
{
	char path[PATH_SIZE], value[2 * PATH_SIZE];

	support_path(path, q->base, "hold.reached");
	CHILD(mkfifo(path, 0600) == 0);
	support_path(path, q->base, "hold.go");
	CHILD(mkfifo(path, 0600) == 0);
	support_path(path, q->base, "hold");
	snprintf(value, sizeof value, "%s:%s", point, path);
	CHILD(setenv("CHRONQ_HOLD", value, 1) == 0);
}

static void open_fifo(struct qs *q, const char *name, int flags)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, q->base, name);
	fd = open(path, flags | O_CLOEXEC);
	CHILD(fd >= 0);
	close(fd);
}

void qs_hold_reached(struct qs *q)
{
	open_fifo(q, "hold.reached", O_RDONLY);
}

void qs_hold_go(struct qs *q)
{
	open_fifo(q, "hold.go", O_WRONLY);
}

void qs_await_sleep(pid_t pid, pid_t tid)
{
	char path[64], text[512];
	const char *state;

	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	for (;;) {
		FILE *file = fopen(path, "re");

		CHILD(file != NULL);
		CHILD(fgets(text, sizeof text, file) != NULL);
		fclose(file);
		state = strrchr(text, ')');
		if (state && state[2] == 'S')
			return;
		sched_yield();
	}
}
