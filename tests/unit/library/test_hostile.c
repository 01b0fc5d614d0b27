/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile.c - other users have put things into the queue's directory: kinds of files, links, owners,
 * modes, names
 *
 * Whatever has the name of a file of the queue: nothing hangs, nothing outside of the queue is read as a
 * queue or changed, and a queue that opens has lost nothing.  Contents of files: test_hostile_data.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "messages/log.h"
#include "queue_support.h"
#include "write/writer.h"

#define STRANGER 54321
#define PRECIOUS "precious, and not the queue's"
#define LIMIT_SECONDS 60 /* SIGALRM ends a test that hangs */

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

/* Segments 0 and 1 sealed, 2 with 8 records, spare 3; one reader; all durable. */
static void make(struct qs *q)
{
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	qs_close(q);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	qs_write_file(q->base, "victim", PRECIOUS, sizeof PRECIOUS);
}

static const char *const names[] = {
	"000000000.q",  "000000001.q",  "000000002.q", "000000003.q",    "000000000.idx",
	"control.meta", "durable.meta", "index.meta",  "readers/r.meta", "writer.lock",
};

/* ---- kinds ---- */

static void place_socket(struct qs *q, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[PATH_SIZE];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	support_path(path, q->dir, name);
	assert_true(fd >= 0 && strlen(path) < sizeof address.sun_path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
}

enum kind { LINK, DANGLING, FIFO, SOCKET, DIRECTORY, DEVICE, KINDS };

/* False: this process may not make such a file. */
static bool place(struct qs *q, const char *name, enum kind kind)
{
	int r = unlinkat(q->dirfd, name, 0);

	assert_true(r == 0 || errno == ENOENT);
	switch (kind) {
	case LINK:
		r = symlinkat(strchr(name, '/') ? "../../victim" : "../victim", q->dirfd, name);
		break;
	case DANGLING:
		r = symlinkat(strchr(name, '/') ? "../../made" : "../made", q->dirfd, name);
		break;
	case FIFO:
		r = mkfifoat(q->dirfd, name, 0600);
		break;
	case SOCKET:
		place_socket(q, name);
		r = 0;
		break;
	case DIRECTORY:
		r = mkdirat(q->dirfd, name, 0700);
		break;
	case DEVICE: /* /dev/zero: endless */
	case KINDS:
	default:
		r = mknodat(q->dirfd, name, S_IFCHR | 0600, makedev(1, 5));
		if (r < 0 && errno == EPERM)
			return false;
		break;
	}
	assert_int_equal(r, 0);
	return true;
}

/* Reads all records, and passes over what it cannot read. */
static unsigned read_all(struct qs *q, const char *name)
{
	struct cq_record record;
	unsigned count = 0;
	cq_reader *reader;
	int r = cq_reader_open(q->dir, name, CQ_START_OLDEST, 0, &reader);

	if (r < 0)
		return 0;
	for (int i = 0; i < 1000; i++) {
		r = cq_reader_next(reader, &record);
		if (r == 1) {
			char text[32];
			int n = snprintf(text, sizeof text, "record %u", (unsigned)record.seq);

			assert_int_equal(record.length, n);
			assert_memory_equal(record.payload, text, record.length);
			count++;
		} else if (r != -ENODATA && cq_reader_skip_segment(reader) <= 0) {
			break;
		}
	}
	assert_int_equal(cq_reader_wait(reader, 1) >= 0, 1);
	cq_reader_close(reader);
	return count;
}

static void victim_is_unchanged(const struct qs *q)
{
	size_t size;
	char path[PATH_SIZE], *bytes;

	support_path(path, q->base, "victim");
	bytes = support_slurp(path, &size);
	assert_int_equal(size, sizeof PRECIOUS);
	assert_memory_equal(bytes, PRECIOUS, size);
	free(bytes);
	assert_false(support_exists(q->base, "made"));
}

/* A writer needs these files: anything else with such a name is an error. */
static bool needed(const char *name)
{
	return strcmp(name, "durable.meta") == 0 || strcmp(name, "index.meta") == 0 ||
	       strcmp(name, "writer.lock") == 0;
}

static void try_kind(struct qs *q, const char *name, enum kind kind)
{
	const bool segment = strstr(name, ".q") != NULL;
	unsigned records, lost = segment && name[8] < '2' ? 31 : segment && name[8] == '2' ? 8 : 0;
	int r;

	make(q);
	if (!place(q, name, kind))
		return;
	records = read_all(q, NULL) + lost;
	assert_int_equal(records, 70);
	/* a reader whose file is none is refused: it could neither be locked nor commit */
	assert_int_equal(read_all(q, "r") + lost, strcmp(name, "readers/r.meta") == 0 ? 0 : 70);
	r = cq_verify(q->dir, NULL, NULL, NULL);
	assert_true(r == 0 || r == -EBADMSG || r == -ELOOP);
	r = qs_try_open(q);
	if (segment && name[8] == '2') /* durable records are missing */
		assert_int_equal(r, -EBADMSG);
	else if (needed(name))
		assert_int_equal(r, kind == LINK || kind == DANGLING ? -ELOOP : -EBADMSG);
	else if (strcmp(name, "control.meta") == 0 && kind == DIRECTORY)
		assert_int_equal(r, -EBADMSG);
	else
		assert_int_equal(r, 0);
	if (r == 0) {
		assert_int_equal(qs_stats(q->writer).next_seq, 70);
		qs_append(q->writer, 70, 40);
		qs_prepare(q->writer);
		qs_flush(q->writer);
		qs_close(q);
		assert_int_equal(read_all(q, NULL) + lost, 110);
	}
	victim_is_unchanged(q);
}

static void no_kind_hangs_or_leads_elsewhere(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT(names); i++)
		for (int kind = LINK; kind < KINDS; kind++) {
			alarm(LIMIT_SECONDS);
			try_kind(q, names[i], (enum kind)kind);
			qs_anew(q);
		}
	alarm(0);
}

