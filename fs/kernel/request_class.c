/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_class.c - which requests may wait for the disk (held/disk_requests.c)
 *
 * Never     All requests on append, append.lines and ctl, looking up their names, and attributes of
 *           the root, which the kernel wants for each open in it: they use memory, the writer, and
 *           stat(2) of the queue's directory and of its first and last file.  A write's own pages are
 *           prefaulted; the flusher and the preparer read and write files for it.
 *           Releases, closes, forgets, locks and ioctl: memory.  fsync, unlink and commands in ctl are
 *           parked; the flusher or the background thread does them (trim reads headers of segments
 *           there), and replies.  opendir: memory; the list is read later.
 * State     stats.json and metrics: readers/, which retention reads all the time, and control.meta.
 *           Attributes of the directories; statfs; listing the root.  Names in readers/, and listing it.
 *           Name, attributes, open and poll of stream: its bounds are known from the writer.  Only when
 *           the oldest segment was deleted since, a header is read.
 * Data      Reads, seeks, opens, names, attributes and extended attributes of files in segments/, payload/
 *           and records/, and listings of these directories with what is in them: headers, records, index
 *           files.
 *           Reads and seeks of stream.  Opens of files in readers/: the next record of the reader.
 *
 * A request of State must not wait for a thread that reads for one of Data: chronfs_stream_bounds()
 * (stream/stream.c) does not wait for a thread that holds the catalogue.
 *
 * The kernel locks a directory while a name is looked up there or it is listed: against an open with
 * O_CREAT of a name that is new to the kernel, and with a libfuse before 3.17, which does not pass
 * FUSE_PARALLEL_DIROPS on, against all lookups.  So in the root, too, nothing must wait for long: the
 * requests there are of no class above State.
 */
#include "kernel/request_class.h"

#include <linux/fuse.h>

#include "kernel/root_dir.h"
#include "nodes.h"

static enum chronfs_disk_class of_root(uint32_t opcode, const char *name)
{
	if (opcode == FUSE_LOOKUP ? chronfs_root_shows_state(name)
	                          : opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS)
		return CHRONFS_DISK_STATE;
	return CHRONFS_DISK_NEVER;
}

/* Of the requests that ask for something of a node. */
static enum chronfs_disk_class of_node(uint32_t opcode, enum chronfs_kind kind, const char *name)
{
	switch (kind) {
	case CHRONFS_ROOT:
		return of_root(opcode, name);
	case CHRONFS_SEGMENTS:
	case CHRONFS_PAYLOADS:
	case CHRONFS_RECORDS:
		if (opcode == FUSE_LOOKUP || opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS)
			return CHRONFS_DISK_DATA;
		return CHRONFS_DISK_STATE;
	case CHRONFS_SEGMENT_UNSEALED:
	case CHRONFS_SEGMENT_SEALED:
	case CHRONFS_PAYLOAD_UNSEALED:
	case CHRONFS_PAYLOAD_SEALED:
	case CHRONFS_RECORDS_UNSEALED:
	case CHRONFS_RECORDS_SEALED:
		return CHRONFS_DISK_DATA;
	case CHRONFS_STREAM:
		if (opcode == FUSE_READ || opcode == FUSE_LSEEK)
			return CHRONFS_DISK_DATA;
		return CHRONFS_DISK_STATE;
	case CHRONFS_READER:
		return opcode == FUSE_OPEN ? CHRONFS_DISK_DATA : CHRONFS_DISK_STATE;
	case CHRONFS_STATS:
	case CHRONFS_METRICS:
	case CHRONFS_READERS:
		return CHRONFS_DISK_STATE;
	case CHRONFS_NONE:
	case CHRONFS_APPEND:
	case CHRONFS_LINES:
	case CHRONFS_CTL:
	case CHRONFS_KINDS:
	default:
		return CHRONFS_DISK_NEVER;
	}
}

enum chronfs_disk_class chronfs_request_class(uint32_t opcode, uint64_t node, const char *name)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case FUSE_SETATTR:
	case FUSE_OPEN:
	case FUSE_READ:
	case FUSE_LSEEK:
	case FUSE_POLL:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return of_node(opcode, chronfs_node_kind(node), name);
	case FUSE_STATFS:
		return CHRONFS_DISK_STATE;
	default:
		return CHRONFS_DISK_NEVER;
	}
}
