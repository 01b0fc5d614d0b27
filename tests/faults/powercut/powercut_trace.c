/* SPDX-License-Identifier: Apache-2.0 */
/* powercut_trace.c - a run as the disk sees it; see powercut.h */
#include "powercut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/io_trace.h"
#include "write/writer.h"

/* One more element at the end of an array of `count`; the array doubles. */
static void *grow(void *array, size_t count, size_t size)
{
	if ((count & (count - 1)) == 0)
		array = realloc(array, (count ? count * 2 : 1) * size);
	assert_non_null(array);
	return array;
}

uint64_t pc_hash(const void *bytes, size_t length, uint64_t hash)
{
	const uint8_t *at = bytes;
	uint64_t word;

	for (; length >= sizeof word; length -= sizeof word, at += sizeof word) {
		memcpy(&word, at, sizeof word);
		hash = (hash ^ word) * 0x9E3779B97F4A7C15U;
		hash ^= hash >> 29;
	}
	for (; length > 0; length--, at++)
		hash = (hash ^ *at) * 0x100000001B3U;
	return hash;
}

/* ---- pages ---- */

static uint32_t version_of(struct pc_trace *t, const uint8_t *page)
{
	const uint64_t hash = pc_hash(page, PC_PAGE, 1);

	for (uint32_t i = 0; i < t->version_count; i++)
		if (t->hashes[i] == hash &&
		    memcmp(t->versions + (size_t)i * PC_PAGE, page, PC_PAGE) == 0)
			return i;
	t->versions = grow(t->versions, t->version_count, PC_PAGE);
	t->hashes = grow(t->hashes, t->version_count, sizeof *t->hashes);
	memcpy(t->versions + (size_t)t->version_count * PC_PAGE, page, PC_PAGE);
	t->hashes[t->version_count] = hash;
	return t->version_count++;
}

static struct pc_change *add_change(struct pc_trace *t, struct pc_file *f, enum pc_what what)
{
	f->changes = grow(f->changes, f->count, sizeof *f->changes);
	f->changes[f->count] = (struct pc_change){ .event = t->events, .what = what };
	return &f->changes[f->count++];
}

/* What has been stored in it since the last look. */
static void look_at(struct pc_trace *t, struct pc_file *f)
{
	uint8_t page[PC_PAGE];
	struct stat st;
	ssize_t n;

	assert_int_equal(fstat(f->fd, &st), 0);
	if ((uint64_t)st.st_size != f->size) {
		f->size = (uint64_t)st.st_size;
		add_change(t, f, PC_RESIZED)->size = f->size;
	}
	for (uint32_t i = 0; (uint64_t)i * PC_PAGE < f->size; i++) {
		if (i == f->page_count) {
			f->pages = grow(f->pages, f->page_count, sizeof *f->pages);
			f->pages[f->page_count++] = 0;
		}
		n = pread(f->fd, page, sizeof page, (off_t)i * PC_PAGE);
		assert_true(n >= 0);
		memset(page + n, 0, sizeof page - (size_t)n);
		if (memcmp(t->versions + (size_t)f->pages[i] * PC_PAGE, page, PC_PAGE) != 0) {
			struct pc_change *c = add_change(t, f, PC_PAGE_STORED);

			c->page = i;
			c->version = f->pages[i] = version_of(t, page);
		}
	}
}

static void look(struct pc_trace *t)
{
	t->events++;
	for (size_t i = 0; i < t->file_count; i++)
		look_at(t, &t->files[i]);
}

/* ---- names ---- */

static unsigned add_file(struct pc_trace *t, const char *name)
{
	struct stat st;
	int fd = openat(t->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	t->files = grow(t->files, t->file_count, sizeof *t->files);
	t->files[t->file_count] = (struct pc_file){ .fd = fd, .ino = st.st_ino };
	return (unsigned)t->file_count++;
}

static struct pc_file *file_of(struct pc_trace *t, int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < t->file_count; i++)
		if (t->files[i].ino == st.st_ino)
			return &t->files[i];
	return NULL;
}