/* The worst case has a test of its own: the lock's text would overwrite the file. */
static void symbolic_links_are_not_followed(void **state)
{
	struct qs *q = *state;

	make(q);
	assert_true(place(q, "writer.lock", LINK));
	assert_int_equal(qs_try_open(q), -ELOOP);
	victim_is_unchanged(q);
}

/* Something appears under the next id while the writer runs. */
static void strange_successors(void **state)
{
	static const int errors[KINDS] = { -ELOOP, -ELOOP, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG };
	struct qs *q = *state;

	make(q);
	for (int kind = LINK; kind < KINDS; kind++) {
		alarm(LIMIT_SECONDS);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).segment, 2);
		if (place(q, "000000004.q", (enum kind)kind)) {
			qs_append(q->writer, 70, 54); /* to the end of 3 */
			assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL),
			                 errors[kind]);
			(void)unlinkat(q->dirfd, "000000004.q",
			               kind == DIRECTORY ? AT_REMOVEDIR : 0);
		} else {
			qs_append(q->writer, 70, 54);
		}
		qs_append(q->writer, 124, 10);
		qs_close(q);
		qs_expect(q->dir, 0, 134);
		victim_is_unchanged(q);
		qs_anew(q);
		make(q);
	}
	alarm(0);
}

/* ---- readers/ ---- */

static void bad_reader_files_are_ignored(void **state)
{
	static const char *const strange[] = {
		"fifo", "socket", "dir", "link", "dangling", "device"
	};
	static const char *const hostile[] = { "\033[2J.meta", "a\nb.meta",     "%s%n.meta",
		                               ".meta",        "\xff\xfe.meta", ".hidden.meta" };
	static const enum kind kinds[] = { FIFO, SOCKET, DIRECTORY, LINK, DANGLING, DEVICE };
	struct qs *q = *state;
	char name[PATH_SIZE];

	alarm(LIMIT_SECONDS);
	make(q);
	for (size_t i = 0; i < COUNT(strange); i++) {
		snprintf(name, sizeof name, "readers/%s.meta", strange[i]);
		(void)place(q, name, kinds[i]);
	}
	for (size_t i = 0; i < COUNT(hostile); i++) {
		snprintf(name, sizeof name, "readers/%s", hostile[i]);
		qs_write_file(q->dir, name, "x", 1);
	}
	qs_write_file(q->dir, "readers/huge.meta", "x", 1);
	support_path(name, q->dir, "readers/huge.meta");
	assert_int_equal(truncate(name, 1LL << 40), 0);
	q->config.retain_segments = 1;
	qs_open(q);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 0); /* the good reader protects it */
	assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 2); /* the bad ones do not */
	assert_false(qs_logged(q, "not deleted"));
	qs_close(q);
	victim_is_unchanged(q);
	alarm(0);
}

