/* SPDX-License-Identifier: Apache-2.0 */
/* foreign_options.c - options that are not ours: mount(8)'s and libfuse's */
#include "chronfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"

/* Options that mount(8) itself handles and passes on all the same, and options that make no difference
 * here: no file has an access time that moves, a device number, a symbolic link or a mandatory lock.
 * An option between two commas is empty. */
static const char *const ignored[] = {
	"",           "defaults",   "auto",       "noauto",      "user",
	"nouser",     "users",      "nousers",    "owner",       "noowner",
	"group",      "nogroup",    "nofail",     "_netdev",     "diratime",
	"nodiratime", "relatime",   "norelatime", "strictatime", "nostrictatime",
	"lazytime",   "nolazytime", "iversion",   "noiversion",  "mand",
	"nomand",     "silent",     "loud",       "symfollow",   "nosymfollow",
	"nonempty",
};
static const char *const ignored_prefixes[] = {
	"user=", "comment=", "helper=", "uhelper=", "x-", "X-",
};

/* Options of mount(8) and libfuse that we refuse, and why.  A name with '=' covers all its values. */
static const char fixed_threads[] = "the number of threads is fixed";
static const char own_cache[] = "chronfs decides for each file what the kernel may cache";
static const char own_limits[] = "the sizes of requests are fixed (limits in stats.json has them)";
static const struct {
	const char *name;
	const char *reason;
} refused[] = {
	{ "remount", "the options of a mount cannot be changed; unmount it and mount it again" },
	{ "io_uring", "requests that are interrupted would keep waiting" },
	{ "io_uring_q_depth=", "requests that are interrupted would keep waiting" },
	{ "clone_fd", fixed_threads },
	{ "max_idle_threads=", fixed_threads },
	{ "max_threads=", fixed_threads },
	{ "max_write=", own_limits },
	{ "max_readahead=", own_limits },
	{ "max_background=", own_limits },
	{ "congestion_threshold=", own_limits },
	{ "kernel_cache", own_cache },
	{ "auto_cache", own_cache },
	{ "noauto_cache", own_cache },
	{ "direct_io", own_cache },
	{ "writeback_cache", own_cache },
	{ "entry_timeout=", own_cache },
	{ "attr_timeout=", own_cache },
	{ "ac_attr_timeout=", own_cache },
	{ "negative_timeout=", own_cache },
	{ "blkdev", "a queue is a directory, not a block device" },
	{ "blksize=", "a queue is a directory, not a block device" },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_ignored(const char *option)
{
	for (size_t i = 0; i < COUNT(ignored); i++)
		if (strcmp(option, ignored[i]) == 0)
			return true;
	for (size_t i = 0; i < COUNT(ignored_prefixes); i++)
		if (strncmp(option, ignored_prefixes[i], strlen(ignored_prefixes[i])) == 0)
			return true;
	return false;
}

/* Why we refuse an option; NULL: we do not. */
static const char *why_refused(const char *option)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		const size_t length = strlen(refused[i].name);
		const bool with_value = refused[i].name[length - 1] == '=';

		if (with_value ? strncmp(option, refused[i].name, length) == 0
		               : strcmp(option, refused[i].name) == 0)
			return refused[i].reason;
	}
	/* -o recover, mount(8) and people find a chronfs mount by its type. */
	if (strncmp(option, "subtype=", 8) == 0 && strcmp(option, "subtype=chronfs") != 0)
		return "the type is always fuse.chronfs";
	return NULL;
}

/* Whether libfuse takes this option, which only libfuse can tell.  -1: no memory. */
static int libfuse_knows(const char *option)
{
	static const struct fuse_lowlevel_ops no_ops;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	char *text = NULL;
	int r = -1;

	chronfs_log_mute_fuse(true);
	if (fuse_opt_add_opt_escaped(&text, option) < 0 || fuse_opt_add_arg(&args, "chronfs") < 0 ||
	    fuse_opt_add_arg(&args, "-o") < 0 || fuse_opt_add_arg(&args, text) < 0)
		goto out;
	session = fuse_session_new(&args, &no_ops, sizeof no_ops, NULL);
	r = session != NULL;
	if (session)
		fuse_session_destroy(session);
out:
	chronfs_log_mute_fuse(false);
	fuse_opt_free_args(&args);
	free(text);
	return r;
}

int chronfs_foreign_option(const char *option, bool sloppy)
{
	const char *reason;
	int r;

	if (is_ignored(option))
		return 0;
	reason = why_refused(option);
	if (reason && sloppy && strcmp(option, "remount") != 0)
		return 0;
	if (reason) {
		chronfs_print_error("-o %s: %s", option, reason);
		return -1;
	}
	r = sloppy ? libfuse_knows(option) : 1;
	if (r < 0)
		chronfs_print_error("-o %s: %s", option, strerrordesc_np(ENOMEM));
	return r;
}
