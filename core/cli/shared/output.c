/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c - records on standard output
 *
 * SIGPIPE is ignored while records are written: if the reader of the output (head, a pager) has enough, the
 * output ends, which is no error.  Nor is a signal that ends a write.
 *
 * Invariant: after the first error nothing more is written, not even the rest of stdio's buffer.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli.h"

#define BUFFER_SIZE (256U << 10)

/* the first error of a write; 0: none */
static int output_error;

void cli_output_begin(void)
{
	static char buffer[BUFFER_SIZE];

	signal(SIGPIPE, SIG_IGN);
	(void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer); /* cannot fail: allocates nothing */
}

/* After a write: `all` was written, or errno is its error. */
static bool taken(bool all)
{
	if (!all) {
		if (output_error == 0)
			output_error = errno;
		__fpurge(stdout);
	}
	return all;
}

bool cli_output_bytes(const void *bytes, size_t length)
{
	return taken(fwrite_unlocked(bytes, 1, length, stdout) == length);
}

bool cli_output_payload(const struct cq_record *record, bool line)
{
	const char *bytes = record->payload;

	if (!cli_output_bytes(bytes, record->length))
		return false;
	if (!line || (record->length > 0 && bytes[record->length - 1] == '\n'))
		return true;
	return cli_output_bytes("\n", 1);
}

static json_t *base64(const struct cq_record *record)
{
	size_t length = BASE64_ENCODE_RAW_LENGTH(record->length);
	char *text = malloc(length + 1);
	json_t *string;

	if (!text) /* GCOV_EXCL_BR_LINE: no memory */
		return NULL;
	base64_encode_raw(text, record->length, record->payload);
	string = json_stringn_nocheck(text, length);
	free(text);
	return string;
}

static int put_json(const char *bytes, size_t length, void *arg)
{
	(void)arg;
	return cli_output_bytes(bytes, length) ? 0 : -1;
}

/* What most JSON readers, and jansson, keep whole is a number; more is a string. */
static const char *quotation(uint64_t number, bool exact)
{
	return exact && number > INT64_MAX ? "\"" : "";
}

bool cli_output_json(const struct cq_record *record, bool exact)
{
	json_t *text = json_stringn(record->payload, record->length); /* NULL: it is not UTF-8 */
	const char *key = text ? "payload" : "payload_base64";
	const char *seq_mark = quotation(record->seq, exact);
	const char *time_mark = quotation(record->time_ns, exact);
	char head[250], stream[50] = "";
	bool done;
	int length;

	if (!text)
		text = base64(record);
	if (!text) { /* GCOV_EXCL_BR_LINE: no memory */
		errno = ENOMEM;
		return taken(false);
	}
	if (exact && record->have_stream)
		(void)snprintf(stream, sizeof stream, "\"stream_offset\":%" PRIu64 ",",
		               record->stream_offset);
	/* not by jansson: its numbers are signed, and these keys need no escaping */
	length = snprintf(head, sizeof head,
	                  "{\"seq\":%s%" PRIu64 "%s,\"time_ns\":%s%" PRIu64
	                  "%s,\"type\":%u,\"length\":%zu,%s\"%s\":",
	                  seq_mark, record->seq, seq_mark, time_mark, record->time_ns, time_mark,
	                  record->type, record->length, stream, key);
	done = cli_output_bytes(head, (size_t)length) &&
	       json_dump_callback(text, put_json, NULL, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
	json_decref(text);
	return taken(done) && cli_output_bytes("}\n", 2);
}

bool cli_output_flush(void)
{
	/* after an error there is nothing left to flush */
	return taken(fflush(stdout) == 0) && output_error == 0;
}

bool cli_output_closed(void)
{
	struct pollfd out = {
		.fd = STDOUT_FILENO
	}; /* no events: poll() reports errors and hang-ups anyway */

	return poll(&out, 1, 0) == 1;
}

int cli_output_end(int status)
{
	cli_meter_end();
	cli_output_flush();
	if (output_error == 0 || output_error == EPIPE || output_error == EINTR)
		return status;
	return cli_fail("standard output", -output_error);
}
