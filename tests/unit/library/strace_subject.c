/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strace_subject.c - the program that strace.sh traces: the life of a queue, in several processes
 *
 * Rolls that take a ready segment, rolls that fall back, close, a kill that leaves residue, recovery,
 * a reader.  mark() makes a system call that is visible in the trace.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "write/writer.h"

#define SIZE 65536U
#define RECORD 4000U /* 16 to a segment */
#define ROLLS 5

static const char *dir;
static char payload[RECORD];

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "strace_subject: %s\n", what);
	_exit(1);
}

static void mark(const char *name)
{
	char text[64];

	snprintf(text, sizeof text, "MARK-%s", name);
	check(faccessat(AT_FDCWD, text, F_OK, 0) < 0, "a mark is no file");
}

static cq_writer *open_writer(bool threads)
{
	struct cq_config config;
	cq_writer *w = NULL;

	cq_config_init(&config);
	config.segment_size = SIZE;
	config.prealloc_wait_ms = 0;
	check(cq_writer_open_with(dir, &config, threads, &w) == 0, "open");
	return w;
}

static void append(cq_writer *w)
{
	check(cq_writer_append(w, 1, payload, sizeof payload, NULL) == 0, "append");
}

/* Fills the current segment to the last record that fits. */
static void fill(cq_writer *w)
{
	struct cq_stats s = CQ_SIZED(s);

	do {
		append(w);
		cq_writer_stats(w, &s);
	} while (SIZE - s.offset >= RECORD + 64);
}

static void await_spare(cq_writer *w)
{
	enum cq_slot_state state;

	do {
		usleep(1000);
		pthread_mutex_lock(&w->prealloc.lock);
		state = w->prealloc.slots[0].state;
		pthread_mutex_unlock(&w->prealloc.lock);
	} while (state != CQ_SLOT_READY);
}

static void ready_rolls(void)
{
	cq_writer *w = open_writer(true);
	struct cq_stats s = CQ_SIZED(s);

	for (int i = 0; i < ROLLS; i++) {
		fill(w);
		await_spare(w);
		mark("roll-begin");
		append(w);
		mark("roll-end");
	}
	cq_writer_stats(w, &s);
	check(s.rolls_ready == ROLLS, "every roll takes the ready segment");
	check(cq_writer_sync(w) == 0, "sync");
	check(cq_writer_close(w) == 0, "close");
}

static void fallback_rolls(void)
{
	cq_writer *w = open_writer(false);
	struct cq_stats s = CQ_SIZED(s);

	for (int i = 0; i < ROLLS; i++) {
		fill(w);
		append(w);
	}
	cq_writer_stats(w, &s);
	check(s.rolls_fallback >= ROLLS - 1, "rolls fall back");
	check(cq_writer_close(w) == 0, "close");
}

static void killed(void)
{
	cq_writer *w = open_writer(true);

	fill(w);
	append(w);
	memset(w->current->map.base + w->current->used + 8, 'r',
	       100); /* an append that was cut off */
	kill(getpid(), SIGKILL);
}

static void recovers(void)
{
	cq_writer *w = open_writer(true);

	fill(w);
	append(w);
	check(cq_writer_roll(w) == 0, "roll");
	check(cq_writer_close(w) == 0, "close");
}

static void reads(void)
{
	struct cq_record record;
	struct cq_verify_result result = CQ_SIZED(result);
	cq_reader *reader;
	uint64_t next = 0;

	mark("reader");
	check(cq_reader_open(dir, "r", CQ_START_OLDEST, 0, &reader) == 0, "open reader");
	while (cq_reader_next(reader, &record) == 1)
		check(record.seq == next++ && record.length == RECORD, "every record in order");
	check(next > 2 * ROLLS * 15, "all records");
	check(cq_reader_commit(reader) == 0, "commit");
	cq_reader_close(reader);
	check(cq_verify(dir, NULL, NULL, &result) == 0 && result.damage == 0, "verify");
}

static void in_child(void (*run)(void), bool dies)
{
	int status;
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (pid == 0) {
		run();
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid, "wait");
	check(dies ? WIFSIGNALED(status) : status == 0, "a child went wrong");
}

int main(int argc, char **argv)
{
	check(argc == 2, "needs a directory");
	dir = argv[1];
	in_child(ready_rolls, false);
	in_child(fallback_rolls, false);
	in_child(killed, true);
	in_child(recovers, false);
	in_child(reads, false);
	return 0;
}
