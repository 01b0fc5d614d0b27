/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_side.h - the records of a stream as items of a comparison (compare.h)
 *
 * Waits for servers that do not answer, for PATIENCE_MS without a message at most.
 */
#ifndef CHRONQ_STREAM_SIDE_H
#define CHRONQ_STREAM_SIDE_H

#include "check/items.h"
#include "fetch/consume.h"
#include "jet/options.h"

#define PATIENCE_MS 30000

struct stream_side {
	struct compare_side side;
	const struct ship_options *ship;
	struct jet *jet;
	struct consumer *consumer;
	struct jet_info info; /* of the beginning: later messages are not compared */
	struct stream_about about;
	uint64_t sequence; /* of the message that is due */
	natsMsg *message;  /* whose items are given */
	bool unpacked;     /* they have begun */
	struct items items;
	bool begun; /* a message with a sound head has come */
	uint64_t
		headless; /* the parts of this record have no beginning: it has expired.  UINT64_MAX: none */
	uint64_t alive_ms;  /* when the last message came */
	uint64_t silent_ms; /* since when none has come */
	bool said;          /* that the servers do not answer */
	/* Messages from first to next - 1 that are not of chronq ship, or that the servers have lost. */
	void (*unreadable)(void *arg, uint64_t first, uint64_t next);
	void *unreadable_arg;
};

/* Connects, and asks for the stream.  Returns CLI_OK or, after a message, an exit code. */
int stream_side_open(struct stream_side *side, const struct ship_options *ship);
void stream_side_close(struct stream_side *side);

/* Takes the first message, so that side.begins is known.  committed: of the reader `ship`, UINT64_MAX: unknown.  *ret_next: the number behind the
 * stream's last record, or 0: unknown.  Returns as above. */
int stream_side_begin(struct stream_side *side, uint64_t committed, uint64_t *ret_next);

#endif
