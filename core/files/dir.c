/* SPDX-License-Identifier: Apache-2.0 */
/* dir.c - the names in a queue's directory; see dir.h */
#include "files/dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/io.h"

#define DIGITS 9

bool cq_numbered_name_parse(const char *name, const char *suffix, uint32_t *ret_id)
{
	uint32_t id = 0;

	for (int i = 0; i < DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		id = id * 10 + (uint32_t)(name[i] - '0');
	}
	if (strcmp(name + DIGITS, suffix) != 0)
		return false;
	*ret_id = id;
	return true;
}

bool cq_segment_name_parse(const char *name, uint32_t *ret_id)
{
	return cq_numbered_name_parse(name, ".q", ret_id);
}

bool cq_aside_name_parse(const char *name, uint32_t *ret_id)
{
	char stem[CQ_NAME_MAX];
	size_t length = strlen(name), end = length;

	while (end > 0 && name[end - 1] >= '0' && name[end - 1] <= '9')
		end--;
	if (end < length && end > 0 && name[end - 1] == '.')
		length = end - 1;
	if (length >= sizeof stem)
		return false;
	memcpy(stem, name, length);
	stem[length] = '\0';
	return cq_numbered_name_parse(stem, ".q.broken", ret_id) ||
	       cq_numbered_name_parse(stem, ".q.corrupt", ret_id);
}

void cq_segment_name(char name[CQ_NAME_MAX], uint32_t id)
{
	snprintf(name, CQ_NAME_MAX, CQ_SEGMENT_NAME, id);
}

void cq_index_name(char name[CQ_NAME_MAX], uint32_t id)
{
	snprintf(name, CQ_NAME_MAX, CQ_INDEX_NAME, id);
}

/* Calls visit for every name but "." and ".." until it returns non-zero; returns that. */
static int each_name(int dirfd, int (*visit)(void *arg, const char *name), void *arg)
{
	const char *name;
	DIR *dir;
	int r;

	r = cq_io_list(dirfd, &dir);
	if (r < 0)
		return r;
	while ((r = cq_io_next_name(dir, &name)) > 0) {
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		r = visit(arg, name);
		if (r != 0)
			break;
	}
	closedir(dir);
	return r;
}

/* Our temp names and chronicle-rs's. */
static bool is_temp_name(const char *name)
{
	const char *end = strrchr(name, '.');
	uint32_t id;

	if (!end || strcmp(end, ".tmp") != 0) /* most names, at little cost */
		return false;
	return cq_numbered_name_parse(name, ".q.tmp", &id) ||
	       cq_numbered_name_parse(name, ".q.new.tmp", &id) ||
	       cq_numbered_name_parse(name, ".idx.tmp", &id) ||
	       strcmp(name, CQ_CONTROL_TEMP) == 0 || strcmp(name, CQ_IDENTITY_TEMP) == 0;
}

struct id_list {
	uint32_t *ids;
	size_t count;
	size_t capacity;
	bool temps; /* there are temp names */
};

