/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_house.c - what ship commits once a second, how long it pauses, and what it says meanwhile
 *
 * house.c alone; queue, connection and clock are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define START_MS 1000000U

static struct {
	uint64_t now_ms;
	long ns;              /* of the clock, below a millisecond: it makes pauses differ */
	uint64_t acked_next;  /* the stream has the records below */
	uint64_t hidden_from; /* damage hides the places from this record on; 0: none */
	int commit;           /* what a commit gives otherwise */
	unsigned commits, metrics;
	uint64_t connects_at; /* ms; 0: it stays as it is */
	uint64_t stops_at;    /* ms: a signal comes; 0: none */
	struct jet_state jet;
	bool failed; /* a publish */
	int info;    /* of cq_queue_info() */
	struct cq_queue_info queue;
	unsigned said;
	char text[256];
} world;

static struct ship_settings settings;
static struct ship ship;
volatile sig_atomic_t cli_stopped;

/* ---- played ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	ret->tv_sec = (time_t)(world.now_ms / 1000);
	ret->tv_nsec = (long)(world.now_ms % 1000) * 1000000 + world.ns;
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)rest;
	world.now_ms += (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000;
	if (world.connects_at != 0 && world.now_ms >= world.connects_at)
		world.jet.connected = true;
	if (world.stops_at != 0 && world.now_ms >= world.stops_at)
		cli_stopped = 1;
	return 0;
}

void publish_state(struct publish *publish, struct publish_state *ret_state)
{
	(void)publish;
	*ret_state =
		(struct publish_state){ .acked_next = world.acked_next, .failed = world.failed };
}

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	(void)queue;
	*ret_info = world.queue;
	return world.info;
}

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	(void)jet;
	*ret_state = world.jet;
}

int source_commit(struct source *source, uint64_t seq)
{
	world.commits++;
	if (world.hidden_from != 0 && seq >= world.hidden_from)
		return -EIO;
	if (world.commit == 0)
		source->committed = seq;
	return world.commit;
}

void ship_metrics(struct ship *s, bool last)
{
	(void)s;
	(void)last;
	world.metrics++;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
	va_end(arguments);
	world.said++;
}

int cli_fail_reader(const char *dir, const char *name, int error)
{
	cli_note("%s: reader %s: %s", dir, name, cq_strerror(error));
	return CLI_IO;
}

/* ---- tests ---- */

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&ship, 0, sizeof ship);
	world.now_ms = START_MS;
	memset(&settings, 0, sizeof settings);
	ship.settings = &settings;
	ship.ready = true;
	ship.kept_at = world.now_ms;
	ship.source.dir = "/q";
	ship.stream = "S";
	cli_stopped = 0;
	return 0;
}

static void says(const char *text)
{
	assert_int_equal(world.said, 1);
	assert_non_null(strstr(world.text, text));
	world.said = 0;
}

static void once_a_second(void **state)
{
	(void)state;
	world.acked_next = 7;
	assert_int_equal(ship_house(&ship), 0);
	assert_int_equal(ship.source.committed, 7);
	world.acked_next = 9;
	world.now_ms += 999;
	assert_int_equal(ship_house(&ship), 0);
	assert_int_equal(ship.source.committed, 7);
	assert_int_equal(world.metrics, 1);
	world.now_ms++;
	assert_int_equal(ship_house(&ship), 0);
	assert_int_equal(ship.source.committed, 9);
	assert_int_equal(world.metrics, 2);
	world.acked_next = 12;
	assert_int_equal(ship_house_last(&ship), 0); /* at once */
	assert_int_equal(ship.source.committed, 12);
	/* nothing new: a sign of life */
	world.commits = 0;
	assert_int_equal(ship_house_last(&ship), 0);
	assert_int_equal(world.commits, 1);
	assert_int_equal(ship.source.committed, 12);
}

static void later_is(uint64_t committed)
{
	world.now_ms += 100000;
	assert_int_equal(ship_house_last(&ship), 0);
	assert_int_equal(ship.source.committed, committed);
}

/* --keep-acked: not before it was acknowledged so long ago, and not what the servers have lost since.  While they do
 * not answer, that time stands still. */
static void later(void **state)
{
	(void)state;
	ship.kept.span_ns = 60ULL * 1000000000;
	world.acked_next = 7;
	assert_int_equal(ship_house_last(&ship), 0);
	assert_int_equal(ship.source.committed, 0);
	ship_house_cut(&ship, 5);
	world.acked_next = 5;
	world.failed = true;
	later_is(0);
	later_is(0);
	world.failed = false;
	ship.ready = false;
	later_is(0);
	ship.ready = true;
	later_is(5);
}

/* Damage hides the place of the next commit: the reader gives its sign of life where it was. */
static void a_place_that_damage_hides(void **state)
{
	(void)state;
	world.acked_next = 7;
	world.hidden_from = 5;
	assert_int_equal(ship_house_last(&ship), 0);
	assert_int_equal(world.commits, 2);
	assert_int_equal(ship.source.committed, 0);
	says("/q: reader ship: cannot commit: ");
	world.now_ms += 59000;
	assert_int_equal(ship_house_last(&ship), 0);
	assert_int_equal(world.said, 0); /* once a minute */
	world.now_ms += 1000;
	assert_int_equal(ship_house_last(&ship), 0);
	says("/q: reader ship: cannot commit: ");
}

