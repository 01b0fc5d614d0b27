/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.c - readers/: a file for each named reader that has committed a position
 *
 * An open makes the text, so all reads of an open file see one moment.  Each line has a fixed width: so all texts
 * have the same size, and the attributes of a file ask for nothing.
 *
 * An open directory holds the names that there were when its first entry was read, in order.
 */
#include "status/readers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chronfs.h"
#include "chronq-fs.h"
#include "held/open_files.h"
#include "shared/last_change.h"

#define NS_PER_S 1000000000U
#define KEY_WIDTH 12
#define VALUE_WIDTH 31
#define LINE_SIZE (KEY_WIDTH + 1 + VALUE_WIDTH + 1)
#define LINES 10
#define TEXT_SIZE (LINES * LINE_SIZE)
#define COOKIE_FIRST 3 /* behind "." and ".." */

/* One open file. */
struct reader_file {
	struct chronfs_open_file open_file; /* first member */
	char text[TEXT_SIZE + 1];
};

struct chronfs_reader_dir {
	pthread_mutex_t lock; /* guards all below */
	bool listed;
	char (*names)[CQ_READER_NAME_MAX + 1];
	size_t count, room;
};

/* ---- text ---- */

struct text {
	char *at; /* of the next line */
};

static void line(struct text *text, const char *key, const char *value)
{
	(void)snprintf(text->at, LINE_SIZE + 1, "%-*.*s %*.*s\n", KEY_WIDTH, KEY_WIDTH, key,
	               VALUE_WIDTH, VALUE_WIDTH, value);
	text->at += LINE_SIZE;
}

static void number(struct text *text, const char *key, bool known, uint64_t value)
{
	char digits[24];

	(void)snprintf(digits, sizeof digits, "%" PRIu64, value);
	line(text, key, known ? digits : "-");
}

static void flag(struct text *text, const char *key, bool value)
{
	line(text, key, value ? "yes" : "no");
}

/* UTC, as chronq readers has it; 0: unknown. */
static void moment(struct text *text, const char *key, uint64_t time_ns)
{
	const time_t seconds = (time_t)(time_ns / NS_PER_S);
	char day[24], value[40];
	struct tm tm;

	(void)gmtime_r(&seconds, &tm); /* 64 bits of nanoseconds end in 2554 */
	(void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(value, sizeof value, "%s.%09uZ", day, (unsigned)(time_ns % NS_PER_S));
	line(text, key, time_ns > 0 ? value : "-");
}

/* How long the next record has waited; none: not at all. */
static void waited(struct text *text, const char *key, const struct cq_reader_info *info)
{
	struct timespec now;
	uint64_t now_ns, ns = 0;
	char value[40];

	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	if (info->next_time_ns > 0 && info->next_time_ns < now_ns)
		ns = now_ns - info->next_time_ns;
	(void)snprintf(value, sizeof value, "%" PRIu64 ".%09u", ns / NS_PER_S,
	               (unsigned)(ns % NS_PER_S));
	line(text, key, info->have_seq ? value : "-");
}

static void render(const struct cq_reader_info *info, char text_of[TEXT_SIZE + 1])
{
	struct text text = { text_of };
	char segment[16];

	number(&text, "next_seq", info->have_seq, info->seq);
	(void)snprintf(segment, sizeof segment, "%09" PRIu32, info->segment);
	line(&text, "segment", segment);
	number(&text, "offset", true, info->offset);
	number(&text, "lag_records", info->have_lag_records, info->lag_records);
	number(&text, "lag_bytes", true, info->lag_bytes);
	waited(&text, "lag_seconds", info);
	moment(&text, "last_seen", info->heartbeat_ns);
	flag(&text, "missing", info->missing);
	flag(&text, "in_use", info->in_use);
	number(&text, "pid", info->pid > 0, (uint64_t)info->pid);
}

/* ---- one reader ---- */

static void fill_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	chronfs_attr(fs, node, S_IFREG | 0444, chronfs_last_change(fs), ret_stat);
	ret_stat->st_size = TEXT_SIZE;
	ret_stat->st_blocks = (TEXT_SIZE + 511) / 512;
}

static int reader_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                       double *ret_timeout)
{
	(void)ret_timeout;
	fill_stat(fs, node, ret_stat);
	return 0;
}

struct search {
	uint64_t value;
	char name[CQ_READER_NAME_MAX + 1]; /* "": not found */
};

/* A cq_reader_name_fn. */
static void compare(void *arg, const char *name)
{
	struct search *search = arg;

	if (chronfs_reader_value(name) == search->value)
		(void)snprintf(search->name, sizeof search->name, "%s", name);
}

/* What is said of a name that is not, or whose file is not, of a reader: there is none. */
static int as_name(int r)
{
	return r == -EINVAL || r == -ELOOP || r == -EBADMSG ? -ENOENT : r;
}

