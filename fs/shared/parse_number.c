/* SPDX-License-Identifier: Apache-2.0 */
/* parse_number.c - reads a number from text; see parse_number.h */
#include "shared/parse_number.h"

#include <stddef.h>

bool chronfs_parse_number(const char *text, uint64_t *ret_value, const char **ret_rest)
{
	uint64_t value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (p == text)
		return false;
	*ret_value = value;
	*ret_rest = p;
	return true;
}
