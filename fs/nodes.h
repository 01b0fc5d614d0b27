/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodes.h - node ids: arithmetic on (kind, value), no table
 *
 * A node id is what the kernel names an inode by.  Its low eight bits are the kind, the rest a value
 * whose meaning the kind gives: a segment's id, a position in the stream, or a number that makes each
 * lookup of a sink a node of its own.  Since nothing is stored per node, forgetting one is nothing to
 * do.
 *
 * Three rules for all kinds:
 *   - st_ino does not depend on what makes nodes of one path differ (chronfs_node_path), so a path
 *     keeps its inode number: but for `stream`.
 *   - `stream` begins at the oldest byte that there is when it is looked up, and an open file keeps
 *     that beginning: so the node carries it.  Once more was trimmed, its name leads to another node,
 *     with another st_ino: two that have the same have the same bytes at the same offsets.  It has
 *     several nodes for one beginning, too: instances, which have page caches of their own (stream.c says
 *     why).
 *   - a sealed segment is another node than the same segment while it was unsealed.  So the kernel's page
 *     cache of a sealed node holds sealed bytes only, and may be kept from one open to the next.
 */
#ifndef CHRONFS_NODES_H
#define CHRONFS_NODES_H

#include <stdint.h>

enum chronfs_kind {
	CHRONFS_NONE = 0,
	CHRONFS_ROOT = 1,   /* value 0: FUSE_ROOT_ID */
	CHRONFS_APPEND = 2, /* value: number of the lookup, as of all sinks */
	CHRONFS_LINES = 3,  /* append.lines */
	CHRONFS_CTL = 4,
	CHRONFS_SEGMENTS = 5,         /* value 0: the directory */
	CHRONFS_SEGMENT_UNSEALED = 6, /* value: segment id */
	CHRONFS_SEGMENT_SEALED = 7,   /* value: segment id */
	CHRONFS_PAYLOADS = 8,         /* value 0: the directory payload/ */
	CHRONFS_PAYLOAD_UNSEALED = 9, /* value: segment id */
	CHRONFS_PAYLOAD_SEALED = 10,  /* value: segment id */
	CHRONFS_STREAM = 11,          /* value: chronfs_stream_value() */
	CHRONFS_STATS = 12,           /* stats.json */
	CHRONFS_METRICS = 13,
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

/*
 * Of a node of `stream`: number of the instance, and stream position of its first byte.  Of the position
 * there are only the low bits (1 PiB): the rest is what makes it the last such one up to the end of the
 * stream.  Of a node that is open its file knows it all.
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

/* One per path. */
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
		return chronfs_node(CHRONFS_SEGMENT_UNSEALED, chronfs_node_value(node));
	case CHRONFS_PAYLOAD_SEALED:
		return chronfs_node(CHRONFS_PAYLOAD_UNSEALED, chronfs_node_value(node));
	case CHRONFS_NONE:
	case CHRONFS_ROOT:
	case CHRONFS_SEGMENTS:
	case CHRONFS_SEGMENT_UNSEALED:
	case CHRONFS_PAYLOADS:
	case CHRONFS_PAYLOAD_UNSEALED:
	case CHRONFS_STATS:
	case CHRONFS_METRICS:
	case CHRONFS_KINDS:
	default:
		return node;
	}
}

/* Inode number that users see: one per path, of `stream` one per beginning. */
static inline uint64_t chronfs_node_ino(uint64_t node)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);

	if (kind == CHRONFS_STREAM)
		return chronfs_node(kind, chronfs_node_value(node) >> CHRONFS_STREAM_INODE_BITS);
	return chronfs_node_path(node);
}

#endif
