/* SPDX-License-Identifier: Apache-2.0 */
/* parse_number.h - numbers as text */
#ifndef CHRONFS_PARSE_NUMBER_H
#define CHRONFS_PARSE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only, then the rest in *ret_rest; false: none, or too large a number. */
bool chronfs_parse_number(const char *text, uint64_t *ret_value, const char **ret_rest);

#endif
