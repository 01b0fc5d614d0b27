/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the command line
 *
 * We check and remove our own options.  The rest goes to libfuse, which refuses what it does not know.
 */
#include "options/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "options/option_access.h"
#include "options/option_numbers.h"
#include "shared/log.h"

#define FULL_WAIT_MS 30000 /* of full=block */
#define LINE_TIMEOUT_MS 60000
#define MAX_OPEN 16384
#define UMASK 022

enum key {
	KEY_HELP,
	KEY_VERSION,
	KEY_FOREGROUND,
	KEY_DEBUG,
	KEY_READ_ONLY,
	KEY_READ_WRITE,
	KEY_SEGMENT_SIZE,
	KEY_SYNC,
	KEY_PREALLOC_WAIT,
	KEY_SPARES,
	KEY_REQUIRE_PREALLOC,
	KEY_RETAIN_SEGMENTS,
	KEY_RETAIN_BYTES,
	KEY_RETAIN_AGE,
	KEY_READER_TTL,
	KEY_READER_MAX_LAG,
	KEY_ACCEPT_LOSS,
	KEY_TRUST_FILES,
	KEY_MAX_BYTES,
	KEY_FULL,
	KEY_LINE_TIMEOUT,
	KEY_ALLOW_TRIM,
	KEY_CTL_GID,
	KEY_SYNC_ALWAYS,
	KEY_RECOVER,
	KEY_PASSTHROUGH,
	KEY_MAX_OPEN,
	KEY_SOURCE,
	KEY_MAX_READ,
	KEY_ALLOW_OTHER,
	KEY_ALLOW_ROOT,
	KEY_UID,
	KEY_GID,
	KEY_UMASK,
};

/* FUSE_OPT_KEY without the implicit conversion that clang warns about. */
#define OPTION(text, key)                 \
	{                                 \
		(text), UINT32_MAX, (key) \
	}

static const struct fuse_opt option_table[] = {
	OPTION("-h", KEY_HELP),
	OPTION("--help", KEY_HELP),
	OPTION("-V", KEY_VERSION),
	OPTION("--version", KEY_VERSION),
	OPTION("-f", KEY_FOREGROUND),
	OPTION("-d", KEY_DEBUG),
	OPTION("debug", KEY_DEBUG),
	OPTION("-r", KEY_READ_ONLY),
	OPTION("ro", KEY_READ_ONLY),
	OPTION("rw", KEY_READ_WRITE),
	OPTION("segment_size=", KEY_SEGMENT_SIZE),
	OPTION("sync=", KEY_SYNC),
	OPTION("sync", KEY_SYNC_ALWAYS),
	OPTION("prealloc_wait=", KEY_PREALLOC_WAIT),
	OPTION("spares=", KEY_SPARES),
	OPTION("require_prealloc", KEY_REQUIRE_PREALLOC),
	OPTION("retain_segments=", KEY_RETAIN_SEGMENTS),
	OPTION("retain_bytes=", KEY_RETAIN_BYTES),
	OPTION("retain_age=", KEY_RETAIN_AGE),
	OPTION("reader_ttl=", KEY_READER_TTL),
	OPTION("reader_max_lag=", KEY_READER_MAX_LAG),
	OPTION("accept_loss", KEY_ACCEPT_LOSS),
	OPTION("trust_files", KEY_TRUST_FILES),
	OPTION("max_bytes=", KEY_MAX_BYTES),
	OPTION("full=", KEY_FULL),
	OPTION("line_timeout=", KEY_LINE_TIMEOUT),
	OPTION("allow_trim", KEY_ALLOW_TRIM),
	OPTION("ctl_gid=", KEY_CTL_GID),
	OPTION("recover", KEY_RECOVER),
	OPTION("passthrough=", KEY_PASSTHROUGH),
	OPTION("max_open=", KEY_MAX_OPEN),
	OPTION("fsname=", KEY_SOURCE),
	OPTION("max_read=", KEY_MAX_READ),
	OPTION("allow_other", KEY_ALLOW_OTHER),
	OPTION("allow_root", KEY_ALLOW_ROOT),
	OPTION("uid=", KEY_UID),
	OPTION("gid=", KEY_GID),
	OPTION("umask=", KEY_UMASK),
	FUSE_OPT_END,
};

