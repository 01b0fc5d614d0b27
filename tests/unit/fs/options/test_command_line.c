/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_command_line.c - rare command lines of the mount: users and groups, odd paths, mount(8)'s types
 * and namespaces, no memory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "options/mount8.h"
#include "support.h"

#define ARGUMENTS 12

static char base[PATH_SIZE], said[4096];

/* ---- calls that fail ---- */

static struct {
	int made;
	int failing; /* the call that fails: 1, 2, ...; 0: none */
} calls;

static bool fails(void)
{
	if (++calls.made != calls.failing)
		return false;
	errno = ENOMEM;
	return true;
}

#define CALL(type, name, parameters, arguments, bad)              \
	type __real_##name parameters;                            \
	type __wrap_##name parameters;                            \
	type __wrap_##name parameters                             \
	{                                                         \
		return fails() ? (bad) : __real_##name arguments; \
	}

CALL(void *, malloc, (size_t size), (size), NULL)
CALL(char *, strdup, (const char *text), (text), NULL)
CALL(char *, realpath, (const char *path, char *resolved), (path, resolved), NULL)

/* libfuse prints that itself */
#define NO_MEMORY ((void)fputs("fuse: memory allocation failed\n", stderr), -1)
CALL(int, fuse_opt_add_arg, (struct fuse_args * args, const char *arg), (args, arg), NO_MEMORY)
CALL(int, fuse_opt_insert_arg, (struct fuse_args * args, int position, const char *arg),
     (args, position, arg), NO_MEMORY)
CALL(int, fuse_opt_add_opt_escaped, (char **text, const char *option), (text, option), NO_MEMORY)

/* ---- the system's users and groups ---- */

/* There is one user, and one group.  Of "broken" the system cannot tell. */
struct passwd *__wrap_getpwnam(const char *name);
struct group *__wrap_getgrnam(const char *name);

static int unknown; /* errno for a name that there is not */

struct passwd *__wrap_getpwnam(const char *name)
{
	static char alice[] = "alice";
	static struct passwd user = { .pw_name = alice, .pw_uid = 1234, .pw_gid = 5678 };

	if (strcmp(name, alice) == 0)
		return &user;
	errno = strcmp(name, "broken") == 0 ? EIO : unknown;
	return NULL;
}

struct group *__wrap_getgrnam(const char *name)
{
	static char staff[] = "staff";
	static struct group group = { .gr_name = staff, .gr_gid = 4321 };

	if (strcmp(name, staff) == 0)
		return &group;
	errno = strcmp(name, "broken") == 0 ? EIO : unknown;
	return NULL;
}

/* ---- parsing ---- */

/* Parses the words of a line; `said` has what it prints.  If it returns 0, the caller frees the result. */
static int parse(const char *line, struct chronfs_options *ret_options)
{
	char *copy = __real_strdup(line), *argv[ARGUMENTS + 1] = { NULL }, *at = copy;
	FILE *file = tmpfile();
	int argc = 0, saved, code;

	assert_true(copy && file);
	while (at && argc < ARGUMENTS)
		argv[argc++] = strsep(&at, " ");
	(void)fflush(stderr);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
	optind = 0; /* restarts getopt() */
	calls.made = 0;
	code = chronfs_mount8_called(argv[0])
	               ? chronfs_mount8_parse(ret_options, argc, argv)
	               : chronfs_options_parse(ret_options, argc, argv, false);
	calls.failing = 0;
	(void)fflush(stderr);
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	said[fread(said, 1, sizeof said - 1, file)] = '\0';
	(void)fclose(file);
	free(copy);
	return code;
}

static void refused(const char *line, int code, const char *text)
{
	struct chronfs_options options;

	assert_int_equal(parse(line, &options), code);
	if (!strstr(said, text))
		fail_msg("\"%s\" is said of \"%s\"", said, line);
}

static bool handed_to_libfuse(const struct chronfs_options *options, const char *text)
{
	for (int i = 0; i < options->args.argc; i++)
		if (strstr(options->args.argv[i], text))
			return true;
	return false;
}

/* ---- options ---- */

static void debugging_stays_in_the_foreground(void **state)
{
	static const char *const lines[] = { "chronfs /tmp /tmp -d", "chronfs /tmp /tmp -o debug" };
	struct chronfs_options o;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(parse(lines[i], &o), 0);
		assert_true(o.foreground);
		assert_true(handed_to_libfuse(&o, i ? "debug" : "-d"));
		chronfs_options_fini(&o);
	}
}

/* The last of several names counts. */
static void names_are_replaced(void **state)
{
	struct chronfs_options o;

	(void)state;
	assert_int_equal(parse("chronfs /tmp /tmp -o fsname=a,fsname=b", &o), 0);
	assert_string_equal(o.source, "b");
	chronfs_options_fini(&o);
}

/* ---- users, groups, modes ---- */

static struct chronfs_access access_of(const char *line)
{
	struct chronfs_access access;
	struct chronfs_options o;

