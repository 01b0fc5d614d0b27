/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h - chronq fetch: fills a replica from a stream */
#ifndef CHRONQ_FETCH_H
#define CHRONQ_FETCH_H

#include "fetch/consume.h"
#include "fetch/take.h"
#include "jet/options.h"
#include "wire/resume.h"
#include "wire/status.h"

struct fetch_options {
	struct ship_options ship;
	char *dir;
	bool have_from; /* a new replica begins at record `from`; else at the stream's first */
	uint64_t from;
	struct cq_config config; /* of the replica's writer */
};

/* What a wait is for; the first of each kind is said at once, then once a minute. */
enum fetch_wait { WAIT_NONE, WAIT_SERVERS, WAIT_DENIED, WAIT_BEHIND, WAIT_ROOM };

struct fetch {
	const struct fetch_options *options;
	const char *stream; /* its name */
	struct jet *jet;
	struct consumer *consumer;
	struct replica replica;
	struct take take;
	struct stream_about about; /* valid with have_about: of the stream that there was first */
	bool have_about;
	struct jet_info info; /* when it was asked last */
	uint64_t sequence;    /* in the stream, of the message that is due */
	uint64_t floor;       /* messages before it are not used: damage in them was accepted */
	bool have_target;     /* --once: it ends when the messages up to `target` are taken */
	uint64_t target;
	bool done;
	uint64_t pending; /* messages behind the last one when that was sent */
	uint64_t attaches;
	/* times in ms */
	uint64_t gone_since; /* the stream was not there; 0: it is */
	uint64_t idle_since; /* no message has come, and nothing was found to be wrong */
	unsigned idle_checks;
	struct backoff backoff;
	/* how often one message gave a problem, until a record is appended */
	uint64_t tries_at;
	unsigned tries;
	enum fetch_wait wait; /* that was said last */
	uint64_t said_at;
	char said[1024];
	struct status *status; /* NULL: none */
};

/* Returns the exit code. */
int fetch_run(const struct fetch_options *options);

/* ---- attach.c ---- */

/* Connects, asks for the stream, and finds the place at which the replica continues: makes a consumer, or (--once) finds
 * that nothing is due.  Returns 0; an exit code, after a message; or a negative errno: try again after a pause. */
int fetch_attach(struct fetch *fetch);
/* Asks for the stream.  Errors as above, but does not connect. */
int fetch_ask(struct fetch *fetch);

/* ---- trouble.c: those with a result return as fetch_attach() ---- */

/* The message is damaged: reads it again, and takes it; or it is one too often. */
int fetch_damaged(struct fetch *fetch, uint64_t sequence);
/* Records before the message are missing: 0 if the gap is accepted; then the message is to be taken again. */
int fetch_missing(struct fetch *fetch, uint64_t sequence);
/* No message has come for a while, though the servers answer: looks whether one is due, and reads it. */
int fetch_idle(struct fetch *fetch);

uint64_t fetch_now_ms(void);
/* "chronq: STREAM: MESSAGE", if that is due. */
void fetch_say(struct fetch *fetch, enum fetch_wait wait, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What was waited for is there. */
void fetch_well(struct fetch *fetch);
/* Before the next try. */
void fetch_pause(struct fetch *fetch);

/* ---- metrics.c ---- */

/* Returns 0, or an exit code after a message. */
int fetch_metrics_begin(struct fetch *fetch);
/* Writes the metrics, if a second has passed or `now` is set. */
void fetch_metrics(struct fetch *fetch, bool now);
void fetch_metrics_end(struct fetch *fetch);

#endif
