/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_identity.c - which queue it is, and of which one it is a replica (identity.meta)
 *
 * A queue has one identity for ever, whatever is killed, lost or repaired.  A replica refuses every writer that does
 * not name its source, until it is promoted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "meta/identity.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define ID CQ_IDENTITY_SIZE

static const uint8_t none[ID];
static const uint8_t source[ID] = { 1, 2, 3, 250, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static const uint8_t another[ID] = { 9 };

static struct cq_queue_info info_of(const char *dir)
{
	struct cq_queue_info info = CQ_SIZED(info);
	cq_queue *queue;

	assert_int_equal(cq_queue_open(dir, &queue), 0);
	assert_int_equal(cq_queue_info(queue, &info), 0);
	cq_queue_close(queue);
	return info;
}

static void expect(const char *dir, const uint8_t id[ID], const uint8_t of[ID])
{
	const struct cq_queue_info info = info_of(dir);

	assert_true(info.have_identity);
	assert_memory_equal(info.identity, id, ID);
	assert_int_equal(info.replica, memcmp(of, none, ID) != 0);
	assert_memory_equal(info.source, of, ID);
}

static void lose(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

/* Changes a byte of identity.meta, which is random. */
static void spoil(struct qs *q, uint64_t at)
{
	uint8_t byte;

	support_peek(q->dir, "identity.meta", at, &byte, 1);
	byte ^= 1;
	support_poke(q->dir, "identity.meta", at, &byte, 1);
}

static void set_source(struct qs *q, const uint8_t id[ID])
{
	memcpy(q->config.replica_of, id, ID);
}

static void forget(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	(void)finding;
}

static uint64_t damage(struct qs *q)
{
	struct cq_verify_result result = CQ_SIZED(result);

	assert_int_equal(cq_verify(q->dir, forget, NULL, &result), 0);
	return result.damage;
}

/* ---- an identity ---- */

static void each_has_its_own(void **state)
{
	struct qs *q = *state;
	struct cq_queue_info first;

	qs_write(q, 0, 1);
	first = info_of(q->dir);
	assert_true(first.have_identity);
	assert_memory_not_equal(first.identity, none, ID);
	expect(q->dir, first.identity, none);
	qs_format_check(q->dir, "--closed");
	qs_anew(q);
	qs_write(q, 0, 1);
	assert_memory_not_equal(info_of(q->dir).identity, first.identity, ID);
}

static void repair(struct qs *q, bool accept)
{
	struct cq_repair_config config = CQ_SIZED(config);
	struct cq_repair_result result = CQ_SIZED(result);

	config.accept_loss = accept;
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
}

/* It stays through restarts, lost small files, repairs, lost records, in a copy, and in a damaged queue. */
static void stays(void **state)
{
	static const char *const files[] = { "control.meta", "durable.meta", "index.meta",
		                             "writer.lock" };
	struct qs *q = *state;
	char copy[PATH_SIZE];
	uint8_t id[ID];

	qs_write(q, 0, 40);
	memcpy(id, info_of(q->dir).identity, ID);
	qs_write(q, 40, 40);
	expect(q->dir, id, none);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		lose(q, files[i]);
		expect(q->dir, id, none);
		qs_write(q, 0, 1);
		expect(q->dir, id, none);
	}
	lose(q, "control.meta");
	repair(q, false);
	expect(q->dir, id, none);
	support_poke(q->dir, "000000001.q", 0, "    ", 4);
	repair(q, true);
	expect(q->dir, id, none);
	qs_killed_writer(q, 0, 5);
	qs_write(q, 0, 1);
	expect(q->dir, id, none);
	support_path(copy, q->base, "copy");
	assert_int_equal(mkdir(copy, 0750), 0);
	support_copy(q->dir, copy);
	expect(copy, id, none);
	for (unsigned i = 0; i < 9; i++) {
		char name[CQ_NAME_MAX];

		snprintf(name, sizeof name, CQ_SEGMENT_NAME, i);
		(void)unlinkat(q->dirfd, name, 0);
	}
	expect(q->dir, id, none);
	q->config.accept_loss = true;
	qs_write(q, 0, 1);
	expect(q->dir, id, none);
}

/* A queue of an older version, or of chronicle-rs, has none until a writer has opened it. */
static void older_queues(void **state)
{
	static const char *const golden[] = { "v2-small", "v1-small", "v2-killed" };
	struct qs *q = *state;
	char from[PATH_SIZE];
	uint8_t id[ID];

	q->config.segment_size = 0;
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		qs_anew(q);
		support_golden(from, golden[i]);
		support_copy(from, q->dir);
		assert_false(info_of(q->dir).have_identity);
		assert_memory_equal(info_of(q->dir).identity, none, ID);
		qs_open(q);
		assert_true(info_of(q->dir).have_identity);
		memcpy(id, info_of(q->dir).identity, ID);
		qs_close(q);
		expect(q->dir, id, none);
		qs_open(q);
		qs_close(q);
		expect(q->dir, id, none);
	}
}

