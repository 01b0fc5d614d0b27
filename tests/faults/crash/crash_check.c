/* SPDX-License-Identifier: Apache-2.0 */
/* crash_check.c - what must be true of a queue whose writer has been killed; see crash.h */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/record.h"
#include "meta/control.h"
#include "meta/watermark.h"
#include "os/io.h"
#include "write/writer.h"

/* ---- the files ---- */

static bool is_temp(const char *name)
{
	const size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".tmp") == 0;
}

/* A kill damages nothing, so nothing is ever set aside but the bytes of an unfinished record. */
static bool is_known(const char *name)
{
	static const char *const numbered[] = { ".q",         ".idx",     ".q.tmp",
		                                ".q.new.tmp", ".idx.tmp", ".q.broken" };
	static const char *const others[] = { CQ_CONTROL_NAME,
		                              CQ_CONTROL_TEMP,
		                              CQ_POSITION_NAME,
		                              CQ_DURABLE_NAME,
		                              CQ_IDENTITY_NAME,
		                              CQ_IDENTITY_TEMP,
		                              CQ_LOCK_NAME,
		                              ".",
		                              ".." };
	const char *again = strstr(name, ".broken."); /* .2 and so on */
	char first[CQ_NAME_MAX];
	uint32_t id;

	if (again && strspn(again + 8, "0123456789") == strlen(again + 8) &&
	    strlen(name) < sizeof first) {
		(void)snprintf(first, sizeof first, "%.*s", (int)(again + 7 - name), name);
		return is_known(first);
	}
	for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++)
		if (cq_numbered_name_parse(name, numbered[i], &id))
			return true;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	return false;
}

static bool check_names(struct crash_shared *s, bool temps)
{
	struct dirent *entry;
	DIR *dir = opendir(s->dir);
	bool good = true;

	if (!dir)
		return crash_problem(s, "%s: %s", s->dir, strerrordesc_np(errno));
	while (good && (entry = readdir(dir))) {
		if (!is_known(entry->d_name))
			good = crash_problem(s, "there is %s", entry->d_name);
		else if (!temps && is_temp(entry->d_name))
			good = crash_problem(s, "recovery has left %s", entry->d_name);
	}
	closedir(dir);
	return good;
}

/* The first bytes of a published segment. */
struct head {
	struct cq_segment_header header;
	uint32_t commit;
};

static bool read_head(struct crash_shared *s, int dirfd, uint32_t id, struct head *ret_head)
{
	char name[CQ_NAME_MAX];
	struct stat st = { 0 };
	ssize_t n = 0;
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r == 0) {
		r = cq_io_stat(fd, &st);
		n = cq_io_pread(fd, ret_head, sizeof *ret_head, 0);
		close(fd);
	}
	if (r < 0 || n < 0)
		return crash_problem(s, "%s: %s", name, strerrordesc_np(r < 0 ? -r : (int)-n));
	/* a name is given to complete segments only */
	if ((uint64_t)st.st_size != s->segment_size || n != sizeof *ret_head ||
	    !cq_segment_header_valid(&ret_head->header, id))
		return crash_problem(s, "%s is published without being complete", name);
	return true;
}

/* Every segment that has been left is sealed: before the position moves, before its successor gets
 * a record. */
static bool check_segments(struct crash_shared *s, int dirfd, const uint32_t *ids, size_t count)
{
	struct cq_position position = { 0 };
	struct cq_control control;
	uint32_t unsealed = UINT32_MAX;
	struct head head;

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && ids[i] != ids[i - 1] + 1)
			return crash_problem(
				s, "segments %" PRIu32 " and %" PRIu32 ", none between them",
				ids[i - 1], ids[i]);
		if (!read_head(s, dirfd, ids[i], &head))
			return false;
		if (unsealed != UINT32_MAX && (head.commit != 0 || head.header.flags & CQ_SEALED))
			return crash_problem(
				s, "segment %" PRIu32 " is in use, %" PRIu32 " not sealed", ids[i],
				unsealed);
		if (!(head.header.flags & CQ_SEALED) && unsealed == UINT32_MAX)
			unsealed = ids[i];
	}
	/* not there yet in a new queue, without a position where a roll was killed in storing it */
	if (cq_control_open(&control, dirfd, false) < 0)
		return true;
	if (cq_control_position(&control, &position) == 0 && unsealed < position.segment)
		crash_problem(s, "control.meta says segment %" PRIu32 ", %" PRIu32 " is not sealed",
		              position.segment, unsealed);
	cq_control_close(&control);
	return !atomic_load(&s->failed);
}

