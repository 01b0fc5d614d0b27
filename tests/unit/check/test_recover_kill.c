/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_kill.c - recovery and repair, killed at every place, end where they would have ended
 *
 * A repair of which one call has failed is no worse than one that was killed there.
 *
 * A queue is damaged and copied.  The first copy is opened and closed (or repaired) undisturbed, and the
 * test notes the places that the recovery passes.  For each of them, and for each time that it is passed, a
 * process opens another copy and is killed there; then the copy is opened undisturbed.  Its directory must
 * equal that of the first copy, byte for byte, except times and epochs.  The same follows with a second
 * kill, at each place of recovery, before the undisturbed open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files/dir.h"
#include "kernel.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"
#define MOST_PLACES 100
#define MOST_PASSES 2 /* of one place that are killed at */

/* ---- the places that an undisturbed run comes by ---- */

struct place {
	char name[40];
	unsigned passes;
};
static struct place places[MOST_PLACES];
static size_t place_count;

static void hear(const char *name)
{
	size_t i = 0;

	while (i < place_count && strcmp(places[i].name, name) != 0)
		i++;
	assert_true(i < MOST_PLACES);
	if (i == place_count)
		snprintf(places[place_count++].name, sizeof places[i].name, "%s", name);
	places[i].passes++;
}

/* Where files are changed by recovery or repair itself, not by the writer that opens after it. */
static bool is_recovery(const struct place *place)
{
	return strncmp(place->name, "rec", 3) == 0 || strncmp(place->name, "rep", 3) == 0;
}

/* ---- damaged queues: segments 0 and 1 with 31 records each, 2 with 8, spare 3 ---- */

static void residue(struct qs *q)
{
	qs_killed_writer(q, 0, 3);
	support_poke(q->dir, NAME(0), AT(3) + 8, "half a header", 13);
	support_poke(q->dir, NAME(0), 3500, "far behind", 10);
}

static void unsealed_lower(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_unseal(q->dir, 0);
	qs_unseal(q->dir, 1);
	support_poke(q->dir, NAME(2), AT(70) + 8, "residue", 7);
	qs_write_file(q->dir, "000000004.q.tmp", "x", 1);
}

static void hole_in_the_middle(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	support_poke(q->dir, NAME(1), AT(40) + 64, "RECORD", 6);
}

/* The summary of a sealed segment is damaged; its records, and those behind them, are sound. */
static void summary_damaged(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	support_poke(q->dir, NAME(0), 20, "CRC", 3);
}

static void unwritten_segments(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_zero(q->dir, NAME(1), 0, QS_SIZE);
	qs_zero(q->dir, NAME(3), 0, 64);
}

static void durable_records_damaged(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 1, AT(51), 51);
	qs_zero(q->dir, NAME(1), 64, QS_SIZE);
	q->config.accept_loss = true;
}

static void oldest_segment_is_bad(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, AT(20), 20);
	qs_zero(q->dir, NAME(0), 0, 64);
	q->config.accept_loss = true;
}

static void small_files_gone(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	qs_write_file(q->dir, "index.meta", "short", 5);
}

/* All is durable; what repair alone looks at is damaged. */
static void trusted_segments_damaged(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 6 * 31 + 3);
	qs_flush(q->writer);
	qs_close(q);
	support_poke(q->dir, NAME(1), AT(3) + 64, "RECORD", 6);
	assert_int_equal(unlinkat(q->dirfd, NAME(3), 0), 0);
	qs_unseal(q->dir, 5);
	support_poke(q->dir, NAME(5), QS_SIZE - 64, "residue", 7);
	qs_write_file(q->dir, "000000000.idx", "rubbish", 7);
	q->config.accept_loss = true;
}

/* ---- what is done to them ---- */

static bool repairs;
static const char *damage_name;
static unsigned kills;

static void open_and_close(struct qs *q)
{
	const struct cq_repair_config config = { .size = sizeof config,
		                                 .accept_loss = q->config.accept_loss };
	struct cq_repair_result result = CQ_SIZED(result);

	if (repairs) {
		assert_int_equal(cq_repair(q->dir, &config, &result), 0);
		assert_false(result.refused);
		return;
	}
	qs_open(q);
	qs_close(q);
}

