/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli_time.c - points in time on chronq's command line: forms, zones, changes of the clock, ends, nonsense */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/time.h"
#include "support.h"

#define S 1000000000ULL
#define NOON 1796040000ULL       /* 2026-11-30 12:00:00 UTC, a Monday */
#define MIDNIGHT (NOON - 43200U) /* of that day, UTC */
#define NOW (NOON * S + 500)

static const char *zone; /* TZ of the test */

static bool wrong_clock; /* it is before 1970 */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!wrong_clock)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){ .tv_sec = -5 };
	return 0;
}

static const char *parse(const char *text, enum cli_twice twice, uint64_t *ret)
{
	const char *fault;

	setenv("TZ", zone, 1);
	tzset();
	fault = cli_parse_time(text, NOW, twice, ret);
	assert_string_equal(getenv("TZ"), zone); /* as it was */
	return fault;
}

#define GIVES(text, ns) gives(text, ns, __LINE__)
static void gives(const char *text, uint64_t wanted, int line)
{
	uint64_t ns = 77;
	const char *fault = parse(text, CLI_TWICE_FIRST, &ns);

	if (fault || ns != wanted)
		print_error("line %d: '%s': %s %llu, not %llu\n", line, text, fault ? fault : "",
		            (unsigned long long)ns, (unsigned long long)wanted);
	assert_null(fault);
	assert_int_equal(ns, wanted);
}

#define REFUSES(text, why) refuses(text, why, __LINE__)
static void refuses(const char *text, const char *why, int line)
{
	uint64_t ns = 77;
	const char *fault = parse(text, CLI_TWICE_FIRST, &ns);

	if (!fault || !strstr(fault, why))
		print_error("line %d: '%s': %s %llu\n", line, text,
		            fault ? fault : "accepted:", (unsigned long long)ns);
	assert_non_null(fault);
	assert_non_null(strstr(fault, why));
	assert_int_equal(ns, 77);
}

static void dates(void **state)
{
	(void)state;
	zone = "UTC0";
	GIVES("2026-11-30 12:00:00", NOON * S);
	GIVES("2026-11-30 12:00", NOON * S);
	GIVES("2026-11-30", MIDNIGHT * S);
	GIVES("26-11-30", MIDNIGHT * S);
	GIVES("12:00", NOON * S);
	GIVES("12:00:01", (NOON + 1) * S);
	GIVES("2026-11-30T12:00:00Z", NOON * S);
	GIVES("2026-11-30t12:00:00z", NOON * S);
	GIVES("  2026-11-30   12:00:00.5  ", NOON * S + S / 2);
	GIVES("2026-11-30 12:00:00.000000001", NOON * S + 1);
	GIVES("2026-11-30 12:00:00.0000000019", NOON * S + 1);
	GIVES("2026-11-30 12:00:00 +01:00", (NOON - 3600) * S);
	GIVES("2026-11-30T12:00:00-0930", (NOON + 34200) * S);
	GIVES("2026-11-30 12:00 +01", (NOON - 3600) * S);
	GIVES("2026-11-30 UTC", MIDNIGHT * S);
	GIVES("Mon 2026-11-30 12:00:00 UTC", NOON * S);
	GIVES("Monday, 2026-11-30", MIDNIGHT * S);
	GIVES("today", MIDNIGHT * S);
	GIVES("TODAY", MIDNIGHT * S);
	GIVES("yesterday", (MIDNIGHT - 86400) * S);
	GIVES("tomorrow", (MIDNIGHT + 86400) * S);
	GIVES("today +01:00", (MIDNIGHT - 3600) * S);
	GIVES("23:30 +12:00",
	      (MIDNIGHT + 86400 + 84600 - 43200) * S); /* there it is tomorrow already */
	GIVES("now", NOW);
	GIVES("@1796040000", NOON * S);
	GIVES("@1796040000.25", NOON * S + S / 4);
	GIVES("2000-02-29", 951782400 * S);
	GIVES("2026-02-28", 1772236800 * S);
	GIVES("70-01-02", 86400 * S);
	GIVES("68-01-01", 3092601600 * S);
	GIVES("2026-11-30\t12:00", NOON * S);
}

