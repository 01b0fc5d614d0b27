/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - ctl: one verb per write(2); and deleting a segment by unlink(2)
 *
 *   roll      seals the current segment
 *   sync      answered when everything appended before is durable
 *   trim SEQ  deletes the sealed segments all of whose records are below SEQ, oldest first
 *
 * `sync` is the flusher's (wait_for_sync.c).  The rest may take longer than a serving thread has: a roll
 * may wait for the segment that is being prepared, an unlink takes tens of milliseconds.  These are
 * jobs: parked, and done by the background thread in the order of arrival, one piece at a time, so that
 * its other steps have their turn between two pieces.
 *
 * An interruption during a piece counts after it, unless the piece was the last (held/parked.c).
 */
#include "append/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "append/wait_for_sync.h"
#include "chronfs.h"
#include "held/background.h"
#include "held/parked.h"
#include "shared/node_ops.h"
#include "shared/parse_number.h"

#define COMMAND_MAX 64 /* bytes; the longest that has a meaning is shorter */

struct job {
	struct chronfs_parked parked; /* first */
	size_t written; /* answer as a write of so many bytes; 0: with plain success */
	enum job_kind { JOB_ROLL, JOB_TRIM, JOB_REMOVE } kind;
	uint64_t seq;     /* JOB_TRIM: records below it */
	uint32_t segment; /* JOB_REMOVE: this one */
	bool deleted;     /* JOB_TRIM: at least one is gone; the background thread's */
};

static void job_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	const struct job *job = (const struct job *)parked;

	(void)fs;
	if (result < 0)
		fuse_reply_err(parked->req, -result);
	else if (job->written > 0)
		fuse_reply_write(parked->req, job->written);
	else
		fuse_reply_err(parked->req, 0);
	free(parked);
}

static void job_park(struct chronfs *fs, fuse_req_t req, const struct job *request)
{
	struct job *job = malloc(sizeof *job);
	int r;

	if (!job) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*job = *request;
	job->parked.req = req;
	job->parked.finish = job_finish;
	chronfs_parked_catch_interrupt(&fs->ctl.jobs, req);
	pthread_mutex_lock(&fs->ctl.jobs.lock);
	r = chronfs_parked_add(&fs->ctl.jobs, &job->parked);
	pthread_mutex_unlock(&fs->ctl.jobs.lock);
	if (r < 0)
		job_finish(fs, &job->parked, r);
	else
		chronfs_background_wake(fs);
}

/* Returns 1 when there is more to do, else the result. */
static int do_piece(struct chronfs *fs, struct job *job)
{
	int r;

	switch (job->kind) {
	case JOB_ROLL:
		return cq_writer_roll(fs->writer);
	case JOB_REMOVE:
		return cq_writer_remove(fs->writer, job->segment);
	case JOB_TRIM:
	default: /* GCOV_EXCL_BR_LINE: no other value */
		r = cq_writer_trim(fs->writer, job->seq, 1);
		if (r > 0)
			job->deleted = true;
		else if (r == -EBUSY && job->deleted)
			r = 0; /* a reader keeps the rest */
		return r;
	}
}

void chronfs_ctl_init(struct chronfs *fs)
{
	chronfs_parked_init(&fs->ctl.jobs, fs);
}

int chronfs_ctl_step(struct chronfs *fs)
{
	struct job *job = (struct job *)chronfs_parked_begin_attempt(&fs->ctl.jobs);

	if (!job)
		return -1;
	(void)chronfs_parked_end_attempt(&fs->ctl.jobs, &job->parked, do_piece(fs, job));
	return chronfs_parked_any(&fs->ctl.jobs) ? 0 : -1;
}

void chronfs_ctl_fini(struct chronfs *fs)
{
	chronfs_parked_fini(&fs->ctl.jobs);
}

/* ---- unlink ---- */

void chronfs_ctl_delete_segment(fuse_req_t req, uint32_t segment)
{
	const struct job job = { .kind = JOB_REMOVE, .segment = segment };

	job_park(chronfs_of(req), req, &job);
}

/* ---- ctl ---- */

static int ctl_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	chronfs_attr(fs, node, S_IFREG | 0200, fs->mount_time, ret_stat);
	*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return 0;
}

static void ctl_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);

	/* As a sink: the number tells opens apart, and O_TRUNC means nothing. */
	fi->fh = __atomic_add_fetch(&fs->ctl.opens, 1, __ATOMIC_RELAXED);
	fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
}

static void sync_now(fuse_req_t req, struct chronfs *fs, size_t written)
{
	struct chronfs_sync_wait *sync_wait = chronfs_sync_wait_new(req);

	if (sync_wait)
		chronfs_sync_wait_start(fs, sync_wait, written);
	else
		fuse_reply_err(req, ENOMEM);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The sequence number that the rest of "trim SEQ" is. */
static bool parse_seq(const char *text, uint64_t *ret_seq)
{
	const char *end;
	uint64_t seq;

	if (!is_blank(*text))
		return false;
	while (is_blank(*text))
		text++;
	if (!chronfs_parse_number(text, &seq, &end) || *end != '\0')
		return false;
	*ret_seq = seq;
	return true;
}

bool chronfs_ctl_parse(const char *data, size_t size, enum chronfs_verb *ret_verb,
                       uint64_t *ret_seq)
{
	char command[COMMAND_MAX + 1] = "";
	uint64_t seq = 0;
	enum chronfs_verb verb;

	while (size > 0 && is_blank(data[size - 1]))
		size--;
	if (size > COMMAND_MAX || memchr(data, '\0', size))
		return false;
	memcpy(command, data, size);
	if (strcmp(command, "sync") == 0)
		verb = CHRONFS_SYNC;
	else if (strcmp(command, "roll") == 0)
		verb = CHRONFS_ROLL;
	else if (strncmp(command, "trim", 4) == 0 && parse_seq(command + 4, &seq))
		verb = CHRONFS_TRIM;
	else
		return false;
	*ret_verb = verb;
	*ret_seq = seq;
	return true;
}

static void ctl_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct job job = { .written = size };
	enum chronfs_verb verb;

	(void)node;
	(void)offset;
	(void)fi;
	if (size == 0) {
		fuse_reply_write(req, 0);
	} else if (!chronfs_ctl_parse(data, size, &verb, &job.seq)) {
		fuse_reply_err(req, EINVAL);
	} else if (verb == CHRONFS_SYNC) {
		sync_now(req, fs, size);
	} else {
		job.kind = verb == CHRONFS_ROLL ? JOB_ROLL : JOB_TRIM;
		job_park(fs, req, &job);
	}
}

const struct chronfs_node_ops chronfs_ctl_ops = {
	.stat = ctl_stat,
	.open = ctl_open,
	.write = ctl_write,
	.sink = true,
};
