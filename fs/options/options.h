/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the command line */
#ifndef CHRONFS_OPTIONS_H
#define CHRONFS_OPTIONS_H

#include <fuse_opt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq.h"

enum chronfs_sync { CHRONFS_SYNC_NONE, CHRONFS_SYNC_INTERVAL, CHRONFS_SYNC_ALWAYS };

/* Who may do what with the files of the mount; the kernel checks it, by the attributes that
 * chronfs_attr() gives (default_permissions). */
struct chronfs_access {
	uid_t uid; /* owner and group of all files but ctl, whose owner is the mounter */
	gid_t gid;
	mode_t umask;    /* mode bits that no file has; ctl has its own mode */
	bool ctl_shared; /* members of ctl_gid may write to ctl, too */
	gid_t ctl_gid;
};

struct chronfs_options {
	char *queue;      /* absolute path */
	char *mountpoint; /* absolute path */
	char *source;     /* as the table of mounts shows it; NULL: the queue */
	bool foreground;
	bool help;
	bool version;
	bool fake;    /* only check whether a mount could be tried */
	bool verbose; /* print that the mount was made */
	bool sloppy;  /* leave out unknown options */
	bool read_only;
	bool recover;     /* unmount a dead mount of this queue at the mount point first */
	bool passthrough; /* where it works */
	bool allow_other, allow_root; /* which users get in; libfuse takes care of it */
	bool allow_trim;              /* unlink of the oldest segment deletes it */
	struct chronfs_access access;
	char writing[64]; /* the last option that needs a writer, as it was given */
	enum chronfs_sync sync;
	uint64_t full_wait_ms;    /* how long a write waits in a full queue; 0: full=error */
	uint64_t max_read;        /* bytes of a read request, for libfuse; 0: its own limit */
	uint64_t max_open;        /* files open at a time */
	uint64_t line_timeout_ms; /* after which an open line is a record; 0: never */
	struct cq_config queue_config;
	struct fuse_args args; /* the rest, for libfuse */
};

/* Returns CHRONFS_EXIT_OK, or an exit code after printing what is wrong.  sloppy: leave out unknown
 * options. */
int chronfs_options_parse(struct chronfs_options *ret_options, int argc, char **argv, bool sloppy);
void chronfs_options_fini(struct chronfs_options *options);

/* foreign_options.c: what to do with an option that is not ours.  Returns 0 to leave it out, 1 to give
 * it to libfuse, which refuses unknown ones, or -1: refused, after printing the reason. */
int chronfs_foreign_option(const char *option, bool sloppy);

#endif
