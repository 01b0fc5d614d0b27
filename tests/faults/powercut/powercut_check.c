/* SPDX-License-Identifier: Apache-2.0 */
/* powercut_check.c - the promise, held against one disk; see powercut.h */
#include "powercut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "queue_support.h"
#include "write/writer.h"

static char wrong[4096]; /* what is, and what the library said */

__attribute__((format(printf, 1, 2))) static const char *say(const char *format, ...)
{
	const size_t length = strlen(wrong);
	va_list args;

	va_start(args, format);
	vsnprintf(wrong + length, sizeof wrong - length, format, args);
	va_end(args);
	return wrong;
}

static void collect(void *arg, enum cq_level level, const char *message)
{
	(void)arg;
	if (level != CQ_NOTICE)
		(void)say("[%s] ", message);
}

/* ---- looking ---- */

ssize_t pc_read(const char *dir, struct pc_record **ret_records)
{
	struct pc_record *records = NULL;
	struct cq_record record;
	cq_reader *reader;
	size_t count = 0;
	int r;

	r = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if (r < 0)
		return r;
	while ((r = cq_reader_next(reader, &record)) > 0 || r == -ENODATA) {
		if (r == -ENODATA)
			continue;
		if (count % 256 == 0) {
			records = realloc(records, (count + 256) * sizeof *records);
			assert_non_null(records);
		}
		records[count++] = (struct pc_record){
			.seq = record.seq,
			.length = record.length,
			.hash = pc_hash(record.payload, record.length, 1),
			.segment = record.segment,
		};
	}
	cq_reader_close(reader);
	if (r < 0) {
		free(records);
		return r;
	}
	*ret_records = records;
	return (ssize_t)count;
}

static bool same(const struct pc_record *a, const struct pc_record *b)
{
	return a->seq == b->seq && a->length == b->length && a->hash == b->hash;
}

/* All files but those that tell of the run: name, size, bytes. */
static uint64_t hash_of_files(const char *dir)
{
	struct dirent *entry;
	DIR *stream = opendir(dir);
	uint64_t sum = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream))) {
		const char *name = entry->d_name;
		char path[PATH_SIZE];
		size_t size;
		char *bytes;

		if (entry->d_type != DT_REG || strcmp(name, CQ_LOCK_NAME) == 0 ||
		    strcmp(name, CQ_CONTROL_NAME) == 0 || strcmp(name, CQ_DURABLE_NAME) == 0)
			continue;
		support_path(path, dir, name);
		bytes = support_slurp(path, &size);
		sum += pc_hash(bytes, size, pc_hash(name, strlen(name), size));
		free(bytes);
	}
	closedir(stream);
	return sum;
}

static void found(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	if (finding->damage)
		(void)say("[%u@%llu: %s] ", finding->segment, (unsigned long long)finding->offset,
		          finding->text);
}

static bool sound(const char *dir)
{
	struct cq_verify_result result = CQ_SIZED(result);

	return cq_verify(dir, found, NULL, &result) == 0 && result.damage == 0;
}

/* ---- the promise ---- */

/* Its segment's deletion has begun before the cut: it may be there and may be gone. */
static bool may_be_gone(const struct pc_trace *t, unsigned event, const struct pc_record *record)
{
	uint32_t id;

	for (size_t i = 0; i < t->name_count && t->names[i].event <= event; i++)
		if (t->names[i].act == PC_REMOVED && cq_segment_name_parse(t->names[i].name, &id) &&
		    id == record->segment)
			return true;
	return false;
}

static size_t promised(const struct pc_trace *t, unsigned event)
{
	size_t records = 0;

	for (size_t i = 0; i < t->mark_count && t->marks[i].event <= event; i++)
		records = t->marks[i].records;
	return records;
}

/* Survivors are a prefix of what was appended, but for what has been deleted, and hold what was
 * promised. */
static const char *hold_against(const struct pc_trace *t, unsigned event,
                                const struct pc_record *survivors, size_t count)
{
	const size_t least = promised(t, event);
	size_t at = 0;

	for (size_t i = 0; i < count; i++, at++) {
		while (at < t->record_count && !same(&survivors[i], &t->records[at]) &&
		       may_be_gone(t, event, &t->records[at]))
			at++;
		if (at == t->record_count || !same(&survivors[i], &t->records[at]))
			return say(
				"survivor %zu (record %llu) is not the next of those appended (%zu)",
				i, (unsigned long long)survivors[i].seq, at);
	}
	while (at < least && may_be_gone(t, event, &t->records[at]))
		at++;
	if (at < least)
		return say("%zu records survive, %zu were promised", at, least);
	return NULL;
}

static void configure(const struct pc_trace *t, struct cq_config *config)
{
	cq_config_init(config);
	config->prealloc_wait_ms = 0;
	config->log = collect;
	/* the file that a queue of another size than the default would be known by may be lost */
	config->segment_size = t->segment_size;
	if (t->skip_seq > 0)
		memset(config->replica_of, 7, sizeof config->replica_of);
}

static int open_writer(const struct pc_trace *t, const char *dir, cq_writer **ret_writer)
{
	struct cq_config config;

	configure(t, &config);
	return cq_writer_open_with(dir, &config, false, ret_writer);
}

#define MORE 3U /* records that are appended afterwards: more than a segment of 4096 bytes holds */

static const char *append_more(cq_writer *w, const struct pc_record *survivors, size_t count,
                               struct pc_record more[MORE])
{
	static uint8_t payload[1500];
	struct cq_appended in;
	int r;