static void spans(void **state)
{
	(void)state;
	zone = "UTC0";
	GIVES("-10min", NOW - 600 * S);
	GIVES("10 min ago", NOW - 600 * S);
	GIVES("10min ago", NOW - 600 * S);
	GIVES("10 minutes ago", NOW - 600 * S);
	GIVES("-5", NOW - 5 * S);
	GIVES("+5s", NOW + 5 * S);
	GIVES("5 s left", NOW + 5 * S);
	GIVES("1h 30min ago", NOW - 5400 * S);
	GIVES("-1h30min", NOW - 5400 * S);
	GIVES("-1.5h", NOW - 5400 * S);
	GIVES("2 weeks 1 day ago", NOW - 15 * 86400 * S);
	GIVES("-1M", NOW - 2629800 * S);
	GIVES("-1m", NOW - 60 * S);
	GIVES("-1y", NOW - 31557600 * S);
	GIVES("-20ms", NOW - 20000000);
	GIVES("-1us", NOW - 1000);
	GIVES("-1ns", NOW - 1);
	GIVES("-0.5ms", NOW - 500000);
	GIVES("1\th 30\tmin ago", NOW - 5400 * S);
	GIVES("+584.99y", UINT64_MAX); /* more than 64 bits by its fraction */
	/* as far as time goes */
	GIVES("1000 years ago", 0);
	GIVES("+999999999y", UINT64_MAX);
	GIVES("-999999999y 999999999y", 0);
}

/* Berlin: 2026-03-29 02:00 becomes 03:00 (01:00 UTC), 2026-10-25 03:00 becomes 02:00 (01:00 UTC). */
static void summer_time(void **state)
{
	const uint64_t forward = 1774746000, back = 1792890000;
	uint64_t ns;

	(void)state;
	zone = "CET-1CEST,M3.5.0,M10.5.0/3";
	GIVES("2026-03-29 01:59:59", (forward - 1) * S);
	GIVES("2026-03-29 03:00", forward * S);
	GIVES("2026-03-29 02:30", (forward + 1800) * S); /* does not come: as 02:30 CET */
	GIVES("2026-10-25 01:59:59", (back - 3601) * S);
	GIVES("2026-10-25 02:30", (back - 1800) * S); /* comes twice */
	assert_null(parse("2026-10-25 02:30", CLI_TWICE_SECOND, &ns));
	assert_int_equal(ns, (back + 1800) * S);
	GIVES("2026-10-25 02:30 CEST", (back - 1800) * S);
	GIVES("2026-10-25 02:30 CET", (back + 1800) * S);
	GIVES("2026-10-25 03:00", (back + 3600) * S);
	GIVES("2026-10-25 02:30 UTC", (back + 5400) * S);
	GIVES("today", (MIDNIGHT - 3600) * S);
	GIVES("13:00", NOON * S);
	REFUSES("2026-10-25 02:30 PST", "not a time");
	zone = "AAA3BBB,M10.3.0/0,M2.3.0/0"; /* midnight is put forward: the day begins at 01:00 */
	GIVES("2026-10-18", 1792292400 * S);
}

static bool have_zones(void)
{
	return access("/usr/share/zoneinfo/Europe/Berlin", R_OK) == 0;
}

static void named_zones(void **state)
{
	(void)state;
	zone = "UTC0";
	if (!have_zones())
		NOT_HERE("no database of time zones");
	GIVES("2026-11-30 13:00 Europe/Berlin", NOON * S);
	GIVES("2026-11-30 Asia/Tokyo", (MIDNIGHT - 32400) * S);
	GIVES("today Asia/Tokyo", (MIDNIGHT - 32400) * S);
	REFUSES("2026-11-30 13:00 Europe/Nowhere", "not a time");
	REFUSES("2026-11-30 13:00 ../zoneinfo/Europe/Berlin", "not a time");
	REFUSES("2026-11-30 13:00 /usr/share/zoneinfo/Europe/Berlin", "not a time");
	REFUSES("2026-11-30 13:00Europe/Berlin", "not a time");
}