/* Reads no other reader's file: to read all of readers/ is no work for each pair of them. */
static int look_at(struct chronfs *fs, uint64_t node, struct cq_reader_info *ret_info)
{
	struct search search = { .value = chronfs_node_value(node) };
	int r;

	r = cq_queue_reader_names(fs->queue, compare, &search);
	if (r == 0 && search.name[0] == '\0')
		r = -ENOENT;
	return r < 0 ? r : as_name(cq_queue_reader(fs->queue, search.name, ret_info));
}

static struct reader_file *reader_file_of(const struct fuse_file_info *fi)
{
	return (struct reader_file *)(uintptr_t)fi->fh;
}

static void reader_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct cq_reader_info info = CQ_SIZED(info);
	struct chronfs *fs = chronfs_of(req);
	struct reader_file *open;
	int r;

	r = look_at(fs, node, &info);
	open = r < 0 ? NULL : malloc(sizeof *open);
	if (!open) {
		fuse_reply_err(req, r < 0 ? -r : ENOMEM);
		return;
	}
	render(&info, open->text);
	chronfs_open_files_add(fs, &open->open_file, node);
	fi->fh = (uintptr_t)open;
	fi->direct_io = 1;
	fi->noflush = 1;
	chronfs_reply_open(req, node, fi);
}

static void reader_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct reader_file *open = reader_file_of(fi);

	(void)node;
	chronfs_open_files_remove(fs, &open->open_file);
	free(open);
}

/* From a copy: whoever has got the bytes may close the file before the reply returns here. */
static void reader_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
	const size_t left = offset < TEXT_SIZE ? TEXT_SIZE - (size_t)offset : 0;
	const size_t n = left < size ? left : size;
	char copy[TEXT_SIZE];

	(void)node;
	if (n > 0)
		memcpy(copy, reader_file_of(fi)->text + offset, n);
	fuse_reply_buf(req, copy, n);
}

const struct chronfs_node_ops chronfs_reader_ops = {
	.stat = reader_stat,
	.open = reader_open,
	.read = reader_read,
	.release = reader_release,
};

/* ---- the directory ---- */

const struct chronfs_node_ops chronfs_readers_ops = {
	.stat = chronfs_directory_stat,
};

static void make_entry(struct chronfs *fs, const char *name, struct fuse_entry_param *ret_entry)
{
	memset(ret_entry, 0, sizeof *ret_entry);
	ret_entry->ino = chronfs_node(CHRONFS_READER, chronfs_reader_value(name));
	fill_stat(fs, ret_entry->ino, &ret_entry->attr);
}

int chronfs_reader_dir_lookup(struct chronfs *fs, const char *name,
                              struct fuse_entry_param *ret_entry)
{
	struct cq_reader_position position;
	int r;

	r = cq_queue_reader_position(fs->queue, name, &position);
	if (r < 0)
		return as_name(r);
	make_entry(fs, name, ret_entry);
	return 0;
}

int chronfs_reader_dir_open(struct chronfs_reader_dir **ret_dir)
{
	struct chronfs_reader_dir *open = calloc(1, sizeof *open);

	if (!open)
		return -ENOMEM;
	pthread_mutex_init(&open->lock, NULL);
	*ret_dir = open;
	return 0;
}

void chronfs_reader_dir_close(struct chronfs_reader_dir *open)
{
	pthread_mutex_destroy(&open->lock);
	free(open->names);
	free(open);
}

struct adding {
	struct chronfs_reader_dir *open;
	int result;
};

/* A cq_reader_visit_fn. */
static void add_name(void *arg, const struct cq_reader_position *position)
{
	struct adding *adding = arg;
	struct chronfs_reader_dir *open = adding->open;
	const size_t room = open->room > 0 ? 2 * open->room : 16;

	if (open->count == open->room) {
		void *grown = realloc(open->names, room * sizeof *open->names);

		if (!grown) {
			adding->result = -ENOMEM;
			return;
		}
		open->names = grown;
		open->room = room;
	}
	memcpy(open->names[open->count++], position->name, sizeof position->name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int refresh(struct chronfs *fs, struct chronfs_reader_dir *open)
{
	struct adding adding = { .open = open };
	int r;

	open->count = 0;
	r = cq_queue_readers(fs->queue, add_name, &adding);
	if (r == 0)
		r = adding.result;
	if (r == 0 && open->count > 0)
		qsort(open->names, open->count, sizeof *open->names, by_name);
	open->listed = r == 0;
	return r;
}

int chronfs_reader_dir_list(struct chronfs *fs, struct chronfs_reader_dir *open,
                            struct chronfs_listing *listing, uint64_t after)
{
	struct fuse_entry_param entry;
	size_t i = after < COOKIE_FIRST ? 0 : (size_t)(after - COOKIE_FIRST) + 1;
	int r = 0;

	pthread_mutex_lock(&open->lock);
	if (after == 0 || !open->listed)
		r = refresh(fs, open);
	for (; r == 0 && i < open->count; i++) {
		make_entry(fs, open->names[i], &entry);
		if (!chronfs_listing_add(listing, open->names[i], &entry, i + COOKIE_FIRST))
			break;
	}
	pthread_mutex_unlock(&open->lock);
	return r;
}
