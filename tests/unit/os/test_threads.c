/* SPDX-License-Identifier: Apache-2.0 */
/* test_threads.c - signals of the program, and threads of the library */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "queue_support.h"

/* Crash handlers and profilers need these in every thread. */
static const int seen_everywhere[] = { SIGSEGV, SIGBUS, SIGFPE,  SIGILL,
	                               SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
/* The program handles these in a thread of its choice. */
static const int left_alone[] = { SIGHUP,  SIGINT,  SIGTERM, SIGQUIT,
	                          SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD };

static sem_t handled;
static pid_t handled_in; /* atomic */

static void on_signal(int number)
{
	const int saved = errno;

	(void)number;
	__atomic_store_n(&handled_in, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	sem_post(&handled);
	errno = saved;
}

static bool is_of_the_library(const char *tid)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof name, file))
		name[0] = '\0';
	fclose(file);
	return strncmp(name, "cq-", 3) == 0;
}

/* Visits each thread of the library.  (A sanitizer has a thread, too.) */
static unsigned each_thread(void (*visit)(pid_t tid))
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (!is_of_the_library(entry->d_name))
			continue;
		visit(tid);
		count++;
	}
	closedir(dir);
	return count;
}

static uint64_t blocked_by(pid_t tid)
{
	char path[64], line[256];
	uint64_t mask = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		found |= sscanf(line, "SigBlk: %" SCNx64, &mask) == 1;
	fclose(file);
	assert_true(found);
	return mask;
}

static bool all_blocked(uint64_t mask)
{
	bool all = true;

	for (size_t i = 0; i < sizeof seen_everywhere / sizeof seen_everywhere[0]; i++)
		all &= mask >> (seen_everywhere[i] - 1) & 1;
	return all;
}

static void look_at_mask(pid_t tid)
{
	uint64_t mask = blocked_by(tid);

	/* the handler may still run: a sanitizer blocks every signal around it */
	for (int i = 0; i < 120000 && all_blocked(mask); i++) {
		usleep(1000);
		mask = blocked_by(tid);
	}

	for (size_t i = 0; i < sizeof seen_everywhere / sizeof seen_everywhere[0]; i++)
		assert_int_equal(mask >> (seen_everywhere[i] - 1) & 1, 0);
	for (size_t i = 0; i < sizeof left_alone / sizeof left_alone[0]; i++)
		assert_int_equal(mask >> (left_alone[i] - 1) & 1, 1);
}

static void send_profiling_signal(pid_t tid)
{
	struct timespec end;

	assert_int_equal(syscall(SYS_tgkill, getpid(), tid, SIGPROF), 0);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 120;
	assert_int_equal(sem_timedwait(&handled, &end), 0);
	assert_int_equal(__atomic_load_n(&handled_in, __ATOMIC_ACQUIRE), tid);
}

static void signals_of_the_program(void **state)
{
	/* SA_NODEFER: a handler that has not returned blocks nothing of its own */
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER };
	struct sigaction before;
	struct qs *q = *state;
	uint64_t mask;

	assert_int_equal(sem_init(&handled, 0, 0), 0);
	assert_int_equal(sigaction(SIGPROF, &action, &before), 0);
	mask = blocked_by(getpid());
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(blocked_by(getpid()), mask);
	/* a new thread blocks everything at first: once it handles the signal, it has set its mask */
	assert_int_equal(each_thread(send_profiling_signal), 2);
	assert_int_equal(each_thread(look_at_mask), 2);
	/* the writer still works */
	qs_append(q->writer, 0, 100);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(sigaction(SIGPROF, &before, NULL), 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(signals_of_the_program),
};

QS_MAIN(tests)
