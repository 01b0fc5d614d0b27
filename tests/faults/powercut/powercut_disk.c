/* SPDX-License-Identifier: Apache-2.0 */
/* powercut_disk.c - a disk as a power cut may leave it; see powercut.h */
#include "powercut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"

/* splitmix64 */
uint64_t pc_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15U;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
	z = (z ^ z >> 27) * 0x94D049BB133111EBU;
	return z ^ z >> 31;
}

bool pc_chance(uint64_t *random, unsigned percent)
{
	return pc_random(random) % 100 < percent;
}

static int by_name(const void *a, const void *b)
{
	const struct pc_disk_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* ---- data ---- */

/* What of a file's data may differ: its changes up to the cut, behind its last sync. */
struct data {
	const struct pc_trace *trace;
	const struct pc_file *file;
	size_t first, end; /* changes that no sync covers */
};

static struct data data_at(const struct pc_trace *t, uint64_t file, unsigned event)
{
	struct data d = { .trace = t, .file = &t->files[file] };

	while (d.end < d.file->count && d.file->changes[d.end].event <= event)
		if (d.file->changes[d.end++].what == PC_SYNCED)
			d.first = d.end;
	return d;
}

static bool page_changed(const struct data *d, uint32_t page)
{
	for (size_t i = d->first; i < d->end; i++)
		if (d->file->changes[i].what == PC_PAGE_STORED && d->file->changes[i].page == page)
			return true;
	return false;
}

/* The nth version of a page since the last sync, 0 that of the sync; returns how many there are */
static size_t version_at(const struct data *d, uint32_t page, size_t nth, uint32_t *ret_version)
{
	size_t count = 0;
	uint32_t version = 0; /* all zero: never written */

	for (size_t i = 0; i < d->end; i++) {
		const struct pc_change *c = &d->file->changes[i];

		if (c->what != PC_PAGE_STORED || c->page != page)
			continue;
		if (i >= d->first && count++ == nth)
			*ret_version = version;
		version = c->version;
	}
	if (count == nth)
		*ret_version = version;
	return count + 1;
}

/* The same for sizes. */
static size_t size_at(const struct data *d, size_t nth, uint64_t *ret_size)
{
	size_t count = 0;
	uint64_t size = 0;

	for (size_t i = 0; i < d->end; i++) {
		if (d->file->changes[i].what != PC_RESIZED)
			continue;
		if (i >= d->first && count++ == nth)
			*ret_size = size;
		size = d->file->changes[i].size;
	}
	if (count == nth)
		*ret_size = size;
	return count + 1;
}

static const uint8_t *page_of(const struct data *d, uint32_t page, size_t nth)
{
	uint32_t version = 0;

	(void)version_at(d, page, nth, &version);
	return d->trace->versions + (size_t)version * PC_PAGE;
}

/* Any version, or two successive ones sector by sector. */
static void any_page(const struct data *d, uint32_t page, unsigned percent, uint64_t *random,
                     uint8_t *to)
{
	uint32_t version;
	const size_t count = version_at(d, page, 0, &version);
	size_t nth = pc_chance(random, percent) ? pc_random(random) % count : 0;

	if (pc_chance(random, 40))
		nth = pc_chance(random, percent) ? count - 1 : 0; /* the ends more often */
	memcpy(to, page_of(d, page, nth), PC_PAGE);
	if (nth + 1 == count || !pc_chance(random, percent / 2))
		return;
	for (size_t at = 0; at < PC_PAGE; at += PC_SECTOR)
		if (pc_chance(random, 50))
			memcpy(to + at, page_of(d, page, nth + 1) + at, PC_SECTOR);
}

struct chosen {
	struct pc_choice choice;
	uint64_t page; /* counted over all pages that may differ */
	uint64_t file; /* of those that have such */
	uint64_t nth_page, nth_file;
	unsigned percent;
};

static bool is_newest(const struct chosen *c)
{
	switch (c->choice.kind) {
	case PC_EVERYTHING:
	case PC_DATA:
	case PC_BUT_ONE_NAME:
	case PC_ONE_NAME:
		return true;
	case PC_BUT_ONE_PAGE:
		return c->page != c->nth_page;
	case PC_ONE_PAGE:
		return c->page == c->nth_page;
	case PC_BUT_ONE_FILE:
		return c->file != c->nth_file;
	case PC_NOTHING:
	case PC_NAMES:
	case PC_SIZES:
	case PC_ANY:
	case PC_KINDS:
		break;
	}
	return false;
}

static void fill(const struct data *d, struct chosen *c, uint64_t *random,
                 struct pc_disk_file *file)
{
	const bool any = c->choice.kind == PC_ANY;
	uint32_t version;
	uint64_t size = 0;
	size_t sizes = size_at(d, 0, &size), nth;
	bool changed = false;

	if (any)
		nth = pc_random(random) % sizes;
	else
		nth = c->choice.kind == PC_NOTHING || c->choice.kind == PC_NAMES ? 0 : sizes - 1;
	(void)size_at(d, nth, &size);
	if (any && pc_chance(random, 30))
		c->percent = (unsigned)(pc_random(random) % 5) * 25;
	file->size = size;
	file->bytes = calloc(1, size + PC_PAGE);
	assert_non_null(file->bytes);
	for (uint32_t page = 0; (uint64_t)page * PC_PAGE < size; page++) {
		uint8_t *to = file->bytes + (size_t)page * PC_PAGE;

		if (any)
			any_page(d, page, c->percent, random, to);
		else
			memcpy(to,
			       page_of(d, page,
			               is_newest(c) ? version_at(d, page, 0, &version) - 1 : 0),
			       PC_PAGE);
		if (page_changed(d, page)) {
			c->page++;
			changed = true;
		}
	}
	c->file += changed;
	memset(file->bytes + size, 0, PC_PAGE); /* no part of it */
}

/* How many pages, and files, may differ. */
static void count_data(const struct pc_trace *t, unsigned event, const struct pc_disk *disk,
                       uint64_t *ret_pages, uint64_t *ret_files)
{
	*ret_pages = *ret_files = 0;
	for (size_t i = 0; i < disk->count; i++) {
		const struct data d = data_at(t, disk->files[i].size, event);
		uint64_t before = *ret_pages;

		for (uint32_t page = 0; page < d.file->page_count; page++)
			*ret_pages += page_changed(&d, page);
		*ret_files += *ret_pages > before;
	}
}

/* ---- disks ---- */

void pc_disk_make(const struct pc_trace *t, struct pc_choice choice, struct pc_disk *ret_disk)
{
	uint64_t random = choice.random * 2 + 1, pages, files;
	struct chosen chosen = { .choice = choice };
	struct pc_disk d = { .exists = choice.event >= t->made };

	if (choice.event < t->made_durable && t->made_durable > 0 && d.exists)
		d.exists = choice.kind == PC_ANY
		                   ? !pc_chance(&random, 10)
		                   : choice.kind != PC_NOTHING && choice.kind != PC_DATA;
	pc_disk_name(t, choice, &random, &d);
	if (d.count > 0)
		qsort(d.files, d.count, sizeof *d.files, by_name);
	count_data(t, choice.event, &d, &pages, &files);
	chosen.nth_page = pages > 0 ? choice.random % pages : 0;
	chosen.nth_file = files > 0 ? choice.random % files : 0;
	chosen.percent = (unsigned)(pc_random(&random) % 5) * 25;
	d.hash = d.exists;
	for (size_t i = 0; i < d.count; i++) {
		struct pc_disk_file *f = &d.files[i];
		const struct data data = data_at(t, f->size, choice.event);

		fill(&data, &chosen, &random, f);
		d.hash = pc_hash(f->name, strlen(f->name), d.hash);
		d.hash = pc_hash(&f->size, sizeof f->size, d.hash);
		d.hash = pc_hash(f->bytes, f->size, d.hash);
	}
	*ret_disk = d;
}

void pc_disk_free(struct pc_disk *d)
{
	for (size_t i = 0; i < d->count; i++)
		free(d->files[i].bytes);
	free(d->files);
	*d = (struct pc_disk){ .count = 0 };
}

/* A process after the cut runs in another boot of the machine than the one in control.meta. */
static void start_anew(const struct pc_disk_file *f, int fd)
{
	static const uint8_t boot_id[CQ_BOOT_ID_SIZE] = { 'b', 'e', 'f', 'o', 'r', 'e' };
	const uint64_t at = offsetof(struct cq_control_page, boot_id);

	if (strcmp(f->name, CQ_CONTROL_NAME) == 0 && f->size >= at + sizeof boot_id)
		assert_int_equal(pwrite(fd, boot_id, sizeof boot_id, (off_t)at), sizeof boot_id);
}

void pc_disk_write(const struct pc_disk *d, const char *base)
{
	char dir[PATH_SIZE];
	int dirfd, fd;

	support_path(dir, base, PC_DIR);
	if (support_exists(base, PC_DIR))
		support_remove(dir);
	if (!d->exists)
		return;
	assert_int_equal(mkdir(dir, 0750), 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	for (size_t i = 0; i < d->count; i++) {
		const struct pc_disk_file *f = &d->files[i];

		fd = openat(dirfd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, f->bytes, f->size, 0), f->size);
		start_anew(f, fd);
		close(fd);
	}
	close(dirfd);
}