static int collect_id(void *arg, const char *name)
{
	struct id_list *list = arg;
	uint32_t id;

	if (!cq_segment_name_parse(name, &id)) {
		list->temps = list->temps || is_temp_name(name);
		return 0;
	}
	if (list->count == list->capacity) {
		size_t capacity = list->capacity * 2;
		uint32_t *ids = realloc(list->ids, capacity * sizeof *ids);

		if (!ids)
			return -ENOMEM;
		list->ids = ids;
		list->capacity = capacity;
	}
	list->ids[list->count++] = id;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int cq_dir_list_and_temps(int dirfd, uint32_t **ret_ids, size_t *ret_count, bool *ret_temps)
{
	struct id_list list = { .capacity = 64 };
	int r;

	list.ids = malloc(list.capacity * sizeof *list.ids);
	if (!list.ids)
		return -ENOMEM;
	r = each_name(dirfd, collect_id, &list);
	if (r < 0) {
		free(list.ids);
		return r;
	}
	qsort(list.ids, list.count, sizeof *list.ids, compare_ids);
	*ret_ids = list.ids;
	*ret_count = list.count;
	*ret_temps = list.temps;
	return 0;
}

int cq_dir_list(int dirfd, uint32_t **ret_ids, size_t *ret_count)
{
	bool temps;

	return cq_dir_list_and_temps(dirfd, ret_ids, ret_count, &temps);
}

struct next_search {
	uint32_t from;
	uint32_t best;
	bool found;
};

static int consider_next(void *arg, const char *name)
{
	struct next_search *search = arg;
	uint32_t id;

	if (cq_segment_name_parse(name, &id) && id >= search->from &&
	    (!search->found || id < search->best)) {
		search->best = id;
		search->found = true;
	}
	return 0;
}

int cq_dir_next(int dirfd, uint32_t from, uint32_t *ret_id)
{
	struct next_search search = { .from = from };
	struct stat st;
	char name[CQ_NAME_MAX];
	int r;

	/* the usual answer needs no listing */
	cq_segment_name(name, from);
	if (cq_io_stat_at(dirfd, name, &st) == 0) {
		*ret_id = from;
		return 0;
	}
	r = each_name(dirfd, consider_next, &search);
	if (r < 0)
		return r;
	if (!search.found)
		return -ENOENT;
	*ret_id = search.best;
	return 0;
}

static int is_no_reader(void *arg, const char *name)
{
	const char *end = strrchr(name, '.');

	(void)arg;
	return !end || strcmp(end, CQ_READER_SUFFIX) != 0;
}

/* 0: the directory of named readers, which may come before the queue; 1: something else. */
static int is_no_readers_dir(int dirfd, const char *name)
{
	int fd, r;

	if (strcmp(name, CQ_READERS_DIR) != 0)
		return 1;
	r = cq_io_open_dir(dirfd, name, &fd);
	if (r < 0)
		return r == -ENOTDIR || r == -ELOOP ? 1 : r;
	r = each_name(fd, is_no_reader, NULL);
	close(fd);
	return r;
}

struct classified {
	int dirfd;
	enum cq_dir_kind kind;
};

static int classify(void *arg, const char *name)
{
	struct classified *classified = arg;
	uint32_t id;
	int r;

	if (strcmp(name, "lost+found") == 0) /* the root of a fresh file system */
		return 0;
	if (cq_segment_name_parse(name, &id) || is_temp_name(name) ||
	    strcmp(name, CQ_CONTROL_NAME) == 0 || /* GCOV_EXCL_BR_LINE: it came since */
	    strcmp(name, CQ_LOCK_NAME) == 0 ||
	    /* alone, a power cut may have left these of a queue just made */
	    strcmp(name, CQ_DURABLE_NAME) == 0 || strcmp(name, CQ_POSITION_NAME) == 0 ||
	    strcmp(name, CQ_IDENTITY_NAME) == 0 || cq_numbered_name_parse(name, ".idx", &id)) {
		classified->kind = CQ_DIR_QUEUE;
		return 1;
	}
	r = is_no_readers_dir(classified->dirfd, name);
	if (r > 0)
		classified->kind = CQ_DIR_FOREIGN;
	return r < 0 ? r : 0;
}

int cq_dir_classify(int dirfd, enum cq_dir_kind *ret_kind)
{
	struct classified classified = { dirfd, CQ_DIR_EMPTY };
	struct stat st;
	int r;

	/* the usual answer needs no listing */
	if (cq_io_stat_at(dirfd, CQ_CONTROL_NAME, &st) == 0) {
		*ret_kind = CQ_DIR_QUEUE;
		return 0;
	}
	r = each_name(dirfd, classify, &classified);
	if (r < 0)
		return r;
	*ret_kind = classified.kind;
	return 0;
}

struct temps {
	int (*visit)(void *arg, const char *name);
	void *arg;
};

static int visit_temp(void *arg, const char *name)
{
	const struct temps *temps = arg;

	return is_temp_name(name) ? temps->visit(temps->arg, name) : 0;
}

int cq_dir_each_temp(int dirfd, int (*visit)(void *arg, const char *name), void *arg)
{
	struct temps temps = { visit, arg };

	return each_name(dirfd, visit_temp, &temps);
}

static int sweep_name(void *arg, const char *name)
{
	const int *dirfd = arg;
	int r = cq_io_unlink(*dirfd, name);

	return r == -ENOENT ? 0 : r;
}

int cq_dir_sweep(int dirfd)
{
	return cq_dir_each_temp(dirfd, sweep_name, &dirfd);
}
