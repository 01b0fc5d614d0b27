/* SPDX-License-Identifier: Apache-2.0 */
/* stream_support.h - streams whose bytes follow from their positions, and references for others */
#ifndef CQ_TEST_STREAM_SUPPORT_H
#define CQ_TEST_STREAM_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq.h"
#include "support.h"

/* The byte that the following append at a position. */
uint8_t stream_byte(uint64_t position);
bool stream_right(const uint8_t *bytes, size_t length, uint64_t position);

/* Pseudo-random: the next of a sequence, below `limit`. */
uint64_t stream_random(uint64_t *sequence, uint64_t limit);

/* A writer of segments of this size; no thread syncs them. */
void stream_writer(const char *dir, uint64_t segment_size, cq_writer **ret_writer);

/* Appends one record of `length` bytes at *end, which it moves: 0 or the error. */
int stream_try_append(cq_writer *writer, uint64_t *end, size_t length);
void stream_append(cq_writer *writer, uint64_t *end, size_t length);
/* `count` records of random lengths up to `most`. */
void stream_append_many(cq_writer *writer, uint64_t *end, unsigned count, size_t most,
                        uint64_t *sequence);

/* All payloads, one after another, as cq_reader gives them; to be freed. */
uint8_t *stream_reference(const char *dir, size_t *ret_size);

/* A queue's directory and its stream; closed together. */
struct stream_view {
	cq_queue *queue;
	cq_stream *stream;
};
void stream_open(const char *dir, struct stream_view *ret_view);
void stream_close(struct stream_view *view);

/* The stream goes from begin to end, and no further. */
void stream_expect_extent(cq_stream *stream, uint64_t begin, uint64_t end);

/* Reads all from `begin` to `end` in pieces of up to `piece` bytes, and at random places, and
 * compares it with `reference` (of the byte at `begin` and those behind it; NULL: what
 * stream_byte() says). */
void stream_expect(cq_stream *stream, const uint8_t *reference, uint64_t begin, uint64_t end,
                   size_t piece);

/* A read at each of these positions gives this error. */
void stream_expect_error(cq_stream *stream, uint64_t from, uint64_t to, int error);

/* ---- fixture ---- */

struct stream_fixture {
	char dir[PATH_SIZE];
	struct stream_view view;
	uint64_t sequence; /* for stream_random() */
};
int stream_setup(void **state);
int stream_teardown(void **state);
#define STREAM_TEST(test) cmocka_unit_test_setup_teardown(test, stream_setup, stream_teardown)

/* stream_reopen(): a new stream of the same queue.  stream_anew(): the directory is empty again, too. */
void stream_reopen(struct stream_fixture *f);
void stream_anew(struct stream_fixture *f);

#endif
