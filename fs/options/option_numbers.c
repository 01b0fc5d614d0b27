/* SPDX-License-Identifier: Apache-2.0 */
/* option_numbers.c - the numbers in options; see option_numbers.h */
#include "options/option_numbers.h"

#include <stddef.h>
#include <string.h>

#include "chronfs.h"
#include "shared/log.h"
#include "shared/parse_number.h"

struct unit {
	char letter; /* 0: none was given */
	uint64_t factor;
};

static const struct unit no_unit[] = { { 0, 1 } };
static const struct unit size_units[] = {
	{ 0, 1 }, { 'K', 1ULL << 10 }, { 'M', 1ULL << 20 }, { 'G', 1ULL << 30 }
};
static const struct unit span_units[] = {
	{ 0, 1000 }, { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Takes the value behind the last '=' of an option.  Returns 0, or -1 after printing what is wrong. */
static int take_number(const char *option, const struct unit *units, size_t unit_count,
                       uint64_t min, uint64_t max, const char *form, const char *unit,
                       uint64_t *ret_value)
{
	const char *text = strrchr(option, '=') + 1, *rest;
	uint64_t value;

	if (!chronfs_parse_number(text, &value, &rest))
		goto bad;
	for (size_t i = 0; i < unit_count; i++) {
		if (rest[0] != units[i].letter || (rest[0] && rest[1]))
			continue;
		if (value > max / units[i].factor || value * units[i].factor < min)
			goto bad;
		*ret_value = value * units[i].factor;
		return 0;
	}
bad:
	chronfs_print_error("-o %s: %s expected, from %llu to %llu%s", option, form,
	                    (unsigned long long)min, (unsigned long long)max, unit);
	return -1;
}

int chronfs_take_count(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	return take_number(option, no_unit, COUNT(no_unit), min, max, "a number", "", ret_value);
}

int chronfs_take_size(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	return take_number(option, size_units, COUNT(size_units), min, max,
	                   "a size (N bytes, NK, NM or NG)", " bytes", ret_value);
}

int chronfs_take_span(const char *option, uint64_t min_ms, uint64_t *ret_ms)
{
	return take_number(option, span_units, COUNT(span_units), min_ms, INT64_MAX / 1000000,
	                   "a time (N or Ns: seconds; Nm, Nh or Nd)", " milliseconds", ret_ms);
}

int chronfs_take_milliseconds(const char *option, uint32_t *ret_ms)
{
	uint64_t ms;

	if (chronfs_take_count(option, 0, UINT32_MAX, &ms) < 0)
		return -1;
	*ret_ms = (uint32_t)ms;
	return 0;
}
