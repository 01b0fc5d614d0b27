/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - chronq: finds the subcommand and runs it */
#include <stdio.h>
#include <string.h>

#include "libexec.h"
#include "shared/cli.h"

static const struct cli_command *const commands[] = {
	&cli_append, &cli_archive, &cli_cat,     &cli_export,  &cli_fetch,  &cli_import,
	&cli_info,   &cli_ls,      &cli_promote, &cli_readers, &cli_repair, &cli_roll,
	&cli_ship,   &cli_stat,    &cli_tail,    &cli_trim,    &cli_verify,
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(FILE *to)
{
	fputs("Usage: chronq COMMAND [OPTION]... DIR\n"
	      "Inspects, reads, appends to and repairs a queue: a directory of segment files.\n"
	      "\n",
	      to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n"
	      "  chronq help COMMAND     the options of one command, as COMMAND --help\n"
	      "  chronq --version\n"
	      "\n"
	      "Only append, fetch, import, promote, repair, roll and trim change the directory, and\n"
	      "named readers their position. All others also work while a writer runs; roll and\n"
	      "trim do if that is a mount.\n"
	      "Exit codes: 0 done; 1 a problem was found; 2 wrong usage; 3 cannot open, read or "
	      "write.\n"
	      "ship and fetch have more.\n",
	      to);
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i];
	return NULL;
}

static int refuse_command(const char *name)
{
	cli_note("no such command: %s", name);
	fputs("Try 'chronq --help'.\n", stderr);
	return CLI_USAGE;
}

/* chronq help COMMAND does what chronq COMMAND --help does. */
static int help_with(char *name)
{
	const struct cli_command *command = find_command(name);
	char option[] = "--help", *arguments[] = { name, option, NULL };

	return command ? command->run(command, 2, arguments) : refuse_command(name);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct cli_command *command;

	if (strcmp(name, "help") == 0 && argc > 2)
		return help_with(argv[2]);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_usage(stdout);
		return cli_output_end(CLI_OK);
	}
	if (strcmp(name, "--version") == 0) {
		printf("chronq %s\n", cq_version());
		return cli_output_end(CLI_OK);
	}
	if (argc < 2) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	command = find_command(name);
	return command ? command->run(command, argc - 1, argv + 1) : refuse_command(name);
}
