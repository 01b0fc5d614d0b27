/* SPDX-License-Identifier: Apache-2.0 */
/*
 * time.c - see time.h
 *
 * A cursor goes through the text; each take_ function moves it behind what it takes, or leaves it where it is.
 * The whole text must be taken.  The environment's TZ is changed for a named time zone, and set back.
 */
#include "shared/time.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ULL
#define ZONE_MAX 64
#define LAST_SECOND ((int64_t)(UINT64_MAX / SECOND_NS)) /* in July 2554 */

static const char not_a_time[] = "not a time";
static const char out_of_range[] = "a time before 1970 or after 2554";

uint64_t cli_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec < 0 ? 0 : (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- pieces of the text ---- */

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		++*at;
}

/* `count` digits; 0: one to nine. */
static bool take_digits(const char **at, size_t count, unsigned *ret)
{
	const char *p = *at;
	unsigned number = 0;
	size_t n = 0;

	for (; isdigit((unsigned char)p[n]) && n < (count > 0 ? count : 10); n++)
		number = number * 10 + (unsigned)(p[n] - '0');
	if (n == 0 || n > 9 || (count > 0 && n != count))
		return false;
	*at = p + n;
	*ret = number;
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

/* A word of letters, whole, in any case. */
static bool take_word(const char **at, const char *word)
{
	const size_t length = strlen(word);

	if (strncasecmp(*at, word, length) != 0 || isalpha((unsigned char)(*at)[length]))
		return false;
	*at += length;
	return true;
}

/* ".5" and the like as nanoseconds; further digits are cut off.  Takes nothing where there is none. */
static bool take_fraction(const char **at, uint64_t *ret_ns)
{
	uint64_t ns = 0, unit = SECOND_NS / 10;
	const char *p = *at;

	*ret_ns = 0;
	if (*p != '.')
		return true;
	for (p++; isdigit((unsigned char)*p); p++, unit /= 10)
		ns += (uint64_t)(*p - '0') * unit;
	if (p == *at + 1)
		return false;
	*at = p;
	*ret_ns = ns;
	return true;
}

/* ---- spans of time: 1h 30min ---- */

#define US 1000ULL
#define MS (1000 * US)
#define MINUTE_NS (60 * SECOND_NS)
#define HOUR_NS (60 * MINUTE_NS)
#define DAY_NS (24 * HOUR_NS)
#define YEAR_NS (365 * DAY_NS + DAY_NS / 4)

static bool take_unit(const char **at, uint64_t *ret_ns)
{
	/* M is a month, m a minute */
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "seconds", SECOND_NS },
		{ "second", SECOND_NS },
		{ "sec", SECOND_NS },
		{ "s", SECOND_NS },
		{ "minutes", MINUTE_NS },
		{ "minute", MINUTE_NS },
		{ "min", MINUTE_NS },
		{ "months", YEAR_NS / 12 },
		{ "month", YEAR_NS / 12 },
		{ "msec", MS },
		{ "ms", MS },
		{ "M", YEAR_NS / 12 },
		{ "m", MINUTE_NS },
		{ "hours", HOUR_NS },
		{ "hour", HOUR_NS },
		{ "hr", HOUR_NS },
		{ "h", HOUR_NS },
		{ "days", DAY_NS },
		{ "day", DAY_NS },
		{ "d", DAY_NS },
		{ "weeks", 7 * DAY_NS },
		{ "week", 7 * DAY_NS },
		{ "w", 7 * DAY_NS },
		{ "years", YEAR_NS },
		{ "year", YEAR_NS },
		{ "y", YEAR_NS },
		{ "usec", US },
		{ "us", US },
		{ "nsec", 1 },
		{ "ns", 1 },
	};

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		const size_t length = strlen(units[i].name);

		if (strncmp(*at, units[i].name, length) == 0 &&
		    !isalpha((unsigned char)(*at)[length])) {
			*at += length;
			*ret_ns = units[i].ns;
			return true;
		}
	}
	return false;
}

/* amount x unit, with the fraction of the amount in billionths; UINT64_MAX where that is more. */
static uint64_t scale(uint64_t amount, uint64_t billionths, uint64_t unit)
{
	const uint64_t part =
		unit >= SECOND_NS ? unit / SECOND_NS * billionths : unit * billionths / SECOND_NS;
	uint64_t ns;

	if (__builtin_mul_overflow(amount, unit, &ns) || __builtin_add_overflow(ns, part, &ns))
		return UINT64_MAX;
	return ns;
}

