/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - test hooks; see fault.h.  Only in builds with -Dplanted_faults=true. */
#include "os/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CQ_FAULTS
#error "fault.c belongs to builds with -Dplanted_faults=true"
#endif

#define NAME_MAX_LENGTH 39
#define FAULTS 8 /* at a time */
#define CALLS 64 /* more than there are failpoints */

struct fault {
	char name[NAME_MAX_LENGTH + 1];
	int error; /* 0: none */
	int skip;
	int count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault faults[FAULTS]; /* under lock */
static bool asked_environment;      /* under lock */
static struct {
	char name[NAME_MAX_LENGTH + 1];
	unsigned count;
} calls[CALLS];           /* under lock: in the order of their first call */
static size_t call_count; /* under lock */
static unsigned given;    /* under lock: failures since cq_fault_forget() */
static bool held;         /* under lock: the hold happens once */
static int kill_left;     /* under lock: 0 = not counted yet */

bool cq_planted(const char *name)
{
	const char *plant = getenv("CHRONQ_PLANT");

	return plant && strcmp(plant, name) == 0;
}

/* The rest behind "NAME:" in the variable; NULL: it names another place, or is not set. */
static const char *about(const char *variable, const char *name)
{
	const char *value = getenv(variable);
	size_t length = strlen(name);

	if (!value || strncmp(value, name, length) != 0)
		return NULL;
	if (value[length] == ':')
		return value + length + 1;
	return value[length] == '\0' ? value + length : NULL;
}

static void hold(const char *path)
{
	char fifo[4096];
	char byte;
	int fd;

	snprintf(fifo, sizeof fifo, "%s.reached", path);
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	snprintf(fifo, sizeof fifo, "%s.go", path);
	fd = open(fifo, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
}

void (*cq_point_heard)(const char *name);

void cq_point(const char *name)
{
	const char *rest = about("CHRONQ_HOLD", name);
	bool mine = false;

	if (cq_point_heard)
		cq_point_heard(name);
	if (rest) {
		pthread_mutex_lock(&lock);
		mine = !held;
		held = true;
		pthread_mutex_unlock(&lock);
		if (mine)
			hold(rest);
	}
	rest = about("CHRONQ_KILL", name);
	if (rest) {
		pthread_mutex_lock(&lock);
		if (kill_left == 0) {
			kill_left = atoi(rest);
			if (kill_left < 1)
				kill_left = 1;
		}
		mine = --kill_left == 0;
		pthread_mutex_unlock(&lock);
		if (mine)
			kill(getpid(), SIGKILL);
	}
}

/* ---- failing calls ---- */

/* Under lock. */
static void add_fault(const char *name, int error, int skip, int count)
{
	for (size_t i = 0; i < FAULTS; i++) {
		if (faults[i].error != 0)
			continue;
		snprintf(faults[i].name, sizeof faults[i].name, "%s", name);
		faults[i].error = error;
		faults[i].skip = skip;
		faults[i].count = count;
		return;
	}
}

void cq_fault_add(const char *name, int error, int skip, int count)
{
	pthread_mutex_lock(&lock);
	asked_environment = true;
	add_fault(name, error, skip, count);
	pthread_mutex_unlock(&lock);
}

void cq_fault_set(const char *name, int error, int skip, int count)
{
	pthread_mutex_lock(&lock);
	asked_environment = true;
	memset(faults, 0, sizeof faults);
	if (name)
		add_fault(name, error, skip, count);
	pthread_mutex_unlock(&lock);
}

/* Under lock: CHRONQ_FAIL, once. */
static void ask_environment(void)
{
	const char *value = getenv("CHRONQ_FAIL");

	if (asked_environment)
		return;
	asked_environment = true;
	while (value && *value) {
		char which[NAME_MAX_LENGTH + 1] = "";
		int error = 0, skip = 0, count = 1;

		if (sscanf(value, "%39[^:,]:%d:%d:%d", which, &error, &skip, &count) >= 2)
			add_fault(which, error, skip, count);
		value = strchr(value, ',');
		if (value)
			value++;
	}
}

/* Under lock. */
static void count_call(const char *name)
{
	size_t i = 0;

	while (i < call_count && strcmp(calls[i].name, name) != 0)
		i++;
	if (i == CALLS)
		return;
	if (i == call_count)
		snprintf(calls[call_count++].name, sizeof calls[i].name, "%s", name);
	calls[i].count++;
}

int cq_failpoint(const char *name)
{
	int r = 0;

	pthread_mutex_lock(&lock);
	ask_environment();
	count_call(name);
	for (size_t i = 0; i < FAULTS && r == 0; i++) {
		struct fault *f = &faults[i];

		if (f->error == 0 || strcmp(f->name, name) != 0)
			continue;
		if (f->skip > 0) {
			f->skip--;
		} else if (f->count != 0) {
			if (f->count > 0)
				f->count--;
			r = -f->error;
			given++;
		}
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void cq_fault_forget(void)
{
	pthread_mutex_lock(&lock);
	memset(calls, 0, sizeof calls);
	call_count = 0;
	given = 0;
	pthread_mutex_unlock(&lock);
}

unsigned cq_fault_given(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = given;
	pthread_mutex_unlock(&lock);
	return n;
}

const char *cq_fault_call(size_t nth, unsigned *ret_count)
{
	const char *name = NULL;

	pthread_mutex_lock(&lock);
	if (nth < call_count) {
		name = calls[nth].name;
		*ret_count = calls[nth].count;
	}
	pthread_mutex_unlock(&lock);
	return name;
}
