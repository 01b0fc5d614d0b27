/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_metrics.c - the file of metrics that ship writes: what waits, for how long, and what is not known
 *
 * metrics.c and the file; queue, stream and clock are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/cli.h"
#include "ship/ship.h"
#include "support.h"

#define NOW 5000U /* seconds */

static struct {
	uint64_t now_ms, look_takes_ms;
	int look; /* of source_look() */
	uint64_t end_seq, end_stream;
	unsigned looks;
	struct publish_state state;
	bool have_sent, have_next; /* a message is on its way; the next one is known */
	struct publish_oldest oldest;
	struct jet_state jet;
	unsigned noted;
	char text[512];
} world;

static char folder[PATH_SIZE], path[PATH_SIZE];
static struct ship_settings settings;
static struct ship ship;

/* ---- played ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	ret->tv_sec = (time_t)(world.now_ms / 1000);
	ret->tv_nsec = (long)(world.now_ms % 1000) * 1000000;
	return 0;
}

uint64_t ship_now_ms(void)
{
	return world.now_ms;
}

int source_look(struct source *source, uint64_t *ret_next_seq, uint64_t *ret_stream_end)
{
	(void)source;
	world.looks++;
	world.now_ms += world.look_takes_ms;
	if (world.look < 0)
		return world.look;
	*ret_next_seq = world.end_seq;
	*ret_stream_end = world.end_stream;
	return 0;
}

void publish_state(struct publish *publish, struct publish_state *ret_state)
{
	(void)publish;
	*ret_state = world.state;
}

bool publish_oldest(struct publish *publish, struct publish_oldest *ret_oldest)
{
	(void)publish;
	*ret_oldest = world.oldest;
	return world.have_sent;
}

bool compose_oldest(struct compose *compose, struct publish_oldest *ret_oldest)
{
	(void)compose;
	assert_true(ship.ready); /* else the source has no place */
	*ret_oldest = world.oldest;
	return world.have_next;
}

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	(void)jet;
	*ret_state = world.jet;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
	va_end(arguments);
	world.noted++;
}

int cli_fail(const char *subject, int error)
{
	cli_note("%s: error %d", subject, -error);
	return CLI_IO;
}

/* ---- the file ---- */

/* The metric's value as it is written; "": it is not there. */
static const char *value(const char *name)
{
	static char text[128];
	char wanted[64], line[512];
	const char *found = "";
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	(void)snprintf(wanted, sizeof wanted, "chronq_ship_%s{", name);
	while (fgets(line, sizeof line, file)) {
		if (strncmp(line, wanted, strlen(wanted)) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(text, sizeof text, "%s", strrchr(line, ' ') + 1);
		found = text;
	}
	(void)fclose(file);
	return found;
}

static void lag_is(const char *records, const char *bytes, const char *seconds)
{
	ship_metrics(&ship, true);
	assert_string_equal(value("lag_records"), records);
	assert_string_equal(value("lag_bytes"), bytes);
	assert_string_equal(value("lag_seconds"), seconds);
}

/* ---- tests ---- */

/* The queue has the records 0 to 99, of which the stream has 40; 20 bytes each. */
static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&settings, 0, sizeof settings);
	memset(&ship, 0, sizeof ship);
	support_temp_dir(folder);
	support_path(path, folder, "ship.prom");
	settings.ship.status = path;
	ship.settings = &settings;
	ship.stream = "S";
	ship.source.dir = "/q";
	ship.resyncs = 1;
	world.now_ms = NOW * 1000;
	world.end_seq = 100;
	world.end_stream = 2000;
	world.state.acked_next = 40;
	world.oldest = (struct publish_oldest){ .time_ns = (NOW - 3) * 1000000000ULL,
		                                .have_stream = true,
		                                .stream = 800 };
	assert_int_equal(ship_metrics_begin(&ship), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_close(ship.metrics.status);
	support_remove(folder);
	return 0;
}

