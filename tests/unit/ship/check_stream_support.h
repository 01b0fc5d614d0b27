/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_stream_support.h - the stream that stream_side.c reads: servers, consumer and clock are played
 *
 * Each message is a record: message with sequence n has record n + 99.
 */
#ifndef CHECK_STREAM_SUPPORT_H
#define CHECK_STREAM_SUPPORT_H

#include "check/stream_side.h"

#define MOST 40U
#define EVER 1000000U

/* A call that fails so often, after so many successes. */
struct failing {
	int error;
	unsigned after, times;
};

struct world {
	struct failing open, info, message, consumer;
	const char *description; /* NULL: that of a stream for queue 7, from record 100 on */
	uint64_t first, last;    /* of the stream */
	uint64_t grows_to;       /* after the first question */
	bool lost[MOST], strange[MOST], parts[MOST];
	uint64_t silent_at; /* the consumer gives neither this message nor any behind it; 0: all */
	uint64_t
		passes; /* the consumer passes over so many messages from silent_at on, and continues */
	uint64_t
		expires_at; /* when this message is asked for, those before `expires_to` are gone */
	uint64_t expires_to;
	uint64_t stale_at; /* when this message is due, another consumer is needed */
	unsigned stale;    /* so often */
	/* what was done */
	uint64_t due; /* of the consumer */
	unsigned consumers;
	uint64_t now_ms;
	char text[256];
	uint64_t unreadable[MOST][2];
	size_t unreadable_count;
};
extern struct world world;
extern struct stream_side side;
extern struct ship_options ship;

/* Setup and teardown: a stream of 20 messages, and nothing that fails. */
int begin_test(void **state);
int end_test(void **state);

void opens(void);
/* It does not, with this exit code and message; then it may be tried again. */
void fails_to_open(int code, const char *text);
/* The records from `first` on come, all but those below `next` that are lost; then next() returns r. */
void gives(uint64_t first, uint64_t next, int r);

#endif
