/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - the line on a terminal that shows how far a command is */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "shared/cli.h"

#define FIRST_MS 1000 /* what takes less needs no meter */
#define CHANGE_MS 200
#define RECORDS 64U /* between two looks at the clock */
#define LINE_MAX_BYTES 512

static struct {
	bool on, shown;
	const char *subject, *what;
	uint64_t total, begin_ms, changed_ms;
	char detail[64]; /* behind `what` */
	/* cli_meter_begin_reading() */
	uint64_t segment_size, first; /* bytes of segment files before the beginning */
	unsigned records;
} meter;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void cli_meter_begin(const char *subject, const char *what, uint64_t total)
{
	cli_meter_end();
	meter.on = isatty(STDERR_FILENO) == 1;
	meter.subject = subject;
	meter.what = what;
	meter.total = total;
	meter.detail[0] = '\0';
	meter.segment_size = 0;
	meter.begin_ms = meter.changed_ms = now_ms();
}

/* Columns of the terminal less one, in which the cursor stays. */
static size_t width(void)
{
	struct winsize size = { 0 };

	(void)ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	return size.ws_col < 20 ? 79 : size.ws_col - 1U; /* 0: a terminal that does not know */
}

static void show(uint64_t done, uint64_t elapsed_ms)
{
	char text[LINE_MAX_BYTES], line[2 * LINE_MAX_BYTES], progress[CQ_PROGRESS_TEXT];
	int before;

	cq_progress_text(progress, sizeof progress, done, meter.total, elapsed_ms);
	before = snprintf(text, sizeof text, "chronq: %.*s: %s%s, ", 200, meter.subject, meter.what,
	                  meter.detail);
	cq_printable(line, sizeof line, text);
	before = (int)strlen(line);
	/* a narrow terminal shows the figures, not the path: a line that wraps could not be removed */
	if ((size_t)before + strlen(progress) > width())
		before = 0;
	fprintf(stderr, "\r%.*s%.*s\033[K", before, line, (int)width(), progress);
	meter.shown = true;
}

void cli_meter_at(uint64_t done)
{
	uint64_t now;

	if (!meter.on)
		return;
	now = now_ms();
	if (now - meter.begin_ms < FIRST_MS || now - meter.changed_ms < CHANGE_MS)
		return;
	meter.changed_ms = now;
	show(done, now - meter.begin_ms);
}

void cli_meter_clear(void)
{
	if (meter.shown)
		fputs("\r\033[K", stderr);
	meter.shown = false;
}

void cli_meter_end(void)
{
	cli_meter_clear();
	meter.on = false;
}

/* ---- records that are read ---- */

void cli_meter_begin_reading(const char *dir, const char *what, cq_queue *queue,
                             const cq_reader *reader)
{
	struct cq_reader_stats at = CQ_SIZED(at);
	struct cq_queue_info info = CQ_SIZED(info);
	uint64_t end;

	if (isatty(STDOUT_FILENO) == 1 || isatty(STDERR_FILENO) != 1 ||
	    cq_queue_info(queue, &info) < 0)
		return;
	(void)cq_reader_stats(reader, &at);
	end = info.have_control ? info.current * info.segment_size + info.offset
	                        : (info.newest + 1) * info.segment_size;
	cli_meter_begin(dir, what, 0);
	meter.segment_size = info.segment_size;
	meter.first = at.segment * info.segment_size + at.offset;
	meter.total = end > meter.first ? end - meter.first : 0;
}

void cli_meter_at_record(const struct cq_record *record)
{
	uint64_t at;

	if (!meter.on || ++meter.records % RECORDS != 0)
		return;
	at = record->segment * meter.segment_size + record->offset;
	cli_meter_at(at > meter.first ? at - meter.first : 0);
}

/* ---- the library's progress ---- */

int cli_progress(void *arg, const struct cq_progress *p)
{
	static const char *const verbs[] = {
		[CQ_PHASE_RECOVER] = "reading",
		[CQ_PHASE_INDEXES] = "checking indexes",
		[CQ_PHASE_VERIFY] = "checking",
	};

	if (meter.what != verbs[p->phase])
		cli_meter_begin(arg, verbs[p->phase], p->bytes);
	meter.total = p->bytes; /* also when the phase comes a second time, with another total */
	(void)snprintf(meter.detail, sizeof meter.detail, ", %" PRIu64 " of %" PRIu64 " segments",
	               p->segments_done, p->segments);
	cli_meter_at(p->bytes_done);
	return 0;
}