bool crash_check_files(struct crash_shared *s)
{
	uint32_t *ids = NULL;
	size_t count = 0;
	int dirfd, r;
	bool good;

	r = cq_io_open_dir(AT_FDCWD, s->dir, &dirfd);
	if (r == -ENOENT && atomic_load(&s->end) == 0)
		return true; /* killed before it made the directory */
	if (r == 0) {
		r = cq_dir_list(dirfd, &ids, &count);
		if (r < 0)
			close(dirfd);
	}
	if (r < 0)
		return crash_problem(s, "%s: %s", s->dir, strerrordesc_np(-r));
	good = check_names(s, true) && check_segments(s, dirfd, ids, count);
	free(ids);
	close(dirfd);
	return good;
}

/* ---- the records ---- */

/* What one reading of all there is has found. */
struct reading {
	uint64_t first, next; /* sequence numbers; next is behind the last */
	uint64_t stream;
	uint32_t first_segment, last_segment;
	uint32_t epoch;
};

static bool check_next(struct crash_shared *s, struct reading *found,
                       const struct cq_record *record)
{
	if (found->next == 0) {
		found->first = record->seq;
		found->first_segment = record->segment;
	} else if (record->seq != found->next) {
		return crash_problem(s, "record %" PRIu64 " where %" PRIu64 " is next", record->seq,
		                     found->next);
	} else if (record->stream_offset != found->stream || record->epoch < found->epoch) {
		return crash_problem(s,
		                     "record %" PRIu64 " is at %" PRIu64
		                     " of the stream, epoch %" PRIu32 ", behind %" PRIu64
		                     ", epoch %" PRIu32,
		                     record->seq, record->stream_offset, record->epoch,
		                     found->stream, found->epoch);
	}
	found->next = record->seq + 1;
	found->stream = record->stream_offset + record->length;
	found->epoch = record->epoch;
	found->last_segment = record->segment;
	return crash_matches(s, record);
}