static void add_name(struct pc_trace *t, enum pc_act act, const char *name, const char *to,
                     unsigned file)
{
	struct pc_name *n;

	t->names = grow(t->names, t->name_count, sizeof *t->names);
	n = &t->names[t->name_count++];
	*n = (struct pc_name){ .event = t->events, .act = act, .file = file };
	snprintf(n->name, sizeof n->name, "%s", name ? name : "");
	snprintf(n->to, sizeof n->to, "%s", to ? to : "");
}

static ino_t inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void open_directory(struct pc_trace *t)
{
	t->dirfd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->dirfd >= 0);
	t->dir_ino = inode(t->dirfd);
}

/* ---- events ---- */

static void observe(void *arg, const struct cq_event *e)
{
	struct pc_trace *t = arg;
	struct pc_file *f;

	/* names: only those in the queue's own directory; it has no others but readers/ */
	if (e->kind == CQ_EVENT_CREATE || e->kind == CQ_EVENT_RENAME || e->kind == CQ_EVENT_UNLINK)
		if (t->dirfd < 0 || inode(e->dirfd) != t->dir_ino)
			return;
	look(t);
	t->events++; /* a cut may come before it takes effect */
	switch (e->kind) {
	case CQ_EVENT_CREATE:
		add_name(t, PC_NAMED, e->name, NULL, add_file(t, e->name));
		break;
	case CQ_EVENT_RENAME:
		add_name(t, PC_RENAMED, e->name, e->to, 0);
		break;
	case CQ_EVENT_UNLINK:
		add_name(t, PC_REMOVED, e->name, NULL, 0);
		break;
	case CQ_EVENT_SYNC_DATA:
		f = file_of(t, e->fd);
		if (f)
			add_change(t, f, PC_SYNCED);
		break;
	case CQ_EVENT_SYNC_DIR:
		if (inode(e->fd) == t->base_ino && t->dirfd >= 0)
			t->made_durable = t->events;
		else if (t->dirfd >= 0 && inode(e->fd) == t->dir_ino)
			add_name(t, PC_NAMES_SYNCED, NULL, NULL, 0);
		break;
	case CQ_EVENT_MKDIR:
		if (strcmp(e->name, t->dir) == 0) {
			open_directory(t);
			t->made = t->events;
			t->made_durable = UINT32_MAX;
		}
		break;
	case CQ_EVENT_WRITE: /* the look has seen it */
		break;
	}
}

/* ---- records ---- */

static void add_record(struct pc_trace *t, struct pc_record record)
{
	t->records = grow(t->records, t->record_count, sizeof *t->records);
	t->records[t->record_count++] = record;
}

static struct pc_trace *watched;
static cq_writer *appending;     /* in an append that is under way, */
static uint64_t appended_before; /* it had appended so many records */

static void at_place(const char *place)
{
	const char *what = strchr(place, '.');

	look(watched);
	if (strcmp(place, "identity.settled") == 0 && watched->identified == 0 &&
	    cq_identity_read(watched->dirfd, &watched->identity) == 0)
		watched->identified = watched->events;
	/* only here it is sure which segment the records of a batch have come to */
	if (appending && what && strcmp(what, ".advanced") == 0)
		for (; appended_before < appending->records; appended_before++)
			add_record(watched,
			           (struct pc_record){ .segment = appending->current->id });
}

void pc_payload(uint8_t *payload, size_t length, uint64_t seed)
{
	uint64_t state = seed;

	for (size_t i = 0; i < length; i++)
		payload[i] = (uint8_t)pc_random(&state);
}

#define BATCH 16U
#define LONGEST 2048U

