/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c - see child.h
 *
 * The signals are blocked, and taken where this process waits: so none is lost between a look and the sleep behind it.
 * The child gets the mask back that this process began with.
 */
#include "archive/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cli.h"

#define TICK_MS 500

/* ---- words ---- */

/* The word with {} as the path and {/} as its last part, or NULL: no memory.  *found: it has one of them. */
static char *expand(const char *word, const char *path, bool *found)
{
	const char *name = strrchr(path, '/') + 1;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to) /* GCOV_EXCL_BR_LINE: no memory */
		return NULL;
	while (*word != '\0') {
		if (strncmp(word, "{}", 2) == 0) {
			(void)fputs(path, to);
			word += 2;
			*found = true;
		} else if (strncmp(word, "{/}", 3) == 0) {
			(void)fputs(name, to);
			word += 3;
			*found = true;
		} else {
			(void)putc(*word++, to);
		}
	}
	if (fclose(to) != 0) { /* GCOV_EXCL_BR_LINE: no memory */
		free(text);
		return NULL;
	}
	return text;
}

void cli_child_words_free(char **words)
{
	for (size_t i = 0; words[i]; i++)
		free(words[i]);
	free(words);
}

char **cli_child_words(char *const *command, size_t count, const char *path)
{
	char **words = calloc(count + 2, sizeof *words);
	bool found = false;

	if (!words) /* GCOV_EXCL_BR_LINE: no memory */
		return NULL;
	for (size_t i = 0; i < count; i++) {
		words[i] = expand(command[i], path, &found);
		if (!words[i]) { /* GCOV_EXCL_BR_LINE: no memory */
			cli_child_words_free(words);
			return NULL;
		}
	}
	if (!found)
		words[count] = strdup(path);
	return words;
}

/* ---- processes ---- */

static sigset_t taken, before;

static void take(int signal)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	(void)sigaction(signal, NULL, &action);
	if (action.sa_handler != SIG_IGN)
		(void)sigaddset(&taken, signal);
}

void cli_child_begin(void)
{
	(void)sigemptyset(&taken);
	take(SIGINT);
	take(SIGTERM);
	take(SIGHUP);
	/* where it is ignored, the status of a child is lost */
	(void)sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	(void)sigaddset(&taken, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &taken, &before);
}

/* Waits for one of the signals.  pid: of the child, which gets it; 0: there is none. */
static void wait_for_signal(unsigned ms, pid_t pid)
{
	const struct timespec span = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	siginfo_t info;

	if (sigtimedwait(&taken, &info, &span) < 0 || info.si_signo == SIGCHLD)
		return;
	cli_stopped = 1;
	/* of a terminal's keys the kernel tells the child, too */
	if (pid > 0 && info.si_code != SI_KERNEL)
		(void)kill(pid, info.si_signo);
}

void cli_child_pause(unsigned ms)
{
	wait_for_signal(ms, 0);
}

/* In the child.  Reports why it cannot run the program. */
static _Noreturn void become(char **argv, pid_t parent, int report)
{
	const int null = open("/dev/null", O_RDONLY);
	int error;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	/* it has died before prctl() */
	if (getppid() != parent) /* GCOV_EXCL_BR_LINE: at no other moment than this one */
		_exit(1);
	if (null > STDIN_FILENO) { /* GCOV_EXCL_BR_LINE: no descriptor is left */
		(void)dup2(null, STDIN_FILENO);
		(void)close(null);
	}
	(void)execvp(argv[0], argv);
	error = -errno;
	(void)!write(report, &error, sizeof error);
	_exit(127);
}

/* The program runs: 0 with the process.  Else why not. */
static int start(char **argv, pid_t *ret_pid)
{
	const pid_t parent = getpid();
	int ends[2], error = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become(argv, parent, ends[1]);
	if (pid < 0)
		error = -errno;
	(void)close(ends[1]);
	/* ends without a byte when exec closes it */
	if (pid > 0 && read(ends[0], &error, sizeof error) == sizeof error)
		(void)waitpid(pid, NULL, 0);
	(void)close(ends[0]);
	if (error == 0)
		*ret_pid = pid;
	return error;
}

int cli_child_run(char **argv, void (*tick)(void *arg), void *arg, int *ret_status)
{
	pid_t pid = 0;
	int r;

	r = start(argv, &pid);
	if (r < 0)
		return r;
	while ((r = waitpid(pid, ret_status, WNOHANG)) == 0) {
		wait_for_signal(TICK_MS, pid);
		tick(arg);
	}
	return r < 0 ? -errno : 0;
}
