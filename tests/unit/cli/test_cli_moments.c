/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cli_moments.c - chronq's commands while others change the queue, and with a call of the library failing
 *
 * Each command runs in a child process.  One of its calls, counted by name, is preceded by a change to the queue, or
 * fails; what the command writes and its exit code must be what the new state, or the error, asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_support.h"
#include "shared/cli.h"
#include "shared/mounted.h"

#define ARGUMENTS 10

static struct {
	const char *call; /* the call at which something happens */
	unsigned at;      /* the first, second, ... of that name */
	int error;        /* it fails; 0: it does not */
	void (*act)(void);
	unsigned calls;           /* of that name, so far */
	struct cq_holder waiting; /* what cq_queue_await_release() finds, if locked */
	struct cq_holder stalled; /* then what cq_queue_await_closing() finds */
	bool running;             /* the command, in its process */
	bool unknown;             /* the process that uses a reader */
	bool mounted; /* a mount has the queue, and does what it is asked for: nothing */
	const struct cli_command *command;
	const char *arguments[ARGUMENTS];
	const char *input; /* standard input */
	struct qs *q;
} course;

/* At the beginning of a call: 0, or the error with which it fails. */
static int planned(const char *call)
{
	if (!course.running || !course.call || strcmp(call, course.call) != 0 ||
	    ++course.calls != course.at)
		return 0;
	if (course.act)
		course.act();
	return course.error;
}

#define WRAP(type, name, parameters, arguments)             \
	type __real_##name parameters;                      \
	type __wrap_##name parameters;                      \
	type __wrap_##name parameters                       \
	{                                                   \
		const int r = planned(#name);               \
                                                            \
		return r < 0 ? r : __real_##name arguments; \
	}

WRAP(int, cq_queue_info, (cq_queue * queue, struct cq_queue_info *ret), (queue, ret))
WRAP(int, cq_queue_list, (cq_queue * queue, uint32_t **ids, size_t *count), (queue, ids, count))
WRAP(int, cq_queue_open, (const char *dir, cq_queue **ret), (dir, ret))
WRAP(int, cq_queue_ends, (cq_queue * queue, uint32_t *oldest, uint32_t *newest),
     (queue, oldest, newest))
WRAP(int, cq_queue_readers, (cq_queue * queue, cq_reader_visit_fn visit, void *arg),
     (queue, visit, arg))
WRAP(int, cq_reader_commit_seq, (cq_reader * reader, uint64_t seq), (reader, seq))
WRAP(int, cq_reader_next, (cq_reader * reader, struct cq_record *ret), (reader, ret))
WRAP(int, cq_reader_seek_seq, (cq_reader * reader, uint64_t seq), (reader, seq))
WRAP(int, cq_reader_set, (const char *dir, const char *name, enum cq_place place, uint64_t value),
     (dir, name, place, value))
WRAP(int, cq_segment_info,
     (cq_segment * segment, enum cq_segment_source what, struct cq_segment_info *ret),
     (segment, what, ret))
WRAP(int, cq_segment_open, (cq_queue * queue, uint32_t id, cq_segment **ret), (queue, id, ret))
WRAP(int, cq_writer_close, (cq_writer * writer), (writer))
WRAP(int, cq_writer_open, (const char *dir, const struct cq_config *config, cq_writer **ret),
     (dir, config, ret))

ssize_t __real_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret);
ssize_t __wrap_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret);
ssize_t __wrap_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret)
{
	const int r = planned("cq_writer_append_batch_at");

	if (r == 0)
		return __real_cq_writer_append_batch_at(writer, messages, times_ns, count, ret);
	*ret = (struct cq_appended){ .count = 0 };
	return r;
}

int __real_cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret);
int __wrap_cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret);
int __wrap_cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret)
{
	int r = planned("cq_queue_reader");

	if (r == 0)
		r = __real_cq_queue_reader(queue, name, ret);
	if (r == 0 && course.unknown)
		ret->pid = 0;
	return r;
}

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
	const int r = planned("read");

	if (r == 0)
		return __real_read(fd, bytes, size);
	errno = -r;
	return -1;
}

static void give(struct cq_holder *ret, struct cq_holder holder)
{
	holder.size = ret->size;
	*ret = holder;
}

int __real_cq_queue_holder(cq_queue *queue, struct cq_holder *ret);
int __wrap_cq_queue_holder(cq_queue *queue, struct cq_holder *ret);
int __wrap_cq_queue_holder(cq_queue *queue, struct cq_holder *ret)
{
	if (!course.waiting.locked)
		return __real_cq_queue_holder(queue, ret);
	give(ret, course.waiting);
	return 0;
}