static int take_sync(struct chronfs_options *options, const char *option)
{
	const char *mode = strchr(option, '=') + 1;
	uint64_t ms;

	if (strcmp(mode, "none") == 0) {
		options->sync = CHRONFS_SYNC_NONE;
	} else if (strcmp(mode, "always") == 0) {
		options->sync = CHRONFS_SYNC_ALWAYS;
	} else if (strncmp(mode, "interval=", 9) == 0) {
		if (chronfs_take_count(option, 1, UINT32_MAX, &ms) < 0)
			return -1;
		options->sync = CHRONFS_SYNC_INTERVAL;
		options->queue_config.sync_interval_ms = (uint32_t)ms;
	} else {
		chronfs_print_error("-o %s: none, interval=MS or always expected", option);
		return -1;
	}
	return 0;
}

static int take_full(struct chronfs_options *options, const char *option)
{
	const char *mode = strchr(option, '=') + 1;

	if (strcmp(mode, "error") == 0) {
		options->full_wait_ms = 0;
	} else if (strcmp(mode, "block") == 0) {
		options->full_wait_ms = FULL_WAIT_MS;
	} else if (strncmp(mode, "block=", 6) == 0) {
		return chronfs_take_count(option, 1, INT32_MAX, &options->full_wait_ms);
	} else {
		chronfs_print_error("-o %s: error, block or block=MS expected", option);
		return -1;
	}
	return 0;
}

static int take_passthrough(struct chronfs_options *options, const char *option)
{
	const char *mode = strchr(option, '=') + 1;

	if (strcmp(mode, "auto") != 0 && strcmp(mode, "off") != 0) {
		chronfs_print_error("-o %s: auto or off expected", option);
		return -1;
	}
	options->passthrough = strcmp(mode, "auto") == 0;
	return 0;
}

static int take_segment_size(struct chronfs_options *options, const char *option)
{
	uint64_t size;

	if (chronfs_take_size(option, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MAX, &size) < 0)
		return -1;
	if (size % CQ_SEGMENT_SIZE_MIN != 0) {
		chronfs_print_error("-o %s: a multiple of %llu expected", option,
		                    CQ_SEGMENT_SIZE_MIN);
		return -1;
	}
	options->queue_config.segment_size = size;
	return 0;
}

static int take_source(struct chronfs_options *options, const char *option)
{
	free(options->source);
	options->source = NULL;
	if (strchr(option, '=')[1] == '\0') {
		chronfs_print_error("-o %s: a name expected", option);
		return -1;
	}
	options->source = strdup(strchr(option, '=') + 1);
	if (!options->source) {
		chronfs_print_error("%s", strerrordesc_np(ENOMEM));
		return -1;
	}
	return 1;
}

static int take_path(struct chronfs_options *options, const char *arg)
{
	char **path = !options->queue ? &options->queue : &options->mountpoint;

	if (*path) {
		chronfs_print_error("%s: unexpected argument (see --help)", arg);
		return -1;
	}
	if (!*arg) { /* of an unset variable; as a path it would be the current directory */
		chronfs_print_error("an argument is empty (see --help)");
		return -1;
	}
	*path = strdup(arg);
	if (!*path) {
		chronfs_print_error("%s", strerrordesc_np(errno));
		return -1;
	}
	return 0;
}

