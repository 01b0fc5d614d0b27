/* SPDX-License-Identifier: Apache-2.0 */
/* verify_support.h - a queue and what verification finds in it, beside support.h */
#ifndef CQ_TEST_VERIFY_SUPPORT_H
#define CQ_TEST_VERIFY_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq.h"
#include "support.h"

struct vs {
	char dir[PATH_SIZE];
	struct cq_verify_result result;
	struct cq_finding last; /* its text is in `text` */
	char text[400];
	bool show;
	void (*meanwhile)(struct vs *f); /* runs at the first finding, in the middle of the walk */
};

int vs_setup(void **state);
int vs_teardown(void **state);

/* Remembers a finding; for a verification of a test's own, with the fixture as its argument. */
void vs_note(void *arg, const struct cq_finding *finding);
/* Returns ten times the number of damages, plus the number of notes. */
uint64_t vs_verify(struct vs *f);
/* The same, as everybody calls it, when there may be a writer. */
uint64_t vs_verify_live(struct vs *f);

void vs_delete(struct vs *f, const char *name);
void vs_cut(struct vs *f, const char *name, off_t size);
void vs_flip(struct vs *f, const char *name, uint64_t offset, uint8_t mask);

#endif
