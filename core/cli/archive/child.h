/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - runs a command, and passes on the signals that end it
 *
 * The signals SIGINT, SIGTERM and SIGHUP are taken by these functions alone, between cli_child_begin() and the end of
 * the process: they set cli_stopped, and a command that runs gets them.  One that was ignored when the process began
 * stays ignored.
 */
#ifndef CHRONQ_CHILD_H
#define CHRONQ_CHILD_H

#include <stddef.h>

/* The words of a command for this file: {} is its path, which has a /, and {/} the last part of that; with neither the
 * path is one more word.  NULL at their end.  NULL: no memory. */
char **cli_child_words(char *const *command, size_t count, const char *path);
void cli_child_words_free(char **words);

void cli_child_begin(void);

/*
 * Runs the program argv[0], which is searched for in PATH, with standard input from /dev/null, and waits for its end.
 * Meanwhile calls tick(arg) twice a second.  If this process dies before the command does, the command gets SIGTERM.
 * 0 with the status of waitpid(2) in *ret_status, or why the program was not started.
 */
int cli_child_run(char **argv, void (*tick)(void *arg), void *arg, int *ret_status);

/* Sleeps for so long, or until one of the signals comes. */
void cli_child_pause(unsigned ms);

#endif