/* One that is not settled is given to nobody, and is the queue's all the same. */
static void settled_first(void **state)
{
	const uint32_t no = 0;
	struct qs *q = *state;
	uint8_t id[ID];

	qs_write(q, 0, 1);
	memcpy(id, info_of(q->dir).identity, ID);
	support_poke(q->dir, "identity.meta", offsetof(struct cq_identity_file, settled), &no,
	             sizeof no);
	assert_false(info_of(q->dir).have_identity);
	qs_write(q, 1, 1);
	expect(q->dir, id, none);
}

/* A damaged one is a loss that has to be accepted; the records are all there. */
static void damaged(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before, after;
	uint8_t id[ID];

	for (unsigned i = 0; i < 4; i++) {
		qs_anew(q);
		q->config.accept_loss = false;
		if (i == 3)
			set_source(q, source);
		qs_write(q, 0, 5);
		set_source(q, none);
		memcpy(id, info_of(q->dir).identity, ID);
		if (i == 1) {
			lose(q, "identity.meta");
			qs_write_file(q->dir, "identity.meta", "", 0);
		} else {
			spoil(q, 10 + i * 4);
		}
		assert_false(info_of(q->dir).have_identity);
		assert_int_equal(damage(q), 1);
		qs_snapshot(q->dir, &before);
		assert_int_equal(qs_try_open(q), -EBADMSG);
		qs_snapshot(q->dir, &after);
		assert_int_equal(before.length, after.length);
		assert_memory_equal(before.bytes, after.bytes, before.length);
		free(before.bytes);
		free(after.bytes);
		assert_true(qs_logged(q, "error identity.meta is damaged"));
		if (i == 2) {
			repair(q, true);
		} else {
			q->config.accept_loss = true;
			qs_open(q);
			qs_close(q);
		}
		assert_true(info_of(q->dir).have_identity);
		assert_memory_not_equal(info_of(q->dir).identity, id, ID);
		assert_false(info_of(q->dir).replica);
		assert_int_equal(damage(q), 0);
		qs_expect(q->dir, 0, 5);
		q->config.accept_loss = false;
		qs_write(q, 5, 1);
	}
}

/* One of zeros is none, whatever its checksum says: so everything of that file is refused. */
static void zeros(void **state)
{
	struct cq_identity_file file;
	struct qs *q = *state;

	qs_write(q, 0, 1);
	support_peek(q->dir, "identity.meta", 0, &file, sizeof file);
	memset(file.id, 0, sizeof file.id);
	file.crc = qs_crc32(&file, offsetof(struct cq_identity_file, crc));
	support_poke(q->dir, "identity.meta", 0, &file, sizeof file);
	assert_false(info_of(q->dir).have_identity);
	assert_int_equal(damage(q), 1);
	assert_int_equal(qs_try_open(q), -EBADMSG);
}

/* ---- a replica ---- */

static void open_replica(struct qs *q)
{
	set_source(q, source);
	qs_open(q);
	set_source(q, none);
}

/* The source's writer accepts that the mark is lost: the queue is its replica again. */
static void damaged_replica(void **state)
{
	struct qs *q = *state;

	open_replica(q);
	qs_close(q);
	spoil(q, 10);
	set_source(q, source);
	assert_int_equal(qs_try_open(q), -EBADMSG);
	assert_true(qs_logged(q, "if that is accepted, the queue gets another identity, and is a "
	                         "replica of the source that is named"));
	q->config.accept_loss = true;
	qs_open(q);
	qs_close(q);
	assert_true(qs_logged(q,
	                      "damaged: the queue gets another identity, and is a replica of the "
	                      "source that is named"));
	assert_false(qs_logged(q, "no replica"));
	set_source(q, none);
	assert_true(info_of(q->dir).replica);
	assert_memory_equal(info_of(q->dir).source, source, ID);
	assert_int_equal(damage(q), 0);
	assert_int_equal(qs_try_open(q), -EREMOTE);
}

