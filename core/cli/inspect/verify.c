/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - chronq verify: checks a whole queue */
#include <inttypes.h>
#include <stdio.h>

#include "shared/cli.h"

static void print_finding(void *arg, const struct cq_finding *finding)
{
	const bool *quiet = arg;

	if (*quiet && !finding->damage)
		return;
	cli_meter_clear(); /* standard output may be the same terminal */
	fputs(finding->damage ? "damage: " : "note: ", stdout);
	if (finding->segment != UINT32_MAX)
		printf("segment %09" PRIu32 " offset %" PRIu64 ": ", finding->segment,
		       finding->offset);
	puts(finding->text);
}

static void print_summary(const struct cq_verify_result *result)
{
	printf("%s: %" PRIu64 " segments, %" PRIu64 " records, %" PRIu64
	       " payload bytes: damage %" PRIu64 ", notes %" PRIu64,
	       result->damage == 0 ? "sound" : "damaged", result->segments, result->records,
	       result->payload_bytes, result->damage, result->information);
	if (result->gaps > 0)
		printf("; gaps %" PRIu64 " of %" PRIu64 " records", result->gaps,
		       result->gap_records);
	putchar('\n');
}

static int verify(char *dir, bool quiet)
{
	const struct cq_verify_config config = {
		.size = sizeof config,
		.finding = print_finding,
		.finding_arg = &quiet,
		.progress = cli_progress,
		.progress_arg = dir,
	};
	struct cq_verify_result result = CQ_SIZED(result);
	int r;

	cli_output_begin();
	r = cq_verify_with(dir, &config, &result);
	if (r < 0)
		return cli_output_end(cli_fail(dir, r));
	if (!quiet)
		print_summary(&result);
	return cli_output_end(result.damage == 0 ? CLI_OK : CLI_PROBLEM);
}

static int run_verify(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool quiet = false;
	char *dir;
	int option;

	while ((option = cli_option(argc, argv, "qh", options)) != -1) {
		switch (option) {
		case 'q':
			quiet = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	return dir ? verify(dir, quiet) : cli_usage(command);
}

const struct cli_command cli_verify = {
	.name = "verify",
	.arguments = "[-q] DIR",
	.summary = "Checks every header, checksum, sequence number, seal, index and position.",
	.help = "  -q, --quiet      lines for damage only: no notes, no summary\n"
		"  -h, --help       this text\n"
		"\n"
		"A line per finding, then a summary. \"damage\" means that something is lost or\n"
		"wrong, \"note\" that it is worth knowing: leftovers of a killed writer, sequence\n"
		"numbers that chronicle-rs restarted, bytes that recovery has set aside. A writer\n"
		"may run meanwhile: the records that it had committed at the start are checked.\n"
		"Exit code 1 if there is damage.\n",
	.run = run_verify,
};
