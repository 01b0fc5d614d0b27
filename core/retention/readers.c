/* SPDX-License-Identifier: Apache-2.0 */
/* readers.c - what retention knows of the named readers; see readers.h */
#include "retention/readers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/place.h"
#include "messages/log.h"
#include "meta/reader_file.h"
#include "os/fault.h"

/* From so many readers on there is a pause between two readings, of 200 us a reader.  Otherwise the flusher
 * of a queue with small segments would do little else, and syncs would wait for it. */
#define MANY 64
#define PAUSE_MS(count) ((count) / 5)

struct reading {
	struct cq_reader_table *table;
	const struct cq_config *config;
	const struct cq_situation *situation;
	size_t next;
	int error;
};

static void update(struct cq_reader_seen *reader, const struct cq_reader_file *cursor,
                   const struct cq_situation *situation)
{
	uint64_t segment = cursor->segment, offset = cursor->offset;

	/* A change is the sign of life, timed by a clock that nobody sets. */
	if (reader->generation != cursor->generation ||
	    reader->heartbeat_ns != cursor->heartbeat_ns)
		reader->changed_ms = situation->now_ms;
	reader->generation = cursor->generation;
	reader->heartbeat_ns = cursor->heartbeat_ns;
	/* a reader at the end of a full segment no longer needs it */
	cq_place_level(&segment, &offset, situation->segment_size);
	reader->segment = segment;
	reader->present = true;
	reader->unreadable = false;
}

static struct cq_reader_seen *add(struct cq_reader_table *t, const char *name)
{
	struct cq_reader_seen *reader;

	if (t->count == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 8;
		struct cq_reader_seen *more = realloc(t->readers, capacity * sizeof *more);

		if (!more)
			return NULL;
		t->readers = more;
		t->capacity = capacity;
	}
	reader = &t->readers[t->count++];
	memset(reader, 0, sizeof *reader);
	strncpy(reader->name, name, CQ_READER_NAME_MAX);
	reader->generation = UINT64_MAX;
	return reader;
}

/* The reader of this name, which is added if it is new; NULL: no memory. */
static struct cq_reader_seen *find_or_add(struct reading *reading, const char *name)
{
	struct cq_reader_table *t = reading->table;
	struct cq_reader_seen *reader = NULL;

	/* a directory is mostly listed in the same order: the search begins behind the last one found */
	for (size_t i = 0; i < t->count && !reader; i++) {
		size_t at = (reading->next + i) % t->count;

		if (strcmp(t->readers[at].name, name) == 0) {
			reader = &t->readers[at];
			reading->next = at + 1;
		}
	}
	if (!reader)
		reader = add(t, name);
	if (!reader)
		reading->error = -ENOMEM;
	return reader;
}

static void see_reader(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct reading *reading = arg;
	struct cq_reader_seen *reader = find_or_add(reading, name);

	if (reader)
		update(reader, cursor, reading->situation);
}

static void see_unreadable(void *arg, const char *name, int error)
{
	struct reading *reading = arg;
	const struct cq_situation *situation = reading->situation;
	const uint64_t lag = reading->config->reader_max_lag_bytes / situation->segment_size;
	struct cq_reader_seen *reader = find_or_add(reading, name);

	if (!reader)
		return;
	if (!reader->unreadable)
		cq_log(reading->config, CQ_WARNING,
		       "retention: the position of reader %s cannot be read: %s; the segments that it "
		       "may have still to read are kept",
		       name, strerrordesc_np(-error));
	if (reader->changed_ms == 0) /* never read */
		reader->changed_ms = situation->now_ms;
	if (reader->segment == UINT64_MAX) /* its file held no position when it was read last */
		reader->segment = 0;
	/* it may be further: at the lowest place at which the limit lets it count */
	if (reading->config->reader_max_lag_bytes > 0 && reader->segment + lag < situation->current)
		reader->segment = situation->current - lag;
	reader->present = true;
	reader->unreadable = true;
}

int cq_reader_table_read(struct cq_reader_table *t, int dirfd, const struct cq_config *config,
                         struct cq_situation *situation)
{
	struct reading reading = { .table = t, .config = config, .situation = situation };
	size_t kept = 0;
	int r;

	if (t->count == 0 || !cq_planted("remembered_readers")) {
		for (size_t i = 0; i < t->count; i++)
			t->readers[i].present = false;
		r = cq_reader_file_each(dirfd, see_reader, see_unreadable, &reading);
		if (r == 0)
			r = reading.error;
		if (r < 0)
			return r;
		for (size_t i = 0; i < t->count; i++)
			if (t->readers[i].present)
				t->readers[kept++] = t->readers[i];
		t->count = kept;
		t->read_ms = situation->now_ms;
	}
	situation->readers = t->readers;
	situation->reader_count = t->count;
	return 0;
}

bool cq_reader_table_needs_oldest(struct cq_reader_table *t, int dirfd,
                                  const struct cq_config *config,
                                  const struct cq_situation *situation)
{
	for (size_t i = 0; i < t->count; i++) {
		struct cq_reader_seen *reader = &t->readers[i];
		struct cq_reader_file cursor;
		int r;

		if (!cq_rules_reader_needs_oldest(config, situation, reader))
			continue;
		r = cq_reader_file_read_named(dirfd, reader->name, &cursor);
		if (r == 0)
			update(reader, &cursor, situation);
		else if (!cq_reader_file_is_unreadable(r))
			reader->segment = UINT64_MAX; /* the reading of all files decides */
		if (cq_rules_reader_needs_oldest(config, situation, reader))
			return true;
	}
	return false;
}

int cq_reader_table_pause_ms(const struct cq_reader_table *t, uint64_t now_ms)
{
	const uint64_t since = now_ms - t->read_ms;

	return t->count >= MANY && since < PAUSE_MS(t->count) ? (int)(PAUSE_MS(t->count) - since)
	                                                      : 0;
}

void cq_reader_table_fini(struct cq_reader_table *t)
{
	free(t->readers);
}
