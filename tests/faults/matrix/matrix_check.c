/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_check.c - what has to be true after a call has failed; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "files/dir.h"

/* ---- appending ---- */

/* `done` records of an attempt were acknowledged, the writer having been at `before`; the rest is to
 * be absent for ever.  An error for a record that is there is right in one case only: it was to be
 * durable, and that went wrong. */
static void acknowledge(struct mx *m, struct cq_stats before, unsigned done, unsigned tried)
{
	const struct cq_stats now = qs_stats(m->q->writer);
	unsigned there = (unsigned)(now.next_seq - before.next_seq);

	if (m->q->config.sync == CQ_SYNC_ALWAYS && now.error == -EIO)
		assert_true(there >= done && there <= tried);
	else
		assert_int_equal(there, done);
	assert_true(m->count + there <= MX_MOST);
	for (unsigned i = 0; i < there; i++)
		m->acked[m->count++] = m->next + i;
	m->next += tried;
}

int mx_append(struct mx *m)
{
	const struct cq_stats before = qs_stats(m->q->writer);
	char text[32];
	int n = snprintf(text, sizeof text, "record %u", m->next), r;

	r = cq_writer_append(m->q->writer, CQ_TYPE_DEFAULT, text, (size_t)n, NULL);
	acknowledge(m, before, r == 0, 1);
	return r;
}

#define BATCH 100

int mx_append_batch(struct mx *m, unsigned count)
{
	const struct cq_stats before = qs_stats(m->q->writer);
	struct cq_message messages[BATCH];
	char texts[BATCH][32];
	ssize_t r;

	assert_true(count <= BATCH);
	for (unsigned i = 0; i < count; i++) {
		int n = snprintf(texts[i], sizeof texts[i], "record %u", m->next + i);

		messages[i] = (struct cq_message){ texts[i], (size_t)n, CQ_TYPE_DEFAULT };
	}
	r = cq_writer_append_batch(m->q->writer, messages, count, NULL);
	acknowledge(m, before, r > 0 ? (unsigned)r : 0, count);
	return r < 0 ? (int)r : 0;
}

void mx_fill(struct mx *m)
{
	const uint32_t segment = qs_stats(m->q->writer).segment;

	while (qs_stats(m->q->writer).segment == segment)
		assert_int_equal(mx_append(m), 0);
}

/* ---- what is held ---- */

struct mx_held mx_held(const struct mx *m)
{
	struct mx_held held = { 0 };
	char line[PATH_SIZE + 128];
	DIR *fds = opendir("/proc/self/fd");
	FILE *maps = fopen("/proc/self/maps", "re");

	assert_non_null(fds);
	assert_non_null(maps);
	while (readdir(fds))
		held.descriptors++;
	while (fgets(line, sizeof line, maps))
		held.mappings += strstr(line, m->q->dir) != NULL;
	closedir(fds);
	fclose(maps);
	return held;
}

static void expect_held(const struct mx *m, struct mx_held expected)
{
	const struct mx_held held = mx_held(m);

	assert_int_equal(held.descriptors, expected.descriptors);
	assert_int_equal(held.mappings, expected.mappings);
}

/* ---- what is there ---- */

/* The oldest records may have been deleted; of all others each is there, once, in order. */
static void expect_records(const struct mx *m)
{
	struct qs_record *records;
	size_t there = qs_records(m->q->dir, &records);
	unsigned gone;
	char text[32];

	assert_true(there <= m->count);
	gone = m->count - (unsigned)there;
	assert_true(gone <= m->deletable);
	for (unsigned i = gone; i < m->count; i++) {
		snprintf(text, sizeof text, "record %u", m->acked[i]);
		assert_string_equal(records[i - gone].text, text);
		assert_int_equal(records[i - gone].seq, i);
	}
	free(records);
}

static bool known_name(const char *name)
{
	static const char *const names[] = { ".",           "..",           "readers",
		                             "writer.lock", "control.meta", "index.meta",
		                             "durable.meta", "identity.meta" };
	static const char *const suffixes[] = { ".q", ".idx", ".q.broken" };
	uint32_t id;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
		if (cq_numbered_name_parse(name, suffixes[i], &id))
			return true;
	return false;
}

