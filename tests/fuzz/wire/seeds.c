/* SPDX-License-Identifier: Apache-2.0 */
/* seeds.c - first inputs for the targets of core/cli/wire: a message of each kind, with and without faults */
#include "seeds.h"

#include "headers.h"

/* An input of the target `wire` (see there), as far as it is made. */
struct input {
	uint8_t bytes[4096];
	size_t size;
};

static void add(struct input *input, const void *bytes, size_t size)
{
	HELD_CHECK(input->size + size <= sizeof input->bytes);
	if (size > 0)
		memcpy(input->bytes + input->size, bytes, size);
	input->size += size;
}

static int add_header(void *arg, const char *name, const char *value)
{
	add(arg, name, strlen(name));
	add(arg, ": ", 2);
	add(arg, value, strlen(value));
	add(arg, "\n", 1);
	return 0;
}

static void add_message(struct input *input, const struct wire_head *head, const void *body,
                        size_t size)
{
	const uint8_t length[] = { (uint8_t)size, (uint8_t)(size >> 8) };

	HELD_CHECK(wire_head_put(head, add_header, input) == 0);
	add(input, "\n", 1);
	add(input, length, sizeof length);
	add(input, body, size);
}

static struct wire_record text_record(uint64_t seq, const char *text)
{
	return (struct wire_record){ .seq = seq,
		                     .time_ns = 1000 + seq,
		                     .payload = text,
		                     .length = strlen(text),
		                     .type = 1 };
}

static struct wire_head head_of(enum wire_kind kind, const struct wire_record *last, uint64_t first)
{
	return (struct wire_head){
		.kind = kind,
		.first = first,
		.next = last->seq + 1,
		.last = { .epoch = 2, .crc = wire_crc(last), .time_ns = last->time_ns },
		.type = last->type,
	};
}

static void add_record(struct input *input, uint64_t seq)
{
	const struct wire_record record = text_record(seq, "one record");
	const struct wire_head head = head_of(WIRE_RECORD, &record, seq);

	add_message(input, &head, record.payload, record.length);
}

static void add_frame(struct input *input, uint64_t first)
{
	static const char *const texts[] = { "first of a frame", "", "last" };
	struct wire_record record = { .seq = 0 };
	struct wire_head head;
	uint8_t body[256];
	uint32_t crc;
	size_t size = 0;

	for (unsigned i = 0; i < 3; i++) {
		record = text_record(first + i, texts[i]);
		size += wire_entry_put(body + size, &record, &crc);
	}
	head = head_of(WIRE_FRAME, &record, first);
	head.type = 0;
	head.have_stream = true;
	head.stream = 77;
	add_message(input, &head, body, size);
}

static void add_parts(struct input *input, uint64_t seq)
{
	const struct wire_record record = text_record(seq, "a record in three pieces");
	struct wire_head head = head_of(WIRE_PART, &record, seq);

	head.part_length = record.length;
	head.next = seq;
	add_message(input, &head, record.payload, 10);
	head.part_offset = 10;
	add_message(input, &head, (const char *)record.payload + 10, 5);
	head.part_offset = 15;
	head.next = seq + 1;
	add_message(input, &head, (const char *)record.payload + 15, record.length - 15);
}

void seeds_put_wire(void)
{
	static const struct wire_head gap = { .kind = WIRE_GAP, .first = 14, .next = 1ULL << 62 };
	static const char records[] =
		"\0\0\0\0\0\0\10\1"
		"\1\5hello\2\0\3\60a record that is longer than a message and is cut";
	static const char *const words[] = {
		"0nats://user:pass%40word@h1.example,10.0.0.1:4333,[2001:db8::1]:1/Orders_2-x",
		"1chronq/1 identity=000102030405060708090a0b0c0d0e0f format=frames first=7 segment=8388608 "
		"frame=65536 message=1047552",
		"2{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":17}",
		"2{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 17\"}}",
	};
	char name[] = "0";
	struct input input;

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		name[0] = (char)('0' + i);
		seeds_put("wire_words", name, words[i], strlen(words[i]));
	}
	for (uint8_t mend = 0; mend < 2; mend++) {
		input.size = 0;
		add(&input, &mend, 1);
		add_record(&input, 9);
		add_frame(&input, 10);
		add_parts(&input, 13);
		add_message(&input, &gap, NULL, 0);
		seeds_put("wire", mend ? "all-mended" : "all", input.bytes, input.size);
	}
	input.bytes[0] = 1;
	input.size = 1;
	add_parts(&input, 0);
	seeds_put("wire", "parts", input.bytes, input.size);
	seeds_put("wire_records", "some", records, sizeof records - 1);
}
