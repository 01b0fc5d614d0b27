/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_head.c - a message's headers: a head has one text, and any other text is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <chronq.h>
#include <errno.h>
#include <string.h>

#include "wire_support.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int get(struct headers *headers, struct wire_head *ret_head)
{
	return wire_head_get(headers_get, headers, ret_head);
}

/* The headers of a sound head with one of them changed are refused, and *ret_head stays as it is. */
static void refused(enum wire_kind kind, const char *name, const char *value, int error)
{
	const struct wire_head head = sound_head(kind);
	struct wire_head got, before;
	struct headers headers;

	memset(&got, 0x5a, sizeof got);
	before = got;
	headers_of(&head, &headers);
	headers_set(&headers, name, value);
	if (get(&headers, &got) != error)
		fail_msg("kind %d, %s: %s is not refused", (int)kind, name, value ? value : "none");
	assert_memory_equal(&got, &before, sizeof got);
}

static void accepted(enum wire_kind kind, const char *name, const char *value)
{
	const struct wire_head head = sound_head(kind);
	struct headers headers, again;
	struct wire_head got;

	headers_of(&head, &headers);
	headers_set(&headers, name, value);
	assert_int_equal(get(&headers, &got), 0);
	headers_of(&got, &again);
	assert_int_equal(again.count, headers.count);
	for (size_t i = 0; i < again.count; i++)
		assert_string_equal(again.list[i].value, headers_get(&headers, again.list[i].name));
}

static void texts(void **state)
{
	static const char *const expected[] = {
		"Chronq-Kind",  "part",     "Chronq-First",  "7",
		"Chronq-Next",  "8",        "Chronq-Stream", "4096",
		"Chronq-Epoch", "3",        "Chronq-Time",   "1700000000123456789",
		"Chronq-CRC",   "00c0ffee", "Chronq-Type",   "5",
		"Chronq-Part",  "100/250",
	};
	const struct wire_head head = sound_head(WIRE_PART);
	struct headers headers;

	(void)state;
	headers_of(&head, &headers);
	assert_int_equal(headers.count, COUNT(expected) / 2);
	for (size_t i = 0; i < headers.count; i++) {
		assert_string_equal(headers.list[i].name, expected[2 * i]);
		assert_string_equal(headers.list[i].value, expected[2 * i + 1]);
	}
}

static void each_kind_comes_back(void **state)
{
	(void)state;
	for (enum wire_kind kind = WIRE_RECORD; kind <= WIRE_GAP; kind++)
		for (int have_stream = 0; have_stream < 2; have_stream++) {
			struct wire_head head = sound_head(kind), got;
			struct headers headers;

			head.have_stream = have_stream == 1;
			head.stream = head.have_stream ? head.stream : 0;
			headers_of(&head, &headers);
			memset(&got, 0x5a, sizeof got);
			assert_int_equal(get(&headers, &got), 0);
			assert_int_equal(got.kind, head.kind);
			assert_int_equal(got.first, head.first);
			assert_int_equal(got.next, head.next);
			assert_int_equal(got.have_stream, head.have_stream);
			assert_int_equal(got.stream, head.stream);
			assert_int_equal(got.last.epoch, head.last.epoch);
			assert_int_equal(got.last.crc, head.last.crc);
			assert_int_equal(got.last.time_ns, head.last.time_ns);
			assert_int_equal(got.type, head.type);
			assert_int_equal(got.part_offset, head.part_offset);
			assert_int_equal(got.part_length, head.part_length);
		}
}

/* A header that a kind needs is missing; one that another kind has is there. */
static void headers_of_the_kind_alone(void **state)
{
	static const struct {
		const char *name, *value;
		bool of[4]; /* record, frame, part, gap */
	} table[] = {
		{ "Chronq-First", "7", { true, true, true, true } },
		{ "Chronq-Next", "8", { true, true, true, true } },
		{ "Chronq-Epoch", "3", { true, true, true, false } },
		{ "Chronq-Time", "9", { true, true, true, false } },
		{ "Chronq-CRC", "00c0ffee", { true, true, true, false } },
		{ "Chronq-Type", "5", { true, false, true, false } },
		{ "Chronq-Part", "100/250", { false, false, true, false } },
	};

	(void)state;
	for (enum wire_kind kind = WIRE_RECORD; kind <= WIRE_GAP; kind++) {
		refused(kind, "Chronq-Kind", NULL, -EBADMSG);
		for (size_t i = 0; i < COUNT(table); i++)
			refused(kind, table[i].name, table[i].of[kind] ? NULL : table[i].value,
			        -EBADMSG);
	}
}

