/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c - fills a replica from a stream; see fetch.h
 *
 * One loop: find the place (attach.c), take message after message from a consumer (consume.c) and put the records into
 * the replica (take.c) until something is wrong; then again, after a pause.  The place comes from the replica's next
 * number alone, so a kill at any time loses nothing and doubles nothing.  One thread; libnats has its own.
 */
#include "fetch/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "shared/cli.h"

#define WAIT_MS 200 /* a signal is seen so soon */

/* Appends that find no room wait for it: retention or somebody makes some. */
static int take_when_room(struct fetch *fetch, natsMsg *message)
{
	int r;

	for (;;) {
		r = take_message(&fetch->take, message);
		if ((r != -EDQUOT && r != -ENOSPC) || cli_stopped)
			return r;
		fetch_say(fetch, WAIT_ROOM, "%s: %s: waiting for room", fetch->replica.dir,
		          cq_strerror(r));
		(void)nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000L }, NULL);
		fetch_metrics(fetch, false);
	}
}

static int fail_append(struct fetch *fetch, int error)
{
	if (error != -EMSGSIZE)
		return cli_fail(fetch->replica.dir, error);
	cli_note(
		"%s: record %" PRIu64
		" is larger than a segment of the replica holds: name a new directory, with a larger "
		"--segment-size",
		fetch->replica.dir, fetch->replica.next);
	return CLI_IO;
}

static int take(struct fetch *fetch, const struct consumed *consumed)
{
	uint64_t before = fetch->replica.appended;
	int r;

	r = take_when_room(fetch, consumed->message);
	while (r == -ERANGE) { /* twice, if those before a part, and its own record, are missing */
		r = fetch_missing(fetch, consumed->sequence);
		if (r == 0)
			r = take_when_room(fetch, consumed->message);
	}
	if (fetch->replica.appended != before) {
		fetch->backoff.tries = fetch->tries = 0;
		fetch->tries_at = 0;
		if (r == 0 && (fetch->wait == WAIT_BEHIND || fetch->wait == WAIT_ROOM))
			fetch_well(fetch);
	}
	switch (-r) {
	case 0:
		fetch->sequence = consumed->sequence + 1;
		fetch->pending = consumed->pending;
		fetch->done = fetch->have_target && fetch->sequence > fetch->target;
		return 0;
	case EBADMSG:
	case EPROTONOSUPPORT:
		r = fetch_damaged(fetch, consumed->sequence);
		fetch->done = r == 0 && fetch->have_target && fetch->sequence > fetch->target;
		return r;
	case EEXIST:
		cli_note("%s: record %" PRIu64 " of the replica is another one in stream %s",
		         fetch->replica.dir, fetch->replica.next - 1, fetch->stream);
		return SHIP_DIFFERS;
	case EAGAIN:
		return r;
	case EDQUOT:
	case ENOSPC: /* and a signal */
		return 0;
	default:
		return r > 0 ? r : fail_append(fetch, r);
	}
}

/* Takes messages until something is wrong, or all is done. */
static int consume(struct fetch *fetch)
{
	struct consumed consumed;
	int r = 0;

	while (r == 0 && !fetch->done && !cli_stopped) {
		r = consume_next(fetch->consumer, WAIT_MS, &consumed);
		if (r == 0) {
			r = fetch_idle(fetch);
		} else if (r == 1) {
			fetch->idle_since = fetch_now_ms();
			fetch->idle_checks = 0;
			r = take(fetch, &consumed);
			natsMsg_Destroy(consumed.message);
		}
		fetch_metrics(fetch, false);
	}
	return r;
}

static int follow(struct fetch *fetch)
{
	int r = 0;

	while (r <= 0 && !fetch->done && !cli_stopped) {
		r = fetch_attach(fetch);
		if (r == 0 && !fetch->done)
			r = consume(fetch);
		if (r < 0)
			fetch_pause(fetch);
	}
	return r > 0 ? r : CLI_OK;
}

int fetch_run(const struct fetch_options *options)
{
	struct fetch fetch = { .options = options,
		               .stream = options->ship.url.name,
		               .replica = { .dir = options->dir, .config = options->config } };
	struct replica *replica = &fetch.replica;
	int status, closed;

	fetch.take = (struct take){ .replica = replica,
		                    .about = &fetch.about,
		                    .have_from = options->have_from,
		                    .from = options->from };
	cli_stop_on(SIGTERM);
	cli_stop_on(SIGINT);
	status = fetch_metrics_begin(&fetch);
	if (status == 0)
		status = replica_look(replica);
	/* at once, so that no other writer or fetch has it while the servers are away */
	if (status == 0 && replica->exists)
		status = replica_open(replica, replica->source, 0, 0);
	if (status == 0)
		status = follow(&fetch);
	consume_close(fetch.consumer);
	fetch_metrics_end(&fetch);
	jet_close(fetch.jet);
	closed = replica_close(replica);
	wire_join_free(&fetch.take.join);
	return status != 0 ? status : closed;
}
