/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_numbers.h - the numbers in options: counts, sizes, times
 *
 * Each chronfs_take_... takes the value behind the last '=' of an option, from min to max.  It returns
 * 0, or -1 after printing what is wrong with the value.
 */
#ifndef CHRONFS_OPTION_NUMBERS_H
#define CHRONFS_OPTION_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

int chronfs_take_count(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value);
/* With K, M or G; in bytes. */
int chronfs_take_size(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value);
/* With s, m, h or d, seconds when none is given; in milliseconds. */
int chronfs_take_span(const char *option, uint64_t min_ms, uint64_t *ret_ms);
/* A plain number of milliseconds. */
int chronfs_take_milliseconds(const char *option, uint32_t *ret_ms);

#endif
