/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - see pattern.h */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "read/pattern.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"

struct cli_pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

#define HEAP_KIB (256U << 10) /* a common pattern takes some 100 bytes for each of the payload */

struct cli_pattern *cli_pattern_new(const char *text)
{
	struct cli_pattern *p = calloc(1, sizeof *p);
	PCRE2_UCHAR why[256] = "";
	PCRE2_SIZE at = 0;
	int error = 0;

	if (!p) { /* GCOV_EXCL_BR_LINE: no memory */
		cli_fail("--grep", -ENOMEM);
		return NULL;
	}
	p->code = pcre2_compile((PCRE2_SPTR)text, strlen(text),
	                        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE, &error, &at,
	                        NULL);
	if (!p->code) {
		(void)pcre2_get_error_message(error, why, sizeof why);
		cli_note("not a regular expression: %s: at character %zu: %s", text, (size_t)at,
		         (const char *)why);
		free(p);
		return NULL;
	}
	p->match = pcre2_match_data_create(1, NULL);
	p->limits = pcre2_match_context_create(NULL);
	if (!p->match || !p->limits) { /* GCOV_EXCL_BR_LINE: no memory */
		cli_fail("--grep", -ENOMEM);
		cli_pattern_free(p);
		return NULL;
	}
	(void)pcre2_set_heap_limit(p->limits, HEAP_KIB);
	/* where it cannot be compiled to machine code it is interpreted */
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	return p;
}

void cli_pattern_free(struct cli_pattern *p)
{
	if (!p)
		return;
	pcre2_match_data_free(p->match);
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
	free(p);
}

int cli_pattern_find(const struct cli_pattern *p, const void *bytes, size_t length)
{
	const PCRE2_SPTR subject = length > 0 ? bytes : (const void *)"";
	int r = pcre2_match(p->code, subject, length, 0, 0, p->match, p->limits);

	/* Machine code has a stack of 32 KiB, too little for "(?:[^"\\]|\\.)*" and a payload of some KB.  The
	 * interpreter takes what it needs from the heap. */
	if (r == PCRE2_ERROR_JIT_STACKLIMIT)
		r = pcre2_match(p->code, subject, length, 0, PCRE2_NO_JIT, p->match, p->limits);
	if (r >= 0)
		return 1;
	return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}
