/* SPDX-License-Identifier: Apache-2.0 */
/* test_matrix.c - every operation with each of its calls failing (matrix.h); one test an operation */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "matrix.h"

#define OPERATION(op)                                         \
	{                                                     \
#op, mx_test, mx_setup, mx_teardown, &mx_##op \
	}

static const struct CMUnitTest tests[] = {
	OPERATION(open_absent),
	OPERATION(open_new),
	OPERATION(open_closed),
	OPERATION(open_torn),
	OPERATION(open_several),
	OPERATION(open_damaged),
	OPERATION(open_accept_loss),
	OPERATION(prepare),
	OPERATION(prepare_taken),
	OPERATION(append_fits),
	OPERATION(append_always),
	OPERATION(append_large),
	OPERATION(batch),
	OPERATION(runs),
	OPERATION(roll_ready),
	OPERATION(roll_fallback),
	OPERATION(roll_taken),
	OPERATION(seal),
	OPERATION(sync),
	OPERATION(sync_async),
	OPERATION(sync_interval),
	OPERATION(retention),
	OPERATION(retention_held),
	OPERATION(trim),
	OPERATION(remove),
	OPERATION(close),
	OPERATION(reader_open),
	OPERATION(reader_next),
	OPERATION(reader_seek_seq),
	OPERATION(reader_seek_time),
	OPERATION(reader_seek_stream),
	OPERATION(reader_seek_end),
	OPERATION(reader_commit),
	OPERATION(reader_commit_first),
	OPERATION(reader_make),
	OPERATION(reader_set),
	OPERATION(reader_delete),
	OPERATION(reader_commit_seq),
	OPERATION(reader_commit_seq_on),
	OPERATION(reader_fd),
	OPERATION(queue_reader),
	OPERATION(queue_reader_lost),
	OPERATION(queue_readers),
	OPERATION(stream_read),
	OPERATION(stream_ends),
	OPERATION(stream_records),
	OPERATION(stream_records_first),
	OPERATION(queue_look),
	OPERATION(verify),
	OPERATION(verify_live),
	OPERATION(segment_lost),
	OPERATION(attr_lost),
	OPERATION(reader_lost),
	OPERATION(segment_times),
	OPERATION(promote),
	OPERATION(promote_unsettled),
	OPERATION(repair_several),
	OPERATION(repair_torn),
	OPERATION(repair_look),
	{ "threads", mx_test_threads, mx_setup, mx_teardown, &mx_threads },
};

SUPPORT_MAIN_IN_MEMORY(tests)