static void numbers_have_one_text(void **state)
{
	static const char *const names[] = { "Chronq-First", "Chronq-Next", "Chronq-Stream",
		                             "Chronq-Epoch", "Chronq-Time", "Chronq-Type" };
	static const char *const bad[] = {
		"",
		" ",
		"-1",
		"+7",
		" 7",
		"7 ",
		"07",
		"00",
		"7a",
		"0x7",
		"7.0",
		"7\n",
		"1e",
		"7,0",
		"\xd9\xa7", /* seven in Arabic digits */
		"18446744073709551616",
		"18446744073709551617",
		"99999999999999999999",
		"184467440737095516150",
		"36893488147419103239", /* 7 modulo 2^64 */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		for (size_t j = 0; j < COUNT(bad); j++)
			refused(WIRE_RECORD, names[i], bad[j], -EBADMSG);
	refused(WIRE_RECORD, "Chronq-Epoch", "4294967296", -EBADMSG);
	refused(WIRE_RECORD, "Chronq-Type", "65535", -EBADMSG); /* padding */
	refused(WIRE_RECORD, "Chronq-Type", "65541", -EBADMSG);
	refused(WIRE_RECORD, "Chronq-Stream", "4611686018427387905", -EBADMSG);
	refused(WIRE_GAP, "Chronq-Next", "4611686018427387905", -EBADMSG);
	accepted(WIRE_RECORD, "Chronq-Epoch", "4294967295");
	accepted(WIRE_RECORD, "Chronq-Epoch", "0");
	accepted(WIRE_RECORD, "Chronq-Type", "65534");
	accepted(WIRE_RECORD, "Chronq-Time", "18446744073709551615");
	accepted(WIRE_RECORD, "Chronq-Stream", "4611686018427387904");
	accepted(WIRE_GAP, "Chronq-Next", "4611686018427387904");
	accepted(WIRE_GAP, "Chronq-First", "0");
}

static void crcs_have_one_text(void **state)
{
	static const char *const bad[] = {
		"",         "c0ffee",    "0c0ffee",  "000c0ffee", "00C0FFEE", "0x00c0ff",
		" 0c0ffee", "00c0ffee ", "00c0ffe-", "00c0ffeg",  "-0c0ffee", "+0c0ffee",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(WIRE_FRAME, "Chronq-CRC", bad[i], -EBADMSG);
	accepted(WIRE_FRAME, "Chronq-CRC", "ffffffff");
	accepted(WIRE_FRAME, "Chronq-CRC", "00000000");
}

static void parts_have_one_text(void **state)
{
	static const char *const bad[] = {
		"",
		"/",
		"100",
		"100/",
		"/250",
		"100/250/",
		"100 /250",
		"100/ 250",
		"0100/250",
		"100/0250",
		"-1/250",
		"100:250",
		"100/250 ",
		"250/250",
		"251/250",
		"0/0",
		"100/0",
		"100/99",       /* beyond its record */
		"0/4294963201", /* CQ_SEGMENT_SIZE_MAX and one */
		"0/18446744073709551615",
		"18446744073709551615/18446744073709551615",
	};

	(void)state;
	assert_int_equal(CQ_SEGMENT_SIZE_MAX, 4294963200);
	for (size_t i = 0; i < COUNT(bad); i++)
		refused(WIRE_PART, "Chronq-Part", bad[i], -EBADMSG);
	accepted(WIRE_PART, "Chronq-Part", "0/1");
	accepted(WIRE_PART, "Chronq-Part", "249/250");
	accepted(WIRE_PART, "Chronq-Part", "4294963199/4294963200");
	/* the record's end in the stream */
	refused(WIRE_PART, "Chronq-Stream", "4611686018427387655", -EBADMSG);
	accepted(WIRE_PART, "Chronq-Stream", "4611686018427387654");
}

static void contradictions(void **state)
{
	(void)state;
	for (enum wire_kind kind = WIRE_RECORD; kind <= WIRE_GAP; kind++) {
		refused(kind, "Chronq-Next", "6", -EBADMSG);
		refused(kind, "Chronq-Next", "0", -EBADMSG);
		refused(kind, "Chronq-First", "4611686018427387904", -EBADMSG);
		refused(kind, "Chronq-First", "18446744073709551615", -EBADMSG);
	}
	refused(WIRE_RECORD, "Chronq-Next", "7", -EBADMSG);
	refused(WIRE_RECORD, "Chronq-Next", "9", -EBADMSG);
	refused(WIRE_FRAME, "Chronq-Next", "7", -EBADMSG); /* without a record */
	refused(WIRE_PART, "Chronq-Next", "9", -EBADMSG);
	refused(WIRE_GAP, "Chronq-Next", "7", -EBADMSG);
	accepted(WIRE_PART, "Chronq-Next", "7");
	accepted(WIRE_FRAME, "Chronq-Next", "8");
	accepted(WIRE_GAP, "Chronq-Next", "8");
}

static void kinds_of_later_versions(void **state)
{
	static const char *const unknown[] = { "",       "Record", "records",
		                               "frame ", "part2",  "gap,part" };

	(void)state;
	for (size_t i = 0; i < COUNT(unknown); i++)
		refused(WIRE_RECORD, "Chronq-Kind", unknown[i], -EPROTONOSUPPORT);
}

static int put_some(void *arg, const char *name, const char *value)
{
	int *left = arg;

	(void)name;
	(void)value;
	assert_true(*left >= 0); /* not called again after its error */
	return (*left)-- == 0 ? -ENOMEM : 0;
}

static void first_error_of_put(void **state)
{
	(void)state;
	for (int fails = 0; fails < 9; fails++) {
		const struct wire_head head = sound_head(WIRE_PART);
		int left = fails;

		assert_int_equal(wire_head_put(&head, put_some, &left), -ENOMEM);
		assert_int_equal(left, -1);
	}
}

static int put_none(void *arg, const char *name, const char *value)
{
	(void)arg;
	fail_msg("%s: %s was put", name, value);
	return 0;
}

static void unsound_is_not_put(void **state)
{
	const struct wire_head part = sound_head(WIRE_PART);
	struct wire_head heads[12];

	(void)state;
	for (size_t i = 0; i < COUNT(heads); i++)
		heads[i] = part;
	heads[0].first = WIRE_COUNT_MAX;
	heads[1].next = 9;
	heads[2].next = 6;
	heads[3].stream = WIRE_COUNT_MAX;
	heads[4].part_offset = 250;
	heads[5].part_length = CQ_SEGMENT_SIZE_MAX + 1;
	heads[6].type = CQ_TYPE_MAX + 1;
	heads[7].kind = (enum wire_kind)4;
	heads[8] = sound_head(WIRE_FRAME);
	heads[8].next = heads[8].first;
	heads[9] = sound_head(WIRE_GAP);
	heads[9].next = WIRE_COUNT_MAX + 1;
	heads[10] = sound_head(WIRE_RECORD);
	heads[10].next += 1;
	heads[11] = sound_head(WIRE_RECORD);
	heads[11].stream = UINT64_MAX;
	for (size_t i = 0; i < COUNT(heads); i++)
		assert_int_equal(wire_head_put(&heads[i], put_none, NULL), -EINVAL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(each_kind_comes_back),
		cmocka_unit_test(headers_of_the_kind_alone),
		cmocka_unit_test(numbers_have_one_text),
		cmocka_unit_test(crcs_have_one_text),
		cmocka_unit_test(parts_have_one_text),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(kinds_of_later_versions),
		cmocka_unit_test(first_error_of_put),
		cmocka_unit_test(unsound_is_not_put),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
