/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_timeout.c - appends open lines that have waited for their end for line_timeout
 *
 * A write that leaves a line open puts its file last into a list.  All files wait equally long, so
 * the first is due first.  The background thread appends the lines that are due.  When a line ends,
 * its file stays in the list until it is due, so ending a line costs nothing here.  And a write wakes
 * the background thread only if that thread would look too late: not each write of a long text,
 * whose pieces all leave a line open.
 *
 * Invariants, under fs->lines.lock:
 *   - A file with an open line is in the list, unless a request of it waits for room (the end of the
 *     wait puts the file into the list), the file is closed, or there is no line_timeout.
 *   - The background thread looks at the list at looks_ms, or is woken before.  It may look earlier
 *     than the first file is due: that file was written to since, or another one was the first.
 */
#include "chronfs.h"

#include <errno.h>

#include "append/lines.h"
#include "append/wait_for_room.h"
#include "held/background.h"

#define RETRY_MS 100 /* after a failed append */

/* Both under fs->lines.lock. */
static void list_remove(struct chronfs *fs, struct chronfs_lines_file *file)
{
	if (!file->listed)
		return;
	if (file->earlier)
		file->earlier->later = file->later;
	else
		fs->lines.first = file->later;
	if (file->later)
		file->later->earlier = file->earlier;
	else
		fs->lines.last = file->earlier;
	file->listed = false;
}

static void list_add_last(struct chronfs *fs, struct chronfs_lines_file *file)
{
	file->earlier = fs->lines.last;
	file->later = NULL;
	if (file->earlier)
		file->earlier->later = file;
	else
		fs->lines.first = file;
	fs->lines.last = file;
	file->listed = true;
}

void chronfs_line_timeout_start(struct chronfs *fs, struct chronfs_lines_file *file)
{
	bool late;

	if (fs->options.line_timeout_ms == 0 || file->splitter.used == 0)
		return;
	pthread_mutex_lock(&fs->lines.lock);
	list_remove(fs, file);
	file->due_ms = chronfs_now_ms() + fs->options.line_timeout_ms;
	list_add_last(fs, file);
	late = fs->lines.looks_ms > file->due_ms;
	pthread_mutex_unlock(&fs->lines.lock);
	if (late)
		chronfs_background_wake(fs);
}

void chronfs_line_timeout_cancel(struct chronfs *fs, struct chronfs_lines_file *file)
{
	pthread_mutex_lock(&fs->lines.lock);
	list_remove(fs, file);
	pthread_mutex_unlock(&fs->lines.lock);
}

/* Takes a reference to the first file of the list if it is due.  Otherwise returns NULL, and in
 * *ret_next_ms how long the step may sleep. */
static struct chronfs_lines_file *first_due(struct chronfs *fs, int *ret_next_ms)
{
	const uint64_t now = chronfs_now_ms();
	struct chronfs_lines_file *file;
	int next = -1;

	pthread_mutex_lock(&fs->lines.lock);
	file = fs->lines.first;
	fs->lines.looks_ms = file ? file->due_ms : UINT64_MAX;
	if (file && file->due_ms > now) {
		next = file->due_ms - now < INT32_MAX ? (int)(file->due_ms - now) : INT32_MAX;
		file = NULL;
	}
	if (file)
		file->references++;
	pthread_mutex_unlock(&fs->lines.lock);
	if (!file)
		*ret_next_ms = next;
	return file;
}

/* A write between first_due() and the lock makes the file due later. */
static int append_due(struct chronfs *fs, struct chronfs_lines_file *file)
{
	int r = 0;

	pthread_mutex_lock(&file->lock);
	if (file->due_ms <= chronfs_now_ms()) { /* GCOV_EXCL_BR_LINE: a write in between */
		if (file->parked == 0)
			r = chronfs_lines_commit(fs, file, chronfs_room_wait_any(fs));
		if (r == 0)
			chronfs_line_timeout_cancel(fs, file);
	}
	pthread_mutex_unlock(&file->lock);
	return r;
}

int chronfs_line_timeout_step(struct chronfs *fs)
{
	struct chronfs_lines_file *file;
	int next_ms, r;

	while ((file = first_due(fs, &next_ms))) {
		r = append_due(fs, file);
		chronfs_lines_unref(fs, file);
		if (r < 0)
			return RETRY_MS; /* the other files are due after this one */
	}
	return next_ms;
}