int __real_cq_queue_await_release(cq_queue *queue, uint32_t timeout_ms, struct cq_holder *ret);
int __wrap_cq_queue_await_release(cq_queue *queue, uint32_t timeout_ms, struct cq_holder *ret);
int __wrap_cq_queue_await_release(cq_queue *queue, uint32_t timeout_ms, struct cq_holder *ret)
{
	if (!course.waiting.locked)
		return __real_cq_queue_await_release(queue, timeout_ms, ret);
	give(ret, course.waiting);
	return 0;
}

int __wrap_cq_queue_await_closing(cq_queue *queue, uint32_t stall_ms, bool (*stop)(void *arg),
                                  void *arg, struct cq_holder *ret);
int __wrap_cq_queue_await_closing(cq_queue *queue, uint32_t stall_ms, bool (*stop)(void *arg),
                                  void *arg, struct cq_holder *ret)
{
	const int r = planned("cq_queue_await_closing");

	(void)queue;
	(void)stop;
	(void)arg;
	CHILD(stall_ms == 30000);
	give(ret, course.stalled);
	return r;
}

int __real_cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command);
int __wrap_cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command);
int __wrap_cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command)
{
	return course.mounted ? 0 : __real_cli_mounted_do(dir, holder, command);
}

/* ---- running a command ---- */

static void redirect(const char *name, int flags, int to)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, course.q->base, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	CHILD(fd >= 0 && dup2(fd, to) == to);
}

static void run_command(struct qs *q)
{
	char texts[ARGUMENTS][PATH_SIZE], *argv[ARGUMENTS + 1];
	int argc = 0, status;

	for (; course.arguments[argc]; argc++) {
		(void)snprintf(texts[argc], PATH_SIZE, "%s",
		               strcmp(course.arguments[argc], "DIR") == 0 ? q->dir
		                                                          : course.arguments[argc]);
		argv[argc] = texts[argc];
	}
	argv[argc] = NULL;
	qs_write_file(q->base, "in", course.input ? course.input : "",
	              course.input ? strlen(course.input) : 0);
	redirect("in", O_RDONLY, STDIN_FILENO);
	redirect("out", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
	redirect("err", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
	course.running = true;
	status = course.command->run(course.command, argc, argv);
	(void)fflush(stdout);
	_exit(status);
}

/* What the command wrote to "out" or "err" has the text (NULL: is empty), or has it not. */
static void expect(struct qs *q, const char *name, const char *text, bool wanted)
{
	char path[PATH_SIZE], *content;
	size_t size;
	bool found;

	support_path(path, q->base, name);
	content = support_slurp(path, &size);
	found = text ? strstr(content, text) != NULL : size == 0;
	if (found != wanted)
		print_error("%s:\n%s\n%s:\n%s\n", name, content, wanted ? "has not" : "has",
		            text ? text : "nothing");
	free(content);
	assert_int_equal(found, wanted);
}

static void has(struct qs *q, const char *name, const char *text)
{
	expect(q, name, text, true);
}

static void lacks(struct qs *q, const char *name, const char *text)
{
	expect(q, name, text, false);
}

/* The command's exit code, and a text of its messages (NULL: there is none). */
#define RUNS(q, which, code, message, ...)                            \
	do {                                                          \
		const char *const given[] = { __VA_ARGS__ };          \
                                                                      \
		memset(course.arguments, 0, sizeof course.arguments); \
		memcpy(course.arguments, given, sizeof given);        \
		course.command = &(which);                            \
		course.q = (q);                                       \
		{                                                     \
			const int status = qs_child(run_command, q);  \
                                                                      \
			has(q, "err", message);                       \
			assert_true(WIFEXITED(status));               \
			assert_int_equal(WEXITSTATUS(status), code);  \
		}                                                     \
	} while (0)

static int setup(void **state)
{
	memset(&course, 0, sizeof course);
	return qs_setup(state);
}

/* From here on the nth call of this name fails, or something happens before it. */
static void plan(const char *call, unsigned at, int error, void (*act)(void))
{
	course.call = call;
	course.at = at;
	course.error = error;
	course.act = act;
	course.calls = 0;
}

static void remove_file(const char *name)
{
	CHILD(unlinkat(course.q->dirfd, name, 0) == 0);
}

/* ---- changes ---- */

static void remove_first_segment(void)
{
	remove_file("000000000.q");
}

static void remove_two_segments(void)
{
	remove_file("000000000.q");
	remove_file("000000001.q");
}

static void remove_all_segments(void)
{
	char name[32];

	for (unsigned id = 0; id < 4; id++) {
		(void)snprintf(name, sizeof name, "%09u.q", id);
		(void)unlinkat(course.q->dirfd, name, 0);
	}
}

static void put_back(void)
{
	CHILD(renameat(course.q->dirfd, "aside", course.q->dirfd, "000000001.q") == 0);
}

static void delete_reader(void)
{
	remove_file("readers/b.meta");
}

static void end_it(void)
{
	raise(SIGTERM);
}

/* ---- readers ---- */

static void readers(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 10);
	for (const char *name = "a\0b\0c\0"; *name; name += 2)
		assert_int_equal(cq_reader_set(q->dir, name, CQ_PLACE_SEQ, 3), 0);
	plan("cq_queue_reader", 2, 0, delete_reader);
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "DIR");
	has(q, "out", "\na  ");
	has(q, "out", "\nc  ");
	plan("cq_queue_reader", 1, -EIO, NULL);
	RUNS(q, cli_readers, CLI_IO, "reader a: Input/output error", "readers", "DIR");
	plan("cq_queue_readers", 1, -EMFILE, NULL);
	RUNS(q, cli_readers, CLI_IO, "Too many open files", "readers", "--json", "DIR");
	has(q, "out", NULL);
	plan("cq_reader_set", 1, -ENOSPC, NULL);
	RUNS(q, cli_readers, CLI_IO, "reader a: No space left on device", "readers", "--set", "a",
	     "5", "DIR");
	plan("cq_queue_open", 2, -EMFILE, NULL); /* it is set, and cannot be shown */
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--set", "a", "5", "DIR");
	plan("cq_queue_reader", 1, -EIO, NULL);
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--set", "c", "6", "DIR");
	plan(NULL, 0, 0, NULL);
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--json", "DIR");
	has(q, "out", "\"next_seq\":5,");
	has(q, "out", "\"next_seq\":6,");
}