	assert_int_equal(parse(line, &o), 0);
	assert_false(handed_to_libfuse(&o, "id="));
	assert_false(handed_to_libfuse(&o, "umask"));
	access = o.access;
	chronfs_options_fini(&o);
	return access;
}

static void owners(void **state)
{
	struct chronfs_access a;

	(void)state;
	a = access_of("chronfs /tmp /tmp");
	assert_int_equal(a.uid, getuid());
	assert_int_equal(a.gid, getgid());
	assert_int_equal(a.umask, 022);
	assert_false(a.ctl_shared);

	a = access_of("chronfs /tmp /tmp -o uid=7,gid=8,umask=0027,ctl_gid=9");
	assert_int_equal(a.uid, 7);
	assert_int_equal(a.gid, 8);
	assert_int_equal(a.umask, 027);
	assert_true(a.ctl_shared);
	assert_int_equal(a.ctl_gid, 9);

	a = access_of("mount.chronfs /tmp /tmp -o uid=alice,gid=staff,umask=0 -o ctl_gid=staff");
	assert_int_equal(a.uid, 1234);
	assert_int_equal(a.gid, 4321);
	assert_int_equal(a.umask, 0);
	assert_int_equal(a.ctl_gid, 4321);

	a = access_of("chronfs /tmp /tmp -o ro,uid=4294967294,gid=0,umask=777");
	assert_int_equal(a.uid, 4294967294U);
	assert_int_equal(a.gid, 0);
	assert_int_equal(a.umask, 0777);
}

/* Other names than a user's or a group's, by each errno that may say so; what is no mask. */
static void owners_that_there_are_not(void **state)
{
	static const int errors[] = { 0, ENOENT, ESRCH, EBADF, EPERM };
	static const char *const masks[] = { "",   "8",  "08",   "1000",
		                             "-1", "7x", "u=rw", "77777777777" };
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		unknown = errors[i];
		refused("chronfs /tmp /tmp -o uid=bob", CHRONFS_EXIT_OPTIONS,
		        "-o uid=bob: there is no such user");
		refused("chronfs /tmp /tmp -o ctl_gid=bobs", CHRONFS_EXIT_OPTIONS,
		        "-o ctl_gid=bobs: there is no such group");
	}
	unknown = 0;
	refused("chronfs /tmp /tmp -o uid=", CHRONFS_EXIT_OPTIONS,
	        "-o uid=: there is no such user");
	refused("chronfs /tmp /tmp -o uid=1x", CHRONFS_EXIT_OPTIONS, "there is no such user");
	refused("chronfs /tmp /tmp -o gid=-1", CHRONFS_EXIT_OPTIONS, "there is no such group");
	refused("chronfs /tmp /tmp -o gid=4294967295", CHRONFS_EXIT_OPTIONS, "no such group");
	refused("chronfs /tmp /tmp -o uid=broken", CHRONFS_EXIT_OPTIONS,
	        "-o uid=broken: Input/output error");
	refused("chronfs /tmp /tmp -o gid=broken", CHRONFS_EXIT_OPTIONS,
	        "-o gid=broken: Input/output error");
	for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		(void)snprintf(line, sizeof line, "chronfs /tmp /tmp -o umask=%s", masks[i]);
		refused(line, CHRONFS_EXIT_OPTIONS, ": an octal number from 0 to 777 expected");
	}
	refused("chronfs /tmp /tmp -o ro,ctl_gid=9", CHRONFS_EXIT_OPTIONS,
	        "-o ctl_gid=9 has no meaning on a read-only mount");
}

/* ---- paths ---- */

/* The line has this queue. */
static void queue_is(const char *line, const char *queue)
{
	struct chronfs_options o;

	assert_int_equal(parse(line, &o), 0);
	assert_string_equal(o.queue, queue);
	chronfs_options_fini(&o);
}

/* Of a new queue only the parent directory must exist. */
static void paths_become_absolute(void **state)
{
	char line[2 * PATH_SIZE], wanted[PATH_SIZE + 8];

	(void)state;
	(void)snprintf(wanted, sizeof wanted, "%s/new", base);
	(void)snprintf(line, sizeof line, "chronfs %s/new /tmp", base);
	queue_is(line, wanted);
	(void)snprintf(line, sizeof line, "chronfs %s/new/// /tmp", base);
	queue_is(line, wanted);
	(void)snprintf(line, sizeof line, "chronfs %s/./new /tmp", base);
	queue_is(line, wanted);
	assert_int_equal(chdir(base), 0);
	queue_is("chronfs new /tmp", wanted);
	queue_is("chronfs new/ /tmp", wanted);
	queue_is("chronfs /chronfs-test-nowhere /tmp", "/chronfs-test-nowhere");
	assert_int_equal(chdir("/"), 0);
}

