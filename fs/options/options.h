/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - what the command line says */
#ifndef CHRONFS_OPTIONS_H
#define CHRONFS_OPTIONS_H

#include <fuse_opt.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"

enum chronfs_sync { CHRONFS_SYNC_NONE, CHRONFS_SYNC_INTERVAL, CHRONFS_SYNC_ALWAYS };

struct chronfs_options {
	char *queue;      /* absolute path */
	char *mountpoint; /* absolute path */
	char *source;     /* in the table of mounts; NULL: the queue */
	bool foreground;
	bool help;
	bool version;
	bool fake;    /* only see whether a mount could be tried */
	bool verbose; /* say that it was made */
	bool sloppy;  /* leave out options that nobody knows */
	bool read_only;
	bool recover;                 /* a dead mount of ours at the mount point goes first */
	bool passthrough;             /* where it can be had */
	bool allow_other, allow_root; /* who is let in; libfuse sees to it */
	bool allow_trim;              /* unlink of the oldest segment deletes it */
	char writing[64];             /* an option was given that needs a writer: its text */
	enum chronfs_sync sync;
	uint64_t full_wait_ms;    /* how long a write waits in a full queue; 0: full=error */
	uint64_t max_read;        /* bytes of a read request, for libfuse; 0: its own limit */
	uint64_t max_open;        /* files open at a time */
	uint64_t line_timeout_ms; /* after which an open line is a record; 0: never */
	struct cq_config queue_config;
	struct fuse_args args; /* what is left for libfuse */
};

/* Returns 0, or an exit code after saying on stderr what is wrong.  sloppy: leave out what nobody
 * knows. */
int chronfs_options_parse(struct chronfs_options *ret_options, int argc, char **argv, bool sloppy);
void chronfs_options_fini(struct chronfs_options *options);

/* foreign_options.c: what is to be done with an option that is not ours: 0 to leave it out, 1 to hand it
 * to libfuse, which refuses what it does not know; -1: refused, and said why. */
int chronfs_foreign_option(const char *option, bool sloppy);

#endif
