/* SPDX-License-Identifier: Apache-2.0 */
/* test_format.c - the structures of format.h are the tables of docs/format.md, which are read here */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "support.h"

#define FIELD(type, field)                                      \
	{                                                       \
#type "." #field, offsetof(struct type, field), \
			sizeof(((struct type *)NULL)->field)    \
	}

/* All fields that are not reserved, in the order of the document. */
static const struct field {
	const char *name;
	size_t offset, size;
} fields[] = {
	FIELD(cq_segment_header, magic),
	FIELD(cq_segment_header, version),
	FIELD(cq_segment_header, id),
	FIELD(cq_segment_header, flags),
	FIELD(cq_segment_header, ext),
	FIELD(cq_segment_header, ext_crc),
	FIELD(cq_segment_header, stream_base),
	FIELD(cq_segment_header, first_seq),
	FIELD(cq_segment_header, records),
	FIELD(cq_segment_header, used),
	FIELD(cq_segment_header, payload_bytes),
	FIELD(cq_record_header, commit),
	FIELD(cq_record_header, version),
	FIELD(cq_record_header, seq),
	FIELD(cq_record_header, time_ns),
	FIELD(cq_record_header, type),
	FIELD(cq_record_header, flags),
	FIELD(cq_record_header, payload_crc),
	FIELD(cq_record_header, ext),
	FIELD(cq_record_header, header_crc),
	FIELD(cq_record_header, stream_offset),
	FIELD(cq_record_header, epoch),
	FIELD(cq_control_page, magic),
	FIELD(cq_control_page, version),
	FIELD(cq_control_page, init_state),
	FIELD(cq_control_page, epoch),
	FIELD(cq_control_page, segment_size),
	FIELD(cq_control_page, boot_id),
	FIELD(cq_control_page, segment_gen),
	FIELD(cq_control_page, current_segment),
	FIELD(cq_control_page, write_offset),
	FIELD(cq_control_page, heartbeat_ns),
	FIELD(cq_control_page, landmarks_of),
	FIELD(cq_control_page, landmarks),
	FIELD(cq_control_page, notify_seq),
	FIELD(cq_control_page, waiters),
	FIELD(cq_control_page, arrivals),
	FIELD(cq_control_page, flushes),
	FIELD(cq_position_file, current_segment),
	FIELD(cq_position_file, write_offset),
	FIELD(cq_reader_slot, segment),
	FIELD(cq_reader_slot, offset),
	FIELD(cq_reader_slot, heartbeat_ns),
	FIELD(cq_reader_slot, generation),
	FIELD(cq_reader_slot, crc),
	FIELD(cq_index_header, magic),
	FIELD(cq_index_header, version),
	FIELD(cq_index_header, header_length),
	FIELD(cq_index_header, flags),
	FIELD(cq_index_header, segment),
	FIELD(cq_index_header, segment_size),
	FIELD(cq_index_header, data_offset),
	FIELD(cq_index_header, stride),
	FIELD(cq_index_header, min_seq),
	FIELD(cq_index_header, max_seq),
	FIELD(cq_index_header, min_time_ns),
	FIELD(cq_index_header, max_time_ns),
	FIELD(cq_index_header, entries),
	FIELD(cq_index_entry, seq),
	FIELD(cq_index_entry, time_ns),
	FIELD(cq_index_entry, offset),
	FIELD(cq_watermark_slot, segment),
	FIELD(cq_watermark_slot, offset),
	FIELD(cq_watermark_slot, seq),
	FIELD(cq_watermark_slot, epoch),
	FIELD(cq_watermark_slot, generation),
	FIELD(cq_watermark_slot, crc),
	FIELD(cq_listing_record, boot_id),
	FIELD(cq_listing_record, device),
	FIELD(cq_listing_record, inode),
	FIELD(cq_listing_record, changed_ns),
	FIELD(cq_listing_record, oldest),
	FIELD(cq_listing_record, newest),
	FIELD(cq_listing_record, crc),
	FIELD(cq_identity_file, magic),
	FIELD(cq_identity_file, version),
	FIELD(cq_identity_file, id),
	FIELD(cq_identity_file, source),
	FIELD(cq_identity_file, crc),
	FIELD(cq_identity_file, settled),
};
#define FIELDS (sizeof fields / sizeof fields[0])

/* "u32", or "3 bytes". */
static size_t size_of(const char *type)
{
	unsigned number = 0;

	if (sscanf(type, "u%u", &number) == 1)
		return number / 8;
	assert_int_equal(sscanf(type, "%u bytes", &number), 1);
	return number;
}

static void tables_of_the_document(void **state)
{
	size_t size, count = 0;
	char *text = support_slurp(getenv("FORMAT_DOCUMENT"), &size), *rest = text, *line;

	(void)state;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char type[16], name[32];
		size_t offset;

		if (sscanf(line, "| %zu | %15[^|] | %31[^|]", &offset, type, name) != 3 ||
		    strncmp(name, "reserved", 8) == 0)
			continue;
		assert_true(count < FIELDS);
		if (offset != fields[count].offset || size_of(type) != fields[count].size)
			fail_msg("%s is not \"%s\"", fields[count].name, line);
		count++;
	}
	free(text);
	assert_int_equal(count, FIELDS);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(tables_of_the_document),
};

SUPPORT_MAIN(tests)
