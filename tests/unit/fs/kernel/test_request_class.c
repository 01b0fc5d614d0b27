/* SPDX-License-Identifier: Apache-2.0 */
/* test_request_class.c - which requests may wait for the disk: none that an append needs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/fuse.h>

#include "kernel/request_class.h"
#include "nodes.h"

#define NEVER CHRONFS_DISK_NEVER
#define STATE CHRONFS_DISK_STATE
#define DATA CHRONFS_DISK_DATA

static const uint32_t asking[] = { FUSE_GETATTR, FUSE_SETATTR, FUSE_OPEN,     FUSE_READ,
	                           FUSE_LSEEK,   FUSE_POLL,    FUSE_GETXATTR, FUSE_LISTXATTR };
static const uint32_t others[] = { FUSE_WRITE,   FUSE_FSYNC,        FUSE_FLUSH,  FUSE_RELEASE,
	                           FUSE_FORGET,  FUSE_SETLK,        FUSE_SETLKW, FUSE_GETLK,
	                           FUSE_OPENDIR, FUSE_UNLINK,       FUSE_IOCTL,  FUSE_RELEASEDIR,
	                           FUSE_RENAME2, FUSE_BATCH_FORGET, FUSE_DESTROY };
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum chronfs_disk_class of(uint32_t opcode, enum chronfs_kind kind)
{
	return chronfs_request_class(opcode, chronfs_node(kind, 7), NULL);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		enum chronfs_disk_class kind;
	} in_root[] = {
		{ "append", NEVER },  { "append.lines", NEVER }, { "ctl", NEVER },
		{ "none", NEVER },    { "stream", STATE },       { "segments", STATE },
		{ "payload", STATE }, { "metrics", STATE },      { "stats.json", STATE },
		{ "records", STATE }, { "readers", STATE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(in_root); i++)
		assert_int_equal(
			chronfs_request_class(FUSE_LOOKUP, CHRONFS_NODE_ROOT, in_root[i].name),
			in_root[i].kind);
	assert_int_equal(
		chronfs_request_class(FUSE_LOOKUP, chronfs_node(CHRONFS_SEGMENTS, 0), "append"),
		DATA);
	assert_int_equal(
		chronfs_request_class(FUSE_LOOKUP, chronfs_node(CHRONFS_PAYLOADS, 0), "000000000"),
		DATA);
	assert_int_equal(
		chronfs_request_class(FUSE_LOOKUP, chronfs_node(CHRONFS_RECORDS, 0), "000000000"),
		DATA);
	assert_int_equal(of(FUSE_READDIR, CHRONFS_ROOT), STATE);
	assert_int_equal(of(FUSE_READDIRPLUS, CHRONFS_ROOT), STATE);
	assert_int_equal(of(FUSE_READDIRPLUS, CHRONFS_SEGMENTS), DATA);
	assert_int_equal(of(FUSE_READDIR, CHRONFS_PAYLOADS), DATA);
	assert_int_equal(of(FUSE_READDIRPLUS, CHRONFS_RECORDS), DATA);
}

/* No request on a sink, none for the root's attributes, and none that only ends something. */
static void what_an_append_needs(void **state)
{
	static const enum chronfs_kind sinks[] = { CHRONFS_APPEND, CHRONFS_LINES, CHRONFS_CTL };
	static const enum chronfs_kind nothing[] = { CHRONFS_NONE, CHRONFS_KINDS,
		                                     CHRONFS_KINDS + 1 };

	(void)state;
	for (size_t i = 0; i < COUNT(asking); i++) {
		for (size_t k = 0; k < COUNT(sinks); k++)
			assert_int_equal(of(asking[i], sinks[k]), NEVER);
		for (size_t k = 0; k < COUNT(nothing); k++)
			assert_int_equal(of(asking[i], nothing[k]), NEVER);
	}
	for (int kind = CHRONFS_NONE; kind <= CHRONFS_KINDS; kind++)
		for (size_t i = 0; i < COUNT(others); i++)
			assert_int_equal(of(others[i], (enum chronfs_kind)kind), NEVER);
	assert_int_equal(of(FUSE_GETATTR, CHRONFS_ROOT), NEVER);
	assert_int_equal(of(FUSE_GETXATTR, CHRONFS_ROOT), NEVER);
}

static void what_reads(void **state)
{
	static const enum chronfs_kind files[] = {
		CHRONFS_SEGMENT_UNSEALED, CHRONFS_SEGMENT_SEALED,   CHRONFS_PAYLOAD_UNSEALED,
		CHRONFS_PAYLOAD_SEALED,   CHRONFS_RECORDS_UNSEALED, CHRONFS_RECORDS_SEALED
	};

	(void)state;
	for (size_t i = 0; i < COUNT(asking); i++) {
		for (size_t k = 0; k < COUNT(files); k++)
			assert_int_equal(of(asking[i], files[k]), DATA);
		assert_int_equal(of(asking[i], CHRONFS_STREAM),
		                 asking[i] == FUSE_READ || asking[i] == FUSE_LSEEK ? DATA : STATE);
		assert_int_equal(of(asking[i], CHRONFS_STATS), STATE);
		assert_int_equal(of(asking[i], CHRONFS_METRICS), STATE);
		assert_int_equal(of(asking[i], CHRONFS_READERS), STATE);
		assert_int_equal(of(asking[i], CHRONFS_READER),
		                 asking[i] == FUSE_OPEN ? DATA : STATE);
	}
	assert_int_equal(of(FUSE_GETATTR, CHRONFS_SEGMENTS), STATE);
	assert_int_equal(of(FUSE_GETATTR, CHRONFS_RECORDS), STATE);
	assert_int_equal(of(FUSE_STATFS, CHRONFS_ROOT), STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(what_an_append_needs),
		cmocka_unit_test(what_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
