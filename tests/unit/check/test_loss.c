/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loss.c - committed records that are damaged: what is a loss, and what is said of it
 *
 * After a kill nothing that was committed can be torn, so damage is a loss.  After a power cut
 * (qs_other_boot()) it can, above the watermark.  Where a slot of durable.meta is damaged nobody knows
 * where that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/internal.h"
#include "format/record.h"
#include "meta/reader_file.h"
#include "meta/watermark.h"
#include "queue_support.h"
#include "repair_support.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"

/* ---- damage: segments 0 and 1 with 31 records each, 2 with 8 ---- */

static void payload(struct qs *q)
{
	support_poke(q->dir, NAME(0), AT(5) + 64, "R", 1);
}

static void header(struct qs *q)
{
	uint8_t time_byte;

	/* not a fixed byte: a time may have that one */
	support_peek(q->dir, NAME(2), AT(63) + 16, &time_byte, 1);
	time_byte ^= 0x40;
	support_poke(q->dir, NAME(2), AT(63) + 16, &time_byte, 1);
}

static void length(struct qs *q)
{
	support_poke(q->dir, NAME(2), AT(63), "\xff\xff\xff\xff", 4);
}

static void zeroed(struct qs *q)
{
	qs_zero(q->dir, NAME(2), AT(63), AT(65));
}

static void last_payload(struct qs *q)
{
	support_poke(q->dir, NAME(2), AT(69) + 64, "R", 1);
}

static void last_of_a_sealed_one(struct qs *q)
{
	qs_zero(q->dir, NAME(1), AT(61), AT(61) + 128);
}

static void segment_header(struct qs *q)
{
	support_poke(q->dir, NAME(1), 0, "X", 1);
}

static void unwritten(struct qs *q)
{
	qs_zero(q->dir, NAME(2), 0, 64 + 128);
}

static void missing(struct qs *q)
{
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
}

static const struct damage {
	const char *what;
	void (*damage)(struct qs *q);
	unsigned seq;        /* of the first record that is not there any more */
	unsigned sound;      /* records behind it, up to 69 */
	const char *numbers; /* in the log */
} damages[] = {
	{ "payload", payload, 5, 64, "records 5 to 69 are" },
	{ "header", header, 63, 6, "records 63 to 69 are" },
	{ "length", length, 63, 6, "records 63 to 69 are" },
	{ "zeroed", zeroed, 63, 5, "records 63 to 69 are" },
	{ "last_payload", last_payload, 69, 0, "record 69 is" },
	{ "last_of_a_sealed_one", last_of_a_sealed_one, 61, 8, "records 61 to 69 are" },
	{ "segment_header", segment_header, 31, 39, "records 31 to 69 are" },
	{ "unwritten", unwritten, 62, 7, "records 62 to 69 are" },
	{ "missing", missing, 31, 8, "records 31 to 69 are" },
};
#define COUNT (sizeof damages / sizeof damages[0])

static void make(struct qs *q, const struct damage *d)
{
	qs_anew(q);
	q->config.accept_loss = false;
	qs_killed_writer(q, 0, 70);
	d->damage(q);
	print_message("# %s\n", d->what);
}

static void refuses(struct qs *q)
{
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), -EBADMSG);
	qs_unchanged(q->dir, &before);
}

/* What survives is what came before; what is appended is read next. */
static void goes_on(struct qs *q, const struct damage *d)
{
	struct cq_verify_result result = CQ_SIZED(result);

	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, d->seq);
	qs_append(q->writer, d->seq, 3);
	qs_close(q);
	qs_expect(q->dir, 0, d->seq + 3);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
}

static void names_the_sound(const struct qs *q, const struct damage *d, const char *level)
{
	char text[100];

	snprintf(text, sizeof text, "%s %s", level, d->numbers);
	assert_true(qs_logged(q, text));
	snprintf(text, sizeof text, "; %u of them are sound, and ", d->sound);
	assert_int_equal(qs_logged(q, text), d->sound > 0);
}

/* ---- on the same boot, and after another one ---- */

static void refused_on_the_same_boot(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT; i++) {
		const struct damage *d = &damages[i];

		make(q, d);
		refuses(q);
		names_the_sound(q, d, "error");
		assert_true(qs_logged(q, "no power cut has come"));
		q->config.accept_loss = true;
		q->log_length = 0;
		goes_on(q, d);
		names_the_sound(q, d, "warning");
		q->config.accept_loss = false; /* it was accepted once */
		qs_open(q);
		qs_close(q);
	}
}