/* One or more of a number and a unit; a number alone is seconds. */
static bool take_span(const char **at, uint64_t *ret_ns)
{
	const char *p = *at;
	uint64_t sum = 0, unit, part;
	unsigned amount;
	bool any = false;

	for (;;) {
		const char *piece = p;

		skip_blanks(&piece);
		if (!take_digits(&piece, 0, &amount))
			break;
		if (!take_fraction(&piece, &part))
			return false;
		p = piece;
		skip_blanks(&piece);
		if (take_unit(&piece, &unit))
			p = piece;
		else
			unit = SECOND_NS;
		if (__builtin_add_overflow(sum, scale(amount, part, unit), &sum))
			sum = UINT64_MAX;
		any = true;
	}
	*at = p;
	*ret_ns = sum;
	return any;
}

/* -SPAN, +SPAN, SPAN ago, SPAN left.  Ends at 1970, and at the last time that there is. */
static bool parse_relative(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	const char *at = text;
	bool before = take_char(&at, '-');
	const bool has_sign = before || take_char(&at, '+');
	uint64_t span;

	if (!take_span(&at, &span))
		return false;
	skip_blanks(&at);
	if (!has_sign && take_word(&at, "ago"))
		before = true;
	else if (!has_sign && !take_word(&at, "left"))
		return false;
	if (*at != '\0')
		return false;
	if (before)
		*ret_ns = span < now_ns ? now_ns - span : 0;
	else
		*ret_ns = span < UINT64_MAX - now_ns ? now_ns + span : UINT64_MAX;
	return true;
}

/* ---- time zones ---- */

struct zone {
	enum { LOCAL, FIXED, NAMED } kind;
	int64_t east;        /* FIXED: seconds east of UTC */
	int isdst;           /* LOCAL: as in struct tm, -1: unknown */
	char name[ZONE_MAX]; /* NAMED */
};

/* +01:00, +0100, +01 */
static bool take_offset(const char **at, int64_t *ret_east)
{
	const char *p = *at;
	const bool west = *p == '-';
	unsigned hours, minutes = 0;

	if (*p != '+' && *p != '-')
		return false;
	p++;
	if (!take_digits(&p, 2, &hours))
		return false;
	if (*p == ':' || isdigit((unsigned char)*p)) {
		(void)take_char(&p, ':');
		if (!take_digits(&p, 2, &minutes))
			return false;
	}
	if (hours > 23 || minutes > 59)
		return false;
	*ret_east = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	*at = p;
	return true;
}

/* There is a file of that name in the database of time zones. */
static bool is_zone(const char *name)
{
	const char *folder = getenv("TZDIR");
	char path[PATH_MAX];

	if (!folder)
		folder = "/usr/share/zoneinfo";
	return name[0] != '.' && name[0] != '/' && !strstr(name, "..") && strchr(name, '/') &&
	       snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path &&
	       access(path, R_OK) == 0;
}

/* The rest of the text: a time zone, or nothing. */
static bool parse_zone(const char *at, struct zone *ret_zone)
{
	struct zone zone = { .kind = LOCAL, .isdst = -1 };
	const char *rest = at;

	skip_blanks(&rest);
	if (*rest == '\0') {
		*ret_zone = zone;
		return true;
	}
	tzset();
	if (take_word(&rest, "Z") || take_word(&rest, "UTC") || take_offset(&rest, &zone.east)) {
		zone.kind = FIXED;
	} else if (rest == at) { /* a name needs a blank before it */
		return false;
	} else if (strcmp(rest, tzname[0]) == 0 || strcmp(rest, tzname[1]) == 0) {
		zone.isdst = strcmp(rest, tzname[0]) != 0;
		rest += strlen(rest);
	} else if (strlen(rest) < ZONE_MAX && is_zone(rest)) {
		zone.kind = NAMED;
		strcpy(zone.name, rest);
		rest += strlen(rest);
	}
	if (*rest != '\0')
		return false;
	*ret_zone = zone;
	return true;
}

/* From here on local time is that of the zone.  Returns TZ as it was, for leave_zone(). */
static char *enter_zone(const struct zone *zone)
{
	const char *tz = getenv("TZ");
	char *before = tz ? strdup(tz) : NULL;

	if (zone->kind == NAMED)
		(void)setenv("TZ", zone->name, 1);
	tzset();
	return before;
}

