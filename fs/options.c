/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the command line
 *
 * Our own options are taken out, all checked; what is left goes to libfuse, which refuses what it
 * does not know.
 */
#include "chronfs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
};

/* FUSE_OPT_KEY, without the implicit conversion that clang warns of. */
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
	OPTION("ro", KEY_READ_ONLY),
	OPTION("rw", KEY_READ_WRITE),
	OPTION("segment_size=", KEY_SEGMENT_SIZE),
	OPTION("sync=", KEY_SYNC),
	OPTION("prealloc_wait=", KEY_PREALLOC_WAIT),
	OPTION("spares=", KEY_SPARES),
	OPTION("require_prealloc", KEY_REQUIRE_PREALLOC),
	OPTION("retain_segments=", KEY_RETAIN_SEGMENTS),
	OPTION("retain_bytes=", KEY_RETAIN_BYTES),
	OPTION("retain_age=", KEY_RETAIN_AGE),
	OPTION("reader_ttl=", KEY_READER_TTL),
	OPTION("reader_max_lag=", KEY_READER_MAX_LAG),
	OPTION("accept_loss", KEY_ACCEPT_LOSS),
	FUSE_OPT_END,
};

void chronfs_options_help(const char *program)
{
	printf("usage: %s QUEUE MOUNTPOINT [-f] [-d] [-o OPTION,...]\n"
	       "\n"
	       "Mounts the message queue in directory QUEUE (made where there is none).  Each write(2)\n"
	       "to MOUNTPOINT/append appends one record; MOUNTPOINT/segments/ holds the segment files.\n"
	       "\n"
	       "    -f                     stay in the foreground\n"
	       "    -d, -o debug           the same, and show every request\n"
	       "    -h, --help             print this\n"
	       "    -V, --version          print the version\n"
	       "\n"
	       "    -o ro                  only look, also while another process writes\n"
	       "    -o segment_size=SIZE   of the segment files of a new queue (default 128M)\n"
	       "    -o sync=none           durable on fsync and with O_SYNC or O_DSYNC (default)\n"
	       "    -o sync=interval=MS    as none, and a flush every MS milliseconds\n"
	       "    -o sync=always         a write returns when its record is durable\n"
	       "    -o prealloc_wait=MS    how long a write waits for the next segment file to be\n"
	       "                           prepared before it makes one itself (default 100)\n"
	       "    -o spares=N            segment files prepared ahead (default 1, at most 8)\n"
	       "    -o require_prealloc    fail with EAGAIN then, instead of making one\n"
	       "    -o retain_segments=N   delete the oldest segments when there are more than N,\n"
	       "    -o retain_bytes=SIZE   when they are larger than SIZE in all,\n"
	       "    -o retain_age=SPAN     when their records are older than SPAN (default: never)\n"
	       "    -o reader_ttl=SPAN     a named reader silent for SPAN protects nothing any more\n"
	       "    -o reader_max_lag=SIZE nor does one that is further behind than SIZE\n"
	       "    -o accept_loss         open a damaged queue: set aside what is damaged, go on\n"
	       "    -o allow_other         let all users in; further options of mount and libfuse too\n"
	       "\n"
	       "SIZE is a number with an optional K, M or G; SPAN a number with s, m, h or d (s when\n"
	       "none is given).\n",
	       program);
}

/* Strictly decimal digits, then the rest in *ret_rest. */
static bool parse_number(const char *text, uint64_t *ret_value, const char **ret_rest)
{
	uint64_t value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (p == text)
		return false;
	*ret_value = value;
	*ret_rest = p;
	return true;
}

struct unit {
	char letter; /* 0: none given */
	uint64_t factor;
};