static void told_after_another_boot(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT; i++) {
		const struct damage *d = &damages[i];

		make(q, d);
		if (i % 2 == 0)
			qs_other_boot(q->dir);
		else /* nobody knows */
			assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
		goes_on(q, d);
		assert_false(qs_logged(q, "power cut"));
		if (d->sound > 0)
			names_the_sound(q, d, "warning");
		else
			assert_false(qs_logged(q, "warning"));
	}
}

/* What a kill leaves: bytes of a record without its commit word, or a commit word alone. */
static void a_kill_is_no_loss(void **state)
{
	static const uint32_t word = 1U << 20;
	struct qs *q = *state;
	uint8_t image[10 * 128];

	qs_killed_writer(q, 0, 40);
	support_peek(q->dir, NAME(1), 64, image, 9 * 128);
	qs_anew(q);
	qs_killed_writer(q, 0, 3);
	support_poke(q->dir, NAME(0), AT(3) + 4, "header", 6);
	/* the payload is a piece of another queue: sound records, with higher numbers */
	support_poke(q->dir, NAME(0), AT(3) + 64, image, 9 * 128);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 3);
	qs_close(q);
	assert_false(qs_logged(q, "warning"));
	qs_killed_writer(q, 3, 1);
	support_poke(q->dir, NAME(0), AT(4), &word, sizeof word);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 4);
	qs_close(q);
	assert_false(qs_logged(q, "warning"));
}

/* The same with the first record of a segment: only its header says where numbers and stream are; and where
 * the watermark is at its beginning, nothing before it is read. */
static void a_kill_at_the_beginning(void **state)
{
	static const uint32_t none;
	struct qs *q = *state;
	uint8_t image[9 * 128];

	qs_killed_writer(q, 0, 164);
	support_peek(q->dir, "000000005.q", 64, image, sizeof image);
	for (int i = 0; i < 4; i++) {
		qs_anew(q);
		qs_killed_writer(q, 0, 32);
		if (i % 2 == 1) {
			qs_mark(q->dir, 1, 64, 31);
			qs_killed_writer(q, 32, 0);
		}
		support_poke(q->dir, NAME(1), AT(31), &none, sizeof none);
		support_poke(q->dir, NAME(1), AT(31) + 64, image, sizeof image);
		if (i >=
		    2) /* then it may be what a power cut has left, and is none of that either */
			qs_other_boot(q->dir);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 31);
		qs_close(q);
		assert_false(qs_logged(q, "warning"));
	}
}

/*
 * chronicle-rs does not clear what is behind a record.  It may have stored a payload and given it up (its
 * closure failed, its process was killed): the next record covers only the payload's beginning, and the rest
 * is where a record would begin.  The position in control.meta says that none was committed there.
 */
static void what_another_writer_leaves(void **state)
{
	struct {
		struct cq_record_header header;
		uint8_t payload[64];
	} record = { .header = { .commit = 8, .version = 1, .time_ns = 1, .type = 1 },
		     .payload = "theirs!" };
	const uint64_t position = AT(4);
	struct qs *q = *state;
	uint8_t given_up[300];

	memset(given_up, 'x', sizeof given_up);
	record.header.payload_crc = qs_crc32(record.payload, 7);
	qs_killed_writer(q, 0, 3);
	support_poke(q->dir, NAME(0), AT(3) + 64, given_up, sizeof given_up);
	support_poke(q->dir, NAME(0), AT(3), &record, sizeof record);
	support_poke(q->dir, "control.meta", 256, &position, sizeof position);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 3);
	qs_append(q->writer, 3, 1);
	qs_close(q);
	assert_false(qs_logged(q, "warning"));
	assert_true(support_exists(q->dir, "000000000.q.broken"));
}

/* ---- repair and verification ---- */

static void repair_counts_the_losses(void **state)
{
	const struct cq_repair_step *loss;
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs *q = *state;
	struct qs_snapshot before;
	struct reported reported;

	for (size_t i = 0; i < COUNT; i++) {
		const struct damage *d = &damages[i];

		make(q, d);
		qs_snapshot(q->dir, &before);
		assert_true(rs_repair(q, false, &reported).refused);
		qs_unchanged(q->dir, &before);
		loss = &reported.steps[reported.count - 1];
		assert_int_equal(loss->action, CQ_REPAIR_LOSS);
		assert_int_equal(loss->first_seq, d->seq);
		assert_int_equal(loss->last_seq, 69);
		result = rs_repair(q, true, &reported);
		assert_true(result.done && result.losses > 0);
		goes_on(q, d);

		make(q, d); /* a power cut may have done that: it is said all the same */
		qs_other_boot(q->dir);
		result = rs_repair(q, false, &reported);
		assert_true(result.done);
		assert_int_equal(result.losses, d->sound > 0);
		goes_on(q, d);
	}
}

