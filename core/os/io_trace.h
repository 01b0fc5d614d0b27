/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_trace.h - a test observes what a run does to files; only in builds with -Dplanted_faults=true
 *
 * The calls of io.c that change a file or a name, or make either durable, notify an observer when
 * they have succeeded, on the thread that made them.  A store through a mapping makes no call: an
 * observer finds it by reading the files, at each event and at each place of fault.h.
 */
#ifndef CQ_IO_TRACE_H
#define CQ_IO_TRACE_H

enum cq_event_kind {
	CQ_EVENT_CREATE,    /* dirfd, name; fd is the new file's */
	CQ_EVENT_WRITE,     /* fd: its bytes, or its size */
	CQ_EVENT_SYNC_DATA, /* fd */
	CQ_EVENT_SYNC_DIR,  /* fd is the directory's */
	CQ_EVENT_RENAME,    /* dirfd, name, to */
	CQ_EVENT_UNLINK,    /* dirfd, name */
	CQ_EVENT_MKDIR,     /* dirfd, name */
};

struct cq_event {
	enum cq_event_kind kind;
	int dirfd; /* -1: has no meaning here, as for fd */
	int fd;
	const char *name;
	const char *to;
};

#ifdef CQ_FAULTS

/* From now on, until it is called with NULL. */
void cq_io_trace_set(void (*observe)(void *arg, const struct cq_event *event), void *arg);

void cq_io_trace_call(enum cq_event_kind kind, int dirfd, int fd, const char *name, const char *to);

#else

static inline void cq_io_trace_call(enum cq_event_kind kind, int dirfd, int fd, const char *name,
                                    const char *to)
{
	(void)kind;
	(void)dirfd;
	(void)fd;
	(void)name;
	(void)to;
}

#endif

#endif
