/* SPDX-License-Identifier: Apache-2.0 */
/* verify_support.c - see verify_support.h */
#include "verify_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check/check.h"

int vs_setup(void **state)
{
	return support_setup(state, sizeof(struct vs));
}

int vs_teardown(void **state)
{
	struct vs *f = *state;

	support_remove(f->dir);
	free(f);
	return 0;
}

void vs_note(void *arg, const struct cq_finding *finding)
{
	struct vs *f = arg;
	void (*meanwhile)(struct vs * f) = f->meanwhile;

	f->last = *finding;
	snprintf(f->text, sizeof f->text, "%s", finding->text);
	if (f->show)
		print_message("# %s %u:%llu %s\n", finding->damage ? "damage" : "note",
		              finding->segment, (unsigned long long)finding->offset, finding->text);
	f->meanwhile = NULL;
	if (meanwhile)
		meanwhile(f);
}

uint64_t vs_verify(struct vs *f)
{
	cq_queue *queue;

	/* the segment size is found again each time */
	assert_int_equal(cq_queue_open(f->dir, &queue), 0);
	assert_int_equal(cq_verify_queue(queue, true, vs_note, f, &f->result), 0);
	cq_queue_close(queue);
	return f->result.damage * 10 + f->result.information;
}

uint64_t vs_verify_live(struct vs *f)
{
	f->result.size = sizeof f->result;
	assert_int_equal(cq_verify(f->dir, vs_note, f, &f->result), 0);
	return f->result.damage * 10 + f->result.information;
}

void vs_delete(struct vs *f, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

void vs_cut(struct vs *f, const char *name, off_t size)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(truncate(path, size), 0);
}

void vs_flip(struct vs *f, const char *name, uint64_t offset, uint8_t mask)
{
	uint8_t byte;

	support_peek(f->dir, name, offset, &byte, 1);
	byte ^= mask;
	support_poke(f->dir, name, offset, &byte, 1);
}