static void look_for(void *arg, const struct cq_finding *finding)
{
	char *text = arg;
	size_t length = strlen(text);

	if (finding->damage)
		snprintf(text + length, 4000 - length, "%s\n", finding->text);
}

static void verify_counts_the_sound(void **state)
{
	static const struct {
		void (*damage)(struct qs *q);
		const char *text;
	} cases[] = {
		{ payload, "; 25 sound records, 6 to 30, are behind it" },
		{ header, "; 6 sound records, 64 to 69, are behind it" },
		{ length, "; 6 sound records, 64 to 69, are behind it" },
		{ zeroed, "those between are missing; 5 sound records, 65 to 69, are behind it" },
	};
	struct cq_verify_result result = CQ_SIZED(result);
	struct qs *q = *state;
	char text[4000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		qs_anew(q);
		qs_killed_writer(q, 0, 70);
		cases[i].damage(q);
		text[0] = '\0';
		assert_int_equal(cq_verify(q->dir, look_for, text, &result), 0);
		assert_true(result.damage > 0);
		assert_non_null(strstr(text, cases[i].text));
	}
}

/* ---- a damaged slot of durable.meta ---- */

static unsigned newer_slot(struct qs *q)
{
	return (int32_t)(qs_peek32(q->dir, "durable.meta", 28) -
	                 qs_peek32(q->dir, "durable.meta", 68)) < 0;
}

/* All is durable, and closed; the slot that says so is damaged. */
static void damage_newer_slot(struct qs *q, unsigned syncs, char name[20])
{
	unsigned slot;

	qs_anew(q);
	qs_open(q);
	for (unsigned i = 0; i < syncs; i++) {
		qs_append(q->writer, 70 * i / syncs, 70 * (i + 1) / syncs - 70 * i / syncs);
		assert_int_equal(cq_writer_sync(q->writer), 0);
		qs_prepare(q->writer);
	}
	qs_close(q);
	qs_other_boot(q->dir);
	slot = newer_slot(q);
	support_poke(q->dir, "durable.meta", slot * 40 + 32, "damage", 3);
	snprintf(name, 20, "slot %u", slot);
}

static void watermark_is_not_known(void **state)
{
	struct cq_watermark_state mark;
	struct qs *q = *state;
	char name[20];

	for (unsigned syncs = 7; syncs <= 8; syncs++) { /* either slot */
		damage_newer_slot(q, syncs, name);
		assert_int_equal(cq_watermark_read(q->dirfd, &mark), 0);
		assert_true(mark.found && mark.slot.seq < 70);
		support_poke(q->dir, NAME(2), AT(68) + 64, "R", 1);
		q->log_length = 0;
		refuses(q);
		assert_true(qs_logged(q, name));
		assert_true(qs_logged(q, "records 68 to 69 are missing or damaged"));
		q->config.accept_loss = true;
		goes_on(q, &(struct damage){ .seq = 68 });
		q->config.accept_loss = false;
		qs_open(q);
		qs_close(q);
	}
}

/* Neither of both slots is: what was durable is not known at all, and each is named. */
static void no_watermark_is_known(void **state)
{
	struct qs *q = *state;
	char name[20];

	damage_newer_slot(q, 7, name);
	support_poke(q->dir, NAME(2), AT(68) + 64, "R", 1);
	support_poke(q->dir, "durable.meta", 32, "damage", 3);
	support_poke(q->dir, "durable.meta", 72, "damage", 3);
	refuses(q);
	assert_true(qs_logged(q, "slot 0 and slot 1 of durable.meta is damaged"));
	q->config.accept_loss = true;
	goes_on(q, &(struct damage){ .seq = 68 });
}

/* Where everything is sound, no consent is needed, and the slot is written again. */
static void damaged_slot_is_mended(void **state)
{
	static const char *const whos[] = { "a writer", "a repair", "a writer behind a kill" };
	struct cq_watermark_state mark;
	struct cq_verify_result result = CQ_SIZED(result);
	struct qs *q = *state;
	char name[20], text[4000] = "";
	struct reported reported;

	for (int who = 0; who < 3; who++) {
		print_message("# %s\n", whos[who]);
		damage_newer_slot(q, 7, name);
		assert_int_equal(cq_verify(q->dir, look_for, text, &result), 0);
		assert_int_equal(result.damage, 1);
		assert_non_null(strstr(text, name));
		if (who == 1) {
			assert_true(rs_repair(q, false, &reported).done);
			assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "durable.meta"));
			assert_int_equal(rs_repair(q, false, &reported).steps, 0);
		} else {
			if (who == 2) /* bytes of a record that was not committed */
				support_poke(q->dir, NAME(2), AT(70) + 8, "half a header", 13);
			qs_open(q);
			qs_close(q);
		}
		assert_int_equal(cq_watermark_read(q->dirfd, &mark), 0);
		assert_int_equal(mark.damaged, 0);
		assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
		assert_int_equal(result.damage, 0);
		qs_expect(q->dir, 0, 70);
	}
}