static void leap_seconds(void **state)
{
	(void)state;
	zone = "UTC0";
	GIVES("2016-12-31T23:59:60Z", 1483228800 * S);
	GIVES("2016-12-31T23:59:60.9Z", 1483228800 * S);
	GIVES("2016-12-31T23:59:59.9Z", 1483228799 * S + 9 * S / 10);
	REFUSES("2016-12-31T23:59:61Z", "not a time");
}

static void ends(void **state)
{
	(void)state;
	zone = "UTC0";
	GIVES("1970-01-01", 0);
	GIVES("@0", 0);
	REFUSES("1969-12-31 23:59:59", "before 1970");
	REFUSES("1969-12-31T23:59:59.999Z", "before 1970");
	REFUSES("1970-01-01 00:00 +01:00", "before 1970");
	REFUSES("0001-01-01", "before 1970");
	REFUSES("@-1", "before 1970");
	GIVES("2262-04-11T23:47:16.854775807Z", INT64_MAX);
	GIVES("2262-04-11T23:47:16.854775808Z", 1ULL << 63);
	GIVES("2554-07-21T23:34:33.709551615Z", UINT64_MAX);
	REFUSES("2554-07-21T23:34:33.709551616Z", "after 2554");
	REFUSES("2554-07-21T23:34:34Z", "after 2554");
	REFUSES("9999-12-31", "after 2554");
	GIVES("@18446744073.709551615", UINT64_MAX);
	REFUSES("@18446744073.709551616", "after 2554");
	REFUSES("@18446744074", "after 2554");
	REFUSES("@99999999999999999999999", "after 2554");
	REFUSES("@18446744073709551616", "after 2554");
}

static void nonsense(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"x",
		"yesterda",
		"todayx",
		"10",
		"10 min",
		"min ago",
		"-",
		"+",
		"--5",
		"-5x",
		"-5 ago",
		"5 sago",
		"5 agox",
		"1:00",
		"24:00",
		"12:60",
		"12:00:",
		"12:00:0",
		"12:00:00.",
		"12:00:00.x",
		"2026-11-30T",
		"2026-11-30T12",
		"2026-11-3012:00",
		"2026-11",
		"2026-1-1",
		"20261130",
		"12026-11-30",
		"2026-11-30 12:00 +1",
		"2026-11-30 12:00 +24:00",
		"2026-11-30 12:00 +01:60",
		"2026-11-30 12:00 x",
		"2026-11-30 12:00ZZ",
		"2026-11-30 12:00 UTC x",
		"Mon",
		"Mon 12:00",
		"Monda 2026-11-30",
		"@",
		"@x",
		"@1.",
		"@1x",
		"@ 1",
		"now x",
		"nowx",
		"-1..5h",
		"-1.h",
		"-9999999999s",
		"\xff",
		"2026-11-30\n",
	};

	(void)state;
	zone = "UTC0";
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		REFUSES(texts[i], "not a time");
	REFUSES("2026-02-29", "no such day");
	REFUSES("2100-02-29", "no such day");
	REFUSES("2026-00-01", "no such day");
	REFUSES("2026-13-01", "no such day");
	REFUSES("2026-04-31", "no such day");
	REFUSES("2026-04-00", "no such day");
	REFUSES("Tue 2026-11-30", "day of the week");
}

/* Clocks that are put forward by less than an hour, or by nothing. */
static void odd_zones(void **state)
{
	(void)state;
	zone = "LHST-10:30LHDT-11,M10.1.0,M4.1.0"; /* Lord Howe Island: from 02:00 to 02:30 */
	GIVES("2026-10-04 01:59", 1791041340 * S);
	GIVES("2026-10-04 02:15", 1791042300 * S); /* does not come: as if nothing had changed */
	GIVES("2026-10-04 02:30", 1791041400 * S);
	zone = "AAA-1BBB-1:00:30,M10.1.0,M4.1.0"; /* by half a minute */
	GIVES("2026-10-04 01:59:59", 1791075599 * S);
	GIVES("2026-10-04 02:00:10", 1791075610 * S);
	GIVES("2026-10-04 02:00:30", 1791075600 * S);
	zone = "AAA-1BBB-1,M3.5.0,M10.5.0"; /* a name alone changes */
	GIVES("2026-07-01 12:00", 1782903600 * S);
	GIVES("2026-12-01 12:00", 1796122800 * S);
	GIVES("2026-12-01 12:00 AAA", 1796122800 * S);
}

