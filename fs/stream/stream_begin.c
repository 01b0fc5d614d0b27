/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_begin.c - where `stream` begins for a process that has it open
 *
 * Each beginning has an inode number of its own, so a program that remembers inode and offset can
 * tell that byte 0 is another byte now.  tail -F and log collectors keep `stream` open and compare
 * the path with the open file from time to time.  They would take each trim for a new file, and show
 * all of it again.  Their open file has everything that comes, so for their process nothing changes:
 * a process that has `stream` open gets the beginning that it has open, by the path too.  If it has
 * several beginnings open, it gets the one that it opened last.
 *
 * Invariant: the same inode number has the same byte at the same offset, for all processes and
 * times.
 *
 * The kernel names the thread that asks.  /proc says which process that is, and when the process
 * started, which tells it apart from a later one with the same number.  Where /proc does not say, a
 * thread counts as a process.
 */
#include "stream/stream_begin.h"

#include <stdbool.h>
#include <string.h>

#include "chronfs.h"
#include "held/open_files.h"
#include "held/proc.h"
#include "shared/parse_number.h"

#define STAT_STARTED 22 /* when the process started, in clock ticks */

static uint64_t process_of(pid_t thread)
{
	static const char key[] = "\nTgid:\t";
	const char *line, *end;
	char text[CHRONFS_PROC_TEXT];
	uint64_t process;

	chronfs_proc_read(thread, "status", text);
	line = strstr(text, key); /* /proc escapes a newline in a process's name */
	if (line && chronfs_parse_number(line + strlen(key), &process, &end))
		return process;
	return (uint64_t)thread;
}

/* 0: not known. */
static uint64_t started(uint64_t process)
{
	return chronfs_proc_stat_field((pid_t)process, STAT_STARTED);
}

void chronfs_stream_hold(struct chronfs *fs, struct chronfs_stream_holder *holder, pid_t thread,
                         uint64_t begin)
{
	holder->open_file.node = process_of(thread);
	holder->started = started(holder->open_file.node);
	holder->begin = begin;
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_add_holder(fs, &holder->open_file);
	pthread_mutex_unlock(&fs->open_files.lock);
}

void chronfs_stream_let_go(struct chronfs *fs, struct chronfs_stream_holder *holder)
{
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_remove_holder(fs, &holder->open_file);
	pthread_mutex_unlock(&fs->open_files.lock);
}

uint64_t chronfs_stream_begin_of(struct chronfs *fs, pid_t thread, uint64_t begin)
{
	const struct chronfs_stream_holder *holder;
	uint64_t process, since = 0, its = begin;
	bool open;

	if (thread == 0) /* it has no number in our process namespace */
		return begin;
	pthread_mutex_lock(&fs->open_files.lock);
	open = fs->open_files.holder_count > 0;
	pthread_mutex_unlock(&fs->open_files.lock);
	if (!open) /* by nobody: then /proc is not worth reading */
		return begin;
	process = process_of(thread);
	pthread_mutex_lock(&fs->open_files.lock);
	holder = (const struct chronfs_stream_holder *)chronfs_open_files_find_holder(fs, process);
	if (holder) {
		since = holder->started;
		its = holder->begin;
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return its == begin || since != started(process) ? begin : its;
}