/* Takes an option that has a meaning only for a writer. */
static int take_writing(struct chronfs_options *options, const char *arg, int key)
{
	struct cq_config *config = &options->queue_config;
	uint64_t number;

	switch (key) {
	case KEY_SEGMENT_SIZE:
		return take_segment_size(options, arg);
	case KEY_SYNC:
		return take_sync(options, arg);
	case KEY_PREALLOC_WAIT:
		return chronfs_take_milliseconds(arg, &config->prealloc_wait_ms);
	case KEY_SPARES:
		if (chronfs_take_count(arg, 1, CQ_SPARES_MAX, &number) < 0)
			return -1;
		config->spares = (uint32_t)number;
		return 0;
	case KEY_REQUIRE_PREALLOC:
		config->require_prealloc = true;
		return 0;
	case KEY_RETAIN_SEGMENTS:
		return chronfs_take_count(arg, 1, UINT64_MAX, &config->retain_segments);
	case KEY_RETAIN_BYTES:
		return chronfs_take_size(arg, 1, UINT64_MAX, &config->retain_bytes);
	case KEY_RETAIN_AGE:
		return chronfs_take_span(arg, 1, &config->retain_age_ms);
	case KEY_READER_TTL:
		return chronfs_take_span(arg, 1, &config->reader_ttl_ms);
	case KEY_READER_MAX_LAG:
		return chronfs_take_size(arg, 1, UINT64_MAX, &config->reader_max_lag_bytes);
	case KEY_ACCEPT_LOSS:
		config->accept_loss = true;
		return 0;
	case KEY_TRUST_FILES:
		config->trust_files = true;
		return 0;
	case KEY_MAX_BYTES:
		return chronfs_take_size(arg, 2 * CQ_SEGMENT_SIZE_MIN, UINT64_MAX,
		                         &config->max_bytes);
	case KEY_FULL:
		return take_full(options, arg);
	case KEY_LINE_TIMEOUT:
		return chronfs_take_span(arg, 0, &options->line_timeout_ms);
	case KEY_ALLOW_TRIM:
		options->allow_trim = true;
		return 0;
	case KEY_CTL_GID:
		options->access.ctl_shared = true;
		return chronfs_take_group(arg, &options->access.ctl_gid);
	default: /* GCOV_EXCL_BR_LINE: each key has a case */
		return -1;
	}
}

/* A fuse_opt_proc_t.  Returns 0 (taken), 1 (libfuse gets it too) or -1 (refused, with a message). */
static int take_argument(void *data, const char *arg, int key, struct fuse_args *rest)
{
	struct chronfs_options *options = data;

	(void)rest;
	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		return take_path(options, arg);
	case FUSE_OPT_KEY_OPT:
		return chronfs_foreign_option(arg, options->sloppy);
	case KEY_HELP:
		options->help = true;
		return 0;
	case KEY_VERSION:
		options->version = true;
		return 0;
	case KEY_FOREGROUND:
		options->foreground = true;
		return 0;
	case KEY_DEBUG:
		options->foreground = true;
		return 1;
	case KEY_READ_ONLY:
		options->read_only = true;
		return 1;
	case KEY_READ_WRITE:
		options->read_only = false;
		return 1;
	case KEY_SYNC_ALWAYS: /* as mount(8) calls it; the kernel gets it too */
		options->sync = CHRONFS_SYNC_ALWAYS;
		return 1;
	case KEY_RECOVER:
		options->recover = true;
		return 0;
	case KEY_PASSTHROUGH:
		return take_passthrough(options, arg);
	case KEY_MAX_OPEN:
		return chronfs_take_count(arg, 16, INT32_MAX, &options->max_open);
	case KEY_SOURCE:
		return take_source(options, arg);
	case KEY_MAX_READ: /* libfuse gives it to the kernel, and compares it with our init */
		return chronfs_take_count(arg, 0, UINT32_MAX, &options->max_read) < 0 ? -1 : 1;
	case KEY_ALLOW_OTHER:
		options->allow_other = true;
		return 1;
	case KEY_ALLOW_ROOT:
		options->allow_root = true;
		return 1;
	case KEY_UID:
		return chronfs_take_user(arg, &options->access.uid);
	case KEY_GID:
		return chronfs_take_group(arg, &options->access.gid);
	case KEY_UMASK:
		return chronfs_take_umask(arg, &options->access.umask);
	default:
		(void)snprintf(options->writing, sizeof options->writing, "%s", arg);
		return take_writing(options, arg, key);
	}
}

/* The absolute path of a directory that may not exist yet, or may be a dead mount; its parent must
 * answer. */
static char *absolute(const char *path)
{
	char *copy, *name, *parent, *result;

	result = realpath(path, NULL);
	if (result || (errno != ENOENT && errno != ENOTCONN))
		return result;
	copy = strdup(path);
	if (!copy)
		return NULL;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	name = strrchr(copy, '/');
	if (name)
		*name++ = '\0';
	parent = realpath(!name ? "." : *copy ? copy : "/", NULL);
	/* as the kernel writes it: one slash below the root, too */
	if (parent && asprintf(&result, "%s/%s", /* GCOV_EXCL_BR_LINE: memory for a path */
	                       parent[1] ? parent : "", name ? name : copy) < 0)
		result = NULL;
	free(parent);
	free(copy);
	return result;
}

