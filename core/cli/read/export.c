/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - chronq export: the records of a queue as JSON lines, for chronq import */
#include "read/cat.h"

static int run_export(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	const struct cli_style style = { .json = true, .exact = true };
	const char *dir;
	int option;

	option = cli_option(argc, argv, "h", options);
	if (option != -1)
		return cli_other_option(command, option);
	dir = cli_directory(argc, argv);
	return dir ? cli_cat_all(dir, "exporting", &style) : cli_usage(command);
}

const struct cli_command cli_export = {
	.name = "export",
	.arguments = "DIR",
	.summary = "Writes all records as JSON lines, from which import makes the same queue.",
	.help = "  -h, --help       this text\n"
		"\n"
		"A line per record, as cat --json writes it, with the record's place in the\n"
		"stream of payloads: seq, time_ns, type, length, stream_offset, and payload, or\n"
		"payload_base64 where it is not UTF-8. Numbers above 2^63 - 1 are in quotation\n"
		"marks. Leaves out missing or damaged records, with a message and exit code 1.\n",
	.run = run_export,
};