static void commits_that_fail(void **state)
{
	(void)state;
	world.commit = -EAGAIN; /* another process has the file just now */
	assert_int_equal(ship_house_last(&ship), 0);
	says("/q: reader ship: cannot commit: ");
	world.commit = -EIO;
	world.now_ms += 60000;
	assert_int_equal(ship_house_last(&ship), 0);
	says("/q: reader ship: cannot commit: ");
	world.commit = -EROFS;
	assert_int_equal(ship_house_last(&ship), CLI_IO);
	says("/q: reader ship: ");
}

static uint64_t pauses(unsigned tries, int r)
{
	const uint64_t begin = world.now_ms;

	ship.backoff.tries = tries;
	assert_int_equal(ship_pause(&ship), r);
	return world.now_ms - begin;
}

/* The more often it was in vain, the longer; with a server that answers, a second at most. */
static void pauses_grow(void **state)
{
	(void)state;
	assert_true(pauses(0, 0) < 1000);
	assert_true(pauses(20, 0) > 2000);
	ship.jet = (struct jet *)&world;
	assert_true(pauses(20, 0) > 2000);
	world.jet.connected = true;
	assert_in_range(pauses(20, 0), 800, 1000);
	assert_true(pauses(0, 0) < 1000);
}

/* The records are still committed meanwhile; an error there ends the pause, and ship. */
static void house_is_kept_in_a_pause(void **state)
{
	(void)state;
	world.acked_next = 7;
	assert_true(pauses(20, 0) > 2000);
	assert_int_equal(ship.source.committed, 7);
	assert_true(world.metrics >= 2);
	world.commit = -EROFS;
	world.now_ms += 1000;
	assert_int_equal(pauses(20, CLI_IO), 100);
}

static void what_ends_a_pause(void **state)
{
	(void)state;
	ship.jet = (struct jet *)&world;
	world.connects_at = world.now_ms + 250;
	assert_int_equal(pauses(20, 0), 300);
	assert_int_equal(ship.backoff.tries, 0); /* a later pause is short again */
	world.jet.connected = false;
	world.connects_at = 0;
	world.stops_at = world.now_ms + 250;
	assert_int_equal(pauses(20, 0), 300);
	assert_int_equal(pauses(20, 0), 0);
}

/* Once a minute, also if something else is waited for then; the file of metrics has the latest. */
static void what_is_said(void **state)
{
	(void)state;
	ship_well(&ship);
	assert_int_equal(world.said, 0);
	ship_say(&ship, "no answer from %s", "a");
	says("S: waiting: no answer from a");
	world.now_ms += 59999;
	ship_say(&ship, "no answer from %s", "b");
	assert_int_equal(world.said, 0);
	assert_string_equal(ship.waits_for, "no answer from b");
	world.now_ms++;
	ship_say(&ship, "no answer from %s", "c");
	says("S: waiting: no answer from c");
	ship_well(&ship);
	says("S: ship continues");
	assert_string_equal(ship.waits_for, "");
	ship_well(&ship);
	assert_int_equal(world.said, 0);
	ship_say(&ship, "%s", "d");
	says("S: waiting: d");
}

/* Records 7 to 9 are there, and nothing makes them durable. */
static void begin_undurable(void)
{
	setup(NULL);
	ship.source.next = 7;
	world.queue.have_bounds = true;
	world.queue.durable_seq = 7;
	world.queue.next_seq = 10;
}

static void looks_at_them(unsigned said)
{
	ship_undurable(&ship, false);
	world.now_ms += 4999;
	ship_undurable(&ship, false);
	assert_int_equal(world.said, 0); /* not so soon */
	world.now_ms++;
	ship_undurable(&ship, false);
	assert_int_equal(world.said, said);
}

/* It is said once, so that nobody wonders why they are not shipped. */
static void records_that_are_not_durable(void **state)
{
	(void)state;
	begin_undurable();
	looks_at_them(1);
	says("/q: records 7 to 9 wait until they are durable (sync= of the mount, or fsync; or --visible)");
	world.now_ms += 60000;
	ship_undurable(&ship, true);
	assert_int_equal(world.said, 0);
	begin_undurable(); /* --once does not wait */
	ship_undurable(&ship, true);
	says("/q: records 7 to 9 wait");
	begin_undurable(); /* shipping goes on meanwhile */
	looks_at_them(1);
	begin_undurable();
	ship_undurable(&ship, false);
	ship.source.next = 8;
	world.now_ms += 5000;
	looks_at_them(1);
}

static void none_waits_to_be_durable(void **state)
{
	(void)state;
	begin_undurable();
	settings.visible = true; /* they are shipped as they are */
	looks_at_them(0);
	begin_undurable();
	world.queue.durable_seq = 8;
	looks_at_them(0);
	begin_undurable();
	world.queue.next_seq = 7;
	looks_at_them(0);
	begin_undurable(); /* not known */
	world.queue.have_bounds = false;
	looks_at_them(0);
	begin_undurable();
	world.info = -EIO;
	looks_at_them(0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(once_a_second, setup),
		cmocka_unit_test_setup(later, setup),
		cmocka_unit_test_setup(a_place_that_damage_hides, setup),
		cmocka_unit_test_setup(commits_that_fail, setup),
		cmocka_unit_test_setup(pauses_grow, setup),
		cmocka_unit_test_setup(house_is_kept_in_a_pause, setup),
		cmocka_unit_test_setup(what_ends_a_pause, setup),
		cmocka_unit_test_setup(what_is_said, setup),
		cmocka_unit_test_setup(records_that_are_not_durable, setup),
		cmocka_unit_test_setup(none_waits_to_be_durable, setup),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