static void reader_in_use(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 10);
	assert_int_equal(cq_reader_open(q->dir, "a", CQ_START_OLDEST, 0, &reader), 0);
	RUNS(q, cli_readers, CLI_IO, "reader a is in use by process", "readers", "--set", "a", "5",
	     "DIR");
	plan("cq_queue_reader", 1, -EIO, NULL); /* who it is cannot be found out */
	RUNS(q, cli_readers, CLI_IO, "reader a is in use\n", "readers", "--set", "a", "5", "DIR");
	plan(NULL, 0, 0, NULL);
	course.unknown = true;
	RUNS(q, cli_readers, CLI_IO, "reader a is in use\n", "readers", "--set", "a", "5", "DIR");
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "DIR");
	has(q, "out", "  unknown\n");
	cq_reader_close(reader);
}

static void damage_record(void)
{
	support_poke(course.q->dir, "000000000.q", 64 + 5 * 128, "no header", 9);
}

/* The reader is set, and then damage hides which record is there. */
static void set_into_damage(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 10);
	plan("cq_queue_reader", 1, 0, damage_record);
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--set", "a", "5", "DIR");
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--json", "DIR");
	has(q, "out", "\"segment\":0,\"offset\":704,");
	lacks(q, "out", "next_seq");
}

/* SIGTERM comes between two records: what was written is committed, and the next run continues there. */
static void stopped(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 40);
	plan("cq_reader_next", 30, 0, end_it);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--reader", "a", "DIR");
	has(q, "out", "record 29");
	lacks(q, "out", "record 30");
	plan(NULL, 0, 0, NULL);
	RUNS(q, cli_readers, CLI_OK, NULL, "readers", "--json", "DIR");
	has(q, "out", "\"next_seq\":30,");
}

/* Where numbers begin again, as chronicle-rs's do, a record may be one that the reader has not passed. */
static void number_again(void **state)
{
	struct qs *q = *state;

	course.input = "{\"time_ns\":1000000000,\"payload\":\"one\"}\n"
		       "{\"time_ns\":5000000000,\"payload\":\"two\"}\n";
	RUNS(q, cli_import, CLI_OK, NULL, "import", "-r", "-s", "4096", "DIR");
	plan("cq_reader_commit_seq", 1, -ERANGE, NULL);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--reader", "a", "--until", "@2", "DIR");
	has(q, "out", "one");
	lacks(q, "out", "two");
	plan(NULL, 0, 0, NULL); /* it is written a second time, and nothing is skipped */
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--reader", "a", "DIR");
	has(q, "out", "onetwo");
}

