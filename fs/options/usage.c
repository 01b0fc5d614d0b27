/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - what --help and --version print */
#include "options/usage.h"

#include <limits.h>
#include <stdio.h>

#include "chronfs.h"

static void print_options(void)
{
	printf("    -r, -o ro              read only, also while another process writes\n"
	       "    -o rw                  read and write (default)\n"
	       "    -o segment_size=SIZE   size of the segment files of a new queue (default 128M)\n"
	       "    -o sync=none           fsync, O_SYNC and O_DSYNC make records durable (default)\n"
	       "    -o sync=interval=MS    like none, and a flush every MS milliseconds\n"
	       "    -o sync=always         a write returns when its record is durable; also -o sync\n"
	       "    -o prealloc_wait=MS    a write waits so long for the next segment file before it\n"
	       "                           makes one itself (default 100)\n"
	       "    -o spares=N            segment files prepared ahead (default 1, at most 8)\n"
	       "    -o require_prealloc    after that wait fail with EAGAIN, instead of making one\n"
	       "    -o retain_segments=N   delete the oldest segments when there are more than N\n"
	       "    -o retain_bytes=SIZE   delete them when all together are larger than SIZE\n"
	       "    -o retain_age=SPAN     delete them when their records are older than SPAN\n"
	       "                           (default of the three: never)\n"
	       "    -o reader_ttl=SPAN     a named reader that is silent for SPAN protects no segment\n"
	       "    -o reader_max_lag=SIZE a named reader further behind than SIZE protects no segment\n"
	       "    -o max_bytes=SIZE      the most that the segment files may take\n"
	       "    -o full=error          then a write fails with EDQUOT (default)\n"
	       "    -o full=block[=MS]     then a write waits for room, at most MS milliseconds\n"
	       "                           (default 30000)\n"
	       "    -o line_timeout=SPAN   a line in append.lines that stays open so long becomes a\n"
	       "                           record without a newline (default 60s, 0: never)\n"
	       "    -o allow_trim          rm of the oldest sealed segment deletes it\n"
	       "    -o passthrough=off     the kernel does not read segment files by itself (default\n"
	       "                           auto: it does where it can)\n"
	       "    -o recover             first unmount a chronfs mount of QUEUE at MOUNTPOINT whose\n"
	       "                           process died\n"
	       "    -o accept_loss         open a damaged queue, and set aside what is damaged\n"
	       "    -o trust_files         write also to files that every user may write to\n"
	       "    -o max_open=N          files that may be open at a time (default 16384); root and\n"
	       "                           the mounter get all, the owner and group three quarters,\n"
	       "                           other users half of them\n"
	       "    -o fsname=NAME         source in the table of mounts (default: QUEUE)\n"
	       "    -o allow_other         all users may use the mount\n"
	       "    -o allow_root          root may use the mount\n"
	       "    -o uid=USER            owner of the files, a number or a name (default: the mounter)\n"
	       "    -o gid=GROUP           their group (default: the mounter's)\n"
	       "    -o umask=MASK          permissions that no file has, in octal (default 022)\n"
	       "    -o ctl_gid=GROUP       members of GROUP may write to ctl, as the mounter may\n"
	       "    -o max_read=BYTES      the most that the kernel reads with one request\n"
	       "\n"
	       "Other options of mount(8) and libfuse work too.\n"
	       "SIZE is a number with an optional K, M or G; SPAN is a number with s (default), m, h\n"
	       "or d.  See chronfs(1).\n");
}

void chronfs_usage_print(const char *program)
{
	char name[PATH_MAX];

	cq_printable(name, sizeof name, program);
	printf("usage: %s QUEUE MOUNTPOINT [-f] [-d] [-o OPTION,...]\n"
	       "\n"
	       "Mounts the message queue in the directory QUEUE, and makes a new queue if there is none.\n"
	       "Each write(2) to MOUNTPOINT/append appends one record; so does each line written to\n"
	       "append.lines.  stream has all records; payload/ and segments/ have them by segment,\n"
	       "records/ has a line for each.\n"
	       "\n"
	       "    -f                     stay in the foreground\n"
	       "    -d, -o debug           the same, and print every request\n"
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
	       "Mounts a message queue for mount(8), which calls this program for the types chronfs\n"
	       "and fuse.chronfs.\n"
	       "\n"
	       "    -s                     leave out unknown options\n"
	       "    -f                     only check whether a mount could be tried\n"
	       "    -n                     no effect (the kernel keeps the table of mounts)\n"
	       "    -v                     print what was done\n"
	       "    -N NAMESPACE           file of the mount namespace to mount in\n"
	       "    -t TYPE                chronfs or fuse.chronfs\n"
	       "\n",
	       name);
	print_options();
}

void chronfs_usage_print_version(void)
{
	printf("chronfs %s, libfuse %s\n", cq_version(), fuse_pkgversion());
}
