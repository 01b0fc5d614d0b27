/* SPDX-License-Identifier: Apache-2.0 */
/* test_interface.c - guarantees for programs that are built now: versions, texts, sizes, handles */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "queue_support.h"

/* The numbers, the text and the linked library have one version. */
static void versions(void **state)
{
	char text[64];

	(void)state;
	snprintf(text, sizeof text, "%d.%d.%d", CHRONQ_VERSION_MAJOR, CHRONQ_VERSION_MINOR,
	         CHRONQ_VERSION_PATCH);
	assert_string_equal(CHRONQ_VERSION, text);
	assert_string_equal(cq_version(), text);
}

/* Errors with a meaning of their own: their text is not the system's. */
static const int ours[] = { EAGAIN,          EBADMSG, EBUSY,     ECANCELED,  ECHILD,    EDQUOT,
	                    EEXIST,          EFBIG,   EINVAL,    EIO,        ELOOP,     EMSGSIZE,
	                    ENODATA,         ENODEV,  ENOTEMPTY, EOPNOTSUPP, EOVERFLOW, EPERM,
	                    EPROTONOSUPPORT, ERANGE,  ESTALE,    EREMOTE,    ENOLINK };
/* Errors that mean here what they mean elsewhere. */
static const int others[] = {
	EACCES, EINTR, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EROFS
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void texts_of_our_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ours); i++) {
		const char *text = cq_strerror(-ours[i]);

		assert_string_not_equal(text, strerrordesc_np(ours[i]));
		assert_ptr_equal(cq_strerror(ours[i]), text);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(text, cq_strerror(ours[j]));
	}
}

/* All others have the system's, and any number has one. */
static void texts_of_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(others); i++)
		assert_string_equal(cq_strerror(-others[i]), strerrordesc_np(others[i]));
	assert_string_equal(cq_strerror(0), "Success");
	assert_string_equal(cq_strerror(123456), "unknown error");
	assert_string_equal(cq_strerror(INT_MAX), "unknown error");
	assert_string_equal(cq_strerror(INT_MIN), "unknown error");
}

static bool is_named(const char *text, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)) != NULL; at += length)
		if (!isalnum((unsigned char)at[-1]) && !isalnum((unsigned char)at[length]))
			return true;
	return false;
}

/* The two lists have each error that chronq.h names, and only those. */
static void errors_of_the_header(void **state)
{
	size_t size, named = 0;
	char *header = support_slurp(getenv("CHRONQ_H"), &size);

	(void)state;
	for (int error = 1; error < 200; error++) {
		const char *name = strerrorname_np(error);
		bool listed = false;

		for (size_t i = 0; i < COUNT(ours); i++)
			listed |= ours[i] == error;
		for (size_t i = 0; i < COUNT(others); i++)
			listed |= others[i] == error;
		if (name && is_named(header, name) != listed)
			fail_msg("%s: %s", name, listed ? "not in chronq.h" : "not in this test");
		named += listed;
	}
	assert_int_equal(named, COUNT(ours) + COUNT(others));
	free(header);
}

/* ---- structures that grow ---- */

#define MORE 64    /* bytes that a later version of a structure has */
#define GUARD 0xA5 /* memory that the library must not touch */

/* struct cq_config of a program that knows only its first members. */
struct older_config {
	size_t size;
	uint64_t segment_size;
	uint32_t prealloc_wait_ms;
	uint32_t spares;
};

