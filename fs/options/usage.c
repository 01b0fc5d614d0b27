/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - what --help and --version print */
#include "options/usage.h"

#include <limits.h>
#include <stdio.h>

#include "chronfs.h"

static void print_options(void)
{
	printf("    -r, -o ro              only look, also while another process writes\n"
	       "    -o rw                  write (default)\n"
	       "    -o segment_size=SIZE   of the segment files of a new queue (default 128M)\n"
	       "    -o sync=none           durable on fsync and with O_SYNC or O_DSYNC (default)\n"
	       "    -o sync=interval=MS    as none, and a flush every MS milliseconds\n"
	       "    -o sync=always         a write returns when its record is durable; also -o sync\n"
	       "    -o prealloc_wait=MS    how long a write waits for the next segment file to be\n"
	       "                           prepared before it makes one itself (default 100)\n"
	       "    -o spares=N            segment files prepared ahead (default 1, at most 8)\n"
	       "    -o require_prealloc    fail with EAGAIN then, instead of making one\n"
	       "    -o retain_segments=N   delete the oldest segments when there are more than N,\n"
	       "    -o retain_bytes=SIZE   when they are larger than SIZE in all,\n"
	       "    -o retain_age=SPAN     when their records are older than SPAN (default: never)\n"
	       "    -o reader_ttl=SPAN     a named reader silent for SPAN protects nothing any more\n"
	       "    -o reader_max_lag=SIZE nor does one that is further behind than SIZE\n"
	       "    -o max_bytes=SIZE      the most that the segment files may take; then a write fails\n"
	       "    -o full=error          with EDQUOT (default), or\n"
	       "    -o full=block[=MS]     waits for room, at most MS milliseconds (default 30000)\n"
	       "    -o line_timeout=SPAN   a line in append.lines that stays open so long becomes a\n"
	       "                           record as it is (default 60s, 0: never)\n"
	       "    -o allow_trim          rm of the oldest sealed segment deletes it\n"
	       "    -o passthrough=off     the kernel does not read segment files by itself (default\n"
	       "                           auto: it does where it can)\n"
	       "    -o recover             a mount of ours at MOUNTPOINT whose process died goes first\n"
	       "    -o accept_loss         open a damaged queue: set aside what is damaged, go on\n"
	       "    -o trust_files         write also to files that everybody may write to\n"
	       "    -o max_open=N          files that may be open at a time (default 16384), of which\n"
	       "                           users other than root and the mounter get half\n"
	       "    -o fsname=NAME         what the mount table shows as source (default: QUEUE)\n"
	       "    -o allow_other         let all users in; -o allow_root: root\n"
	       "    -o max_read=BYTES      the most that the kernel reads with one request\n"
	       "                           (further options of mount and libfuse are taken, too)\n"
	       "\n"
	       "SIZE is a number with an optional K, M or G; SPAN a number with s, m, h or d (s when\n"
	       "none is given).  See chronfs(1).\n");
}

void chronfs_usage_print(const char *program)
{
	char name[PATH_MAX];

	cq_printable(name, sizeof name, program);
	printf("usage: %s QUEUE MOUNTPOINT [-f] [-d] [-o OPTION,...]\n"
	       "\n"
	       "Mounts the message queue in directory QUEUE (made where there is none).  Each write(2)\n"
	       "to MOUNTPOINT/append, each line written to append.lines appends one record; stream is\n"
	       "all of them, payload/ and segments/ hold them segment by segment.\n"
	       "\n"
	       "    -f                     stay in the foreground\n"
	       "    -d, -o debug           the same, and show every request\n"
	       "    -h, --help             print this\n"
	       "    -V, --version          print the version\n"
	       "\n",
	       name);
	print_options();
}

void chronfs_usage_print_mount8(const char *program)
{
	char name[PATH_MAX];

	cq_printable(name, sizeof name, program);
	printf("usage: %s QUEUE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTION,...] [-t TYPE]\n"
	       "\n"
	       "Mounts a message queue for mount(8), which calls this for the types chronfs and\n"
	       "fuse.chronfs.\n"
	       "\n"
	       "    -s                     leave out options that nobody knows\n"
	       "    -f                     only check whether a mount could be tried\n"
	       "    -n                     (there is no table of mounts to leave alone)\n"
	       "    -v                     say what was done\n"
	       "    -N NAMESPACE           the file of the mount namespace to mount in\n"
	       "    -t TYPE                chronfs or fuse.chronfs\n"
	       "\n",
	       name);
	print_options();
}

void chronfs_usage_print_version(void)
{
	printf("chronfs %s, libfuse %s\n", cq_version(), fuse_pkgversion());
}
