/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_main.c - chronq fetch: the command line */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/fetch.h"
#include "shared/cli.h"

enum {
	OPTION_FROM = SHIP_OPTION_OWN,
	OPTION_SYNC,
	OPTION_SPARES,
	OPTION_RETAIN_SEGMENTS,
	OPTION_RETAIN_BYTES,
	OPTION_RETAIN_AGE,
	OPTION_READER_TTL,
	OPTION_READER_MAX_LAG,
	OPTION_MAX_BYTES,
	OPTION_ACCEPT_LOSS,
};

static bool parse_count(const char *text, uint64_t most, uint64_t *ret_count)
{
	const char *rest;

	return cli_parse_number(text, &rest, ret_count) && *rest == '\0' && *ret_count > 0 &&
	       *ret_count <= most;
}

static bool parse_size(const char *text, uint64_t *ret_size)
{
	return cli_parse_size(text, ret_size) && *ret_size > 0;
}

/* As sync= of a mount. */
static bool parse_sync(const char *text, struct cq_config *config)
{
	uint64_t ms;

	if (strcmp(text, "none") == 0) {
		config->sync = CQ_SYNC_NONE;
	} else if (strcmp(text, "always") == 0) {
		config->sync = CQ_SYNC_ALWAYS;
	} else if (strncmp(text, "interval=", 9) == 0 && parse_count(text + 9, UINT32_MAX, &ms)) {
		config->sync = CQ_SYNC_INTERVAL;
		config->sync_interval_ms = (uint32_t)ms;
	} else {
		return false;
	}
	return true;
}

static bool parse_from(const char *text, struct fetch_options *options)
{
	const char *rest;

	options->have_from = strcmp(text, "oldest") != 0;
	return !options->have_from || (cli_parse_number(text, &rest, &options->from) &&
	                               *rest == '\0' && options->from < WIRE_COUNT_MAX);
}

/* False: the value is none. */
static bool take_option(struct fetch_options *options, int option)
{
	struct cq_config *config = &options->config;
	uint64_t count;

	switch (option) {
	case OPTION_FROM:
		return parse_from(optarg, options);
	case 's':
		return parse_size(optarg, &config->segment_size);
	case OPTION_SYNC:
		return parse_sync(optarg, config);
	case OPTION_SPARES:
		if (!parse_count(optarg, CQ_SPARES_MAX, &count))
			return false;
		config->spares = (uint32_t)count;
		return true;
	case OPTION_RETAIN_SEGMENTS:
		return parse_count(optarg, UINT64_MAX, &config->retain_segments);
	case OPTION_RETAIN_BYTES:
		return parse_size(optarg, &config->retain_bytes);
	case OPTION_RETAIN_AGE:
		return ship_parse_span(optarg, &config->retain_age_ms);
	case OPTION_READER_TTL:
		return ship_parse_span(optarg, &config->reader_ttl_ms);
	case OPTION_READER_MAX_LAG:
		return parse_size(optarg, &config->reader_max_lag_bytes);
	case OPTION_MAX_BYTES:
		return parse_size(optarg, &config->max_bytes);
	case OPTION_ACCEPT_LOSS:
		config->accept_loss = true;
		return true;
	case 't':
		config->trust_files = true;
		return true;
	default:
		return ship_option(&options->ship, option);
	}
}

static const struct option long_options[] = {
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "segment-size", required_argument, NULL, 's' },
	{ "sync", required_argument, NULL, OPTION_SYNC },
	{ "spares", required_argument, NULL, OPTION_SPARES },
	{ "retain-segments", required_argument, NULL, OPTION_RETAIN_SEGMENTS },
	{ "retain-bytes", required_argument, NULL, OPTION_RETAIN_BYTES },
	{ "retain-age", required_argument, NULL, OPTION_RETAIN_AGE },
	{ "reader-ttl", required_argument, NULL, OPTION_READER_TTL },
	{ "reader-max-lag", required_argument, NULL, OPTION_READER_MAX_LAG },
	{ "max-bytes", required_argument, NULL, OPTION_MAX_BYTES },
	{ "accept-loss", no_argument, NULL, OPTION_ACCEPT_LOSS },
	{ "trust-files", no_argument, NULL, 't' },
	SHIP_OPTIONS,
	{ 0 },
};

static int run_fetch(const struct cli_command *command, int argc, char **argv)
{
	struct fetch_options options = { .have_from = false };
	int option, status;

	cq_config_init(&options.config);
	while ((option = cli_option(argc, argv, "s:th", long_options)) != -1) {
		if (option == 'h' || option == '?')
			return cli_other_option(command, option);
		if (!take_option(&options, option)) {
			ship_bad_value(long_options, option);
			return cli_usage(command);
		}
	}
	if (argc - optind != 2) {
		cli_note("a URL and a queue's directory are expected");
		return cli_usage(command);
	}
	if (!ship_url(&options.ship, argv[optind]))
		return cli_usage(command);
	options.dir = argv[optind + 1];
	status = fetch_run(&options);
	ship_options_free(&options.ship);
	return status;
}

static const struct cli_command fetch_command = {
	.name = "fetch",
	.arguments = "[OPTION]... nats://HOST[,HOST...]/STREAM DIR",
	.summary = "Fills a replica of a queue from a stream that chronq ship fills.",
	.help = "      --from oldest|SEQ  where a new replica begins: at the stream's first record\n"
		"                         (default), or at the record with this number\n"
		"      --once             end when the replica has what the stream had at the start\n"
		"      --accept-gap       where records are lost, continue behind them: the replica\n"
		"                         gets a counted gap\n" SHIP_OPTIONS_HELP
		"  -s, --segment-size N   bytes of a segment file of a new replica (default: as the\n"
		"                         source)\n"
		"      --sync MODE        none (default), interval=MS or always, as of a mount\n"
		"      --spares N         segments that are prepared ahead, 1 to 8\n"
		"      --retain-segments N, --retain-bytes SIZE, --retain-age SPAN\n"
		"                         delete the oldest segments of the replica while it has\n"
		"                         more than this\n"
		"      --reader-ttl SPAN, --reader-max-lag SIZE\n"
		"                         for how long, and how far, named readers keep segments\n"
		"      --max-bytes SIZE   wait while the replica's segments take more\n"
		"      --accept-loss      open a damaged replica: what is lost is fetched again\n"
		"  -t, --trust-files      accept files that everybody may write to\n"
		"  -h, --help             this text\n"
		"\n"
		"SIZE is N, NK, NM or NG; SPAN is N or Ns (seconds), Nm, Nh or Nd. The replica\n"
		"is made if there is none; an existing one continues behind its last record. All\n"
		"readers, and chronfs -o ro, read it meanwhile. SIGTERM and SIGINT end it. It\n"
		"waits for servers that do not answer, and for room.\n"
		"Exit codes: 0 done; 2 wrong usage; 3 cannot open, read or write; 4 no such\n"
		"stream; 5 the stream is another queue's; 6 the replica's last record is another\n"
		"one in the stream; 7 the next records are no more in the stream; 8 a message is\n"
		"damaged or lost; 9 the queue is no replica of this source (chronq promote).\n",
	.run = run_fetch,
};

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("chronq-fetch %s\n", cq_version());
		return CLI_OK;
	}
	return fetch_command.run(&fetch_command, argc, argv);
}
