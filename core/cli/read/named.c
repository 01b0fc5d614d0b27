/* SPDX-License-Identifier: Apache-2.0 */
/* named.c - see named.h */
#include "read/named.h"

#include <errno.h>
#include <string.h>

#include "chronq.h"

#define BATCH (256U << 10) /* bytes of records, headers included */
#define HEADER 64U

bool cli_named_take(struct cli_named *named, int option, const char *value)
{
	if (option == 'r') {
		named->name = value;
		return true;
	}
	named->once = strcmp(value, "end") == 0;
	if (named->once || strcmp(value, "batch") == 0) {
		named->dir = value; /* given; cli_named_check() */
		return true;
	}
	cli_note("not batch or end: %s", value);
	return false;
}

bool cli_named_check(const struct cli_named *named)
{
	if (named->name || !named->dir)
		return true;
	cli_note("--commit is for --reader");
	return false;
}

static bool is_moved(const struct cli_named *named, struct cq_reader_stats *ret_stats)
{
	cq_reader_stats(named->reader, ret_stats);
	return ret_stats->segment != named->segment || ret_stats->offset != named->offset;
}

int cli_named_open(struct cli_named *named, const char *dir, cq_reader **ret_reader)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	int r;

	r = cq_reader_open(dir, named->name, CQ_START_RESUME_OR_OLDEST, 0, &named->reader);
	if (r < 0)
		return cli_fail_reader(dir, named->name, r);
	named->dir = dir;
	cq_reader_stats(named->reader, &stats);
	named->segment = stats.segment;
	named->offset = stats.offset;
	/* the records that are written are committed before the end */
	cli_stop_on(SIGINT);
	cli_stop_on(SIGTERM);
	*ret_reader = named->reader;
	return CLI_OK;
}

bool cli_named_ends_before(struct cli_named *named, const struct cli_selection *selection,
                           const struct cq_record *record)
{
	named->ahead = selection->have_until && record->time_ns > selection->until;
	return named->ahead;
}

/* What was passed, and no more. */
static int commit_passed(struct cli_named *named)
{
	int r;

	if (!named->ahead)
		return cq_reader_commit(named->reader);
	if (!named->passed)
		return 0;
	r = cq_reader_commit_seq(named->reader, named->seq);
	/* chronicle-rs begins to count again: the last batch counts */
	return r == -ERANGE ? 0 : r;
}

/* Returns false, after a message, if the commit fails. */
static bool commit(struct cli_named *named)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	int r;

	named->bytes = 0;
	if (!is_moved(named, &stats))
		return true;
	r = commit_passed(named);
	if (r < 0) {
		cli_note("%s: reader %s: cannot commit: %s", named->dir, named->name,
		         cq_strerror(r));
		named->failed = true;
		return false;
	}
	named->segment = stats.segment;
	named->offset = stats.offset;
	return true;
}

bool cli_named_commit(struct cli_named *named)
{
	if (!cli_output_flush())
		return false;
	return !named->reader || named->once || commit(named);
}

bool cli_named_passed(struct cli_named *named, const struct cq_record *record)
{
	if (!named->reader)
		return true;
	named->bytes += record->length + HEADER;
	named->seq = record->seq;
	named->passed = true;
	return named->once || named->bytes < BATCH || cli_named_commit(named);
}

int cli_named_end(struct cli_named *named, int status)
{
	if (named->reader && !named->failed && cli_output_flush())
		(void)commit(named);
	return named->failed ? CLI_IO : status;
}