static bool read_all(struct crash_shared *s, struct reading *ret_found)
{
	struct reading found = { 0 };
	struct cq_record record;
	cq_reader *reader;
	int r;

	r = cq_reader_open(s->dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if ((r == -ENOENT || r == -ENOTEMPTY) && atomic_load(&s->acked) == 0) {
		*ret_found = found; /* killed before it was a queue */
		return true;
	}
	if (r < 0)
		return crash_problem(s, "reading: %s", strerrordesc_np(-r));
	while ((r = cq_reader_next(reader, &record)) == 1)
		if (!check_next(s, &found, &record))
			break;
	cq_reader_close(reader);
	if (r < 0)
		crash_problem(s, "reading behind record %" PRIu64 ": %s", found.next,
		              strerrordesc_np(-r));
	*ret_found = found;
	return !atomic_load(&s->failed);
}

/* Of what was there before this round, only what its retention or its trims may delete is missing. */
static bool check_beginning(struct crash_shared *s, const struct reading *found)
{
	const uint64_t trimmed = atomic_load(&s->trimmed);
	const unsigned trims = found->first <= trimmed ? atomic_load(&s->trims) : 0;
	const unsigned keeps = atomic_load(&s->keeps);
	const uint32_t gone = found->first_segment - s->oldest;

	if (found->next == 0)
		return atomic_load(&s->acked) <= trimmed ||
		       crash_problem(s,
		                     "nothing is there; records up to %" PRIu64 " may be missing",
		                     trimmed);
	if (gone <= trims)
		return true;
	/* the writer is in the last segment with a record, or in the one behind it */
	return found->last_segment + 2 - found->first_segment + trims >= keeps ||
	       crash_problem(s,
	                     "segments %" PRIu32 " to %" PRIu32 " are gone, %" PRIu32
	                     " is the last; %u are kept, %u may be trimmed up to record %" PRIu64,
	                     s->oldest, found->first_segment - 1, found->last_segment, keeps, trims,
	                     trimmed);
}

static bool check_mark(struct crash_shared *s, uint64_t end)
{
	const uint64_t durable = atomic_load(&s->durable);
	struct cq_watermark_state state = { .found = false };
	struct cq_watermark_slot mark;
	int dirfd, r;

	r = cq_io_open_dir(AT_FDCWD, s->dir, &dirfd);
	if (r == 0) {
		r = cq_watermark_read(dirfd, &state);
		close(dirfd);
	}
	if (r < 0 && r != -ENOENT)
		return crash_problem(s, "durable.meta: %s", strerrordesc_np(-r));
	mark = state.slot; /* all zero if there is none */
	return (mark.seq <= end && mark.seq >= durable) ||
	       crash_problem(s,
	                     "the mark says %" PRIu64 "; %" PRIu64 " records are there, %" PRIu64
	                     " were acknowledged as durable",
	                     mark.seq, end, durable);
}

bool crash_check_records(struct crash_shared *s)
{
	const uint64_t acked = atomic_load(&s->acked), begun = atomic_load(&s->begun);
	struct reading found = { 0 };
	uint64_t end;

	if (!read_all(s, &found) || !check_beginning(s, &found))
		return false;
	end = found.next > 0 ? found.next : acked;
	if (end < acked || end > (begun > acked ? begun : acked))
		return crash_problem(
			s, "%" PRIu64 " records, %" PRIu64 " acknowledged, %" PRIu64 " begun", end,
			acked, begun);
	if (!check_mark(s, end))
		return false;
	/* what has not been committed by now is absent for ever; what has is there for ever */
	atomic_store(&s->begun, end);
	atomic_store(&s->acked, end);
	atomic_store(&s->end, end);
	atomic_store(&s->present, found.next);
	if (found.next > 0)
		s->oldest = found.first_segment;
	atomic_store(&s->trims, 0);
	return true;
}

/* ---- recovery ---- */

static void note(void *arg, const struct cq_finding *finding)
{
	if (finding->damage)
		crash_problem(arg, "verify: segment %" PRIu32 " at %" PRIu64 ": %s",
		              finding->segment, finding->offset, finding->text);
}

bool crash_check_recovery(struct crash_shared *s)
{
	struct cq_verify_result result = CQ_SIZED(result);
	struct cq_stats stats = CQ_SIZED(stats);
	struct cq_config config;
	cq_writer *writer;
	int r;

	cq_config_init(&config);
	config.segment_size = s->segment_size;
	r = cq_writer_open_with(s->dir, &config, false, &writer);
	if (r < 0)
		return crash_problem(s, "open: %s", strerrordesc_np(-r));
	cq_writer_stats(writer, &stats);
	if (stats.next_seq != atomic_load(&s->end))
		crash_problem(s,
		              "the numbering goes on with %" PRIu64 " behind %" PRIu64 " records",
		              stats.next_seq, atomic_load(&s->end));
	(void)check_names(s, false);
	r = cq_writer_close(writer);
	if (r < 0)
		crash_problem(s, "close: %s", strerrordesc_np(-r));
	r = cq_verify(s->dir, note, s, &result);
	if (r < 0)
		crash_problem(s, "verify: %s", strerrordesc_np(-r));
	return !atomic_load(&s->failed) && crash_check_files(s) && crash_check_records(s);
}