	for (unsigned i = 0; i < MORE; i++) {
		more[i].length = sizeof payload - i;
		pc_payload(payload, more[i].length, 77 + i);
		more[i].hash = pc_hash(payload, more[i].length, 1);
		r = cq_writer_append(w, CQ_TYPE_DEFAULT, payload, more[i].length, &in);
		if (r < 0)
			return say("append: %s", strerror(-r));
		more[i].seq = in.seq;
		if (more[i].seq != more[0].seq + i)
			return say("numbers have a gap");
	}
	for (size_t i = 0; i < count; i++)
		if (survivors[i].seq >= more[0].seq)
			return say("record %llu stands before the new one %llu",
			           (unsigned long long)survivors[i].seq,
			           (unsigned long long)more[0].seq);
	r = cq_writer_sync(w);
	return r < 0 ? say("sync: %s", strerror(-r)) : NULL;
}

/* These are there, and nothing else. */
static const char *expect(const char *dir, const struct pc_record *survivors, size_t count,
                          const struct pc_record more[MORE])
{
	struct pc_record *now;
	ssize_t n = pc_read(dir, &now);
	bool equal = n == (ssize_t)(count + MORE);

	if (n < 0)
		return say("reading again: %s", strerror((int)-n));
	for (size_t i = 0; equal && i < count + MORE; i++)
		equal = same(&now[i], i < count ? &survivors[i] : &more[i - count]);
	free(now);
	return equal ? NULL : say("%zd records instead of the %zu there were", n, count + MORE);
}

/* Somebody may have been given the queue's identity before the cut, and it has another one. */
static bool identity_lost(const struct pc_trace *t, unsigned event, const char *dir)
{
	const int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cq_identity now;
	int r;

	assert_true(dirfd >= 0);
	r = cq_identity_read(dirfd, &now);
	close(dirfd);
	assert_int_equal(r, 0);
	return t->identified > 0 && event >= t->identified &&
	       memcmp(now.id, t->identity.id, sizeof now.id) != 0;
}

static const char *go_on(const struct pc_trace *t, unsigned event, const char *dir, cq_writer *w,
                         const struct pc_record *survivors, size_t count, uint64_t least_seq)
{
	struct pc_record more[MORE] = { 0 };
	const char *r = append_more(w, survivors, count, more);
	uint64_t before;
	int closed;

	if (!r && identity_lost(t, event, dir))
		r = say("it has another identity");
	if (!r && more[0].seq < least_seq)
		r = say("it does not begin where it was to begin");

	(void)cq_writer_prepare_step(w); /* or the next open would */
	closed = cq_writer_close(w);
	if (r)
		return r;
	if (closed < 0)
		return say("close: %s", strerror(-closed));
	r = expect(dir, survivors, count, more);
	if (r)
		return r;
	if (!sound(dir))
		return say("verify finds damage");
	before = hash_of_files(dir);
	closed = open_writer(t, dir, &w);
	if (closed < 0)
		return say("second open: %s", strerror(-closed));
	closed = cq_writer_close(w);
	if (closed < 0)
		return say("second close: %s", strerror(-closed));
	if (hash_of_files(dir) != before)
		return say("a second recovery has changed files");
	return expect(dir, survivors, count, more);
}

/* There is the whole gap, or none, where it is not promised yet. */
static const char *gap_is_whole(const struct pc_trace *t, unsigned event, cq_writer *w)
{
	const struct cq_stats stats = qs_stats(w);
	const bool seq = stats.next_seq >= t->skip_seq, stream = stats.stream_end >= t->skip_stream;

	if (seq == stream && (seq || event < t->skipped))
		return NULL;
	return say("it goes on with record %llu at position %llu",
	           (unsigned long long)stats.next_seq, (unsigned long long)stats.stream_end);
}

const char *pc_check(const struct pc_trace *t, unsigned event, const char *base)
{
	struct pc_record *survivors = NULL;
	const char *result;
	char dir[PATH_SIZE];
	uint64_t least;
	cq_writer *w;
	ssize_t count;
	int r;

	wrong[0] = '\0';
	support_path(dir, base, PC_DIR);
	least = event >= t->begun || (support_exists(base, PC_DIR) && qs_count_names(dir, ".q") > 0)
	                ? t->begin_seq
	                : 0;
	r = open_writer(t, dir, &w);
	if (r < 0)
		return say("open: %s", strerror(-r));
	count = pc_read(dir, &survivors);
	if (count < 0)
		result = say("reading: %s", strerror((int)-count));
	else
		result = hold_against(t, event, survivors, (size_t)count);
	if (!result)
		result = gap_is_whole(t, event, w);
	if (result)
		(void)cq_writer_close(w);
	else
		result = go_on(t, event, dir, w, survivors, (size_t)count, least);
	free(survivors);
	return result;
}

const char *pc_record_recovery(const struct pc_trace *t, unsigned event, const char *base,
                               struct pc_trace *ret_recovery)
{
	static const size_t lengths[] = { 100, 1500, 1400, 200 };
	const char *result;
	cq_writer *w;
	int r;

	wrong[0] = '\0';
	pc_begin(ret_recovery, base);
	ret_recovery->segment_size = t->segment_size;
	ret_recovery->skip_seq = t->skip_seq;
	ret_recovery->skip_stream = t->skip_stream;
	ret_recovery->skipped = event >= t->skipped ? 0 : UINT_MAX;
	r = open_writer(t, ret_recovery->dir, &w);
	if (r < 0) {
		result = say("open: %s", strerror(-r));
		goto out;
	}
	/* what a recovery has saved, no cut in it may lose */
	pc_adopt(ret_recovery);
	result = hold_against(t, event, ret_recovery->records, ret_recovery->record_count);
	if (!result) {
		for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
			pc_append(ret_recovery, w, &lengths[i], 1, 99);
		pc_sync(ret_recovery, w);
	}
	(void)cq_writer_close(w);
out:
	pc_end(ret_recovery);
	return result;
}
