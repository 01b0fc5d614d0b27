/* SPDX-License-Identifier: Apache-2.0 */
/* readers.c - chronq readers: lists the named readers of a queue, sets and deletes them */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"
#include "shared/time.h"

/* ---- list ---- */

struct names {
	char (*names)[CQ_READER_NAME_MAX + 1];
	size_t count, room;
	bool failed; /* no memory */
};

/* A cq_reader_visit_fn. */
static void add_name(void *arg, const struct cq_reader_position *position)
{
	struct names *list = arg;
	const size_t room = list->room > 0 ? 2 * list->room : 16;

	if (list->count == list->room) {
		void *grown = reallocarray(list->names, room, sizeof *list->names);

		if (!grown) { /* GCOV_EXCL_BR_LINE: no memory */
			list->failed = true;
			return;
		}
		list->names = grown;
		list->room = room;
	}
	memcpy(list->names[list->count++], position->name, sizeof position->name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void print_head(void)
{
	puts("name                   next seq   segment     offset  lag re"
	     "cords      lag bytes  last seen                       used by");
}

static void print_row(const char *name, const struct cq_reader_info *info)
{
	char seq[24] = "-", lag[24] = "-", pid[24] = "-", time[CLI_TIME_MAX] = "-";

	if (info->have_seq)
		snprintf(seq, sizeof seq, "%" PRIu64, info->seq);
	if (info->have_lag_records)
		snprintf(lag, sizeof lag, "%" PRIu64, info->lag_records);
	if (info->heartbeat_ns != 0)
		cli_format_time(time, info->heartbeat_ns);
	if (info->in_use && info->pid != 0)
		snprintf(pid, sizeof pid, "%d", (int)info->pid);
	else if (info->in_use)
		snprintf(pid, sizeof pid, "unknown");
	printf("%-16s %14s %09" PRIu32 " %10" PRIu64 " %12s %14" PRIu64 "  %-30s  %s\n", name, seq,
	       info->segment, info->offset, lag, info->lag_bytes, time, pid);
}

/* By hand, as records are: jansson's numbers are signed, and a name needs no escaping. */
static void print_json(const char *name, const struct cq_reader_info *info)
{
	printf("{\"name\":\"%s\",\"segment\":%" PRIu32 ",\"offset\":%" PRIu64
	       ",\"lag_bytes\":%" PRIu64,
	       name, info->segment, info->offset, info->lag_bytes);
	if (info->have_seq)
		printf(",\"next_seq\":%" PRIu64, info->seq);
	if (info->have_lag_records)
		printf(",\"lag_records\":%" PRIu64, info->lag_records);
	if (info->next_time_ns != 0)
		printf(",\"next_time_ns\":%" PRIu64, info->next_time_ns);
	printf(",\"last_seen_ns\":%" PRIu64 ",\"missing\":%s,\"in_use\":%s", info->heartbeat_ns,
	       info->missing ? "true" : "false", info->in_use ? "true" : "false");
	if (info->pid != 0)
		printf(",\"pid\":%d", (int)info->pid);
	puts("}");
}

static int list(const char *dir, bool json)
{
	struct cq_reader_info info = CQ_SIZED(info);
	struct names list = { 0 };
	int status = CLI_OK, r;
	cq_queue *queue;

	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	r = cq_queue_readers(queue, add_name, &list);
	if (r == 0 && list.failed) /* GCOV_EXCL_BR_LINE: no memory */
		r = -ENOMEM;
	if (r < 0)
		status = cli_fail(dir, r);
	else if (list.count > 0)
		qsort(list.names, list.count, sizeof *list.names, by_name);
	cli_output_begin();
	if (r == 0 && !json)
		print_head();
	for (size_t i = 0; i < list.count && status == CLI_OK; i++) {
		r = cq_queue_reader(queue, list.names[i], &info);
		if (r == -ENOENT) /* deleted meanwhile */
			continue;
		if (r < 0)
			status = cli_fail_reader(dir, list.names[i], r);
		else if (json)
			print_json(list.names[i], &info);
		else
			print_row(list.names[i], &info);
		if (r == 0 && info.missing)
			cli_note("%s: reader %s: records before its next one are gone", dir,
			         list.names[i]);
	}
	free(list.names);
	cq_queue_close(queue);
	return cli_output_end(status);
}

/* ---- changes ---- */

/* Where a reader is to be set. */
struct target {
	const char *name;
	const char *text;
	enum cq_place place;
	uint64_t value;
};

static bool parse_place(struct target *target)
{
	const char *text = target->text, *rest, *why;

	target->place = CQ_PLACE_SEQ;
	if (strcmp(text, "oldest") == 0)
		target->place = CQ_PLACE_OLDEST;
	else if (strcmp(text, "latest") == 0)
		target->place = CQ_PLACE_LATEST;
	else if (!cli_parse_number(text, &rest, &target->value) || *rest != '\0') {
		target->place = CQ_PLACE_TIME;
		why = cli_parse_time(text, cli_now_ns(), CLI_TWICE_FIRST, &target->value);
		if (why) {
			cli_note("not a sequence number, oldest, latest or a time: %s: %s%s", text,
			         why, cli_time_examples(why));
			return false;
		}
	}
	return true;
}

static int set(const char *dir, const struct target *target)
{
	struct cq_reader_info info = CQ_SIZED(info);
	cq_queue *queue;
	int r;

	r = cq_reader_set(dir, target->name, target->place, target->value);
	if (r < 0)
		return cli_fail_reader(dir, target->name, r);
	if (cq_queue_open(dir, &queue) < 0)
		return CLI_OK;
	if (cq_queue_reader(queue, target->name, &info) == 0 && info.have_seq)
		cli_note("%s: reader %s: the next record is %" PRIu64 "%s", dir, target->name,
		         info.seq, info.next_time_ns == 0 ? ", when it is appended" : "");
	cq_queue_close(queue);
	return CLI_OK;
}

static int delete (const char *dir, const char *name)
{
	const int r = cq_reader_delete(dir, name);

	return r < 0 ? cli_fail_reader(dir, name, r) : CLI_OK;
}

static int run_readers(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "set", required_argument, NULL, 's' },
		{ "delete", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *dir, *deleted = NULL;
	struct target target = { 0 };
	bool json = false;
	int option;

	while ((option = cli_option(argc, argv, "js:d:h", options)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 's':
			/* its second value is the next argument */
			target.name = optarg;
			target.text = optind < argc ? argv[optind++] : "";
			if (!parse_place(&target))
				return cli_usage(command);
			break;
		case 'd':
			deleted = optarg;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	if ((target.name != NULL) + (deleted != NULL) + json > 1) {
		cli_note("only one of --json, --set and --delete");
		return cli_usage(command);
	}
	dir = cli_directory(argc, argv);
	if (!dir)
		return cli_usage(command);
	if (target.name)
		return set(dir, &target);
	return deleted ? delete (dir, deleted) : list(dir, json);
}

const struct cli_command cli_readers = {
	.name = "readers",
	.arguments = "[--json | --set NAME PLACE | --delete NAME] DIR",
	.summary = "Lists, sets or deletes the named readers of a queue.",
	.help = "  -s, --set NAME PLACE  make PLACE the position of the reader, which is made if it\n"
		"                   is new: a sequence number, oldest, latest, or a time, as for\n"
		"                   chronq cat --since\n"
		"  -d, --delete NAME  delete the reader; retention no longer waits for it\n"
		"  -j, --json       one JSON object per reader and line\n"
		"  -h, --help       this text\n"
		"\n"
		"A line per reader: name; sequence number of the next record; its place; how many\n"
		"records, and bytes of segment files, the reader is behind the writer; when it\n"
		"last committed or waited; the process that uses it. A reader in use can neither\n"
		"be set nor deleted.\n",
	.run = run_readers,
};
