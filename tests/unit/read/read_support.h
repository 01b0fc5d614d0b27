/* SPDX-License-Identifier: Apache-2.0 */
/* read_support.h - what the tests of readers share, in addition to support.h */
#ifndef CQ_TEST_READ_SUPPORT_H
#define CQ_TEST_READ_SUPPORT_H

#include "chronq.h"
#include "support.h"

/* A directory, and what read_teardown() closes if it is open. */
struct read_fixture {
	char dir[PATH_SIZE];
	cq_reader *reader;
	cq_writer *writer;
};

int read_setup(void **state);
int read_teardown(void **state);
#define READ_TEST(test) cmocka_unit_test_setup_teardown(test, read_setup, read_teardown)

/* The reader is one that has just been opened. */
void read_open(struct read_fixture *f, const char *name, enum cq_start start);

#endif
