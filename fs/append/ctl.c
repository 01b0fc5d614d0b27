/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - `ctl`: one command per write(2); and unlink(2), which deletes a segment
 *
 *   roll      seals the current segment
 *   sync      gets its reply when everything appended before it is durable
 *   trim SEQ  deletes the sealed segments all of whose records are below SEQ, oldest first
 *
 * The writer's flusher replies to `sync` (wait_for_sync.c).  The other commands and unlink may take
 * longer than a serving thread may spend: a roll may wait for a segment that is being prepared, and
 * deleting a file takes tens of milliseconds.  They are jobs: parked requests that the background
 * thread does in the order of arrival, one piece at a time, so that its other steps have their turn
 * between two pieces.
 *
 * An interruption during a piece takes effect after the piece, unless that was the job's last
 * (held/parked.c).
 */
#include "append/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "append/sink.h"
#include "append/wait_for_sync.h"
#include "chronfs.h"
#include "held/background.h"
#include "held/parked.h"
#include "shared/node_ops.h"
#include "shared/parse_number.h"

#define COMMAND_MAX 64 /* bytes; every command is shorter */

struct job {
	struct chronfs_parked parked; /* first */
	size_t written;               /* as of chronfs_reply_success() */
	enum job_kind { JOB_ROLL, JOB_TRIM, JOB_DELETE } kind;
	uint64_t seq;     /* JOB_TRIM: deletes records below this one */
	uint32_t segment; /* JOB_DELETE: deletes this one */
	bool deleted;     /* JOB_TRIM: has deleted a segment; only the background thread uses it */
};

static void job_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	const struct job *job = (const struct job *)parked;

	(void)fs;
	if (result < 0)
		fuse_reply_err(parked->req, -result);
	else
		chronfs_reply_success(parked->req, job->written);
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

/* Returns 1 if there is more to do, otherwise the result. */
static int job_do_piece(struct chronfs *fs, struct job *job)
{
	int r;

	switch (job->kind) {
	case JOB_ROLL:
		return cq_writer_roll(fs->writer);
	case JOB_DELETE:
		return cq_writer_remove(fs->writer, job->segment);
	case JOB_TRIM:
	default: /* GCOV_EXCL_BR_LINE: no other value */
		r = cq_writer_trim(fs->writer, job->seq, 1);
		if (r > 0)
			job->deleted = true;
		else if (r == -EBUSY && job->deleted)
			r = 0; /* a named reader still needs the rest */
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
	(void)chronfs_parked_end_attempt(&fs->ctl.jobs, &job->parked, job_do_piece(fs, job));
	return chronfs_parked_any(&fs->ctl.jobs) ? 0 : -1;
}

void chronfs_ctl_fini(struct chronfs *fs)
{
	chronfs_parked_fini(&fs->ctl.jobs);
}

/* ---- unlink ---- */

void chronfs_ctl_delete_segment(fuse_req_t req, uint32_t segment)
{
	const struct job job = { .kind = JOB_DELETE, .segment = segment };

	job_park(chronfs_of(req), req, &job);
}

/* ---- ctl ---- */

/* The mounter owns ctl, not uid=: users who may append must not be able to trim. */
static int ctl_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	const struct chronfs_access *access = &fs->options.access;

	chronfs_attr(fs, node, S_IFREG, fs->mount_time, ret_stat);
	ret_stat->st_mode |= access->ctl_shared ? 0220 : 0200;
	ret_stat->st_uid = fs->uid;
	ret_stat->st_gid = access->ctl_shared ? access->ctl_gid : fs->gid;
	*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Parses what follows "trim". */
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

bool chronfs_ctl_parse(const char *data, size_t size, enum chronfs_ctl_command *ret_command,
                       uint64_t *ret_seq)
{
	char text[COMMAND_MAX + 1] = "";
	uint64_t seq = 0;
	enum chronfs_ctl_command command;

	while (size > 0 && is_blank(data[size - 1]))
		size--;
	if (size > COMMAND_MAX || memchr(data, '\0', size))
		return false;
	memcpy(text, data, size);
	if (strcmp(text, "sync") == 0)
		command = CHRONFS_CTL_SYNC;
	else if (strcmp(text, "roll") == 0)
		command = CHRONFS_CTL_ROLL;
	else if (strncmp(text, "trim", 4) == 0 && parse_seq(text + 4, &seq))
		command = CHRONFS_CTL_TRIM;
	else
		return false;
	*ret_command = command;
	*ret_seq = seq;
	return true;
}

static void ctl_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct job job = { .written = size };
	enum chronfs_ctl_command command;

	(void)node;
	(void)offset;
	(void)fi;
	if (size == 0) {
		fuse_reply_write(req, 0);
	} else if (!chronfs_ctl_parse(data, size, &command, &job.seq)) {
		fuse_reply_err(req, EINVAL);
	} else if (command == CHRONFS_CTL_SYNC) {
		chronfs_reply_after_sync(req, size);
	} else {
		job.kind = command == CHRONFS_CTL_ROLL ? JOB_ROLL : JOB_TRIM;
		job_park(fs, req, &job);
	}
}

const struct chronfs_node_ops chronfs_ctl_ops = {
	.stat = ctl_stat,
	.open = chronfs_sink_open,
	.write = ctl_write,
	.release = chronfs_sink_release,
	.sink = true,
};
