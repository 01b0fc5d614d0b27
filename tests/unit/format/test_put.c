/* SPDX-License-Identifier: Apache-2.0 */
/* test_put.c - a record's header and payload, stored by the portable and by the fast functions */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "format/put.h"
#include "format/record.h"
#include "support.h"

static uint64_t any(void)
{
	/* many zeros and ones in a row, too */
	const uint64_t v = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^ (uint64_t)random();

	return random() % 8 == 0 ? v & 1 : random() % 8 == 0 ? UINT64_MAX - (v & 1) : v;
}

static void header_is_as_in_the_format(void **state)
{
	static const struct cq_record_header none;
	struct cq_record_header want, got;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		want = (struct cq_record_header){
			.commit = (uint32_t)any(),
			.version = (uint8_t)(i % 2),
			.seq = any(),
			.time_ns = any(),
			.type = (uint16_t)any(),
			.payload_crc = (uint32_t)any(),
			.ext = 1,
			.stream_offset = any(),
			.epoch = (uint32_t)any(),
		};
		want.header_crc = libdeflate_crc32(0, &want, sizeof want);
		got = none;
		cq_put_header((uint8_t *)&got, want.commit, want.version, want.seq, want.time_ns,
		              want.type, want.payload_crc, want.stream_offset, want.epoch);
		/* the commit word is the caller's, who stores it last */
		assert_int_equal(got.commit, 0);
		got.commit = want.commit;
		assert_memory_equal(&got, &want, sizeof want);
	}
}

/* The checksum of a header that is there, whatever its commit word and its checksum are by now. */
static void header_is_summed(void **state)
{
	struct cq_record_header whole, given;
	uint8_t bytes[sizeof whole];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = (uint8_t)any();
		memcpy(&given, bytes, sizeof given);
		whole = given;
		whole.header_crc = 0;
		whole.commit = i % 2 ? (uint32_t)any() : given.commit;
		assert_int_equal(cq_record_header_crc(&given, whole.commit),
		                 libdeflate_crc32(0, &whole, sizeof whole));
	}
}

/* Of every length, at every place in a word: all its bytes, none beside it, and their checksum. */
static void payload_is_copied_and_summed(void **state)
{
	static uint8_t from[800], to[800];

	(void)state;
	for (size_t i = 0; i < sizeof from; i++)
		from[i] = (uint8_t)random();
	for (size_t length = 0; length < 600; length++) {
		for (size_t skew = 0; skew < 16; skew++) {
			memset(to, 0xEE, sizeof to);
			assert_int_equal(cq_put_payload(to + 64, from + skew, length),
			                 libdeflate_crc32(0, from + skew, length));
			assert_memory_equal(to + 64, from + skew, length);
			for (size_t i = 0; i < 64; i++) {
				assert_int_equal(to[i], 0xEE);
				assert_int_equal(to[64 + length + i], 0xEE);
			}
		}
	}
}

/* Header and payload in one go, of every length: the bytes of the format, and none behind them. */
static void record_is_as_in_the_format(void **state)
{
	static const struct cq_record_header none;
	static uint8_t from[800], to[800];
	struct cq_record_header want;

	(void)state;
	for (size_t i = 0; i < 64 * sizeof from; i++) {
		const size_t length = i % 700;

		from[i % sizeof from] = (uint8_t)any();
		want = (struct cq_record_header){
			.commit = (uint32_t)length + 1,
			.version = (uint8_t)(i % 2),
			.seq = any(),
			.time_ns = any(),
			.type = (uint16_t)any(),
			.payload_crc = libdeflate_crc32(0, from + i % 16, length),
			.ext = 1,
			.stream_offset = any(),
			.epoch = (uint32_t)any(),
		};
		want.header_crc = libdeflate_crc32(0, &want, sizeof want);
		memset(to, 0xEE, sizeof to);
		memcpy(to, &none, sizeof none);
		cq_put_record(to, want.version, want.seq, want.time_ns, want.type,
		              want.stream_offset, want.epoch, from + i % 16, length);
		assert_int_equal(cq_commit_load(to), 0);
		cq_commit_store(to, want.commit);
		assert_memory_equal(to, &want, sizeof want);
		assert_memory_equal(to + sizeof want, from + i % 16, length);
		for (size_t k = sizeof want + length; k < sizeof to; k++)
			assert_int_equal(to[k], 0xEE);
	}
}

#define CHANGING 100U

/* Another process changes the payload meanwhile: the checksum is that of the bytes that were stored. */
static void payload_that_changes(void **state)
{
	uint8_t *from =
		mmap(NULL, CHANGING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t to[sizeof(struct cq_record_header) + CHANGING] __attribute__((aligned(64)));
	struct cq_record_header header;
	uint32_t crc;
	pid_t child;

	(void)state;
	assert_true(from != MAP_FAILED);
	child = support_fork();
	assert_true(child >= 0);
	if (child == 0) {
		for (uint8_t v = 0;; v++) /* until it is killed */
			memset(from, v, CHANGING);
	}
	for (int i = 0; i < 100000; i++) {
		crc = cq_put_payload(to, from, CHANGING);
		assert_int_equal(crc, libdeflate_crc32(0, to, CHANGING));
		cq_put_record(to, 1, 0, 0, 0, 0, 1, from, CHANGING);
		memcpy(&header, to, sizeof header);
		assert_int_equal(header.payload_crc,
		                 libdeflate_crc32(0, to + sizeof header, CHANGING));
		assert_int_equal(header.header_crc, cq_record_header_crc(&header, CHANGING + 1));
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	munmap(from, CHANGING);
}

static int portable(void **state)
{
	(void)state;
	cq_put_portable = true;
	return 0;
}

static int fastest(void **state)
{
	(void)state;
	cq_put_portable = false;
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(header_is_as_in_the_format, fastest),
		cmocka_unit_test_setup(header_is_summed, fastest),
		cmocka_unit_test_setup(payload_is_copied_and_summed, fastest),
		cmocka_unit_test_setup(record_is_as_in_the_format, fastest),
		cmocka_unit_test_setup(payload_that_changes, fastest),
		{ "header_is_as_in_the_format, portable", header_is_as_in_the_format, portable,
		  NULL, NULL },
		{ "header_is_summed, portable", header_is_summed, portable, NULL, NULL },
		{ "payload_is_copied_and_summed, portable", payload_is_copied_and_summed, portable,
		  NULL, NULL },
		{ "record_is_as_in_the_format, portable", record_is_as_in_the_format, portable,
		  NULL, NULL },
		{ "payload_that_changes, portable", payload_that_changes, portable, NULL, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
