/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_queues.c - the queues that runs begin with; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned records; /* that have to be there, always */
	unsigned written; /* numbers that were used */
} queues[MX_QUEUES] = {
	[MX_NO_DIRECTORY] = { NULL, 0, 0 },     [MX_EMPTY] = { NULL, 0, 0 },
	[MX_CLOSED] = { "closed", 70, 70 },     [MX_TORN] = { "torn", 40, 40 },
	[MX_SEVERAL] = { "several", 100, 100 }, [MX_DAMAGED] = { "damaged", 65, 70 },
};

static void keep(struct qs *q, enum mx_queue queue)
{
	char path[PATH_SIZE];

	support_path(path, q->base, queues[queue].name);
	assert_int_equal(mkdir(path, 0750), 0);
	support_copy(q->dir, path);
}

/* The offset of record `number`. */
static struct qs_record place(const char *dir, unsigned number)
{
	struct qs_record *records, found;

	assert_true(qs_records(dir, &records) > number);
	found = records[number];
	free(records);
	return found;
}

static void commit_reader(const char *dir)
{
	struct cq_record record;
	cq_reader *reader;

	assert_int_equal(cq_reader_open(dir, MX_READER, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < MX_COMMITTED; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
}

void mx_make_queues(struct qs *q)
{
	struct qs_record at;
	char name[16];
	uint64_t residue[16];

	qs_open(q);
	for (unsigned i = 0; i < queues[MX_CLOSED].records; i++) {
		qs_append(q->writer, i, 1);
		qs_prepare(q->writer);
	}
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	qs_close(q);
	commit_reader(q->dir);
	keep(q, MX_CLOSED);

	at = place(q->dir, 65);
	snprintf(name, sizeof name, "%09u.q", at.segment);
	support_poke(q->dir, name, at.offset + 64, "R", 1);
	keep(q, MX_DAMAGED);

	qs_anew(q);
	qs_killed_writer(q, 0, queues[MX_TORN].records);
	at = place(q->dir, queues[MX_TORN].records - 1);
	snprintf(name, sizeof name, "%09u.q", at.segment);
	memset(residue, 0x5A, sizeof residue);
	support_poke(q->dir, name, at.offset + 128, residue, sizeof residue);
	qs_other_boot(q->dir); /* a power cut has torn it */
	keep(q, MX_TORN);

	qs_anew(q);
	qs_killed_writer(q, 0, queues[MX_SEVERAL].records);
	qs_unseal(q->dir, 1);
	qs_unseal(q->dir, 2);
	keep(q, MX_SEVERAL);
}

void mx_begin(struct mx *m, enum mx_queue queue)
{
	struct qs *q = m->q;
	const cq_log_fn log = q->config.log;
	char path[PATH_SIZE];

	*m = (struct mx){ .q = q, .damaged = queue == MX_DAMAGED };
	if (support_exists(q->base, "q"))
		support_remove(q->dir);
	if (queue != MX_NO_DIRECTORY)
		assert_int_equal(mkdir(q->dir, 0750), 0);
	if (queues[queue].name) {
		support_path(path, q->base, queues[queue].name);
		support_copy(path, q->dir);
	}
	for (; m->count < queues[queue].records; m->count++)
		m->acked[m->count] = m->count;
	m->next = queues[queue].written;
	q->log_length = 0;
	cq_config_init(&q->config);
	q->config.segment_size = QS_SIZE;
	q->config.prealloc_wait_ms = 0;
	q->config.log = log;
	q->config.log_arg = q;
}
