/* SPDX-License-Identifier: Apache-2.0 */
/* promote.c - chronq promote: makes a replica an ordinary queue */
#include <errno.h>
#include <stdio.h>

#include "shared/cli.h"

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)level;
	cli_note("%s: %s", (const char *)arg, message);
}

static int promote(char *dir, struct cq_config *config)
{
	int r;

	config->log = log_message;
	config->log_arg = dir;
	cli_await_release(dir);
	r = cq_promote(dir, config);
	if (r == -ENOLINK) {
		cli_note("%s: the queue is no replica", dir);
		return CLI_PROBLEM;
	}
	return r < 0 ? cli_fail(dir, r) : CLI_OK;
}

static int run_promote(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "trust-files", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct cq_config config;
	char *dir;
	int option;

	cq_config_init(&config);
	while ((option = cli_option(argc, argv, "th", options)) != -1) {
		if (option != 't')
			return cli_other_option(command, option);
		config.trust_files = true;
	}
	dir = cli_directory(argc, argv);
	return dir ? promote(dir, &config) : cli_usage(command);
}

const struct cli_command cli_promote = {
	.name = "promote",
	.arguments = "[-t] DIR",
	.summary = "Makes a replica an ordinary queue, which goes on behind its last record.",
	.help = "  -t, --trust-files  accept files that everybody may write to\n"
		"  -h, --help         this text\n"
		"\n"
		"Only records of its source are appended to a replica. After this command any\n"
		"writer may append to it, and none appends the source's records any more: the\n"
		"two queues go on with different records under the same numbers. Stop what fills\n"
		"the replica first. Exit code 1 if the queue is no replica.\n",
	.run = run_promote,
};
