/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodes.h - node ids: a kind and a value, and no table
 *
 * A node id is the kernel's name for an inode.  Its low eight bits are the kind.  The rest is a
 * value whose meaning depends on the kind: a segment's id, a position in the stream, or a number
 * that tells the nodes of a sink apart.  chronfs stores nothing per node, so it has nothing to
 * forget.
 *
 * Three rules for all kinds:
 *   - A path keeps its inode number, except `stream`: st_ino does not depend on what makes nodes of
 *     one path differ (chronfs_node_path()).
 *   - `stream` begins at the oldest byte that exists when a process looks the name up.  An open
 *     file keeps that beginning, so the node carries it.  After a trim the name leads to another
 *     node with another st_ino: nodes with the same st_ino have the same bytes at the same
 *     offsets.  One beginning may have several nodes, its instances, which have page caches of
 *     their own (stream.c says why).
 *   - A sealed segment is another node than the same segment before the seal.  So the kernel's page
 *     cache of a sealed node has sealed bytes only, and the kernel may keep it from one open to the
 *     next.  Another file that takes the name of a sealed segment (of a queue that was made again, or
 *     by a repair, or from a backup) is another node, too: its page cache is its own.
 */
#ifndef CHRONFS_NODES_H
#define CHRONFS_NODES_H

#include <stdint.h>
#include <sys/stat.h>

enum chronfs_kind {
	CHRONFS_NONE = 0,
	CHRONFS_ROOT = 1,   /* value 0: FUSE_ROOT_ID */
	CHRONFS_APPEND = 2, /* value: a number, as of all sinks */
	CHRONFS_LINES = 3,  /* append.lines */
	CHRONFS_CTL = 4,
	CHRONFS_SEGMENTS = 5,         /* value 0: the directory */
	CHRONFS_SEGMENT_UNSEALED = 6, /* value: segment id */
	CHRONFS_SEGMENT_SEALED = 7,   /* value: chronfs_sealed_value() */
	CHRONFS_PAYLOADS = 8,         /* value 0: the directory payload/ */
	CHRONFS_PAYLOAD_UNSEALED = 9, /* value: segment id */
	CHRONFS_PAYLOAD_SEALED = 10,  /* value: chronfs_sealed_value() */
	CHRONFS_STREAM = 11,          /* value: chronfs_stream_value() */
	CHRONFS_STATS = 12,           /* stats.json */
	CHRONFS_METRICS = 13,
	CHRONFS_RECORDS = 14,          /* value 0: the directory records/ */
	CHRONFS_RECORDS_UNSEALED = 15, /* value: segment id */
	CHRONFS_RECORDS_SEALED = 16,   /* value: chronfs_sealed_value() */
	CHRONFS_READERS = 20,          /* value 0: the directory readers/ */
	CHRONFS_READER = 21,           /* value: chronfs_reader_value() */
	CHRONFS_KINDS,
};

#define CHRONFS_KIND_BITS 8
#define CHRONFS_NODE_ROOT chronfs_node(CHRONFS_ROOT, 0)

static inline uint64_t chronfs_node(enum chronfs_kind kind, uint64_t value)
{
	return value << CHRONFS_KIND_BITS | (uint64_t)kind;
}

static inline enum chronfs_kind chronfs_node_kind(uint64_t node)
{
	return (enum chronfs_kind)(node & ((1U << CHRONFS_KIND_BITS) - 1));
}

static inline uint64_t chronfs_node_value(uint64_t node)
{
	return node >> CHRONFS_KIND_BITS;
}

static inline uint32_t chronfs_node_segment(uint64_t node)
{
	return (uint32_t)chronfs_node_value(node);
}

/* The value of a sealed segment's node: the id, and above it 24 bits that tell the segment's file from
 * another one.  `file` has its inode number below and the time that users see, which never moves. */
static inline uint64_t chronfs_sealed_value(uint32_t id, const struct stat *file)
{
	const uint64_t time =
		(uint64_t)file->st_mtim.tv_sec * 1000000000U + (uint64_t)file->st_mtim.tv_nsec;

	return (file->st_ino ^ time) * 0x9e3779b97f4a7c15 >> 40 << 32 | id;
}

/*
 * The value of a node of `stream`: the number of the instance, and the stream position of the
 * node's first byte.  The value has only the low bits of the position (1 PiB).  Of the positions
 * with these low bits, the last one before the end of the stream is meant.  An open file knows the
 * whole position.
 */
#define CHRONFS_STREAM_INODE_BITS 6
#define CHRONFS_STREAM_INODES (1U << CHRONFS_STREAM_INODE_BITS)
#define CHRONFS_POSITION_BITS (64 - CHRONFS_KIND_BITS - CHRONFS_STREAM_INODE_BITS)

static inline uint64_t chronfs_stream_value(uint64_t begin, unsigned instance)
{
	const uint64_t mask = (1ULL << CHRONFS_POSITION_BITS) - 1;

	return (begin & mask) << CHRONFS_STREAM_INODE_BITS | instance;
}

static inline unsigned chronfs_stream_instance(uint64_t value)
{
	return (unsigned)value & (CHRONFS_STREAM_INODES - 1);
}

static inline uint64_t chronfs_stream_begin(uint64_t value, uint64_t end)
{
	const uint64_t mask = (1ULL << CHRONFS_POSITION_BITS) - 1;

	return end - ((end - (value >> CHRONFS_STREAM_INODE_BITS)) & mask);
}

/* The value of a named reader's node: a hash of the name (FNV-1a), so that a path keeps its inode number.  Whoever
 * has a node looks for the name in the list of readers. */
static inline uint64_t chronfs_reader_value(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	return hash >> CHRONFS_KIND_BITS;
}

/* Maps all nodes of one path to one of them. */
static inline uint64_t chronfs_node_path(uint64_t node)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);

	switch (kind) {
	case CHRONFS_APPEND:
	case CHRONFS_LINES:
	case CHRONFS_CTL:
	case CHRONFS_STREAM:
		return chronfs_node(kind, 0);
	case CHRONFS_SEGMENT_SEALED:
		return chronfs_node(CHRONFS_SEGMENT_UNSEALED, chronfs_node_segment(node));
	case CHRONFS_PAYLOAD_SEALED:
		return chronfs_node(CHRONFS_PAYLOAD_UNSEALED, chronfs_node_segment(node));
	case CHRONFS_RECORDS_SEALED:
		return chronfs_node(CHRONFS_RECORDS_UNSEALED, chronfs_node_segment(node));
	case CHRONFS_NONE:
	case CHRONFS_ROOT:
	case CHRONFS_SEGMENTS:
	case CHRONFS_SEGMENT_UNSEALED:
	case CHRONFS_PAYLOADS:
	case CHRONFS_PAYLOAD_UNSEALED:
	case CHRONFS_STATS:
	case CHRONFS_METRICS:
	case CHRONFS_RECORDS:
	case CHRONFS_RECORDS_UNSEALED:
	case CHRONFS_READERS:
	case CHRONFS_READER:
	case CHRONFS_KINDS:
	default:
		return node;
	}
}

/* The inode number that users see: one for each path; for `stream`, one for each beginning. */
static inline uint64_t chronfs_node_ino(uint64_t node)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);

	if (kind == CHRONFS_STREAM)
		return chronfs_node(kind, chronfs_node_value(node) >> CHRONFS_STREAM_INODE_BITS);
	return chronfs_node_path(node);
}

#endif
