/* SPDX-License-Identifier: Apache-2.0 */
/* read_support.c - see read_support.h; whatever fails here fails the test */
#include "read_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

int read_setup(void **state)
{
	return support_setup(state, sizeof(struct read_fixture));
}

int read_teardown(void **state)
{
	struct read_fixture *f = *state;

	cq_reader_close(f->reader);
	(void)cq_writer_close(f->writer);
	support_remove(f->dir);
	free(f);
	return 0;
}

void read_open(struct read_fixture *f, const char *name, enum cq_start start)
{
	cq_reader_close(f->reader);
	f->reader = NULL;
	assert_int_equal(cq_reader_open(f->dir, name, start, 0, &f->reader), 0);
}
