/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libexec.c - see libexec.h
 *
 * The program is looked for in ship/ beside chronq itself, where a build has it, and then where it is installed
 * (CHRONQ_LIBEXEC).  PATH is not searched: it is no command of its own.
 */
#include "libexec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

/* Becomes the program in this folder.  Returns why it could not. */
static int become(const char *folder, char **argv)
{
	char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof path, "%s/%s", folder, argv[0]);
	(void)execv(path, argv);
	return -errno;
}

/* ship/ in the folder of this program. */
static bool find_own(char folder[PATH_MAX + 8])
{
	const ssize_t length = readlink(SELF, folder, PATH_MAX);
	char *end;

	if (length <= 0 || length == PATH_MAX) /* GCOV_EXCL_BR_LINE: only without /proc */
		return false;
	folder[length] = '\0';
	end = strrchr(folder, '/');
	if (!end) /* GCOV_EXCL_BR_LINE: the kernel's path has one */
		return false;
	(void)strcpy(end, "/ship");
	return true;
}

static int run_program(const struct cli_command *command, int argc, char **argv)
{
	char folder[PATH_MAX + 8], name[32];
	int r = -ENOENT;

	(void)argc;
	(void)snprintf(name, sizeof name, "chronq-%s", command->name);
	argv[0] = name;
	if (find_own(folder)) /* GCOV_EXCL_BR_LINE: see there */
		r = become(folder, argv);
	if (r == -ENOENT || r == -ENOTDIR)
		r = become(CHRONQ_LIBEXEC, argv);
	if (r == -ENOENT)
		cli_note("chronq %s needs the package chronq-nats: there is no %s/%s",
		         command->name, CHRONQ_LIBEXEC, name);
	else
		cli_note("cannot run %s: %s", name, strerrordesc_np(-r));
	return CLI_IO;
}

const struct cli_command cli_fetch = {
	.name = "fetch",
	.summary = "Fills a queue, a replica, from a stream of NATS servers.",
	.run = run_program,
};

const struct cli_command cli_ship = {
	.name = "ship",
	.summary = "Copies the records of a queue to a stream of NATS servers.",
	.run = run_program,
};
