/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.c - chronq stat: the state of a queue, or what happens in it, a line each interval
 *
 * All of it is seen from outside, whatever process writes: control.meta, durable.meta, the readers' files, the
 * names of segments, and the headers of the records in the current one.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "shared/cli.h"
#include "shared/time.h"

#define SECOND_NS 1000000000ULL
#define INTERVAL_MIN_NS (SECOND_NS / 10)
#define INTERVAL_MAX_NS (86400 * SECOND_NS)

/* The queue at one time. */
struct sample {
	uint64_t clock_ns; /* CLOCK_MONOTONIC */
	uint64_t time_ns;
	struct cq_queue_info info;
	struct cq_holder holder;
	uint64_t readers, max_lag;
	json_t *lags; /* with --json: an object for each reader */
};

struct course {
	uint64_t interval_ns; /* 0: once */
	uint64_t count;       /* of lines; UINT64_MAX: no limit */
	bool json;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void see_reader(void *arg, const struct cq_reader_position *reader)
{
	struct sample *s = arg;

	s->readers++;
	if (reader->lag_bytes > s->max_lag)
		s->max_lag = reader->lag_bytes;
	if (s->lags)
		json_array_append_new(s->lags,
		                      json_pack("{s:s,s:I}", "name", reader->name, "lag_bytes",
		                                (json_int_t)reader->lag_bytes));
}

static int take_sample(cq_queue *queue, bool json, struct sample *ret)
{
	struct sample s = { .info = CQ_SIZED(s.info), .holder = CQ_SIZED(s.holder) };
	int r;

	s.clock_ns = clock_ns();
	s.time_ns = cli_now_ns();
	r = cq_queue_info(queue, &s.info);
	if (r == 0)
		r = cq_queue_holder(queue, &s.holder);
	if (r < 0)
		return r;
	if (json)
		s.lags = json_array();
	(void)cq_queue_readers(queue, see_reader, &s); /* what cannot be read counts as none */
	*ret = s;
	return 0;
}

/* ---- once ---- */

static void print_writer(const struct sample *s)
{
	if (!s->holder.locked)
		puts("writer          none");
	else if (s->holder.pid == 0)
		puts("writer          running");
	else
		printf("writer          process %d\n", (int)s->holder.pid);
}

static void print_once(const struct sample *s)
{
	const struct cq_queue_info *i = &s->info;

	if (i->have_bounds)
		printf("records         %" PRIu64 ", from %" PRIu64 "; the next one is %" PRIu64
		       "\n"
		       "payload         %" PRIu64 " bytes, at %" PRIu64 " to %" PRIu64 "\n",
		       i->next_seq - i->first_seq, i->first_seq, i->next_seq,
		       i->stream_end - i->stream_begin, i->stream_begin, i->stream_end);
	else
		puts("records         unknown");
	if (i->have_durable)
		printf("durable         below record %" PRIu64 "\n", i->durable_seq);
	else
		puts("durable         unknown");
	printf("segments        %" PRIu64 ", %" PRIu64 " bytes\n", i->segments,
	       i->segments * i->segment_size);
	print_writer(s);
	printf("readers         %" PRIu64 "; the last one is %" PRIu64 " bytes behind\n",
	       s->readers, s->max_lag);
}

/* ---- a line each interval ---- */

/* What grows, between two samples; none where it has become less, as in a queue that was made anew. */
static uint64_t growth(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

static uint64_t unsynced(const struct cq_queue_info *info)
{
	return growth(info->durable_seq, info->next_seq);
}

/* Five characters or fewer. */
static const char *brief(char text[24], double number)
{
	static const char units[] = " KMGTPE"; /* enough for 64 bits in a tenth of a second */
	size_t unit = 0;

	for (; number >= 99999.5; unit++)
		number /= 1024;
	if (unit == 0 && number < 9.95 && number > (double)(unsigned)number)
		(void)snprintf(text, 24, "%.1f", number);
	else if (unit == 0)
		(void)snprintf(text, 24, "%.0f", number);
	else
		(void)snprintf(text, 24, "%.0f%c", number, units[unit]);
	return text;
}

static void print_header(void)
{
	printf("%9s %9s %7s %7s %9s %8s %8s %7s %8s\n", "appends/s", "payload/s", "rolls/s",
	       "syncs/s", "unsynced", "segments", "files", "readers", "max lag");
}

static void print_line(const struct sample *before, const struct sample *now)
{
	const double seconds = (double)(now->clock_ns - before->clock_ns) / (double)SECOND_NS;
	const struct cq_queue_info *a = &before->info, *b = &now->info;
	const bool bounds = a->have_bounds && b->have_bounds;
	const bool control = a->have_control && b->have_control;
	char text[9][24];

	printf("%9s %9s %7s %7s %9s %8s %8s %7s %8s\n",
	       bounds ? brief(text[0], (double)growth(a->next_seq, b->next_seq) / seconds) : "-",
	       bounds ? brief(text[1], (double)growth(a->stream_end, b->stream_end) / seconds)
	              : "-",
	       control ? brief(text[2], (double)growth(a->current, b->current) / seconds) : "-",
	       control ? brief(text[3], (double)(uint32_t)(b->flushes - a->flushes) / seconds)
	               : "-",
	       b->have_bounds && b->have_durable ? brief(text[4], (double)unsynced(b)) : "-",
	       brief(text[5], (double)b->segments),
	       brief(text[6], (double)b->segments * (double)b->segment_size),
	       brief(text[7], (double)now->readers), brief(text[8], (double)now->max_lag));
}

static void put(json_t *line, const char *key, uint64_t number)
{
	json_object_set_new(line, key, json_integer((json_int_t)number));
}

/* before NULL: once, without what needs two samples. */
static void print_json(const struct sample *before, struct sample *now)
{
	const struct cq_queue_info *b = &now->info;
	json_t *line = json_object();

	put(line, "time_ns", now->time_ns);
	if (before) {
		const struct cq_queue_info *a = &before->info;

		put(line, "interval_ns", (now->clock_ns - before->clock_ns));
		if (a->have_control && b->have_control) {
			put(line, "rolls", growth(a->current, b->current));
			put(line, "syncs", (uint32_t)(b->flushes - a->flushes));
		}
		if (a->have_bounds && b->have_bounds) {
			put(line, "appends", growth(a->next_seq, b->next_seq));
			put(line, "payload_bytes", growth(a->stream_end, b->stream_end));
		}
	}
	if (b->have_bounds) {
		put(line, "first_seq", b->first_seq);
		put(line, "next_seq", b->next_seq);
		put(line, "stream_begin", b->stream_begin);
		put(line, "stream_end", b->stream_end);
	}
	if (b->have_durable)
		put(line, "durable_seq", b->durable_seq);
	put(line, "segments", b->segments);
	put(line, "file_bytes", (b->segments * b->segment_size));
	if (now->holder.locked)
		put(line, "writer_pid", (uint64_t)now->holder.pid);
	json_object_set_new(line, "readers", now->lags);
	now->lags = NULL;
	json_dumpf(line, stdout, JSON_COMPACT);
	json_decref(line);
	putchar('\n');
}

/* Lines between two headers: those of the terminal; 0: one header is enough. */
static uint64_t page_lines(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0) /* no terminal */
		return 0;
	return size.ws_row < 4 ? 22 : size.ws_row - 2U;
}

/* Until that time, or a signal, or the output is closed. */
static void sleep_until(uint64_t at_ns)
{
	uint64_t now;

	while (!cli_stopped && !cli_output_closed() && (now = clock_ns()) < at_ns) {
		const uint64_t left = at_ns - now;
		const uint64_t piece = left < SECOND_NS / 4 ? left : SECOND_NS / 4;

		(void)nanosleep(&(struct timespec){ .tv_nsec = (long)piece }, NULL);
	}
}

static int watch(cq_queue *queue, const struct course *c)
{
	struct sample before, now;
	uint64_t page, due;
	int r;

	r = take_sample(queue, c->json, &before);
	if (r < 0)
		return r;
	due = before.clock_ns;
	for (uint64_t line = 0; line < c->count; line++) {
		due += c->interval_ns;
		sleep_until(due);
		if (cli_stopped || cli_output_closed())
			break;
		r = take_sample(queue, c->json, &now);
		if (r < 0)
			break;
		page = page_lines();
		if (!c->json && (page > 0 ? line % page == 0 : line == 0))
			print_header();
		if (c->json)
			print_json(&before, &now);
		else
			print_line(&before, &now);
		if (!cli_output_flush())
			break;
		json_decref(before.lags);
		before = now;
	}
	json_decref(before.lags);
	return r;
}

static int show(const char *dir, const struct course *c)
{
	struct sample once;
	cq_queue *queue;
	int r;

	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	cli_output_begin();
	cli_stop_on(SIGINT);
	cli_stop_on(SIGTERM);
	if (c->interval_ns > 0) {
		r = watch(queue, c);
	} else {
		r = take_sample(queue, c->json, &once);
		if (r == 0 && c->json)
			print_json(NULL, &once);
		else if (r == 0)
			print_once(&once);
	}
	cq_queue_close(queue);
	return cli_output_end(r < 0 ? cli_fail(dir, r) : CLI_OK);
}

/* Seconds, with a fraction or without. */
static bool parse_interval(const char *text, uint64_t *ret_ns)
{
	uint64_t seconds, fraction = 0, unit = SECOND_NS / 10;
	const char *rest;

	if (!cli_parse_number(text, &rest, &seconds) || seconds > INTERVAL_MAX_NS / SECOND_NS)
		return false;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			fraction += (uint64_t)(*rest - '0') * unit;
	*ret_ns = seconds * SECOND_NS + fraction;
	return *rest == '\0' && *ret_ns >= INTERVAL_MIN_NS && *ret_ns <= INTERVAL_MAX_NS;
}

static int run_stat(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "interval", required_argument, NULL, 'i' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct course course = { .count = UINT64_MAX };
	const char *dir, *rest;
	int option;

	while ((option = cli_option(argc, argv, "c:i:jh", options)) != -1) {
		switch (option) {
		case 'c':
			if (!cli_parse_number(optarg, &rest, &course.count) || *rest != '\0' ||
			    course.count == 0) {
				cli_note("not a number of lines: %s", optarg);
				return cli_usage(command);
			}
			break;
		case 'i':
			if (!parse_interval(optarg, &course.interval_ns)) {
				cli_note("not an interval of 0.1 to 86400 seconds: %s", optarg);
				return cli_usage(command);
			}
			break;
		case 'j':
			course.json = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	if (dir && course.count != UINT64_MAX && course.interval_ns == 0) {
		cli_note("--count needs --interval");
		return cli_usage(command);
	}
	return dir ? show(dir, &course) : cli_usage(command);
}

const struct cli_command cli_stat = {
	.name = "stat",
	.arguments = "[-i SECONDS [-c N]] [--json] DIR",
	.summary = "Shows what happens in a queue: a line each interval, or its state once.",
	.help = "  -i, --interval S   a line each S seconds (0.1 to 86400), until SIGINT or SIGTERM\n"
		"  -c, --count N      N lines\n"
		"  -j, --json         one JSON object per line\n"
		"  -h, --help         this text\n"
		"\n"
		"Records appended, payload bytes, rolls and syncs per second; records that are\n"
		"not known to be durable; segment files and their bytes; named readers, and how\n"
		"many bytes of segment files the last one is behind the writer. Looks from\n"
		"outside, whatever process writes. What is not known is a \"-\", and no member of\n"
		"the JSON object. K, M, G are powers of 1024.\n",
	.run = run_stat,
};
