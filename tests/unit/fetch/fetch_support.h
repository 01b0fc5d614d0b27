/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_support.h - chronq fetch with a real replica; servers, consumer, pauses and clock are played
 *
 * Message n of the stream has record n + 99, unless a test says otherwise.
 */
#ifndef FETCH_SUPPORT_H
#define FETCH_SUPPORT_H

#include "fetch/fetch.h"
#include "support.h"

#define MOST 64U
#define EVER 1000000U

/* A call that fails so often, after so many successes. */
struct failing {
	int error;
	unsigned after, times;
};

struct world {
	struct failing open, info, message, consumer, append, writer, skip, close, queue, reader;
	const char *
		description; /* NULL: that of a stream for the queue `identity`, from record 100 on */
	uint8_t identity;
	uint64_t first, last;         /* of the stream */
	const char *payload[MOST];    /* NULL: "text" */
	bool lost[MOST];              /* no server has it */
	unsigned strange[MOST];       /* so many reads give a message that is none of chronq ship */
	unsigned passed[MOST];        /* the consumer passes over it so often */
	struct wire_head heads[MOST]; /* next above 0: in place of a record */
	uint64_t silent_at;           /* from this message on the consumer gives none; 0: all */
	bool one_silent;              /* only the first consumer */
	unsigned stale;               /* the consumer is lost so often, when all is read */
	bool closed, disconnected;    /* as jet_state() tells */
	unsigned hangs;               /* the server answers so many pings not */
	void (*idle)(unsigned n);     /* nothing came, for the nth time */
	unsigned stops_after;         /* so many pauses a signal comes */
	bool keep_text;               /* ends() leaves the text */
	/* what was done */
	unsigned opens, consumers, idles, waits;
	uint64_t due, now_ms; /* beyond the real time */
	char text[16384];     /* all messages */
};
extern struct world world;
extern struct fetch_options options;

/* Setup and teardown: a stream of 20 messages, an empty directory, --once, and nothing that fails. */
int begin_test(void **state);
int end_test(void **state);

/* Runs fetch, which has to end with this exit code and to have said `text` (NULL: nothing). */
void ends(int code, const char *text);
/* The replica's next number, and its gaps and records. */
void replica_is(uint64_t next, uint64_t records);

#endif