static void replica(void **state)
{
	struct qs *q = *state;
	uint8_t id[ID];

	open_replica(q);
	qs_append(q->writer, 0, 40);
	qs_close(q);
	memcpy(id, info_of(q->dir).identity, ID);
	expect(q->dir, id, source);
	assert_memory_not_equal(id, source, ID); /* it has its own */
	qs_format_check(q->dir, "--closed");

	assert_int_equal(qs_try_open(q), -EREMOTE);
	assert_true(qs_logged(
		q, "error the queue is a replica of queue 010203fa05060708090a0b0c0d0e0f10"));
	set_source(q, another);
	assert_int_equal(qs_try_open(q), -ENOLINK);
	assert_true(qs_logged(q, "but of another one"));
	qs_expect(q->dir, 0, 40);

	open_replica(q);
	qs_append(q->writer, 40, 1);
	assert_int_equal(cq_promote(q->dir, &q->config), -EBUSY);
	qs_close(q);
	lose(q, "control.meta");
	repair(q, false);
	expect(q->dir, id, source);
	assert_int_equal(qs_try_open(q), -EREMOTE);

	assert_int_equal(cq_promote(q->dir, &q->config), 0);
	expect(q->dir, id, none);
	assert_int_equal(cq_promote(q->dir, NULL), -ENOLINK);
	set_source(q, source);
	assert_int_equal(qs_try_open(q), -ENOLINK);
	set_source(q, none);
	qs_write(q, 41, 2); /* behind its last number */
	qs_expect(q->dir, 0, 43);
	expect(q->dir, id, none);
	qs_format_check(q->dir, "--closed");
}

/* An ordinary queue is never made a replica, whether it has an identity or not; nor promoted. */
static void no_replica(void **state)
{
	struct qs *q = *state;
	struct cq_config config = q->config;
	char path[PATH_SIZE];

	qs_write(q, 0, 1);
	set_source(q, source);
	assert_int_equal(qs_try_open(q), -ENOLINK);
	assert_true(qs_logged(q, "and is no replica of queue 010203fa"));
	lose(q, "identity.meta");
	assert_int_equal(qs_try_open(q), -ENOLINK);
	assert_int_equal(cq_promote(q->dir, &config), -ENOLINK);
	set_source(q, none);
	qs_write(q, 1, 1);
	assert_int_equal(cq_promote(q->dir, &config), -ENOLINK);

	assert_int_equal(cq_promote("/nonexistent", NULL), -ENOENT);
	support_path(path, q->dir, "index.meta");
	assert_int_equal(cq_promote(path, NULL), -ENOTDIR);
	support_path(path, q->base, "foreign");
	qs_write_file(q->base, "foreign-file", "x", 1);
	assert_int_equal(cq_promote(q->base, NULL), -ENOTEMPTY);
	config.size = 1;
	assert_int_equal(cq_promote(q->dir, &config), -EINVAL);
	config.size = sizeof config;
	spoil(q, 10);
	assert_int_equal(cq_promote(q->dir, &config), -EBADMSG);
	lose(q, "identity.meta");
	assert_int_equal(symlinkat("index.meta", q->dirfd, "identity.meta"), 0);
	assert_false(info_of(q->dir).have_identity);
	assert_int_equal(cq_promote(q->dir, &config), -ELOOP);
	assert_int_equal(qs_try_open(q), -ELOOP);
	qs_anew(q);
	assert_int_equal(cq_promote(q->dir, &config), -ENOLINK); /* an empty directory */
}

/* A replica that begins where its source does. */
static void begins_later(void **state)
{
	struct qs *q = *state;

	q->config.begin_seq = 70;
	open_replica(q);
	qs_append(q->writer, 0, 1);
	qs_close(q);
	q->config.begin_seq = 0;
	open_replica(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 71);
}

#ifdef CQ_FAULTS
/* ---- calls that fail, and kills ---- */

#define PLACES 120U

static char places[PLACES][40];
static unsigned place_count;

static void hear(const char *name)
{
	if (place_count < PLACES)
		snprintf(places[place_count++], sizeof places[0], "%s", name);
}

static const char *kill_at;
static void (*killed_call)(struct qs *q);

static void open_it(struct qs *q)
{
	(void)qs_try_open(q);
}

static void promote_it(struct qs *q)
{
	(void)cq_promote(q->dir, &q->config);
}

static void die(struct qs *q)
{
	CHILD(setenv("CHRONQ_KILL", kill_at, 1) == 0);
	killed_call(q);
	_exit(0); /* it passes that place later, or in a thread */
}

/* An identity that somebody could read when a writer was killed is the queue's for ever; and a killed open of a
 * new replica leaves no segment without the mark. */