/* No temp file, nothing set aside that was sound. */
static void expect_names(const struct mx *m)
{
	const struct dirent *entry;
	DIR *dir = opendir(m->q->dir);

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (known_name(entry->d_name))
			continue;
		fprintf(stderr, "%s should not be there\n", entry->d_name);
		fail();
	}
	closedir(dir);
}

static void tell(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	if (finding->damage)
		fprintf(stderr, "segment %u offset %llu: %s\n", finding->segment,
		        (unsigned long long)finding->offset, finding->text);
}

static void expect_sound(const struct mx *m)
{
	struct cq_verify_result result = CQ_SIZED(result);
	cq_queue *queue;

	assert_int_equal(cq_queue_open(m->q->dir, &queue), 0);
	assert_int_equal(cq_verify_queue(queue, true, tell, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
	cq_queue_close(queue);
}

/* ---- going on ---- */

static bool is_sync(const char *call)
{
	return call && (strcmp(call, "sync_data") == 0 || strcmp(call, "write_out") == 0 ||
	                strcmp(call, "sync_dir") == 0);
}

/* The same writer continues as if nothing had failed.  After a failed sync it refuses everything. */
static void go_on(struct mx *m, bool failed_sync)
{
	cq_writer *w = m->q->writer;
	struct cq_stats stats = qs_stats(w);
	uint64_t fallbacks;

	if (failed_sync) {
		assert_int_equal(stats.error, -EIO);
		assert_int_equal(mx_append(m), -EIO);
		assert_int_equal(cq_writer_sync(w), -EIO);
		assert_int_equal(cq_writer_sync(w), -EIO);
		qs_prepare(w);
		qs_flush(w);
		m->q->writer = NULL;
		assert_int_equal(cq_writer_close(w), -EIO);
		return;
	}
	assert_int_equal(mx_append(m), 0);
	fallbacks = qs_stats(w).rolls_fallback;
	qs_prepare(w);
	mx_fill(m);
	/* what could not be prepared before is prepared now */
	assert_int_equal(qs_stats(w).rolls_fallback, fallbacks);
	qs_flush(w);
	assert_int_equal(cq_writer_sync(w), 0);
	stats = qs_stats(w);
	assert_int_equal(stats.durable_seq, stats.next_seq);
	qs_close(m->q);
}

/* It opens, takes records, and all is there. */
static void open_again(struct mx *m)
{
	if (m->damaged && !m->q->config.accept_loss) {
		assert_int_equal(qs_try_open(m->q), -EBADMSG);
		m->q->config.accept_loss = true;
	}
	m->q->config.sync = CQ_SYNC_NONE;
	m->q->config.retain_segments = 0;
	qs_open(m->q);
	expect_names(m);
	expect_records(m);
	assert_int_equal(mx_append(m), 0);
	qs_prepare(m->q->writer);
	mx_fill(m);
	assert_int_equal(mx_append(m), 0);
	assert_int_equal(cq_writer_sync(m->q->writer), 0);
	qs_flush(m->q->writer);
	qs_close(m->q);
}

void mx_check(struct mx *m, const struct mx_op *op, struct mx_held before, int result)
{
	/* whether the flusher came to sync what had just been sealed, its age decided */
	bool failed_sync = is_sync(m->call) && m->failed;

	if (op->flags & MX_LOSES)
		assert_true(result < 0);
	if ((op->flags & MX_SYNCS) && failed_sync)
		assert_int_equal(result, -EIO);
	/* what is made under a temp name goes again where that fails, and not only when the queue is
	 * opened the next time */
	if (m->q->writer && !m->untidy && (!m->call || strcmp(m->call, "unlink") != 0))
		assert_int_equal(qs_count_names(m->q->dir, ".tmp"), 0);
	if (op->after)
		op->after(m);
	if (m->q->writer) {
		/* where the size of what was synced, or what writer.lock is, cannot be asked, it is no
		 * better than a failure */
		failed_sync |= strncmp(m->call ? m->call : "", "stat", 4) == 0 &&
		               qs_stats(m->q->writer).error < 0;
		go_on(m, failed_sync);
	}
	expect_held(m, before);
	open_again(m);
	expect_names(m);
	expect_records(m);
	expect_sound(m);
	expect_held(m, before);
}
