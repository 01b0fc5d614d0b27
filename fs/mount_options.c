/* SPDX-License-Identifier: Apache-2.0 */
/* mount_options.c - options that are not ours: mount(8)'s and libfuse's */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chronfs.h"

/* What mount(8) knows and hands on all the same, and what makes no difference here: nothing has an
 * access time that moves, a device number, a symbolic link or a mandatory lock.  An empty one stands
 * between two commas. */
static const char *const ignored[] = {
	"",           "defaults",   "auto",       "noauto",      "user",
	"nouser",     "users",      "nousers",    "owner",       "noowner",
	"group",      "nogroup",    "nofail",     "_netdev",     "diratime",
	"nodiratime", "relatime",   "norelatime", "strictatime", "nostrictatime",
	"lazytime",   "nolazytime", "iversion",   "noiversion",  "mand",
	"nomand",     "silent",     "loud",       "symfollow",   "nosymfollow",
};
static const char *const ignored_prefixes[] = {
	"user=", "comment=", "helper=", "uhelper=", "x-", "X-",
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

/* Whether libfuse takes this option; it is the only one that can tell.  -1: no memory to ask. */
static int libfuse_knows(const char *option)
{
	static const struct fuse_lowlevel_ops no_ops;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;
	char *text = NULL;
	int r = -1;

	chronfs_quiet_fuse(true);
	if (fuse_opt_add_opt_escaped(&text, option) < 0 || fuse_opt_add_arg(&args, "chronfs") < 0 ||
	    fuse_opt_add_arg(&args, "-o") < 0 || fuse_opt_add_arg(&args, text) < 0)
		goto out;
	session = fuse_session_new(&args, &no_ops, sizeof no_ops, NULL);
	r = session != NULL;
	if (session)
		fuse_session_destroy(session);
out:
	chronfs_quiet_fuse(false);
	fuse_opt_free_args(&args);
	free(text);
	return r;
}

int chronfs_mount_option(const char *option, bool sloppy)
{
	int r;

	if (strcmp(option, "remount") == 0) {
		chronfs_complain("-o remount: the options of a mount cannot be changed; "
		                 "unmount it and mount it again");
		return -1;
	}
	if (is_ignored(option))
		return 0;
	r = sloppy ? libfuse_knows(option) : 1;
	if (r < 0)
		chronfs_complain("-o %s: %s", option, strerrordesc_np(ENOMEM));
	return r;
}