static void killed_open(void **state)
{
	unsigned given = 0, marked = 0, unmarked = 0;
	struct qs *q = *state;
	struct cq_queue_info info;

	cq_point_heard = hear;
	open_replica(q);
	cq_point_heard = NULL;
	qs_close(q);
	assert_in_range(place_count, 10, PLACES - 1);
	killed_call = open_it;
	for (unsigned i = 0; i < place_count; i++) {
		qs_anew(q);
		set_source(q, source);
		kill_at = places[i];
		(void)qs_child(die, q);
		info = info_of(q->dir);
		given += info.have_identity;
		set_source(q, none);
		if (support_exists(q->dir, "identity.meta")) {
			assert_int_equal(qs_try_open(q), -EREMOTE);
			marked++;
		} else {
			assert_int_equal(qs_count_names(q->dir, ".q"), 0);
			unmarked++;
		}
		open_replica(q);
		qs_append(q->writer, 0, 1);
		qs_close(q);
		expect(q->dir, info.have_identity ? info.identity : info_of(q->dir).identity,
		       source);
		open_replica(q);
		qs_close(q);
		expect(q->dir, info.have_identity ? info.identity : info_of(q->dir).identity,
		       source);
		assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	}
	assert_true(given > 5 && marked > given && unmarked > 2);
}

static void killed_promotion(void **state)
{
	static const char *const promotion[] = { "identity.written", "identity.named" };
	struct qs *q = *state;
	uint8_t id[ID];

	killed_call = promote_it;
	for (unsigned i = 0; i < 2; i++) {
		qs_anew(q);
		open_replica(q);
		qs_append(q->writer, 0, 3);
		qs_close(q);
		memcpy(id, info_of(q->dir).identity, ID);
		kill_at = promotion[i];
		qs_run_killed(die, q);
		expect(q->dir, id, i == 0 ? source : none);
		assert_int_equal(qs_try_open(q), i == 0 ? -EREMOTE : 0);
		if (i == 1)
			qs_close(q);
		assert_int_equal(cq_promote(q->dir, NULL), i == 0 ? 0 : -ENOLINK);
		expect(q->dir, id, none);
		qs_write(q, 3, 1);
		qs_expect(q->dir, 0, 4);
		assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	}
}

static void calls_fail(void **state)
{
	static const char *const calls[] = { "random",    "create_new", "pwrite",
		                             "sync_data", "rename",     "sync_dir",
		                             "open",      "pread",      "list" };
	struct qs *q = *state;
	char from[PATH_SIZE];
	int r;

	/* a promotion that fails leaves a replica, or a promoted queue */
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		for (int skip = 0; skip < 3; skip++) {
			qs_anew(q);
			open_replica(q);
			qs_close(q);
			cq_fault_set(calls[i], EIO, skip, 1);
			r = cq_promote(q->dir, &q->config);
			cq_fault_set(NULL, 0, 0, 0);
			assert_true(r == 0 || r == -EIO);
			if (r < 0)
				r = cq_promote(q->dir, &q->config);
			assert_true(r == 0 || r == -ENOLINK);
			assert_false(info_of(q->dir).replica);
			qs_write(q, 0, 1);
		}
	}
	/* nor does a replica whose mark was damaged, and has to be made again */
	qs_anew(q);
	open_replica(q);
	qs_append(q->writer, 0, 3);
	qs_close(q);
	spoil(q, 10);
	q->config.accept_loss = true;
	set_source(q, source);
	cq_fault_set("create_new", ENOSPC, 0, 1);
	assert_int_equal(qs_try_open(q), -ENOSPC);
	cq_fault_set(NULL, 0, 0, 0);
	qs_open(q);
	qs_close(q);
	set_source(q, none);
	q->config.accept_loss = false;
	assert_true(info_of(q->dir).replica);
	qs_expect(q->dir, 0, 3);
	/* what a directory is cannot be told */
	qs_write_file(q->base, "foreign-file", "x", 1);
	cq_fault_set("list", EIO, 0, 1);
	assert_int_equal(cq_promote(q->base, &q->config), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_promote(q->base, &q->config), -ENOTEMPTY);
	/* an older queue on a full disk opens, and gets its identity later; a new one does not open */
	qs_anew(q);
	support_golden(from, "v2-small");
	support_copy(from, q->dir);
	q->config.segment_size = 0;
	cq_fault_set("create_new", ENOSPC, 0, 1);
	qs_open(q);
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(qs_logged(q, "warning identity.meta not made"));
	qs_close(q);
	assert_false(info_of(q->dir).have_identity);
	qs_open(q);
	qs_close(q);
	assert_true(info_of(q->dir).have_identity);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(each_has_its_own), QS_TEST(stays),
	QS_TEST(older_queues),     QS_TEST(settled_first),
	QS_TEST(damaged),          QS_TEST(zeros),
	QS_TEST(replica),          QS_TEST(no_replica),
	QS_TEST(begins_later),     QS_TEST(damaged_replica),
#ifdef CQ_FAULTS
	QS_TEST(killed_open),      QS_TEST(killed_promotion),
	QS_TEST(calls_fail),
#endif
};

QS_MAIN(tests)