static void reader_names(void **state)
{
	static const char *const bad[] = {
		"../escaped",
		"..",
		".",
		"",
		"/etc/passwd",
		"a/b",
		".hidden",
		"a b",
		"a\n",
		"\033[2J",
		"a\\b",
		"\xc3\xa4",
		"a:b",
		"%s%n",
		"-\x7f",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* 65 */
	};
	static const char *const good[] = {
		"a",
		"-",
		"_",
		"a..b",
		"A.z_0-9",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", /* 64 */
	};
	struct qs *q = *state;
	cq_reader *reader;

	make(q);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(cq_reader_open(q->dir, bad[i], CQ_START_OLDEST, 0, &reader),
		                 -EINVAL);
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_int_equal(cq_reader_open(q->dir, good[i], CQ_START_OLDEST, 0, &reader), 0);
		assert_int_equal(cq_reader_commit(reader), 0);
		cq_reader_close(reader);
	}
	assert_int_equal(qs_count_names(q->dir, ".meta"), 4);
	assert_int_equal(qs_count_names(q->base, ".meta"), 0);
}

/* ---- links, owners, modes ---- */

/* The open fails with EPERM, the log says so, and nothing has changed. */
static void refused(struct qs *q, const char *name, const char *reason)
{
	struct qs_snapshot before;
	char text[128];

	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), -EPERM);
	qs_unchanged(q->dir, &before);
	snprintf(text, sizeof text, "error %s is not written to: %s", name, reason);
	assert_true(qs_logged(q, text));
	q->log_length = 0;
	assert_int_equal(read_all(q, NULL), 70);
}

/* Files that an open writes to: not older segments, their indexes, or readers' files. */
static bool written(const char *name)
{
	return !strstr(name, ".idx") && !strchr(name, '/') && strcmp(name, "000000000.q") != 0 &&
	       strcmp(name, "000000001.q") != 0;
}

static void hard_links_are_not_written_to(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	make(q);
	for (size_t i = 0; i < COUNT(names); i++) {
		char path[PATH_SIZE], second[PATH_SIZE];

		support_path(path, q->dir, names[i]);
		support_path(second, q->base, "second");
		assert_int_equal(link(path, second), 0);
		if (written(names[i]))
			refused(q, names[i], "it has a second name (a hard link)");
		else if (strchr(names[i], '/')) {
			assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader),
			                 -EPERM);
		}
		assert_int_equal(unlink(second), 0);
	}
	q->config.trust_files = true; /* makes no difference */
	assert_int_equal(linkat(q->dirfd, "writer.lock", q->dirfd, "second", 0), 0);
	refused(q, "writer.lock", "it has a second name (a hard link)");
	assert_int_equal(unlinkat(q->dirfd, "second", 0), 0);
	qs_write(q, 70, 1);
	qs_expect(q->dir, 0, 71);
}

/* The next segment is a good empty one, but has a second name. */
static void hard_linked_successor(void **state)
{
	struct qs *q = *state;
	char second[PATH_SIZE];

	make(q);
	qs_open(q);
	qs_make_segment(q->dir, 4, QS_SIZE);
	support_path(second, q->base, "second");
	assert_int_equal(linkat(q->dirfd, "000000004.q", AT_FDCWD, second, 0), 0);
	qs_append(q->writer, 70, 54);
	qs_prepare(q->writer);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EPERM);
	assert_true(qs_all_zero(q->base, "second", 64, QS_SIZE));
	assert_int_equal(unlink(second), 0);
	qs_append(q->writer, 124, 10);
	qs_close(q);
	qs_expect(q->dir, 0, 134);
}