/* As in most systems: local time is that of /etc/localtime.  A named zone is in use for its own text alone. */
static void no_tz(void **state)
{
	uint64_t ns = 0;

	(void)state;
	if (!have_zones())
		NOT_HERE("no database of time zones");
	unsetenv("TZ");
	assert_null(cli_parse_time("2026-07-01 12:00 Europe/Berlin", NOW, CLI_TWICE_FIRST, &ns));
	assert_int_equal(ns, 1782900000 * S);
	assert_null(getenv("TZ"));
}

/* The database of time zones is where TZDIR says. */
static void folder_of_zones(void **state)
{
	char text[128], folder[5000];

	(void)state;
	if (!have_zones())
		NOT_HERE("no database of time zones");
	zone = "UTC0";
	assert_int_equal(setenv("TZDIR", "/usr/share/zoneinfo", 1), 0);
	GIVES("2026-07-01 12:00 Europe/Berlin", 1782900000 * S);
	assert_int_equal(setenv("TZDIR", "/nowhere", 1), 0);
	REFUSES("2026-07-01 12:00 Europe/Berlin", "not a time");
	memset(folder, 'f', sizeof folder - 1); /* longer than any path */
	folder[sizeof folder - 1] = '\0';
	assert_int_equal(setenv("TZDIR", folder, 1), 0);
	REFUSES("2026-07-01 12:00 Europe/Berlin", "not a time");
	unsetenv("TZDIR");
	/* the file is there, and its name is too long */
	(void)snprintf(text, sizeof text, "2026-07-01 12:00 Europe%.*s/Berlin", 60,
	               "////////////////////////////////////////////////////////////");
	REFUSES(text, "not a time");
}

/* Texts made of pieces of right ones: each is taken or refused, and what is taken is the same a second time. */
static void any_text(void **state)
{
	static const char *const pieces[] = {
		"2026",
		"-",
		"11",
		"30",
		"-11-30",
		" ",
		"T",
		"12",
		":",
		"00",
		".",
		"5",
		"Z",
		"+01:00",
		"UTC",
		"ago",
		"min",
		"h",
		"@",
		"now",
		"today",
		"Mon",
		"Europe/Berlin",
		"99999999999",
		"1970-01-01",
		"\x80",
		"M",
	};
	const size_t count = sizeof pieces / sizeof pieces[0];
	unsigned taken = 0, random = 1;
	char text[256];
	uint64_t ns, again;

	(void)state;
	zone = "CET-1CEST,M3.5.0,M10.5.0/3";
	for (unsigned i = 0; i < 200000; i++) {
		text[0] = '\0';
		for (unsigned n = 0; n < 1 + i % 9; n++) {
			random = random * 1103515245U + 12345U;
			strcat(text, pieces[(random >> 16) % count]);
		}
		if (cli_parse_time(text, NOW, CLI_TWICE_FIRST, &ns) != NULL)
			continue;
		taken++;
		assert_null(cli_parse_time(text, NOW, CLI_TWICE_FIRST, &again));
		assert_int_equal(ns, again);
	}
	assert_true(taken > 100);
}

static void clock_before_1970(void **state)
{
	(void)state;
	wrong_clock = true;
	assert_int_equal(cli_now_ns(), 0);
	wrong_clock = false;
	assert_true(cli_now_ns() > NOON / 2 * S);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dates),
	cmocka_unit_test(spans),
	cmocka_unit_test(summer_time),
	cmocka_unit_test(named_zones),
	cmocka_unit_test(ends),
	cmocka_unit_test(leap_seconds),
	cmocka_unit_test(nonsense),
	cmocka_unit_test(any_text),
	cmocka_unit_test(odd_zones),
	cmocka_unit_test(no_tz),
	cmocka_unit_test(folder_of_zones),
	cmocka_unit_test(clock_before_1970),
};

SUPPORT_MAIN(tests)
