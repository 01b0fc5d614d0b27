/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trouble.c - messages that are damaged, missing or do not come; waiting, and what is said of that
 *
 * Each server has its own copy of a stream.  A message is read again from the server that leads the stream, and from
 * a new consumer, which may be on another one, before fetch says that it is lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "fetch/fetch.h"
#include "shared/cli.h"

#define TRIES_MAX 6
#define IDLE_MS 4000 /* the first look; then doubled twice */
#define AGAIN_MS 60000
#define SLICE_MS 100 /* a signal ends a pause so soon */

uint64_t fetch_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void fetch_say(struct fetch *fetch, enum fetch_wait wait, const char *format, ...)
{
	uint64_t now = fetch_now_ms();
	va_list arguments;

	if (wait == fetch->wait && now - fetch->said_at < AGAIN_MS)
		return;
	fetch->wait = wait;
	fetch->said_at = now;
	va_start(arguments, format);
	(void)vsnprintf(fetch->said, sizeof fetch->said, format, arguments);
	va_end(arguments);
	cli_note("%s: %s", fetch->stream, fetch->said);
}

void fetch_well(struct fetch *fetch)
{
	if (fetch->wait != WAIT_NONE)
		cli_note("%s: fetch continues", fetch->stream);
	fetch->wait = WAIT_NONE;
}

void fetch_pause(struct fetch *fetch)
{
	struct timespec now;
	uint32_t left, part;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (left = backoff_next_ms(&fetch->backoff, (uint32_t)now.tv_nsec);
	     left > 0 && !cli_stopped; left -= part) {
		part = left < SLICE_MS ? left : SLICE_MS;
		(void)nanosleep(&(struct timespec){ .tv_nsec = (long)part * 1000000 }, NULL);
		fetch_metrics(fetch, false);
	}
}

/* Counts the problems with one message; false: it has been one too often. */
static bool try_again(struct fetch *fetch, uint64_t sequence)
{
	if (fetch->tries_at != sequence)
		fetch->tries = 0;
	fetch->tries_at = sequence;
	return ++fetch->tries <= TRIES_MAX;
}

static int read_again(struct fetch *fetch, uint64_t sequence)
{
	natsMsg *message;
	int r;

	r = jet_message(fetch->jet, sequence, &message);
	if (r < 0)
		return r;
	r = take_message(&fetch->take, message);
	natsMsg_Destroy(message);
	return r;
}

/* What follows when reading a message again gave `r`, which is no sound message: an exit code, or -EAGAIN for another
 * try, which does not count if the replica is what had no room. */
static int not_read(struct fetch *fetch, int r)
{
	if (r == -EDQUOT || r == -ENOSPC) {
		fetch->tries--;
		fetch_say(fetch, WAIT_ROOM, "%s: %s: waiting for room", fetch->replica.dir,
		          cq_strerror(r));
	}
	return r > 0 ? r : -EAGAIN;
}

int fetch_damaged(struct fetch *fetch, uint64_t sequence)
{
	int r;

	if (try_again(fetch, sequence)) {
		fetch->backoff.tries = 0; /* the servers answer: no long pause */
		/* the parts of a record are read from its first one on: its CRC is one for all */
		r = read_again(fetch, sequence);
		if (r == -ERANGE) { /* it is sound, and those before it have expired */
			r = fetch_missing(fetch, sequence);
			return r == 0 ? -EAGAIN : r;
		}
		if (r != 0)
			return not_read(fetch, r);
		fetch->sequence = sequence + 1;
		return 0;
	}
	if (!fetch->options->ship.accept_gap) {
		cli_note(
			"%s: message %" PRIu64
			" of the stream is damaged or is not one of chronq ship, or the servers have lost it; "
			"the replica has the records before %" PRIu64
			" (--accept-gap passes over it)",
			fetch->stream, sequence, fetch->replica.next);
		return SHIP_DAMAGED;
	}
	cli_note("%s: message %" PRIu64 " of the stream is damaged or lost: passed over",
	         fetch->stream, sequence);
	fetch->tries = 0;
	fetch->floor = fetch->sequence = sequence + 1;
	return -EAGAIN; /* a consumer from there on */
}

/* The server that sends has passed over messages: its copy may be damaged there, and that of the leader sound. */
static int read_between(struct fetch *fetch, uint64_t sequence)
{
	int r = 0;

	while (r == 0 && fetch->sequence < sequence && !cli_stopped) {
		r = read_again(fetch, fetch->sequence);
		if (r == 0)
			fetch->sequence++;
	}
	if (r != 0)
		return not_read(fetch, r);
	return fetch->sequence == sequence ? 0 : -EAGAIN;
}

int fetch_missing(struct fetch *fetch, uint64_t sequence)
{
	struct replica *replica = &fetch->replica;
	uint64_t seq = replica->writer ? replica->next : fetch->take.from;
	uint64_t behind = fetch->take.behind;
	bool expired;
	int r;

	r = fetch_ask(fetch);
	if (r != 0)
		return r;
	expired = sequence <= fetch->info.first_sequence;
	if (!expired && sequence != fetch->floor && try_again(fetch, sequence)) {
		fetch->backoff.tries = 0;
		return read_between(fetch, sequence);
	}
	if (!fetch->options->ship.accept_gap) {
		cli_note("%s: the stream has no more records %" PRIu64 " to %" PRIu64
		         "%s (--accept-gap: the replica gets a gap there)",
		         fetch->stream, seq, behind - 1, expired ? "" : ", but others around them");
		return expired ? SHIP_MISSING : SHIP_DAMAGED;
	}
	cli_note("%s: records %" PRIu64 " to %" PRIu64 " are missing: accepted as a gap",
	         fetch->stream, seq, behind - 1);
	fetch->tries = 0;
	if (replica->writer)
		fetch->take.gap_to = behind;
	else
		fetch->take.from = behind;
	return 0;
}

int fetch_idle(struct fetch *fetch)
{
	uint64_t now = fetch_now_ms();
	unsigned checks = fetch->idle_checks < 2 ? fetch->idle_checks : 2;
	int r;

	if (now - fetch->idle_since < (uint64_t)IDLE_MS << checks)
		return 0;
	fetch->idle_since = now;
	r = fetch_ask(fetch);
	if (r != 0)
		return r;
	if (fetch->info.messages == 0 || fetch->info.last_sequence < fetch->sequence) {
		fetch->idle_checks++;
		/* it fell back or was made again, and the consumer waits for what is not there */
		return fetch->info.last_sequence + 1 < fetch->sequence ? -EAGAIN : 0;
	}
	fetch->pending = fetch->info.last_sequence - fetch->sequence + 1;
	if (fetch->tries_at != fetch->sequence) { /* it may be on its way: the next look shows */
		(void)try_again(fetch, fetch->sequence);
		return 0;
	}
	if (fetch->sequence < fetch->info.first_sequence)
		return -EAGAIN; /* expired, before we got it */
	r = fetch_damaged(fetch, fetch->sequence);
	return r > 0 ? r : -EAGAIN;
}