/* ---- a writer that ends ---- */

static void closing(void **state)
{
	const struct cq_holder unknown = { .locked = true, .closing = true };
	struct qs *q = *state;

	qs_write(q, 0, 1);
	course.input = "record 1\n";
	course.waiting = course.stalled = unknown;
	RUNS(q, cli_info, CLI_OK, NULL, "info", "DIR");
	has(q, "out", "\nwriter           running\n");
	RUNS(q, cli_append, CLI_OK, "another process is closing the queue; waiting for it\n",
	     "append", "DIR");
	has(q, "err", ": its closing does not advance\n");
	course.stalled.closing = false; /* another one has the queue now */
	RUNS(q, cli_append, CLI_OK, "waiting for it\n", "append", "DIR");
	lacks(q, "err", "does not advance");
	course.stalled.locked = false;
	course.waiting.pid = 77;
	RUNS(q, cli_append, CLI_OK, "process 77 is closing the queue; waiting for it\n", "append",
	     "DIR");
	lacks(q, "err", "does not advance");
	plan("cq_queue_await_closing", 1, -EMFILE,
	     NULL); /* the open that follows shows whether it ends */
	RUNS(q, cli_append, CLI_OK, "waiting for it\n", "append", "DIR");
	plan(NULL, 0, 0, NULL);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "DIR");
	has(q, "out", "record 0record 1\nrecord 1\nrecord 1\nrecord 1\n");
}

/* ---- trim and roll ---- */

static void comes_meanwhile(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	course.mounted = true;
	plan("cq_writer_open", 1, -EBUSY, NULL); /* a mount has come, and finds nothing to delete */
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "3", "DIR");
	has(q, "out", "no segment deleted\n");
	course.mounted = false;
	RUNS(q, cli_trim, CLI_IO, "and serves no mount that can be read here", "trim", "--before",
	     "3", "DIR");
	plan("cq_segment_info", 2, -EIO, NULL);
	RUNS(q, cli_trim, CLI_IO, "Input/output error", "trim", "--before", "@1", "DIR");
	qs_expect(q->dir, 0, 70);
}

/* A mount has trimmed, and the oldest segment is still there.  A reader that keeps it is named only if it could have
 * been deleted otherwise. */
static void kept_by_mount(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	assert_int_equal(cq_reader_set(q->dir, "a", CQ_PLACE_OLDEST, 0), 0);
	course.mounted = true;
	plan("cq_writer_open", 1, -EBUSY, NULL);
	RUNS(q, cli_trim, CLI_PROBLEM, "the named reader a has still to read segment 000000000",
	     "trim", "--before", "60", "DIR");
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "30", "DIR");
	qs_unseal(q->dir, 0);
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "60", "DIR");
}

/* No summary says what is in a sealed segment of chronicle-rs. */
static void kept_without_summary(void **state)
{
	struct qs *q = *state;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-mixed");
	support_copy(golden, q->dir);
	course.mounted = true;
	course.waiting = (struct cq_holder){ .locked = true, .pid = 77 };
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "3", "DIR");
	has(q, "out", "no segment deleted\n");
}

static void kept_unreadable(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	assert_int_equal(cq_reader_set(q->dir, "a", CQ_PLACE_OLDEST, 0), 0);
	course.mounted = true;
	course.waiting = (struct cq_holder){ .locked = true, .pid = 77 };
	plan("cq_segment_open", 1, -EIO, NULL);
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "60", "DIR");
	plan("cq_segment_info", 1, -EIO, NULL);
	RUNS(q, cli_trim, CLI_OK, NULL, "trim", "--before", "60", "DIR");
	plan(NULL, 0, 0, NULL);
	RUNS(q, cli_trim, CLI_PROBLEM, "the named reader a", "trim", "--before", "60", "DIR");
}

/* ---- segments that come and go ---- */

static void listing(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	assert_int_equal(renameat(q->dirfd, "000000001.q", q->dirfd, "aside"), 0);
	RUNS(q, cli_ls, CLI_PROBLEM, "missing: there is no segment from 000000001 to 000000001",
	     "ls", "DIR");
	plan("cq_queue_ends", 1, -EMFILE, NULL); /* whether it is missing cannot be found out */
	RUNS(q, cli_ls, CLI_OK, NULL, "ls", "DIR");
	plan("cq_segment_open", 2, 0,
	     remove_first_segment); /* then the queue begins behind the gap */
	RUNS(q, cli_ls, CLI_OK, NULL, "ls", "DIR");
	qs_anew(q);
	qs_write(q, 0, 70);
	assert_int_equal(renameat(q->dirfd, "000000001.q", q->dirfd, "aside"), 0);
	plan("cq_segment_open", 2, 0, put_back); /* it was published after the listing */
	RUNS(q, cli_ls, CLI_OK, NULL, "ls", "DIR");
}