static void paths_that_lead_nowhere(void **state)
{
	char line[2 * PATH_SIZE];

	(void)state;
	refused("chronfs /dev/null/queue /tmp", CHRONFS_EXIT_SETUP,
	        "/dev/null/queue: Not a directory");
	refused("chronfs /tmp /dev/null/point", CHRONFS_EXIT_NO_MOUNTPOINT,
	        "/dev/null/point: Not a directory");
	(void)snprintf(line, sizeof line, "chronfs %s/no/queue /tmp", base);
	refused(line, CHRONFS_EXIT_SETUP, "No such file");
}

/* An empty argument, as of an unset variable, is not the current directory. */
static void an_empty_path(void **state)
{
	(void)state;
	assert_int_equal(chdir(base), 0);
	refused("chronfs  /tmp", CHRONFS_EXIT_OPTIONS, "an argument is empty");
	refused("chronfs /tmp ", CHRONFS_EXIT_OPTIONS, "an argument is empty");
	refused("mount.chronfs  /tmp", CHRONFS_EXIT_OPTIONS, "an argument is empty");
	assert_int_equal(chdir("/"), 0);
}

/* ---- mount(8) ---- */

static void types_of_mount(void **state)
{
	static const char *const known[] = { "chronfs", "fuse.chronfs", "fuse" };
	struct chronfs_options o;
	char line[128];

	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(line, sizeof line, "/sbin/mount.chronfs /tmp /tmp -t %s", known[i]);
		assert_int_equal(parse(line, &o), 0);
		chronfs_options_fini(&o);
	}
	refused("mount.fuse.chronfs /tmp /tmp -t chronfs.other", CHRONFS_EXIT_OPTIONS,
	        "-t chronfs.other: chronfs or fuse.chronfs expected");
}

/* -s leaves out what no mount of ours can have; but a mount that is there does not become another one. */
static void sloppy(void **state)
{
	struct chronfs_options o;

	(void)state;
	assert_int_equal(parse("mount.chronfs /tmp /tmp -s -o blkdev,nonsense,nosuid", &o), 0);
	assert_false(handed_to_libfuse(&o, "blkdev"));
	assert_false(handed_to_libfuse(&o, "nonsense"));
	assert_true(handed_to_libfuse(&o, "nosuid"));
	chronfs_options_fini(&o);
	refused("mount.chronfs /tmp /tmp -s -o remount", CHRONFS_EXIT_OPTIONS, "-o remount: ");
	refused("mount.chronfs /tmp /tmp -o blkdev", CHRONFS_EXIT_OPTIONS, "-o blkdev: ");
}

static void a_namespace_that_is_none(void **state)
{
	(void)state;
	refused("mount.chronfs -N /dev/null /tmp /tmp", CHRONFS_EXIT_OPTIONS, "-N /dev/null: ");
	refused("mount.chronfs -N /nowhere /tmp /tmp", CHRONFS_EXIT_OPTIONS,
	        "-N /nowhere: No such file");
}

/* What is refused is named, a letter or a word. */
static void options_that_mount_does_not_give(void **state)
{
	(void)state;
	refused("mount.chronfs /tmp /tmp -x", CHRONFS_EXIT_OPTIONS, "-x: unknown option");
	refused("mount.chronfs /tmp /tmp --nonsense", CHRONFS_EXIT_OPTIONS,
	        "--nonsense: unknown option");
}

/* ---- no memory ---- */

/* Each call fails in turn: the line is refused with a message. */
static void no_memory(void **state)
{
	static const char *const lines[] = {
		"chronfs /tmp /chronfs-test-nowhere -o fsname=x,allow_other,retain_age=1d",
		"chronfs /chronfs-test-nowhere /tmp -f -o noatime",
		"mount.chronfs /tmp /tmp -v -o ro,nonsense -o allow_other -s -t chronfs",
	};
	struct chronfs_options o;
	int most;

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		assert_int_equal(parse(lines[i], &o), 0);
		chronfs_options_fini(&o);
		most = calls.made;
		for (int failing = 1; failing <= most; failing++) {
			int code;

			calls.failing = failing;
			code = parse(lines[i], &o);
			if (code != CHRONFS_EXIT_OPTIONS && code != CHRONFS_EXIT_NO_MOUNTPOINT)
				fail_msg("\"%s\", call %d failing: %d", lines[i], failing, code);
			if (!*said)
				fail_msg("\"%s\", call %d failing: no message", lines[i], failing);
		}
		printf("# %d calls\n", most);
	}
}

static int setup(void **state)
{
	(void)state;
	support_temp_dir(base);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove(base);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(debugging_stays_in_the_foreground),
		TEST(names_are_replaced),
		TEST(owners),
		TEST(owners_that_there_are_not),
		TEST(paths_become_absolute),
		TEST(paths_that_lead_nowhere),
		TEST(an_empty_path),
		TEST(types_of_mount),
		TEST(sloppy),
		TEST(a_namespace_that_is_none),
		TEST(options_that_mount_does_not_give),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
