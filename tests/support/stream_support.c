/* SPDX-License-Identifier: Apache-2.0 */
/* stream_support.c - see stream_support.h; a failure here fails the test */
#include "stream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

uint8_t stream_byte(uint64_t position)
{
	uint64_t x = position * 0x9E3779B97F4A7C15U;

	return (uint8_t)((x ^ x >> 29) >> 32);
}

bool stream_right(const uint8_t *bytes, size_t length, uint64_t position)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != stream_byte(position + i))
			return false;
	return true;
}

uint64_t stream_random(uint64_t *sequence, uint64_t limit)
{
	*sequence = *sequence * 6364136223846793005U + 1442695040888963407U;
	return (*sequence >> 11) % limit;
}

void stream_writer(const char *dir, uint64_t segment_size, cq_writer **ret_writer)
{
	struct cq_config config;

	cq_config_init(&config);
	config.segment_size = segment_size;
	assert_int_equal(cq_writer_open(dir, &config, ret_writer), 0);
}

int stream_try_append(cq_writer *writer, uint64_t *end, size_t length)
{
	uint8_t *bytes = malloc(length + 1);
	int r;

	for (size_t i = 0; i < length; i++)
		bytes[i] = stream_byte(*end + i);
	r = cq_writer_append(writer, CQ_TYPE_DEFAULT, bytes, length, NULL);
	free(bytes);
	if (r == 0)
		*end += length;
	return r;
}

void stream_append(cq_writer *writer, uint64_t *end, size_t length)
{
	assert_int_equal(stream_try_append(writer, end, length), 0);
}

void stream_append_many(cq_writer *writer, uint64_t *end, unsigned count, size_t most,
                        uint64_t *sequence)
{
	for (unsigned i = 0; i < count; i++)
		stream_append(writer, end, stream_random(sequence, most + 1));
}

uint8_t *stream_reference(const char *dir, size_t *ret_size)
{
	struct cq_record record;
	uint8_t *bytes = malloc(1);
	cq_reader *reader;
	size_t size = 0;
	int r;

	assert_int_equal(cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader), 0);
	while ((r = cq_reader_next(reader, &record)) == 1) {
		bytes = realloc(bytes, size + record.length + 1);
		memcpy(bytes + size, record.payload, record.length);
		size += record.length;
	}
	assert_int_equal(r, 0);
	cq_reader_close(reader);
	*ret_size = size;
	return bytes;
}

void stream_open(const char *dir, struct stream_view *ret_view)
{
	assert_int_equal(cq_queue_open(dir, &ret_view->queue), 0);
	assert_int_equal(cq_stream_open(ret_view->queue, &ret_view->stream), 0);
}

void stream_close(struct stream_view *view)
{
	cq_stream_close(view->stream);
	cq_queue_close(view->queue);
	*view = (struct stream_view){ NULL, NULL };
}

void stream_expect_extent(cq_stream *stream, uint64_t begin, uint64_t end)
{
	uint64_t from, to;
	uint8_t byte;

	assert_int_equal(cq_stream_extent(stream, &from, &to), 0);
	assert_int_equal(from, begin);
	assert_int_equal(to, end);
	assert_int_equal(cq_stream_pread(stream, &byte, 1, end), 0);
	assert_int_equal(cq_stream_pread(stream, &byte, 1, end + 1000), 0);
}

static void expect_bytes(const uint8_t *bytes, size_t length, const uint8_t *reference,
                         uint64_t begin, uint64_t position)
{
	if (reference)
		assert_memory_equal(bytes, reference + (position - begin), length);
	else
		assert_true(stream_right(bytes, length, position));
}

void stream_expect(cq_stream *stream, const uint8_t *reference, uint64_t begin, uint64_t end,
                   size_t piece)
{
	uint8_t *bytes = malloc(piece);
	uint64_t sequence = begin + piece;

	for (uint64_t at = begin; at < end;) {
		size_t length = 1 + stream_random(&sequence, piece);
		size_t expected = length < end - at ? length : end - at;

		assert_int_equal(cq_stream_pread(stream, bytes, length, at), expected);
		expect_bytes(bytes, expected, reference, begin, at);
		at += expected;
	}
	for (unsigned i = 0; i < 200 && end > begin; i++) {
		uint64_t at = begin + stream_random(&sequence, end - begin);
		size_t length = 1 + stream_random(&sequence, piece);
		size_t expected = length < end - at ? length : end - at;

		assert_int_equal(cq_stream_pread(stream, bytes, length, at), expected);
		expect_bytes(bytes, expected, reference, begin, at);
	}
	free(bytes);
}

void stream_expect_error(cq_stream *stream, uint64_t from, uint64_t to, int error)
{
	uint8_t bytes[3];

	for (uint64_t at = from; at<to; at += to - at> 8 ? 7 : 1)
		assert_int_equal(cq_stream_pread(stream, bytes, sizeof bytes, at), -error);
}

/* ---- fixture ---- */

int stream_setup(void **state)
{
	struct stream_fixture *f = calloc(1, sizeof *f);

	support_temp_dir(f->dir);
	f->sequence = 1;
	*state = f;
	return 0;
}

int stream_teardown(void **state)
{
	struct stream_fixture *f = *state;

	stream_close(&f->view);
	support_remove(f->dir);
	free(f);
	return 0;
}

void stream_reopen(struct stream_fixture *f)
{
	stream_close(&f->view);
	stream_open(f->dir, &f->view);
}

void stream_anew(struct stream_fixture *f)
{
	stream_close(&f->view);
	support_remove(f->dir);
	support_temp_dir(f->dir);
}
