/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - a regular expression, looked for in payloads
 *
 * Perl's syntax (PCRE2): a payload may hold any bytes, also zeros, which regexec(3) cannot search.  ^ and $
 * are at each line of a payload.  Characters are those of UTF-8; bytes that are no UTF-8 match nothing.
 */
#ifndef CHRONQ_PATTERN_H
#define CHRONQ_PATTERN_H

#include <stddef.h>

struct cli_pattern;

/* NULL, after a message: it is no regular expression. */
struct cli_pattern *cli_pattern_new(const char *text);
void cli_pattern_free(struct cli_pattern *pattern);

/* 1: found; 0: not found; -E2BIG: it would take too long to find out. */
int cli_pattern_find(const struct cli_pattern *pattern, const void *bytes, size_t length);

#endif
