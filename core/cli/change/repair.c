/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c - chronq repair: repairs a damaged queue, or prints the steps of that */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "shared/cli.h"

static const char *const actions[] = {
	[CQ_REPAIR_REMOVE] = "remove",     [CQ_REPAIR_SET_ASIDE] = "set aside",
	[CQ_REPAIR_CUT] = "cut",           [CQ_REPAIR_SEAL] = "seal",
	[CQ_REPAIR_STAND_IN] = "stand in", [CQ_REPAIR_MAKE] = "make",
	[CQ_REPAIR_INDEX] = "index",       [CQ_REPAIR_REWRITE] = "rewrite",
	[CQ_REPAIR_LOSS] = "lost",
};

static void print_lost(const struct cq_repair_step *step)
{
	if (step->first_seq == UINT64_MAX && step->last_seq == UINT64_MAX)
		printf("records of unknown number");
	else if (step->first_seq == UINT64_MAX)
		printf("records up to %" PRIu64, step->last_seq);
	else if (step->last_seq == UINT64_MAX)
		printf("records from %" PRIu64 " on", step->first_seq);
	else
		printf("records %" PRIu64 " to %" PRIu64, step->first_seq, step->last_seq);
}

static void print_step(void *arg, const struct cq_repair_step *step)
{
	(void)arg;
	printf("%s: ", actions[step->action]);
	if (step->action == CQ_REPAIR_LOSS) {
		print_lost(step);
		if (step->bytes > 0)
			printf(", %" PRIu64 " payload bytes,", step->bytes);
		printf(" %s\n", step->text);
		return;
	}
	fputs(step->file, stdout);
	if (step->action == CQ_REPAIR_CUT)
		printf(" from offset %" PRIu64 " on", step->offset);
	if (step->action == CQ_REPAIR_CUT || step->action == CQ_REPAIR_SET_ASIDE)
		printf(", %" PRIu64 " bytes", step->bytes);
	printf(": %s\n", step->text);
}

static json_t *number(uint64_t value)
{
	return value > INT64_MAX ? json_null() : json_integer((json_int_t)value);
}

static void print_object(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
	putchar('\n');
}

static void print_step_json(void *arg, const struct cq_repair_step *step)
{
	json_t *object =
		json_pack("{s:s,s:s}", "action", actions[step->action], "file", step->file);

	(void)arg;
	if (step->action == CQ_REPAIR_CUT)
		json_object_set_new(object, "offset", number(step->offset));
	if (step->action == CQ_REPAIR_LOSS) {
		json_object_set_new(object, "first_seq", number(step->first_seq));
		json_object_set_new(object, "last_seq", number(step->last_seq));
	}
	if (step->action == CQ_REPAIR_CUT || step->action == CQ_REPAIR_SET_ASIDE || step->bytes > 0)
		json_object_set_new(object, "bytes", number(step->bytes));
	json_object_set_new(object, "why", json_string(step->text));
	print_object(object);
}

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)arg;
	if (level != CQ_NOTICE)
		cli_note("%s", message);
}

/* For the summary line. */
static const char *outcome(const struct cq_repair_result *result, uint64_t damage)
{
	if (result->refused)
		return "not repaired";
	if (!result->done)
		return result->steps > 0 ? "would be repaired" : damage > 0 ? "damaged" : "sound";
	return damage > 0 ? "still damaged" : "repaired";
}

static int repair(char *dir, const struct cq_repair_config *config, bool json)
{
	const struct cq_verify_config verifying = { .size = sizeof verifying,
		                                    .progress = cli_progress,
		                                    .progress_arg = dir };
	struct cq_verify_result verified = CQ_SIZED(verified);
	struct cq_repair_result result = CQ_SIZED(result);
	bool at_rest;
	int r;

	cli_output_begin();
	cli_await_release(dir);
	r = cq_repair(dir, config, &result);
	/* verification finds damage that a repair cannot correct */
	at_rest = r == 0 && (result.done || result.steps + result.losses == 0);
	if (at_rest)
		r = cq_verify_with(dir, &verifying, &verified);
	if (r < 0)
		return cli_output_end(cli_fail(dir, r));
	if (json)
		print_object(json_pack(
			"{s:s,s:I,s:I,s:I,s:I}", "outcome", outcome(&result, verified.damage),
			"steps", (json_int_t)result.steps, "losses", (json_int_t)result.losses,
			"bytes", (json_int_t)result.bytes, "damage", (json_int_t)verified.damage));
	else
		printf("%s: steps %" PRIu64 ", losses %" PRIu64 ", bytes set aside %" PRIu64 "\n",
		       outcome(&result, verified.damage), result.steps, result.losses,
		       result.bytes);
	if (result.refused)
		cli_note("%s: records would be lost; nothing was changed (see --accept-loss)", dir);
	if (verified.damage > 0)
		cli_note("%s: damage that cannot be repaired (see chronq verify)", dir);
	return cli_output_end(at_rest && verified.damage == 0 ? CLI_OK : CLI_PROBLEM);
}

static int run_repair(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "accept-loss", no_argument, NULL, 'a' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "trust-files", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct cq_repair_config config = { .size = sizeof config,
		                           .step = print_step,
		                           .log = log_message,
		                           .progress = cli_progress };
	bool json = false;
	char *dir;
	int option;

	while ((option = cli_option(argc, argv, "anjth", options)) != -1) {
		switch (option) {
		case 'a':
			config.accept_loss = true;
			break;
		case 'n':
			config.dry_run = true;
			break;
		case 'j':
			json = true;
			config.step = print_step_json;
			break;
		case 't':
			config.trust_files = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	config.progress_arg = dir;
	return dir ? repair(dir, &config, json) : cli_usage(command);
}

const struct cli_command cli_repair = {
	.name = "repair",
	.arguments = "[-n] [-a] [-t] [--json] DIR",
	.summary = "Repairs a damaged queue that no writer has open.",
	.help = "  -n, --dry-run      print the steps and the losses; change nothing\n"
		"  -a, --accept-loss  repair although durable records are damaged or missing\n"
		"  -t, --trust-files  accept files that everybody may write to\n"
		"  -j, --json         one JSON object per line: action, file, why, and offset,\n"
		"                     bytes, first_seq, last_seq if they apply\n"
		"  -h, --help         this text\n"
		"\n"
		"A line per step, then a summary. No file with records is deleted: bytes behind\n"
		"the last sound record go to NNNNNNNNN.q.broken, segments that have lost records\n"
		"to NNNNNNNNN.q.corrupt. An empty placeholder replaces each of these segments\n"
		"that others follow. Exit code 1 if something is left to do: a dry run that has\n"
		"found anything, a loss that was not accepted, damage that remains.\n",
	.run = run_repair,
};