static void what_is_counted(void **state)
{
	(void)state;
	world.state.sent_records = 50;
	world.state.acked_records = 40;
	world.state.acked_bytes = 777;
	world.state.acked_at = 4990;
	world.jet.connected = true;
	ship.resyncs = 3;
	ship_metrics(&ship, false);
	assert_string_equal(value("shipped_records_total"), "50");
	assert_string_equal(value("acked_records_total"), "40");
	assert_string_equal(value("acked_bytes_total"), "777");
	assert_string_equal(value("last_ack_timestamp_seconds"), "4990.000000000");
	assert_string_equal(value("resyncs_total"), "3");
	assert_string_equal(value("connected"), "0"); /* there is no connection */
	assert_string_equal(value("last_error"), "");
	ship.jet = (struct jet *)&world;
	(void)strcpy(ship.waits_for, "no answer");
	world.now_ms += 999;
	ship_metrics(&ship, false);
	assert_string_equal(value("connected"), "0"); /* once a second */
	world.now_ms++;
	ship_metrics(&ship, false);
	assert_string_equal(value("connected"), "1");
	assert_string_equal(value("last_error"), "1");
}

/* The oldest record is on its way, or the next one to be sent; then none waits. */
static void what_waits(void **state)
{
	(void)state;
	world.have_sent = true;
	lag_is("60", "1200", "3.000000000");
	world.have_sent = false;
	world.have_next = ship.ready = true;
	lag_is("60", "1200", "3.000000000");
	world.oldest.have_stream = false;
	lag_is("60", "", "3.000000000");
	world.oldest.time_ns = (NOW + 9) * 1000000000ULL; /* another machine's clock */
	lag_is("60", "", "0.000000000");
	world.have_next = false;
	lag_is("0", "0", "0.000000000");
}

/* Before the stream has said what it has, the committed position tells. */
static void before_the_stream_has_answered(void **state)
{
	(void)state;
	ship.resyncs = 0;
	ship.source.committed = 90;
	lag_is("10", "", "0.000000000");
	world.now_ms += 7000;
	lag_is("10", "", "7.000000000"); /* since then it has been known */
	ship.source.committed = 100;
	lag_is("0", "0", "0.000000000");
	world.now_ms += 7000;
	ship.source.committed = 110; /* retention has deleted what is not durable */
	lag_is("0", "0", "0.000000000");
	ship.source.committed = 90;
	lag_is("10", "", "0.000000000"); /* anew */
}

static void damage_hides_the_end(void **state)
{
	(void)state;
	world.look = -ENODATA;
	lag_is("", "", "");
	world.have_sent = true;
	lag_is("", "", "3.000000000");
}

/* A look at a large queue takes long: a hundredth of the time is spent with it. */
static void looks_are_rare(void **state)
{
	(void)state;
	world.look_takes_ms = 30;
	lag_is("60", "", "0.000000000");
	world.end_seq = 200;
	world.now_ms += 3999;
	ship_metrics(&ship, true);
	assert_int_equal(world.looks, 1);
	assert_string_equal(value("lag_records"), "60");
	world.now_ms++;
	ship_metrics(&ship, true);
	assert_int_equal(world.looks, 2);
	assert_string_equal(value("lag_records"), "160");
}

static void it_cannot_be_written(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	ship_metrics(&ship, true);
	assert_int_equal(world.noted, 1);
	assert_non_null(strstr(world.text, "ship.prom: "));
	assert_non_null(strstr(world.text, ": metrics are not written"));
	ship_metrics(&ship, true);
	assert_int_equal(world.noted, 1); /* once */
}

static void no_file(void **state)
{
	struct ship other = { .settings = &settings };

	(void)state;
	settings.ship.status = NULL;
	assert_int_equal(ship_metrics_begin(&other), 0);
	ship_metrics(&other, true);
	assert_int_equal(world.looks, 0);
	settings.ship.status = "..";
	assert_int_equal(ship_metrics_begin(&other), CLI_IO);
	assert_string_equal(world.text, "..: error 22");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_counted),
		TEST(what_waits),
		TEST(before_the_stream_has_answered),
		TEST(damage_hides_the_end),
		TEST(looks_are_rare),
		TEST(it_cannot_be_written),
		TEST(no_file),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