static void an_older_config(void **state)
{
	struct qs *q = *state;
	struct {
		struct older_config config;
		uint8_t beyond[sizeof(struct cq_config)];
	} older;
	struct cq_config *config = (struct cq_config *)(void *)&older;
	cq_writer *writer;

	memset(&older, GUARD, sizeof older);
	cq_config_init_size(config, sizeof older.config);
	assert_int_equal(older.config.size, sizeof older.config);
	assert_int_equal(older.config.prealloc_wait_ms, 100);
	assert_int_equal(older.config.spares, 1);
	for (size_t i = 0; i < sizeof older.beyond; i++)
		assert_int_equal(older.beyond[i], GUARD);
	older.config.segment_size = 8192;
	/* members that it does not know are as cq_config_init() leaves them, not as the memory behind */
	assert_int_equal(cq_writer_open(q->dir, config, &writer), 0);
	assert_int_equal(cq_writer_append(writer, 1, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_max_payload(writer), 8192 - 128);
	assert_int_equal(cq_writer_close(writer), 0);
}

static void a_newer_config(void **state)
{
	struct qs *q = *state;
	struct {
		struct cq_config config;
		uint8_t more[MORE];
	} newer;
	cq_writer *writer;

	memset(&newer, GUARD, sizeof newer);
	cq_config_init_size(&newer.config, sizeof newer);
	assert_int_equal(newer.config.size, sizeof newer);
	for (size_t i = 0; i < MORE; i++)
		assert_int_equal(newer.more[i], 0);
	assert_int_equal(cq_writer_open(q->dir, &newer.config, &writer), 0);
	assert_int_equal(cq_writer_discard(writer), 0);
	newer.more[MORE - 1] = 1; /* a request that this library does not know */
	assert_int_equal(cq_writer_open(q->dir, &newer.config, &writer), -EINVAL);
	assert_int_equal(qs_count_names(q->dir, ".q"), 0);
	assert_int_equal(qs_count_names(q->dir, ".lock"), 0);
}

/* Calls that fill a structure, in a queue of a sealed and a current segment. */
struct calls {
	const char *dir;
	cq_writer *writer;
	cq_reader *reader;
	cq_queue *queue;
	cq_segment *segment;
};

static int fill_stats(const struct calls *c, void *ret)
{
	return cq_writer_stats(c->writer, ret);
}

static int fill_reader_stats(const struct calls *c, void *ret)
{
	return cq_reader_stats(c->reader, ret);
}

static int fill_holder(const struct calls *c, void *ret)
{
	return cq_queue_holder(c->queue, ret);
}

static int fill_released(const struct calls *c, void *ret)
{
	return cq_queue_await_release(c->queue, 0, ret);
}

static int fill_closing(const struct calls *c, void *ret)
{
	return cq_queue_await_closing(c->queue, 0, NULL, NULL, ret);
}

static int fill_queue_info(const struct calls *c, void *ret)
{
	return cq_queue_info(c->queue, ret);
}

static int fill_position(const struct calls *c, void *ret)
{
	return cq_queue_position(c->queue, ret);
}

static int fill_segment_info(const struct calls *c, void *ret)
{
	return cq_segment_info(c->segment, CQ_SEGMENT_HEADER, ret);
}

static int fill_counted(const struct calls *c, void *ret)
{
	return cq_segment_info(c->segment, CQ_SEGMENT_RECORDS, ret);
}

static int fill_content(const struct calls *c, void *ret)
{
	return cq_segment_info(c->segment, CQ_SEGMENT_CONTENT, ret);
}

static int fill_verified(const struct calls *c, void *ret)
{
	return cq_verify(c->dir, NULL, NULL, ret);
}

/* Of an empty directory, where nothing is to be repaired. */
static int fill_repaired(const struct calls *c, void *ret)
{
	char dir[PATH_SIZE];
	int r;

	support_path(dir, c->dir, "empty");
	assert_int_equal(mkdir(dir, 0750), 0);
	r = cq_repair(dir, NULL, ret);
	assert_int_equal(rmdir(dir), 0);
	return r;
}

static void check_sizes(const struct calls *c, int (*fill)(const struct calls *c, void *ret),
                        size_t known)
{
	static const size_t unset[] = { 0, sizeof(size_t), SIZE_MAX / 2 };
	union {
		size_t size;
		uint8_t bytes[1024];
	} whole, other, before;

	memset(&before, GUARD, sizeof before);
	for (size_t i = 0; i < sizeof unset / sizeof unset[0]; i++) {
		other = before;
		other.size = unset[i];
		assert_int_equal(fill(c, &other), -EINVAL);
		assert_memory_equal(&other.bytes[sizeof(size_t)], &before.bytes[sizeof(size_t)],
		                    sizeof other - sizeof(size_t));
	}
	whole = before;
	whole.size = known;
	assert_int_equal(fill(c, &whole), 0);
	assert_int_equal(whole.size, known);
	/* an older program gets the members that it knows */
	for (size_t size = sizeof(size_t) + 1; size < known; size++) {
		other = before;
		other.size = size;
		assert_int_equal(fill(c, &other), 0);
		assert_int_equal(other.size, size);
		assert_memory_equal(&other.bytes[size], &before.bytes[size], sizeof other - size);
	}
	/* a newer program gets 0 in members that only it knows */
	other = before;
	other.size = known + MORE;
	assert_int_equal(fill(c, &other), 0);
	assert_int_equal(other.size, known + MORE);
	for (size_t i = known; i < known + MORE; i++)
		assert_int_equal(other.bytes[i], 0);
	assert_memory_equal(&other.bytes[known + MORE], &before.bytes[known + MORE],
	                    sizeof other - known - MORE);
}

static void results_of_all_sizes(void **state)
{
	static const struct {
		int (*fill)(const struct calls *c, void *ret);
		size_t known;
	} all[] = {
		{ fill_stats, sizeof(struct cq_stats) },
		{ fill_reader_stats, sizeof(struct cq_reader_stats) },
		{ fill_holder, sizeof(struct cq_holder) },
		{ fill_released, sizeof(struct cq_holder) },
		{ fill_closing, sizeof(struct cq_holder) },
		{ fill_queue_info, sizeof(struct cq_queue_info) },
		{ fill_position, sizeof(struct cq_queue_info) },
		{ fill_segment_info, sizeof(struct cq_segment_info) },
		{ fill_counted, sizeof(struct cq_segment_info) },
		{ fill_content, sizeof(struct cq_segment_info) },
		{ fill_verified, sizeof(struct cq_verify_result) },
		{ fill_repaired, sizeof(struct cq_repair_result) },
	};
	struct qs *q = *state;
	struct calls c = { .dir = q->dir };

	qs_open(q);
	qs_append(q->writer, 0, 40);
	c.writer = q->writer;
	c.queue = cq_writer_queue(q->writer);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &c.reader), 0);
	for (uint32_t id = 0; id < 2; id++) {
		assert_int_equal(cq_segment_open(c.queue, id, &c.segment), 0);
		for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
			check_sizes(&c, all[i].fill, all[i].known);
		cq_segment_close(c.segment);
	}
	cq_reader_close(c.reader);
	qs_close(q);
}