static void leave_zone(const struct zone *zone, char *before)
{
	if (zone->kind == NAMED) {
		if (before)
			(void)setenv("TZ", before, 1);
		else
			(void)unsetenv("TZ");
		tzset();
	}
	free(before);
}

/* ---- dates and times of day ---- */

struct moment {
	bool have_date, have_time;
	struct tm tm; /* of the date, time of day or both */
	uint64_t fraction;
	int weekday; /* 0 Sunday ... 6; -1: not given */
	int days;    /* to add: -1 yesterday */
};

static bool same_day_and_time(const struct tm *a, const struct tm *b)
{
	return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
	       a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

/* Local time to seconds since 1970. */
static time_t from_local(const struct tm *given, int isdst, enum cli_twice twice)
{
	time_t found[2], seconds;
	struct tm tm, back;
	size_t count = 0;

	for (int dst = 0; dst <= 1; dst++) {
		tm = *given;
		tm.tm_isdst = dst;
		seconds = mktime(&tm);
		if (isdst >= 0 && isdst != dst)
			continue;
		(void)localtime_r(&seconds, &back);
		if (same_day_and_time(&back, given) && (back.tm_isdst > 0) == dst)
			found[count++] = seconds;
	}
	if (count == 2) /* summer time, which is tried second, comes first */
		return (found[0] < found[1]) == (twice == CLI_TWICE_FIRST) ? found[0] : found[1];
	if (count == 1)
		return found[0];
	/* it does not come: as if the clock had not been put forward; or a zone with a change of another kind */
	tm = *given;
	tm.tm_isdst = isdst;
	return mktime(&tm);
}

static bool is_a_day(const struct tm *tm)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const int year = tm->tm_year + 1900;
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return tm->tm_mon >= 0 && tm->tm_mon <= 11 && tm->tm_mday >= 1 &&
	       tm->tm_mday <= days[tm->tm_mon] && (tm->tm_mon != 1 || tm->tm_mday < 29 || leap);
}

/* 2026-11-30 or 26-11-30 */
static bool take_date(const char **at, struct tm *tm)
{
	unsigned year, month, day;
	const char *p = *at;

	if (!take_digits(&p, 4, &year)) {
		if (!take_digits(&p, 2, &year))
			return false;
		year += year < 69 ? 2000 : 1900;
	}
	if (!take_char(&p, '-') || !take_digits(&p, 2, &month) || !take_char(&p, '-') ||
	    !take_digits(&p, 2, &day))
		return false;
	tm->tm_year = (int)year - 1900;
	tm->tm_mon = (int)month - 1;
	tm->tm_mday = (int)day;
	*at = p;
	return true;
}

/* 10:00, 10:00:00, 10:00:00.5 */
static bool take_time_of_day(const char **at, struct tm *tm, uint64_t *ret_fraction)
{
	unsigned hour, minute, second = 0;
	const char *p = *at;
	uint64_t fraction = 0;

	if (!take_digits(&p, 2, &hour) || !take_char(&p, ':') || !take_digits(&p, 2, &minute))
		return false;
	if (take_char(&p, ':') && (!take_digits(&p, 2, &second) || !take_fraction(&p, &fraction)))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	tm->tm_hour = (int)hour;
	tm->tm_min = (int)minute;
	tm->tm_sec = (int)second;
	*ret_fraction = fraction;
	*at = p;
	return true;
}

static int take_weekday(const char **at)
{
	static const char *const names[] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
		                             "Thursday", "Friday", "Saturday" };
	char brief[4] = "";

	for (int i = 0; i < 7; i++) {
		memcpy(brief, names[i], 3);
		if (take_word(at, names[i]) || take_word(at, brief)) {
			(void)take_char(at, ',');
			skip_blanks(at);
			return i;
		}
	}
	return -1;
}

