/* SPDX-License-Identifier: Apache-2.0 */
/* ship_main.c - chronq ship: the command line */
#include <stdio.h>
#include <string.h>

#include "check/check.h"
#include "shared/cli.h"
#include "ship/ship.h"

#define FRAME_MIN 1024U
#define FRAME_MAX (64U << 20)

enum {
	OPTION_CREATE = SHIP_OPTION_OWN,
	OPTION_CHECK,
	OPTION_FRAME,
	OPTION_PER_RECORD,
	OPTION_VISIBLE,
	OPTION_KEEP_ACKED,
	OPTION_REPLICAS,
	OPTION_MAX_BYTES,
	OPTION_MAX_AGE,
};

static const struct option long_options[] = {
	{ "create", no_argument, NULL, OPTION_CREATE },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "frame", required_argument, NULL, OPTION_FRAME },
	{ "per-record", no_argument, NULL, OPTION_PER_RECORD },
	{ "visible", no_argument, NULL, OPTION_VISIBLE },
	{ "keep-acked", required_argument, NULL, OPTION_KEEP_ACKED },
	{ "replicas", required_argument, NULL, OPTION_REPLICAS },
	{ "max-bytes", required_argument, NULL, OPTION_MAX_BYTES },
	{ "max-age", required_argument, NULL, OPTION_MAX_AGE },
	SHIP_OPTIONS,
	{ 0 },
};

static bool parse_replicas(const char *text, int *ret_replicas)
{
	const char *rest;
	uint64_t number;

	if (!cli_parse_number(text, &rest, &number) || *rest != '\0' || number < 1 || number > 5)
		return false;
	*ret_replicas = (int)number;
	return true;
}

/* False: the value is none. */
static bool take_option(struct ship_settings *settings, int option)
{
	switch (option) {
	case OPTION_CREATE:
		settings->create = true;
		return true;
	case OPTION_CHECK:
		settings->check = true;
		return true;
	case OPTION_FRAME:
		settings->have_format = true;
		return cli_parse_size(optarg, &settings->frame_size) &&
		       settings->frame_size >= FRAME_MIN && settings->frame_size <= FRAME_MAX;
	case OPTION_PER_RECORD:
		settings->per_record = settings->have_format = true;
		return true;
	case OPTION_VISIBLE:
		settings->visible = true;
		return true;
	case OPTION_KEEP_ACKED:
		settings->have_keep = true;
		if (strcmp(optarg, "0") == 0) {
			settings->keep_ms = 0;
			return true;
		}
		return ship_parse_span(optarg, &settings->keep_ms);
	case OPTION_REPLICAS:
		return parse_replicas(optarg, &settings->replicas);
	case OPTION_MAX_BYTES:
		return cli_parse_size(optarg, &settings->max_bytes) && settings->max_bytes > 0 &&
		       settings->max_bytes <= INT64_MAX;
	case OPTION_MAX_AGE:
		return ship_parse_span(optarg, &settings->max_age_ms);
	default:
		return ship_option(&settings->ship, option);
	}
}

/* After all options.  False, after a message: they do not go together. */
static bool complete(struct ship_settings *settings)
{
	if (settings->per_record && settings->frame_size != 0) {
		cli_note("--frame does not go with --per-record");
		return false;
	}
	if (!settings->create &&
	    (settings->replicas != 0 || settings->max_bytes != 0 || settings->max_age_ms != 0)) {
		cli_note("--replicas, --max-bytes and --max-age are for --create");
		return false;
	}
	if (settings->check &&
	    (settings->create || settings->have_format || settings->have_keep ||
	     settings->ship.once || settings->ship.accept_gap || settings->ship.status)) {
		cli_note(
			"--check changes nothing: of the other options it takes --visible and those of the connection");
		return false;
	}
	if (settings->replicas == 0)
		settings->replicas = 1;
	if (!settings->have_keep)
		settings->keep_ms = settings->ship.once ? 0 : SHIP_KEEP_MS;
	return true;
}

static int check(const struct ship_settings *settings)
{
	const struct check_options options = {
		.dir = settings->dir,
		.ship = &settings->ship,
		.visible = settings->visible,
	};

	return check_run(&options);
}

static int run_ship(const struct cli_command *command, int argc, char **argv)
{
	struct ship_settings settings = { .create = false };
	int option, status;

	while ((option = cli_option(argc, argv, "h", long_options)) != -1) {
		if (option == 'h' || option == '?')
			return cli_other_option(command, option);
		if (!take_option(&settings, option)) {
			ship_bad_value(long_options, option);
			return cli_usage(command);
		}
	}
	if (argc - optind != 2) {
		cli_note("a queue's directory and a URL are expected");
		return cli_usage(command);
	}
	if (!complete(&settings) || !ship_url(&settings.ship, argv[optind + 1]))
		return cli_usage(command);
	settings.dir = argv[optind];
	status = settings.check ? check(&settings) : ship_run(&settings);
	ship_options_free(&settings.ship);
	return status;
}

static const struct cli_command ship_command = {
	.name = "ship",
	.arguments = "[OPTION]... DIR nats://HOST[,HOST...]/STREAM",
	.summary =
		"Sends the records of a queue to a stream of NATS JetStream, each once and in order.",
	.help = "      --create           make the stream if there is none, with\n"
		"      --replicas N       copies on so many servers, 1 (default) to 5\n"
		"      --max-bytes SIZE   at most so large: a full stream takes no more records\n"
		"      --max-age SPAN     messages are deleted when they are so old\n"
		"      --frame SIZE       many records in a message, which has so many bytes at most,\n"
		"                         1K to 64M (default, 64K)\n"
		"      --per-record       one record in a message\n"
		"      --visible          do not wait until records are durable in the queue\n"
		"      --keep-acked SPAN  let the queue keep records until they were acknowledged so\n"
		"                         long ago (default 10m, with --once 0)\n"
		"      --once             end when what was in the queue at the start is\n"
		"                         acknowledged\n"
		"      --accept-gap       where records are missing or damaged, say so in the stream\n"
		"                         and ship the rest\n"
		"      --check            send nothing; compare the stream with the queue, record by\n"
		"                         record, and print which are the same, different, or only in\n"
		"                         one of both. Exit code 1 if the stream is not as it should\n"
		"                         be. DIR may be a replica, too\n" SHIP_OPTIONS_HELP
		"  -h, --help             this text\n"
		"\n"
		"SIZE is N, NK, NM or NG; SPAN is N or Ns (seconds), Nm, Nh or Nd. The stream says\n"
		"where to continue. The named reader ship keeps what is not acknowledged from\n"
		"being deleted. SIGTERM and SIGINT end it. It waits for servers that do not\n"
		"answer, and for room in the stream.\n"
		"Exit codes: 0 done; 1 --check has found a difference; 2 wrong usage; 3 cannot\n"
		"open, read or write; 4 no such stream; 5 the stream is another queue's; 6 its last\n"
		"record is another one than the queue's; 7 the next records are no more in the\n"
		"queue; 8 a record of the queue is damaged or missing.\n",
	.run = run_ship,
};

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("chronq-ship %s\n", cq_version());
		return CLI_OK;
	}
	return ship_command.run(&ship_command, argc, argv);
}