/* A reader whose newer slot is damaged goes back, which is said once. */
static void reader_goes_back(void **state)
{
	struct cq_reader_file cursor = { .offset = AT(5), .generation = 6 };
	struct cq_verify_result result = CQ_SIZED(result);
	struct qs *q = *state;
	char text[4000] = "";
	struct reported reported;
	int fd;

	qs_write(q, 0, 10);
	for (int repair = 0; repair < 2; repair++) {
		assert_int_equal(cq_reader_file_open(q->dirfd, "r", true, &fd), 0);
		assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
		assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
		support_poke(q->dir, "readers/r.meta", cursor.generation % 2 * 40 + 8, "X", 1);
		assert_int_equal(cq_verify(q->dir, look_for, text, &result), 0);
		assert_int_equal(result.damage, 1);
		assert_non_null(strstr(text, cursor.generation % 2
		                                     ? "readers/r.meta: slot 1 is damaged"
		                                     : "readers/r.meta: slot 0 is damaged"));
		q->log_length = 0;
		if (repair) {
			assert_true(rs_repair(q, false, &reported).done);
			assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "readers/r.meta"));
		} else {
			qs_open(q);
			assert_true(qs_logged(q, "warning reader r: slot "));
			qs_close(q);
		}
		assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
		assert_int_equal(result.damage, 0);
		assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
		assert_int_equal(cursor.offset, AT(5));
		close(fd);
	}
}

/* An older program's file, whose position is where the first slot comes to be, is not damaged. */
static void older_file_is_not_damaged(void **state)
{
	const uint64_t both[2] = { 0, AT(3) };
	struct cq_verify_result result = CQ_SIZED(result);
	struct cq_reader_file cursor;
	struct qs *q = *state;
	int fd;

	qs_write(q, 0, 10);
	assert_int_equal(mkdirat(q->dirfd, "readers", 0750), 0);
	qs_write_file(q->dir, "readers/r.meta", both, sizeof both);
	assert_int_equal(cq_reader_file_open(q->dirfd, "r", false, &fd), 0);
	assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
	assert_int_equal(cursor.damaged, 0);
	close(fd);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
}

/* ---- what looking costs ---- */

/* Headers with right checksums, each of a payload that is all that follows and is not right: reading each
 * of these would take for ever. */
static void made_up_headers(void **state)
{
	enum { SIZE = 4 << 20 };
	struct cq_behind found = { .records = 0 };
	struct cq_behind_from from = { .offset = 64 };
	struct cq_record_header h = { .version = 1, .type = 1, .ext = 1, .time_ns = 1 };
	struct qs *q = *state;
	uint64_t first = 0, before = 0, after = 0;
	uint8_t *segment = calloc(1, SIZE);
	char path[PATH_SIZE];
	FILE *io;
	int fd;

	assert_non_null(segment);
	for (uint32_t at = 64; at < SIZE; at += 64) {
		h.seq = at / 64;
		h.commit = SIZE - 64 - at + 1;
		h.header_crc = cq_record_header_crc(&h, h.commit);
		memcpy(segment + at, &h, sizeof h);
	}
	qs_write_file(q->base, "segment", segment, SIZE);
	support_path(path, q->base, "segment");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	io = fopen("/proc/self/io", "re");
	assert_true(!io || fscanf(io, "rchar: %" SCNu64, &before) == 1);
	if (io)
		fclose(io);
	assert_int_equal(cq_behind_count(fd, SIZE, &from, NULL, &found, &first), 0);
	io = fopen("/proc/self/io", "re");
	assert_true(!io || fscanf(io, "rchar: %" SCNu64, &after) == 1);
	if (io)
		fclose(io);
	assert_int_equal(first, 64);
	assert_true(after - before < 16 * (uint64_t)SIZE);
	close(fd);
	free(segment);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(refused_on_the_same_boot),
	QS_TEST(told_after_another_boot),
	QS_TEST(a_kill_is_no_loss),
	QS_TEST(a_kill_at_the_beginning),
	QS_TEST(what_another_writer_leaves),
	QS_TEST(repair_counts_the_losses),
	QS_TEST(verify_counts_the_sound),
	QS_TEST(watermark_is_not_known),
	QS_TEST(no_watermark_is_known),
	QS_TEST(damaged_slot_is_mended),
	QS_TEST(reader_goes_back),
	QS_TEST(older_file_is_not_damaged),
	QS_TEST(made_up_headers),
};

QS_MAIN(tests)