void pc_append(struct pc_trace *t, cq_writer *w, const size_t *lengths, size_t count, uint64_t seed)
{
	static uint8_t payloads[BATCH][LONGEST];
	struct cq_message messages[BATCH];
	const size_t before = t->record_count;
	struct cq_appended appended;

	assert_in_range(count, 1, BATCH);
	for (size_t i = 0; i < count; i++) {
		assert_in_range(lengths[i], 0, LONGEST);
		pc_payload(payloads[i], lengths[i], seed + before + i);
		messages[i] = (struct cq_message){ .payload = payloads[i],
			                           .length = lengths[i],
			                           .type = CQ_TYPE_DEFAULT };
	}
	appending = w;
	appended_before = w->records;
	if (count > 1)
		assert_int_equal(cq_writer_append_batch(w, messages, count, &appended), count);
	else
		assert_int_equal(
			cq_writer_append(w, CQ_TYPE_DEFAULT, payloads[0], lengths[0], &appended),
			0);
	appending = NULL;
	assert_int_equal(t->record_count, before + count);
	for (size_t i = 0; i < count; i++) {
		struct pc_record *r = &t->records[before + i];

		r->seq = appended.seq + i;
		r->length = lengths[i];
		r->hash = pc_hash(payloads[i], lengths[i], 1);
	}
}

void pc_promised(struct pc_trace *t)
{
	t->marks = grow(t->marks, t->mark_count, sizeof *t->marks);
	t->marks[t->mark_count++] =
		(struct pc_mark){ .event = ++t->events, .records = t->record_count };
}

void pc_adopt(struct pc_trace *t)
{
	struct pc_record *records = NULL;
	ssize_t count = pc_read(t->dir, &records);

	assert_true(count >= 0);
	for (ssize_t i = 0; i < count; i++)
		add_record(t, records[i]);
	free(records);
	t->marks = grow(t->marks, t->mark_count, sizeof *t->marks);
	t->marks[t->mark_count++] = (struct pc_mark){ .records = t->record_count };
}

void pc_sync(struct pc_trace *t, cq_writer *w)
{
	assert_int_equal(cq_writer_sync(w), 0);
	pc_promised(t);
}

/* ---- beginning and end ---- */

static void add_what_is_there(struct pc_trace *t)
{
	struct dirent *entry;
	DIR *stream = opendir(t->dir);

	assert_non_null(stream);
	while ((entry = readdir(stream)))
		if (entry->d_type == DT_REG)
			add_name(t, PC_NAMED, entry->d_name, NULL, add_file(t, entry->d_name));
	closedir(stream);
	for (size_t i = 0; i < t->file_count; i++) {
		look_at(t, &t->files[i]);
		add_change(t, &t->files[i], PC_SYNCED);
	}
	add_name(t, PC_NAMES_SYNCED, NULL, NULL, 0);
}

void pc_begin(struct pc_trace *t, const char *base)
{
	static const uint8_t zero[PC_PAGE];
	struct stat st;

	*t = (struct pc_trace){ .dirfd = -1 };
	snprintf(t->base, sizeof t->base, "%s", base);
	support_path(t->dir, base, PC_DIR);
	assert_int_equal(stat(base, &st), 0);
	t->base_ino = st.st_ino;
	(void)version_of(t, zero);
	if (stat(t->dir, &st) == 0) {
		open_directory(t);
		add_what_is_there(t);
	}
	watched = t;
	cq_io_trace_set(observe, t);
	cq_point_heard = at_place;
}

void pc_end(struct pc_trace *t)
{
	cq_io_trace_set(NULL, NULL);
	cq_point_heard = NULL;
	look(t);
	t->events++;
}

void pc_free(struct pc_trace *t)
{
	for (size_t i = 0; i < t->file_count; i++) {
		close(t->files[i].fd);
		free(t->files[i].pages);
		free(t->files[i].changes);
	}
	if (t->dirfd >= 0)
		close(t->dirfd);
	free(t->files);
	free(t->names);
	free(t->versions);
	free(t->hashes);
	free(t->records);
	free(t->marks);
	*t = (struct pc_trace){ .dirfd = -1 };
}