/* A shorter structure gets the same values as a whole one. */
static void an_older_result(void **state)
{
	struct qs *q = *state;
	struct cq_stats whole = CQ_SIZED(whole);
	struct {
		size_t size;
		uint64_t next_seq, durable_seq, records;
	} older = CQ_SIZED(older);

	qs_open(q);
	qs_append(q->writer, 0, 7);
	assert_int_equal(cq_writer_stats(q->writer, &whole), 0);
	assert_int_equal(cq_writer_stats(q->writer, (struct cq_stats *)(void *)&older), 0);
	assert_int_equal(older.next_seq, 7);
	assert_int_equal(older.records, 7);
	assert_int_equal(older.durable_seq, whole.durable_seq);
	qs_close(q);
}

/* The other two structures that calls take. */
static void other_configs(void **state)
{
	struct qs *q = *state;
	struct {
		struct cq_repair_config config;
		uint8_t more[MORE];
	} repairing = { .config.size = sizeof repairing };
	struct {
		struct cq_verify_config config;
		uint8_t more[MORE];
	} verifying = { .config.size = sizeof verifying };
	struct cq_repair_result repaired = CQ_SIZED(repaired);
	struct cq_verify_result verified = CQ_SIZED(verified);

	qs_write(q, 0, 7);
	assert_int_equal(cq_repair(q->dir, &repairing.config, &repaired), 0);
	assert_int_equal(cq_verify_with(q->dir, &verifying.config, &verified), 0);
	assert_int_equal(verified.records, 7);
	repairing.more[0] = verifying.more[0] = 1;
	assert_int_equal(cq_repair(q->dir, &repairing.config, &repaired), -EINVAL);
	assert_int_equal(cq_verify_with(q->dir, &verifying.config, &verified), -EINVAL);
	/* an older program's structure ends before these members */
	repairing.config.size = offsetof(struct cq_repair_config, step);
	verifying.config.size = offsetof(struct cq_verify_config, progress);
	repairing.config.step = (cq_repair_fn)(uintptr_t)1;
	verifying.config.progress = (cq_progress_fn)(uintptr_t)1;
	assert_int_equal(cq_repair(q->dir, &repairing.config, &repaired), 0);
	assert_int_equal(cq_verify_with(q->dir, &verifying.config, &verified), 0);
	repairing.config.size = verifying.config.size = 0;
	assert_int_equal(cq_repair(q->dir, &repairing.config, &repaired), -EINVAL);
	assert_int_equal(cq_verify_with(q->dir, &verifying.config, &verified), -EINVAL);
}

/* ---- handles ---- */

/* cq_queue_close() leaves the writer's queue alone. */
static void the_queue_of_a_writer(void **state)
{
	struct qs *q = *state;
	uint32_t oldest, newest;
	cq_queue *queue;

	qs_open(q);
	queue = cq_writer_queue(q->writer);
	cq_queue_close(queue);
	assert_ptr_equal(cq_writer_queue(q->writer), queue);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), 0);
	cq_queue_close(queue);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), 0);
	assert_int_equal(newest - oldest, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 40);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(versions),
	cmocka_unit_test(texts_of_our_errors),
	cmocka_unit_test(texts_of_others),
	cmocka_unit_test(errors_of_the_header),
	QS_TEST(an_older_config),
	QS_TEST(a_newer_config),
	QS_TEST(results_of_all_sizes),
	QS_TEST(an_older_result),
	QS_TEST(other_configs),
	QS_TEST(the_queue_of_a_writer),
};

QS_MAIN(tests)
