/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount8.c - the command line of the mount(8) helper
 *
 * For a type T mount(8) runs the program mount.T:
 *
 *     mount.T SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]
 *
 * Its letters are not ours: there -f means "fake".  Under such a name we turn the arguments into our own
 * command line, so that options have one parser.
 */
#include "options/mount8.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "shared/log.h"

struct call {
	bool sloppy;
	bool fake;
	bool verbose;
	bool help;
	bool version;
	const char *namespace;
	const char *type;
	struct fuse_args args; /* our own command line */
};

bool chronfs_mount8_called(const char *program)
{
	const char *name = strrchr(program, '/');

	name = name ? name + 1 : program;
	return strcmp(name, "mount.chronfs") == 0 || strcmp(name, "mount.fuse.chronfs") == 0;
}

/* Enters a mount namespace, in which the paths of the arguments are meant. */
static int enter(const char *namespace)
{
	int fd = open(namespace, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0) {
		chronfs_print_error("-N %s: %s", namespace, strerrordesc_np(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

/* Prints a message about the argument that getopt_long() has just refused. */
static void complain_of(char **argv)
{
	const char letter[] = { '-', (char)optopt, '\0' };

	chronfs_print_error(
		"%s: unknown option, or one with a value too many or too few (see --help)",
		optopt != 0 ? letter : argv[optind - 1]);
}

/* Returns 0 or -1. */
static int take_arguments(struct call *call, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int letter, r;

	opterr = 0; /* its own message would hold the argument unescaped */
	r = fuse_opt_add_arg(&call->args, argv[0]);
	while (r == 0) {
		// NOLINTNEXTLINE(concurrency-mt-unsafe): there is only one thread yet
		letter = getopt_long(argc, argv, "sfnvN:o:t:hV", options, NULL);
		if (letter == -1)
			break;
		switch (letter) {
		case 's':
			call->sloppy = true;
			break;
		case 'f':
			call->fake = true;
			break;
		case 'n':
			break; /* the kernel keeps the table of mounts */
		case 'v':
			call->verbose = true;
			break;
		case 'N':
			call->namespace = optarg;
			break;
		case 'o':
			r = fuse_opt_add_arg(&call->args, "-o");
			if (r == 0)
				r = fuse_opt_add_arg(&call->args, optarg);
			break;
		case 't':
			call->type = optarg;
			break;
		case 'h':
			call->help = true;
			break;
		case 'V':
			call->version = true;
			break;
		default:
			complain_of(argv);
			return -1;
		}
	}
	/* the rest are paths, also if they begin with a "-" */
	if (r == 0)
		r = fuse_opt_add_arg(&call->args, "--");
	for (; r == 0 && optind < argc; optind++)
		r = fuse_opt_add_arg(&call->args, argv[optind]);
	return r;
}

static bool type_known(const char *type)
{
	return strcmp(type, "chronfs") == 0 || strcmp(type, "fuse.chronfs") == 0 ||
	       strcmp(type, "fuse") == 0;
}

int chronfs_mount8_parse(struct chronfs_options *ret_options, int argc, char **argv)
{
	struct call call = { .args = FUSE_ARGS_INIT(0, NULL) };
	int code = CHRONFS_EXIT_OPTIONS;

	if (take_arguments(&call, argc, argv) < 0)
		goto out;
	if (call.help || call.version) {
		*ret_options = (struct chronfs_options){
			.args = FUSE_ARGS_INIT(0, NULL),
			.help = call.help,
			.version = call.version,
		};
		code = CHRONFS_EXIT_OK;
		goto out;
	}
	if (call.type && !type_known(call.type)) {
		chronfs_print_error("-t %s: chronfs or fuse.chronfs expected", call.type);
		goto out;
	}
	if (call.namespace && enter(call.namespace) < 0)
		goto out;
	code = chronfs_options_parse(ret_options, call.args.argc, call.args.argv, call.sloppy);
	if (code == CHRONFS_EXIT_OK) {
		ret_options->fake = call.fake;
		ret_options->verbose = call.verbose;
	}
out:
	fuse_opt_free_args(&call.args);
	return code;
}
