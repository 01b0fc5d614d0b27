/* SPDX-License-Identifier: Apache-2.0 */
/* powercut_names.c - which names a disk may have after a power cut; see powercut.h */
#include "powercut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/dir.h"

struct names {
	const struct pc_trace *trace;
	size_t first,
		end; /* operations that no fsync of the directory covers; before them all are */
	bool *there; /* of each of these */
};

static struct names names_at(const struct pc_trace *t, unsigned event)
{
	struct names n = { .trace = t };

	while (n.end < t->name_count && t->names[n.end].event <= event)
		if (t->names[n.end++].act == PC_NAMES_SYNCED)
			n.first = n.end;
	n.there = calloc(n.end - n.first + 1, sizeof *n.there);
	assert_non_null(n.there);
	return n;
}

static bool touches(const struct pc_name *n, const char *name)
{
	return name[0] != '\0' && (strcmp(n->name, name) == 0 || strcmp(n->to, name) == 0);
}

static bool removes_segment(const struct pc_name *n)
{
	uint32_t id;

	return n->act == PC_REMOVED && cq_segment_name_parse(n->name, &id);
}

static bool depend(const struct pc_name *a, const struct pc_name *b)
{
	return touches(a, b->name) || touches(a, b->to) ||
	       (removes_segment(a) && removes_segment(b));
}

/* What a name is depends on what it was: an operation that is there needs every earlier one on the
 * same names, and one that is not there takes every later one with it. */
static void make_consistent(struct names *n, bool by_adding)
{
	const struct pc_name *ops = n->trace->names + n->first;
	const size_t count = n->end - n->first;

	for (size_t k = 0; k < count; k++) {
		/* adding goes from the last to the first, removing the other way */
		const size_t i = by_adding ? count - 1 - k : k;

		if (n->there[i] != by_adding)
			continue;
		for (size_t j = by_adding ? 0 : i + 1; j < (by_adding ? i : count); j++)
			if (depend(&ops[j], &ops[i]))
				n->there[j] = by_adding;
	}
}

static void choose_names(struct names *n, struct pc_choice choice, uint64_t *random)
{
	const size_t count = n->end - n->first;
	bool all =
		choice.kind != PC_NOTHING && choice.kind != PC_DATA && choice.kind != PC_ONE_NAME;
	unsigned percent;

	for (size_t i = 0; i < count; i++)
		n->there[i] = all;
	if (count == 0)
		return;
	if (choice.kind == PC_BUT_ONE_NAME || choice.kind == PC_ONE_NAME) {
		n->there[choice.random % count] = !all;
		make_consistent(n, !all);
	} else if (choice.kind == PC_ANY) {
		percent = (unsigned)(pc_random(random) % 5) * 25;
		for (size_t i = 0; i < count; i++)
			n->there[i] = pc_chance(random, percent);
		make_consistent(n, pc_chance(random, 50));
	}
}

/* The files by name, in disk->files; their number in the trace is in .size for now. */
static void put(struct pc_disk *d, const char *name, uint64_t file)
{
	size_t i = 0;

	while (i < d->count && strcmp(d->files[i].name, name) != 0)
		i++;
	if (i == d->count) {
		d->files = realloc(d->files, (d->count + 1) * sizeof *d->files);
		assert_non_null(d->files);
		d->files[d->count++] = (struct pc_disk_file){ .bytes = NULL };
		snprintf(d->files[i].name, sizeof d->files[i].name, "%s", name);
	}
	d->files[i].size = file;
}

static bool take(struct pc_disk *d, const char *name, uint64_t *ret_file)
{
	for (size_t i = 0; i < d->count; i++) {
		if (strcmp(d->files[i].name, name) == 0) {
			*ret_file = d->files[i].size;
			d->files[i] = d->files[--d->count];
			return true;
		}
	}
	return false;
}

static void apply_names(const struct names *n, struct pc_disk *d)
{
	uint64_t file = 0;

	for (size_t i = 0; i < n->end; i++) {
		const struct pc_name *op = &n->trace->names[i];

		if (i >= n->first && !n->there[i - n->first])
			continue;
		if (op->act == PC_NAMED)
			put(d, op->name, op->file);
		else if (op->act == PC_REMOVED)
			(void)take(d, op->name, &file);
		else if (op->act == PC_RENAMED && take(d, op->name, &file))
			put(d, op->to, file);
	}
}

void pc_disk_name(const struct pc_trace *t, struct pc_choice choice, uint64_t *random,
                  struct pc_disk *disk)
{
	struct names names = names_at(t, choice.event);

	choose_names(&names, choice, random);
	if (disk->exists)
		apply_names(&names, disk);
	free(names.there);
}