/* Takes all before the time zone. */
static bool take_moment(const char **at, struct moment *ret)
{
	static const struct {
		const char *name;
		int days;
	} words[] = { { "today", 0 }, { "midnight", 0 }, { "yesterday", -1 }, { "tomorrow", 1 } };
	struct moment m = { .weekday = take_weekday(at) };
	const char *behind;

	for (size_t i = 0; i < sizeof words / sizeof words[0] && m.weekday < 0; i++)
		if (take_word(at, words[i].name)) {
			m.days = words[i].days;
			*ret = m;
			return true;
		}
	m.have_date = take_date(at, &m.tm);
	behind = *at;
	if (m.have_date && !take_char(at, 'T') && !take_char(at, 't'))
		skip_blanks(at);
	m.have_time = (!m.have_date || *at != behind) && take_time_of_day(at, &m.tm, &m.fraction);
	if (m.have_date && !m.have_time) /* a T, which is left, is no time zone */
		*at = behind;
	*ret = m;
	return m.have_date || (m.have_time && m.weekday < 0);
}

/* In the zone that has been entered. */
static const char *to_ns(struct moment *m, const struct zone *zone, uint64_t now_ns,
                         enum cli_twice twice, uint64_t *ret_ns)
{
	time_t now = (time_t)(now_ns / SECOND_NS) + (zone->kind == FIXED ? (time_t)zone->east : 0);
	struct tm today, check;
	bool leap_second;
	int64_t seconds;

	if (!m->have_date) {
		/* the clock's times are years that fit */
		(void)(zone->kind == FIXED ? gmtime_r(&now, &today) : localtime_r(&now, &today));
		m->tm.tm_year = today.tm_year;
		m->tm.tm_mon = today.tm_mon;
		m->tm.tm_mday = today.tm_mday + m->days;
		if (m->days != 0) { /* the next month's first, and the like */
			check = m->tm;
			(void)timegm(&check);
			m->tm.tm_year = check.tm_year;
			m->tm.tm_mon = check.tm_mon;
			m->tm.tm_mday = check.tm_mday;
		}
	} else if (!is_a_day(&m->tm)) {
		return "there is no such day";
	}
	if (m->weekday >= 0) {
		check = m->tm;
		check.tm_sec = 0;
		(void)timegm(&check);
		if (check.tm_wday != m->weekday)
			return "the day of the week is another one";
	}
	leap_second = m->tm.tm_sec == 60;
	if (leap_second)
		m->tm.tm_sec = 59;
	if (zone->kind == FIXED)
		seconds = (int64_t)timegm(&m->tm) - zone->east;
	else
		seconds =
			(int64_t)from_local(&m->tm, zone->kind == LOCAL ? zone->isdst : -1, twice);
	if (leap_second) {
		seconds++;
		m->fraction = 0;
	}
	if (seconds < 0 || seconds > LAST_SECOND ||
	    (seconds == LAST_SECOND && m->fraction > UINT64_MAX % SECOND_NS))
		return out_of_range;
	*ret_ns = (uint64_t)seconds * SECOND_NS + m->fraction;
	return NULL;
}

/* ---- all ---- */

static const char *parse_epoch(const char *at, uint64_t *ret_ns)
{
	uint64_t seconds = 0, fraction;
	const char *begin = at;

	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(seconds, 10U, &seconds) ||
		    __builtin_add_overflow(seconds, (uint64_t)(*at - '0'), &seconds))
			return out_of_range;
	if (at == begin || !take_fraction(&at, &fraction) || *at != '\0')
		return *begin == '-' ? out_of_range : not_a_time;
	if (__builtin_mul_overflow(seconds, SECOND_NS, &seconds) ||
	    __builtin_add_overflow(seconds, fraction, &seconds))
		return out_of_range;
	*ret_ns = seconds;
	return NULL;
}

const char *cli_time_examples(const char *fault)
{
	return fault == not_a_time ? " (as \"10 min ago\", 10:00, today, \"2026-11-30 10:00\")"
	                           : "";
}

const char *cli_parse_time(const char *text, uint64_t now_ns, enum cli_twice twice,
                           uint64_t *ret_ns)
{
	struct moment moment;
	const char *at = text, *fault;
	struct zone zone;
	char *before;

	skip_blanks(&at);
	if (*at == '@')
		return parse_epoch(at + 1, ret_ns);
	if (strcasecmp(at, "now") == 0) {
		*ret_ns = now_ns;
		return NULL;
	}
	if (parse_relative(at, now_ns, ret_ns))
		return NULL;
	if (!take_moment(&at, &moment) || !parse_zone(at, &zone))
		return not_a_time;
	before = enter_zone(&zone);
	fault = to_ns(&moment, &zone, now_ns, twice, ret_ns);
	leave_zone(&zone, before);
	return fault;
}