static const struct unit no_unit[] = { { 0, 1 } };
static const struct unit size_units[] = {
	{ 0, 1 }, { 'K', 1ULL << 10 }, { 'M', 1ULL << 20 }, { 'G', 1ULL << 30 }
};
static const struct unit span_units[] = {
	{ 0, 1000 }, { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Takes the value behind the last '=' of an option; says what is wrong with it.  Returns 0 or -1. */
static int take(const char *option, const struct unit *units, size_t unit_count, uint64_t min,
                uint64_t max, const char *form, uint64_t *ret_value)
{
	const char *text = strrchr(option, '=') + 1, *rest;
	uint64_t value;

	if (!parse_number(text, &value, &rest))
		goto bad;
	for (size_t i = 0; i < unit_count; i++) {
		if (rest[0] != units[i].letter || (rest[0] && rest[1]))
			continue;
		if (value > max / units[i].factor || value * units[i].factor < min)
			goto bad;
		*ret_value = value * units[i].factor;
		return 0;
	}
bad:
	fprintf(stderr, "chronfs: -o %s: %s expected, from %llu to %llu\n", option, form,
	        (unsigned long long)min, (unsigned long long)max);
	return -1;
}

static int take_count(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	return take(option, no_unit, COUNT(no_unit), min, max, "a number", ret_value);
}

static int take_size(const char *option, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	return take(option, size_units, COUNT(size_units), min, max,
	            "a size (with K, M or G), in bytes", ret_value);
}

static int take_span(const char *option, uint64_t *ret_ms)
{
	return take(option, span_units, COUNT(span_units), 1, INT64_MAX / 1000000,
	            "a time (with s, m, h or d), in milliseconds", ret_ms);
}

static int take_sync(struct chronfs_options *options, const char *option)
{
	const char *mode = strchr(option, '=') + 1;
	uint64_t ms;

	if (strcmp(mode, "none") == 0) {
		options->sync = CHRONFS_SYNC_NONE;
	} else if (strcmp(mode, "always") == 0) {
		options->sync = CHRONFS_SYNC_ALWAYS;
	} else if (strncmp(mode, "interval=", 9) == 0) {
		if (take_count(option, 1, UINT32_MAX, &ms) < 0)
			return -1;
		options->sync = CHRONFS_SYNC_INTERVAL;
		options->queue_config.sync_interval_ms = (uint32_t)ms;
	} else {
		fprintf(stderr, "chronfs: -o %s: none, interval=MS or always expected\n", option);
		return -1;
	}
	return 0;
}

static int take_milliseconds(const char *option, uint32_t *ret_ms)
{
	uint64_t ms;

	if (take_count(option, 0, UINT32_MAX, &ms) < 0)
		return -1;
	*ret_ms = (uint32_t)ms;
	return 0;
}

static int take_path(struct chronfs_options *options, const char *arg)
{
	char **path = !options->queue ? &options->queue : &options->mountpoint;

	if (*path) {
		fprintf(stderr, "chronfs: %s: unexpected argument (see --help)\n", arg);
		return -1;
	}
	*path = strdup(arg);
	if (!*path) {
		perror("chronfs");
		return -1;
	}
	return 0;
}

/* Options that only a writer understands. */
static int take_writing(struct chronfs_options *options, const char *arg, enum key key)
{
	struct cq_config *config = &options->queue_config;
	uint64_t number;

	switch (key) {
	case KEY_SEGMENT_SIZE:
		return take_size(arg, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MAX,
		                 &config->segment_size);
	case KEY_SYNC:
		return take_sync(options, arg);
	case KEY_PREALLOC_WAIT:
		return take_milliseconds(arg, &config->prealloc_wait_ms);
	case KEY_SPARES:
		if (take_count(arg, 1, CQ_SPARES_MAX, &number) < 0)
			return -1;
		config->spares = (uint32_t)number;
		return 0;
	case KEY_REQUIRE_PREALLOC:
		config->require_prealloc = true;
		return 0;
	case KEY_RETAIN_SEGMENTS:
		return take_count(arg, 1, UINT64_MAX, &config->retain_segments);
	case KEY_RETAIN_BYTES:
		return take_size(arg, 1, UINT64_MAX, &config->retain_bytes);
	case KEY_RETAIN_AGE:
		return take_span(arg, &config->retain_age_ms);
	case KEY_READER_TTL:
		return take_span(arg, &config->reader_ttl_ms);
	case KEY_READER_MAX_LAG:
		return take_size(arg, 1, UINT64_MAX, &config->reader_max_lag_bytes);
	case KEY_ACCEPT_LOSS:
		config->accept_loss = true;
		return 0;
	case KEY_HELP:
	case KEY_VERSION:
	case KEY_FOREGROUND:
	case KEY_DEBUG:
	case KEY_READ_ONLY:
	case KEY_READ_WRITE:
	default:
		return -1;
	}
}

/* Returns 0 (taken), 1 (for libfuse, too) or -1. */
static int take_argument(void *data, const char *arg, int key, struct fuse_args *rest)
{
	struct chronfs_options *options = data;

	(void)rest;
	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		return take_path(options, arg);
	case FUSE_OPT_KEY_OPT:
		return 1;
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
	default:
		snprintf(options->writing, sizeof options->writing, "%s", arg);
		return take_writing(options, arg, (enum key)key);
	}
}

/* The absolute path of a directory that need not be there yet; its parent must. */
static char *absolute(const char *path)
{
	char *copy, *name, *parent, *result;

	result = realpath(path, NULL);
	if (result || errno != ENOENT)
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
	if (parent && asprintf(&result, "%s/%s", parent, name ? name : copy) < 0)
		result = NULL;
	free(parent);
	free(copy);
	return result;
}

/* Replaces a path by what it stands for; says so if that is nothing. */
static int replace_path(char **path, char *result)
{
	if (!result) {
		fprintf(stderr, "chronfs: %s: %s\n", *path, strerrordesc_np(errno));
		return -1;
	}
	free(*path);
	*path = result;
	return 0;
}

/* What every mount of ours has; put first, so that a name given by the user comes later and wins. */
static int add_mount_options(struct chronfs_options *options)
{
	static const char fixed[] = "-odefault_permissions,subtype=chronfs,fsname=";
	char *text = malloc(sizeof fixed + 2 * strlen(options->queue)), *to;
	int r;

	if (!text)
		return -1;
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

int chronfs_options_parse(struct chronfs_options *ret_options, int argc, char **argv)
{
	struct chronfs_options options = { .args = FUSE_ARGS_INIT(argc, argv) };
	int r = CHRONFS_EXIT_OPTIONS;

	cq_config_init(&options.queue_config);
	if (fuse_opt_parse(&options.args, &options, option_table, take_argument) < 0)
		goto out;
	if (options.help || options.version) {
		*ret_options = options;
		return CHRONFS_EXIT_OK;
	}
	if (!options.queue) {
		fprintf(stderr, "chronfs: no queue directory given (see --help)\n");
		goto out;
	}
	if (options.read_only && *options.writing) {
		fprintf(stderr, "chronfs: -o %s has no meaning on a read-only mount\n",
		        options.writing);
		goto out;
	}
	if (!options.mountpoint) {
		fprintf(stderr, "chronfs: no mount point given (see --help)\n");
		r = CHRONFS_EXIT_NO_MOUNTPOINT;
		goto out;
	}
	if (replace_path(&options.queue, absolute(options.queue)) < 0)
		goto out;
	if (replace_path(&options.mountpoint, realpath(options.mountpoint, NULL)) < 0) {
		r = CHRONFS_EXIT_NO_MOUNTPOINT;
		goto out;
	}
	if (add_mount_options(&options) < 0)
		goto out;
	/* Syncing writes one by one is the mount's part: no serving thread waits for a flush. */
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
	fuse_opt_free_args(&options->args);
}