static void bounds(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	plan("cq_segment_open", 1, -EMFILE, NULL);
	RUNS(q, cli_info, CLI_IO, "Too many open files", "info", "DIR");
	plan("cq_queue_list", 1, -EMFILE, NULL);
	RUNS(q, cli_info, CLI_IO, "Too many open files", "info", "DIR");
	plan("cq_segment_open", 1, 0, remove_all_segments);
	RUNS(q, cli_info, CLI_OK, NULL, "info", "DIR");
	has(q, "out", "\noldest record    0, ");
	lacks(q, "out", "newest record");
}

static void since(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	plan("cq_segment_open", 1, 0, remove_first_segment);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--since", "@1", "DIR");
	has(q, "out", "record 31record 32");
	lacks(q, "out", "record 30");
	qs_anew(q);
	qs_write(q, 0, 70);
	plan("cq_reader_seek_seq", 1, -EBADMSG, NULL); /* then it reads from the beginning */
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--since", "@1", "DIR");
	has(q, "out", "record 0record 1");
	plan("cq_reader_seek_seq", 1, 0, remove_first_segment);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "--since", "@1", "DIR");
	has(q, "out", "record 31record 32");
	lacks(q, "out", "record 30");
}

static void until(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	plan("cq_queue_list", 1, 0, remove_two_segments); /* those that were being read */
	RUNS(q, cli_cat, CLI_PROBLEM, "records are missing before segment 000000002", "cat",
	     "--until", "@1", "DIR");
	has(q, "out", NULL);
}

static void append_more(void)
{
	qs_write(course.q, 10, 60);
}

/* The reader was at the end, and then a writer filled the segment and began the next one. */
static void appended_meanwhile(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 10);
	plan("cq_queue_ends", 1, 0, append_more);
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "DIR");
	has(q, "out", "record 9record 10record 11");
	has(q, "out", "record 68record 69");
}

static void tail(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	plan("cq_reader_seek_seq", 1, -EBADMSG, NULL); /* it counts from the beginning then */
	RUNS(q, cli_tail, CLI_OK, NULL, "tail", "-n", "2", "DIR");
	has(q, "out", "record 68\nrecord 69\n");
	lacks(q, "out", "record 67");
}

/* ---- input ---- */

/* Another process has read the line from the same pipe; or a debugger has stopped the read. */
static void no_line(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 3);
	course.input = "record 3\nrecord 4\n";
	plan("read", 1, -EAGAIN, NULL);
	RUNS(q, cli_append, CLI_OK, NULL, "append", "DIR");
	plan("read", 1, -EINTR, NULL);
	RUNS(q, cli_append, CLI_OK, NULL, "append", "DIR");
	RUNS(q, cli_cat, CLI_OK, NULL, "cat", "DIR");
	has(q, "out", "record 2record 3\nrecord 4\nrecord 3\nrecord 4\n");
}

static void stopped_and_failed(void **state)
{
	struct qs *q = *state;

	course.input = "{\"payload\":\"one\"}\n";
	plan("cq_writer_append_batch_at", 1, -ENOSPC, end_it);
	RUNS(q, cli_import, CLI_IO, "No space left on device", "import", "-r", "-s", "4096", "DIR");
	has(q, "err", "records imported: 0");
	lacks(q, "err", "interrupted");
	plan("cq_writer_close", 1, -EIO, NULL);
	RUNS(q, cli_import, CLI_IO, "Input/output error", "import", "-r", "-s", "4096", "DIR");
	has(q, "err", "records imported: 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, qs_teardown)

static const struct CMUnitTest tests[] = {
	TEST(set_into_damage),
	TEST(kept_without_summary),
	TEST(appended_meanwhile),
	TEST(readers),
	TEST(reader_in_use),
	TEST(stopped),
	TEST(number_again),
	TEST(closing),
	TEST(comes_meanwhile),
	TEST(kept_by_mount),
	TEST(kept_unreadable),
	TEST(listing),
	TEST(bounds),
	TEST(since),
	TEST(until),
	TEST(tail),
	TEST(no_line),
	TEST(stopped_and_failed),
};

SUPPORT_MAIN_IN_MEMORY(tests)
