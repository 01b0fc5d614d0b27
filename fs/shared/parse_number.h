/* SPDX-License-Identifier: Apache-2.0 */
/* parse_number.h - reads a number from text */
#ifndef CHRONFS_PARSE_NUMBER_H
#define CHRONFS_PARSE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Parses decimal digits; *ret_rest is the text behind them.  False: no digits, or too large a
 * number. */
bool chronfs_parse_number(const char *text, uint64_t *ret_value, const char **ret_rest);

#endif
