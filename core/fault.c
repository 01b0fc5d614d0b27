/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c - test hooks; see fault.h.  Only in builds with -Dplanted_faults=true. */
#include "fault.h"

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

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char name[40];
	int error;
	int skip;
	int count;
	bool asked_environment;
} fail; /* under lock */
static bool held;     /* under lock: the hold happens once */
static int kill_left; /* under lock: 0 = not counted yet */

bool cq_planted(const char *name)
{
	const char *plant = getenv("CHRONQ_PLANT");

	return plant && strcmp(plant, name) == 0;
}

/* Splits "NAME:rest"; true, with rest, if the variable is about this name. */
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

void cq_point(const char *name)
{
	const char *rest = about("CHRONQ_HOLD", name);
	bool mine = false;

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

static void set_fault(const char *name, int error, int skip, int count)
{
	snprintf(fail.name, sizeof fail.name, "%s", name ? name : "");
	fail.error = error;
	fail.skip = skip;
	fail.count = count;
	fail.asked_environment = true;
}

void cq_fault_set(const char *name, int error, int skip, int count)
{
	pthread_mutex_lock(&lock);
	set_fault(name, error, skip, count);
	pthread_mutex_unlock(&lock);
}

int cq_failpoint(const char *name)
{
	int r = 0;

	pthread_mutex_lock(&lock);
	if (!fail.asked_environment) {
		char which[40] = "";
		int error = 0, skip = 0, count = 1;
		const char *value = getenv("CHRONQ_FAIL");

		fail.asked_environment = true;
		if (value && sscanf(value, "%39[^:]:%d:%d:%d", which, &error, &skip, &count) >= 2)
			set_fault(which, error, skip, count);
	}
	if (fail.error != 0 && strcmp(fail.name, name) == 0) {
		if (fail.skip > 0) {
			fail.skip--;
		} else if (fail.count != 0) {
			if (fail.count > 0)
				fail.count--;
			r = -fail.error;
		}
	}
	pthread_mutex_unlock(&lock);
	return r;
}