static void be_killed(struct qs *q, const char *place, unsigned pass)
{
	char value[64];
	int status;

	snprintf(value, sizeof value, "%s:%u", place, pass);
	assert_int_equal(setenv("CHRONQ_KILL", value, 1), 0);
	status = qs_child(open_and_close, q);
	assert_int_equal(unsetenv("CHRONQ_KILL"), 0);
	/* after a first kill there may be nothing left to be done at this place */
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

/* Makes equal what is one of the times and epochs, and leaves out prepared segments, which mean
 * nothing.  A repair that finds nothing to do leaves a watermark that lags; a writer does not. */
static void level(struct qs *q)
{
	struct cq_watermark_slot mark;
	char name[CQ_NAME_MAX];
	uint32_t current;

	if (repairs) {
		qs_open(q);
		qs_close(q);
	}
	current = qs_peek32(q->dir, "control.meta", 132);
	for (uint32_t id = current + 1; id < current + 3; id++) {
		cq_segment_name(name, id);
		(void)unlinkat(q->dirfd, name, 0);
	}

	mark = qs_watermark(q->dirfd);
	qs_mark(q->dir, mark.segment, mark.offset, mark.seq);
	qs_zero(q->dir, "control.meta", 16, 24);   /* epoch */
	qs_zero(q->dir, "control.meta", 128, 132); /* how often the position has moved */
	qs_zero(q->dir, "control.meta", 264, 272); /* heartbeat */
	qs_zero(q->dir, "control.meta", 384, 392); /* notifications, waiters */
	qs_zero(q->dir, "control.meta", 400, 404); /* flushes */
}

static void copy_again(struct qs *q, const char *start)
{
	qs_anew(q);
	support_copy(start, q->dir);
}

/* Says where two snapshots begin to differ: behind which name, that is. */
static void tell_difference(const struct qs_snapshot *now, const struct qs_snapshot *end)
{
	size_t at = 0, name = 0;

	while (at < now->length && at < end->length && now->bytes[at] == end->bytes[at])
		at++;
	for (size_t i = 0; i + 9 < at; i++)
		if (memcmp(now->bytes + i, "00000000", 8) == 0 ||
		    memcmp(now->bytes + i, ".meta", 5) == 0)
			name = i;
	print_error("%zu and %zu bytes, equal up to %zu, %zu behind \"%s\"\n", now->length,
	            end->length, at, at - name, now->bytes + name);
}

static void is_as_undisturbed(struct qs *q, const struct qs_snapshot *end, const char *first,
                              unsigned pass, const char *second)
{
	struct qs_snapshot now;
	bool same;

	open_and_close(q);
	level(q);
	qs_snapshot(q->dir, &now);
	same = now.length == end->length && memcmp(now.bytes, end->bytes, now.length) == 0;
	if (!same)
		tell_difference(&now, end);
	if (!same)
		print_error("%s: killed at %s:%u, then at %s\n", damage_name, first, pass, second);
	free(now.bytes);
	assert_true(same);
}

static void begin(struct qs *q, const char *name, void (*damage)(struct qs *q),
                  char start[PATH_SIZE])
{
	damage_name = name;
	damage(q);
	support_path(start, q->base, "start");
	assert_int_equal(mkdir(start, 0750), 0);
	support_copy(q->dir, start);
}

static void end_with(struct qs *q, struct qs_snapshot *ret_end)
{
	qs_format_check(q->dir, "--closed");
	level(q);
	qs_snapshot(q->dir, ret_end);
}

static void forget(struct qs *q, const char *start, struct qs_snapshot *end)
{
	free(end->bytes);
	support_remove(start);
	qs_anew(q);
	q->config.accept_loss = false;
	q->log_length = 0;
}

static void kill_everywhere(struct qs *q, const char *name, void (*damage)(struct qs *q),
                            bool twice)
{
	struct qs_snapshot end;
	char start[PATH_SIZE];

	begin(q, name, damage, start);
	place_count = 0;
	memset(places, 0, sizeof places);
	cq_point_heard = hear;
	open_and_close(q);
	cq_point_heard = NULL;
	end_with(q, &end);
	for (size_t i = 0; i < place_count; i++) {
		const char *first = places[i].name;

		for (unsigned n = 1; n <= places[i].passes && n <= MOST_PASSES; n++) {
			copy_again(q, start);
			be_killed(q, first, n);
			is_as_undisturbed(q, &end, first, n, "-");
			kills++;
			for (size_t k = 0; twice && is_recovery(&places[i]) && k < place_count;
			     k++) {
				if (!is_recovery(&places[k]))
					continue;
				copy_again(q, start);
				be_killed(q, first, n);
				be_killed(q, places[k].name, 1);
				is_as_undisturbed(q, &end, first, n, places[k].name);
				kills += 2;
			}
		}
	}
	forget(q, start, &end);
}

static void opening_writer_is_killed(void **state)
{
	struct qs *q = *state;

	repairs = false;
	kill_everywhere(q, "residue", residue, true);
	kill_everywhere(q, "unsealed_lower", unsealed_lower, true);
	kill_everywhere(q, "hole_in_the_middle", hole_in_the_middle, true);
	kill_everywhere(q, "summary_damaged", summary_damaged, true);
	kill_everywhere(q, "unwritten_segments", unwritten_segments, true);
	kill_everywhere(q, "durable_records_damaged", durable_records_damaged, true);
	kill_everywhere(q, "oldest_segment_is_bad", oldest_segment_is_bad, false);
	kill_everywhere(q, "small_files_gone", small_files_gone, false);
	print_message("# kills: %u\n", kills);
}

static void repair_is_killed(void **state)
{
	struct qs *q = *state;

	repairs = true;
	kill_everywhere(q, "trusted_segments_damaged", trusted_segments_damaged, true);
	kill_everywhere(q, "hole_in_the_middle", hole_in_the_middle, false);
	kill_everywhere(q, "durable_records_damaged", durable_records_damaged, false);
	kill_everywhere(q, "small_files_gone", small_files_gone, false);
	print_message("# kills: %u\n", kills);
}

/* ---- calls that fail ---- */

#define MOST_CALLS 40

/* The nth call of that name fails (NULL: none), in a repair.  It says so, or was not in need of it.
 * ESTALE: no call has a meaning of its own for it, but for pread: what cannot be read is damaged. */
static void repair_failing(struct qs *q, const char *call, unsigned nth)
{
	const struct cq_repair_config config = { .size = sizeof config,
		                                 .accept_loss = q->config.accept_loss };
	struct cq_repair_result result = CQ_SIZED(result);
	int r;

	cq_fault_forget();
	cq_fault_set(call, call && strcmp(call, "pread") == 0 ? ENOMEM : ESTALE, (int)nth, 1);
	kernel_watch_memory(true);
	r = cq_repair(q->dir, &config, &result);
	kernel_watch_memory(false);
	cq_fault_set(NULL, 0, 0, 0);
	if (call)
		assert_int_equal(cq_fault_given(), 1);
	assert_true(r <= 0);
	assert_int_equal(result.done, r == 0);
}

static unsigned fail_everywhere(struct qs *q, const char *name, void (*damage)(struct qs *q))
{
	struct {
		char name[40];
		unsigned count;
	} calls[MOST_CALLS];
	struct qs_snapshot end;
	char start[PATH_SIZE];
	const char *call;
	unsigned count, runs = 0;
	size_t kinds = 0;

	begin(q, name, damage, start);
	repair_failing(q, NULL, 0);
	for (; (call = cq_fault_call(kinds, &count)) != NULL; kinds++) {
		assert_true(kinds < MOST_CALLS);
		snprintf(calls[kinds].name, sizeof calls[kinds].name, "%s", call);
		calls[kinds].count = count;
	}
	end_with(q, &end);
	for (size_t i = 0; i < kinds; i++) {
		for (unsigned nth = 0; nth < calls[i].count; nth++) {
			copy_again(q, start);
			repair_failing(q, calls[i].name, nth);
			is_as_undisturbed(q, &end, calls[i].name, nth, "(a call that failed)");
			runs++;
		}
	}
	forget(q, start, &end);
	return runs;
}

static void calls_of_a_repair_fail(void **state)
{
	struct qs *q = *state;
	unsigned runs = 0;

	repairs = true;
	runs += fail_everywhere(q, "trusted_segments_damaged", trusted_segments_damaged);
	runs += fail_everywhere(q, "durable_records_damaged", durable_records_damaged);
	print_message("# failed calls: %u\n", runs);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(opening_writer_is_killed),
	QS_TEST(repair_is_killed),
	QS_TEST(calls_of_a_repair_fail),
};

SUPPORT_MAIN_IN_MEMORY(tests)
