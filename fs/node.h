/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - node ids: arithmetic on (kind, value), no table
 *
 * A node id is what the kernel names an inode by.  Its low eight bits are the kind, the rest a value
 * whose meaning the kind gives: a segment's id, or a number that makes each lookup of a sink a node
 * of its own.  Since nothing is stored per node, forgetting one is nothing to do.
 *
 * Two rules for all kinds:
 *   - st_ino does not depend on what makes nodes of one path differ (chronfs_node_ino), so a path
 *     keeps its inode number.
 *   - a sealed segment is another node than the same segment while it was live.  So the kernel's page
 *     cache of a sealed node holds sealed bytes only, and may be kept from one open to the next.
 */
#ifndef CHRONFS_NODE_H
#define CHRONFS_NODE_H

#include <stdint.h>

enum chronfs_kind {
	CHRONFS_NONE = 0,
	CHRONFS_ROOT = 1,           /* value 0: FUSE_ROOT_ID */
	CHRONFS_APPEND = 2,         /* value: number of the lookup */
	CHRONFS_SEGMENTS = 3,       /* value 0: the directory */
	CHRONFS_SEGMENT_LIVE = 4,   /* value: segment id */
	CHRONFS_SEGMENT_SEALED = 5, /* value: segment id */
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

/* Inode number that users see: one per path. */
static inline uint64_t chronfs_node_ino(uint64_t node)
{
	switch (chronfs_node_kind(node)) {
	case CHRONFS_APPEND:
		return chronfs_node(CHRONFS_APPEND, 0);
	case CHRONFS_SEGMENT_SEALED:
		return chronfs_node(CHRONFS_SEGMENT_LIVE, chronfs_node_value(node));
	case CHRONFS_NONE:
	case CHRONFS_ROOT:
	case CHRONFS_SEGMENTS:
	case CHRONFS_SEGMENT_LIVE:
	default:
		return node;
	}
}

#endif