/* Replaces a path by its absolute one; prints why there is none if `result` is NULL.  missing: what to
 * add if its parent does not exist. */
static int replace_path(char **path, char *result, const char *missing)
{
	if (!result) {
		chronfs_print_error("%s: %s%s", *path, strerrordesc_np(errno),
		                    errno == ENOENT ? missing : "");
		return -1;
	}
	free(*path);
	*path = result;
	return 0;
}

/* Adds the options that every mount of ours has.  They come first, so that a name that the user gives
 * comes later and wins. */
static int add_mount_options(struct chronfs_options *options)
{
	static const char fixed[] = "-odefault_permissions,subtype=chronfs,fsname=";
	char *text = malloc(sizeof fixed + 2 * strlen(options->queue)), *to;
	int r;

	if (!text) {
		chronfs_print_error("%s", strerrordesc_np(ENOMEM));
		return -1;
	}
	to = stpcpy(text, fixed);
	for (const char *from = options->queue; *from; from++) {
		if (*from == ',' || *from == '\\')
			*to++ = '\\';
		*to++ = *from;
	}
	*to = '\0';
	r = fuse_opt_insert_arg(&options->args, 1, text);
	free(text);
	return r;
}

/* libfuse leaves a "--" behind when there are options for it, and would later report it among the
 * unknown options. */
static void drop_separator(struct fuse_args *args)
{
	if (args->argc > 1 && strcmp(args->argv[args->argc - 1], "--") == 0) {
		free(args->argv[--args->argc]);
		args->argv[args->argc] = NULL;
	}
}

int chronfs_options_parse(struct chronfs_options *ret_options, int argc, char **argv, bool sloppy)
{
	struct chronfs_options options = {
		.args = FUSE_ARGS_INIT(argc, argv),
		.sloppy = sloppy,
		.passthrough = true,
		.line_timeout_ms = LINE_TIMEOUT_MS,
		.max_open = MAX_OPEN,
		.access = { .uid = getuid(), .gid = getgid(), .umask = UMASK },
	};
	int r = CHRONFS_EXIT_OPTIONS;
	char *path;

	cq_config_init(&options.queue_config);
	if (fuse_opt_parse(&options.args, &options, option_table, take_argument) < 0)
		goto out;
	drop_separator(&options.args);
	if (options.help || options.version) {
		*ret_options = options;
		return CHRONFS_EXIT_OK;
	}
	if (!options.queue) {
		chronfs_print_error("no queue directory given (see --help)");
		goto out;
	}
	if (options.read_only && *options.writing) {
		chronfs_print_error("-o %s has no meaning on a read-only mount", options.writing);
		goto out;
	}
	if (options.allow_other && options.allow_root) {
		chronfs_print_error("-o allow_other and -o allow_root exclude each other");
		goto out;
	}
	if (!options.mountpoint) {
		chronfs_print_error("no mount point given (see --help)");
		goto out;
	}
	path = absolute(options.queue);
	if (!path && errno != ENOMEM)
		r = CHRONFS_EXIT_SETUP;
	if (replace_path(&options.queue, path, " (a queue is made in a directory that exists)") < 0)
		goto out;
	if (replace_path(&options.mountpoint, absolute(options.mountpoint), "") < 0) {
		r = CHRONFS_EXIT_NO_MOUNTPOINT;
		goto out;
	}
	if (add_mount_options(&options) < 0)
		goto out;
	/* The mount itself syncs single writes, since no serving thread may wait for a flush. */
	options.queue_config.sync =
		options.sync == CHRONFS_SYNC_INTERVAL ? CQ_SYNC_INTERVAL : CQ_SYNC_NONE;
	*ret_options = options;
	return CHRONFS_EXIT_OK;
out:
	chronfs_options_fini(&options);
	return r;
}

void chronfs_options_fini(struct chronfs_options *options)
{
	free(options->queue);
	free(options->mountpoint);
	free(options->source);
	fuse_opt_free_args(&options->args);
}
