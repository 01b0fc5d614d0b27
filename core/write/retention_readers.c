/* SPDX-License-Identifier: Apache-2.0 */
/* retention_readers.c - what retention knows of the named readers; see retention.h */
#include "write/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/place.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "write/writer.h"

/* A look takes some 8 us a reader.  From so many on there is a pause between two looks, of 200 us a
 * reader, so that small segments do not make it the flusher's main work. */
#define MANY 64
#define PAUSE_MS(count) ((count) / 5)

struct round {
	struct cq_retention *retention;
	const struct cq_retention_view *view;
	size_t next;
	int error;
};

static void update(struct cq_reader_seen *reader, const struct cq_reader_file *cursor,
                   const struct cq_retention_view *view)
{
	uint64_t segment = cursor->segment, offset = cursor->offset;

	/* What tells life is that something changed, timed by a clock that nobody sets. */
	if (reader->generation != cursor->generation ||
	    reader->heartbeat_ns != cursor->heartbeat_ns)
		reader->changed_ms = view->now_ms;
	reader->generation = cursor->generation;
	reader->heartbeat_ns = cursor->heartbeat_ns;
	/* one that has read a full segment to its end needs it no more */
	cq_place_level(&segment, &offset, view->segment_size);
	reader->segment = segment;
	reader->present = true;
}

static struct cq_reader_seen *add(struct cq_retention *t, const char *name)
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

static void see_reader(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct round *round = arg;
	struct cq_retention *t = round->retention;
	struct cq_reader_seen *reader = NULL;

	/* a directory is listed in the same order, mostly: the one behind the last found is the next */
	for (size_t i = 0; i < t->count && !reader; i++) {
		size_t at = (round->next + i) % t->count;

		if (strcmp(t->readers[at].name, name) == 0) {
			reader = &t->readers[at];
			round->next = at + 1;
		}
	}
	if (!reader)
		reader = add(t, name);
	if (reader)
		update(reader, cursor, round->view);
	else
		round->error = -ENOMEM;
}

/* An error means that a reader may be missing in the table. */
int cq_retention_look_at_readers(cq_writer *w, struct cq_retention_view *view)
{
	struct cq_retention *t = &w->retention;
	struct round round = { .retention = t, .view = view };
	size_t kept = 0;
	int r;

	if (t->count > 0 && cq_planted("remembered_readers")) {
		view->readers = t->readers;
		view->reader_count = t->count;
		return 0;
	}
	for (size_t i = 0; i < t->count; i++)
		t->readers[i].present = false;
	r = cq_reader_file_each(w->dirfd, see_reader, &round);
	if (r < 0)
		return r;
	if (round.error < 0)
		return round.error;
	for (size_t i = 0; i < t->count; i++)
		if (t->readers[i].present)
			t->readers[kept++] = t->readers[i];
	t->count = kept;
	t->readers_ms = view->now_ms;
	view->readers = t->readers;
	view->reader_count = t->count;
	return 0;
}

bool cq_retention_still_pinned(cq_writer *w, const struct cq_retention_view *view)
{
	struct cq_retention *t = &w->retention;

	for (size_t i = 0; i < t->count; i++) {
		struct cq_reader_seen *reader = &t->readers[i];
		struct cq_reader_file cursor;

		if (!cq_retention_pins_oldest(&w->config, view, reader))
			continue;
		if (cq_reader_file_look(w->dirfd, reader->name, &cursor) == 0)
			update(reader, &cursor, view);
		else
			reader->segment = UINT64_MAX; /* the look at all of them decides */
		if (cq_retention_pins_oldest(&w->config, view, reader))
			return true;
	}
	return false;
}

bool cq_retention_must_wait(cq_writer *w, const struct cq_retention_view *view)
{
	struct cq_retention *t = &w->retention;
	const uint64_t since = view->now_ms - t->readers_ms;

	if (t->count < MANY || atomic_load(&w->space.full) || since >= PAUSE_MS(t->count))
		return false;
	t->wait_ms = (int)(PAUSE_MS(t->count) - since);
	return true;
}
