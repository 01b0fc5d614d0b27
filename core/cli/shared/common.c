/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - messages, operands and numbers of the subcommands */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/cli.h"

#define NOTE_MAX 8192 /* room for two paths */

void cli_note(const char *format, ...)
{
	va_list arguments;
	char text[NOTE_MAX], line[2 * sizeof text];

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	cq_printable(line, sizeof line, text);
	cli_meter_clear();
	fprintf(stderr, "chronq: %s\n", line);
}

int cli_fail(const char *subject, int error)
{
	const char *text = cq_strerror(error), *hint = "";

	switch (-error) {
	case ENOTEMPTY:
	case ENODEV:
		hint = " (of a mount, name the queue that is mounted)";
		break;
	case EBADMSG:
		hint = " (see chronq verify)";
		break;
	case EBUSY:
		text = "another writer has the queue";
		hint = " (a mount: append through it, or unmount it first)";
		break;
	case EMSGSIZE:
		text = "the segments are so small that no record can hold a byte";
		break;
	default:
		break;
	}
	cli_note("%s: %s%s", subject, text, hint);
	return CLI_IO;
}

int cli_fail_reader(const char *dir, const char *name, int error)
{
	struct cq_reader_info info = CQ_SIZED(info);
	cq_queue *queue;

	if (error == -EINVAL) {
		cli_note(
			"not the name of a reader: %s (at most %u letters, digits, . _ and -, with no . in "
			"front)",
			name, CQ_READER_NAME_MAX);
		return CLI_USAGE;
	}
	if (cq_queue_open(dir, &queue) < 0) /* it is not the reader that is wrong */
		return cli_fail(dir, error);
	if (error == -EBUSY && cq_queue_reader(queue, name, &info) == 0 && info.pid != 0)
		cli_note("%s: reader %s is in use by process %d", dir, name, (int)info.pid);
	else if (error == -EBUSY)
		cli_note("%s: reader %s is in use", dir, name);
	else if (error == -ENOENT)
		cli_note("%s: no reader %s", dir, name);
	else
		cli_note("%s: reader %s: %s", dir, name, cq_strerror(error));
	cq_queue_close(queue);
	return CLI_IO;
}

static void print_help(const struct cli_command *command)
{
	printf("Usage: chronq %s %s\n%s\n\n%s", command->name, command->arguments, command->summary,
	       command->help);
}

int cli_usage(const struct cli_command *command)
{
	fprintf(stderr, "Usage: chronq %s %s\nTry 'chronq %s --help'.\n", command->name,
	        command->arguments, command->name);
	return CLI_USAGE;
}

/* One of the options has this letter. */
static bool has_letter(const struct option *options, int letter)
{
	for (; options->name; options++)
		if (options->val == letter)
			return true;
	return false;
}

int cli_option(int argc, char **argv, const char *letters, const struct option *options)
{
	int option;

	opterr = 0;
	option = getopt_long(argc, argv, letters, options, NULL);
	if (option != '?')
		return option;
	if (optopt == 0)
		cli_note("unknown option: %s", argv[optind - 1]);
	else if (!has_letter(options, optopt))
		cli_note("unknown option: -%c", optopt);
	else if (strchr(argv[optind - 1], '='))
		cli_note("takes no value: %s", argv[optind - 1]);
	else
		cli_note("needs a value: %s", argv[optind - 1]);
	return option;
}

int cli_other_option(const struct cli_command *command, int option)
{
	if (option != 'h')
		return cli_usage(command);
	print_help(command);
	return CLI_OK;
}

char *cli_directory(int argc, char **argv)
{
	if (argc - optind == 1)
		return argv[optind];
	if (argc == optind)
		cli_note("no queue directory given");
	else
		cli_note("more than one operand: %s", argv[optind + 1]);
	return NULL;
}

void cli_await_release(const char *dir)
{
	struct cq_holder holder = CQ_SIZED(holder);
	cq_queue *queue;

	if (cq_queue_open(dir, &queue) < 0)
		return;
	if (cq_queue_await_release(queue, 1000, &holder) == 0 && holder.locked && holder.closing) {
		if (holder.pid != 0)
			cli_note("%s: process %d is closing the queue; waiting for it", dir,
			         (int)holder.pid);
		else
			cli_note("%s: another process is closing the queue; waiting for it", dir);
		if (cq_queue_await_closing(queue, 30000, NULL, NULL, &holder) == 0 &&
		    holder.locked && holder.closing)
			cli_note("%s: its closing does not advance", dir);
	}
	cq_queue_close(queue);
}

bool cli_parse_number(const char *text, const char **ret_rest, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (at == text)
		return false;
	*ret_rest = at;
	*ret_number = number;
	return true;
}

bool cli_parse_size(const char *text, uint64_t *ret_size)
{
	static const char units[] = "KMG";
	const char *rest, *unit;
	unsigned shift = 0;
	uint64_t number;

	if (!cli_parse_number(text, &rest, &number))
		return false;
	if (*rest != '\0') {
		unit = strchr(units, *rest);
		if (!unit || rest[1] != '\0')
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (number > UINT64_MAX >> shift)
		return false;
	*ret_size = number << shift;
	return true;
}

volatile sig_atomic_t cli_stopped;

static void stop(int signal)
{
	(void)signal;
	cli_stopped = 1;
}

void cli_stop_on(int signal)
{
	sigaction(signal, &(struct sigaction){ .sa_handler = stop }, NULL);
}

void cli_format_time(char text[CLI_TIME_MAX], uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	char day[24];
	struct tm tm;

	/* 64 bits of nanoseconds end in 2554 */
	(void)gmtime_r(&seconds, &tm);
	(void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, CLI_TIME_MAX, "%s.%09" PRIu64 "Z", day, time_ns % 1000000000);
}