static void files_of_other_users(void **state)
{
	struct qs *q = *state;

	if (geteuid() != 0)
		NOT_HERE("needs root");
	make(q);
	for (size_t i = 0; i < COUNT(names); i++) {
		if (!written(names[i]))
			continue;
		assert_int_equal(fchownat(q->dirfd, names[i], STRANGER, (gid_t)-1, 0), 0);
		refused(q, names[i], "it belongs to another user");
		assert_int_equal(fchownat(q->dirfd, names[i], 0, (gid_t)-1, 0), 0);
	}
	/* the directory's owner could have put any file there: root opens that user's queue */
	assert_int_equal(fchown(q->dirfd, STRANGER, (gid_t)-1), 0);
	for (size_t i = 0; i < COUNT(names); i += 2)
		assert_int_equal(fchownat(q->dirfd, names[i], STRANGER, (gid_t)-1, 0), 0);
	qs_write(q, 70, 60);
	qs_expect(q->dir, 0, 130);
}

static void count_finding(void *arg, const struct cq_finding *finding)
{
	*(unsigned *)arg += strstr(finding->text, "everybody may write to it") != NULL;
	assert_false(finding->damage);
}

static void files_that_everybody_may_write_to(void **state)
{
	struct qs *q = *state;
	unsigned found = 0;

	make(q);
	for (size_t i = 0; i < COUNT(names); i++) {
		if (!written(names[i]))
			continue;
		assert_int_equal(fchmodat(q->dirfd, names[i], 0666, 0), 0);
		refused(q, names[i], "everybody may write to it");
		assert_int_equal(fchmodat(q->dirfd, names[i], 0640, 0), 0);
	}
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(fchmodat(q->dirfd, names[i], 0666, 0), 0);
	assert_int_equal(cq_verify(q->dir, count_finding, &found, NULL), 0);
	assert_int_equal(found, 4); /* segments: for verification this is no damage */
	q->config.trust_files = true;
	qs_write(q, 70, 60);
	qs_expect(q->dir, 0, 130);
}

/* ---- names in messages ---- */

static void check_printable(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	for (const char *c = finding->text; *c != '\0'; c++)
		assert_true(*c >= ' ' && *c < 0x7F);
}

static void names_do_not_reach_the_terminal(void **state)
{
	static const char *const hostile[] = { "\033[2J", "000000007.q\n", "a\rb\x7f",
		                               "readers/\033].meta", "\2331m" };
	struct qs *q = *state;

	make(q);
	for (size_t i = 0; i < COUNT(hostile); i++)
		qs_write_file(q->dir, hostile[i], "x", 1);
	q->config.retain_segments = 1;
	assert_true(place(q, "000000003.q", FIFO));
	qs_open(q);
	qs_append(q->writer, 70, 60);
	qs_flush(q->writer);
	qs_close(q);
	assert_int_equal(cq_verify(q->dir, check_printable, NULL, NULL), 0);
	assert_true(q->log_length > 0);
	for (const char *c = q->log; *c != '\0'; c++)
		assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7F));
	/* so far no message has such a name in it; if one gets it: */
	q->log_length = 0;
	cq_log(&q->config, CQ_NOTICE, "%s|", hostile[0]);
	assert_string_equal(q->log, "notice \\x1b[2J|\n");
	q->log_length = 0;
	cq_log(&q->config, CQ_NOTICE, "%s|%s|", hostile[2], hostile[4]);
	assert_string_equal(q->log, "notice a\\x0db\\x7f|\\x9b1m|\n");
	q->log_length = 0;
	cq_log(&q->config, CQ_NOTICE, "%0*d%s", 506, 0, hostile[1]); /* cut, and still a string */
	assert_true(strlen(q->log) < 600);
	cq_log(&q->config, CQ_NOTICE, "%s",
	       "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(no_kind_hangs_or_leads_elsewhere),
	QS_TEST(symbolic_links_are_not_followed),
	QS_TEST(strange_successors),
	QS_TEST(bad_reader_files_are_ignored),
	QS_TEST(reader_names),
	QS_TEST(hard_links_are_not_written_to),
	QS_TEST(hard_linked_successor),
	QS_TEST(files_of_other_users),
	QS_TEST(files_that_everybody_may_write_to),
	QS_TEST(names_do_not_reach_the_terminal),
};

QS_MAIN(tests)
