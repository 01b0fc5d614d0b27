/* SPDX-License-Identifier: Apache-2.0 */
/* queue_support.h - what the tests of the writing side share, in addition to support.h */
#ifndef CQ_TEST_QUEUE_SUPPORT_H
#define CQ_TEST_QUEUE_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "chronq.h"
#include "files/wsegment.h"
#include "format/format.h"
#include "support.h"

#define QS_SIZE 4096U /* of a segment in these tests */

/* ---- fixture: base/ is the test's own, base/q is the queue's directory ---- */

struct qs {
	char base[PATH_SIZE];
	char dir[PATH_SIZE];
	int dirfd;
	char log[16384]; /* the library's messages: "LEVEL text\n" each */
	size_t log_length;
	struct cq_config config; /* QS_SIZE, no waiting, log to the above */
	cq_writer *writer;
};

int qs_setup(void **state);
int qs_teardown(void **state); /* closes the writer, if any */
/* Empties the directory and the log. */
void qs_anew(struct qs *q);

#define QS_MAIN(tests) SUPPORT_MAIN(tests)
#define QS_TEST(test) cmocka_unit_test_setup_teardown(test, qs_setup, qs_teardown)

/* ---- a writer without threads ---- */

void qs_open(struct qs *q);
int qs_try_open(struct qs *q);
void qs_close(struct qs *q);
/* Do the background work of the preparer and of the flusher until nothing is left to do. */
void qs_prepare(cq_writer *writer);
void qs_flush(cq_writer *writer);
/* Appends "record FIRST", "record FIRST+1", ...: 31 to a segment. */
void qs_append(cq_writer *writer, unsigned first, unsigned count);
/* Opens a writer, appends these records, and closes it. */
void qs_write(struct qs *q, unsigned first, unsigned count);
/* Opens a writer and fills `count` segments, of which the last one is current; a spare follows. */
void qs_open_full(struct qs *q, unsigned count);
/* The same, all synced; each segment but the last has its index. */
void qs_open_synced(struct qs *q, unsigned count);
/* Of those, and the spare, only the ones from `oldest` on are there; no index is without its segment. */
void qs_expect_oldest(struct qs *q, uint32_t oldest, uint32_t segments);
/* Commits the beginning of this segment for the named reader, as another process would. */
void qs_place_reader(struct qs *q, const char *name, uint64_t segment);
struct cq_stats qs_stats(cq_writer *writer);

/* ---- processes ---- */

/* For child processes of a test: a failed check ends the child with status 99. */
#define CHILD(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(99);                                                      \
		}                                                                       \
	} while (0)

/* Runs the function in a child process; returns its wait status. */
int qs_child(void (*run)(struct qs *q), struct qs *q);
/* The same; qs_run() requires exit status 0, qs_run_killed() an end by SIGKILL. */
void qs_run(void (*run)(struct qs *q), struct qs *q);
void qs_run_killed(void (*run)(struct qs *q), struct qs *q);
/* A writer that appends "record FIRST" and so on, and is killed. */
void qs_killed_writer(struct qs *q, unsigned first, unsigned count);

/* One name that the first thread to come to the test point has to wait at (fault.h); to be used in
 * a child, for it holds once in a process. */
void qs_hold(struct qs *q, const char *point);
void qs_hold_reached(struct qs *q); /* returns when it is there */
void qs_hold_go(struct qs *q);

/* Returns when this thread of this process sleeps. */
void qs_await_sleep(pid_t pid, pid_t tid);

/* ---- looking at what is on the disk ---- */

struct qs_record {
	uint32_t segment;
	uint64_t offset;
	uint64_t seq, time_ns, stream_offset;
	uint32_t epoch, ext;
	uint16_t type;
	uint8_t version;
	size_t length;
	char text[64]; /* the beginning of the payload */
};

/* Every record of every segment, in order, PAD left out; *ret_records is to be freed. */
size_t qs_records(const char *dir, struct qs_record **ret_records);
/* The queue's records are "record FIRST" to "record FIRST+count-1", with these sequence numbers, and no others. */
void qs_expect(const char *dir, unsigned first, unsigned count);

uint32_t qs_peek32(const char *dir, const char *name, uint64_t offset);
uint64_t qs_peek64(const char *dir, const char *name, uint64_t offset);
bool qs_all_zero(const char *dir, const char *name, uint64_t from, uint64_t to);
/* The modification time of a file. */
uint64_t qs_mtime_ns(const char *dir, const char *name);
unsigned qs_count_names(const char *dir, const char *suffix);
bool qs_logged(const struct qs *q, const char *text);

/* The whole directory but writer.lock, as bytes. */
struct qs_snapshot {
	char *bytes;
	size_t length;
};
void qs_snapshot(const char *dir, struct qs_snapshot *ret_snapshot);
/* The directory is as it was in the snapshot, which is freed. */
void qs_unchanged(const char *dir, struct qs_snapshot *snapshot);

/* tests/support/programs/format_check.py with this option finds nothing. */
void qs_format_check(const char *dir, const char *option);

/* CRC-32 bit by bit: not the library's. */
uint32_t qs_crc32(const void *bytes, size_t length);

/* ---- making files ---- */

void qs_write_file(const char *dir, const char *name, const void *bytes, size_t length);
/* The watermark in durable.meta, which must have one. */
struct cq_watermark_slot qs_watermark(int dirfd);
/* It is this place, of the writer's epoch. */
void qs_expect_watermark(struct qs *q, uint64_t segment, uint64_t offset, uint64_t seq);
/* durable.meta says that everything before this place is durable, and a power cut has come. */
void qs_mark(const char *dir, uint64_t segment, uint64_t offset, uint64_t seq);
/* control.meta says that the last writer ran before the machine was restarted. */
void qs_other_boot(const char *dir);
/* Restores a segment's header to its state before the seal. */
void qs_unseal(const char *dir, uint32_t id);
void qs_zero(const char *dir, const char *name, uint64_t from, uint64_t to);
/* Makes an empty segment, as a preallocation leaves it. */
void qs_make_segment(const char *dir, uint32_t id, uint64_t size);

#endif
