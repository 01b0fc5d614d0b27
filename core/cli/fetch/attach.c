/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.c - finds the place in the stream at which the replica continues
 *
 * Nothing but the replica's next number and the stream itself decides that, each time: the stream may have fallen
 * back to an older copy and be filled again, with other limits of frames, or have been made again.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fetch/fetch.h"
#include "fetch/locate.h"
#include "shared/cli.h"

/* Servers that have just started may not know a stream yet. */
#define GONE_MS 5000
#define PONG_MS 2000

/* A replica or a number to begin at says which record is due; else it is the stream's first. */
static bool is_due(const struct fetch *fetch, uint64_t *ret_seq)
{
	*ret_seq = fetch->replica.writer ? fetch->replica.next : fetch->take.from;
	return fetch->replica.writer || fetch->take.have_from;
}

/* The server that we are connected to does not answer: libnats would leave it later. */
static bool is_hung(struct fetch *fetch)
{
	return natsConnection_FlushTimeout(jet_connection(fetch->jet), PONG_MS) == NATS_TIMEOUT;
}

static int connect_jet(struct fetch *fetch)
{
	const struct ship_options *ship = &fetch->options->ship;
	const struct jet_options options = { .url = &ship->url,
		                             .creds = ship->creds,
		                             .tls_ca = ship->tls_ca,
		                             .cert = ship->cert,
		                             .key = ship->key,
		                             .name = "chronq-fetch" };
	struct jet_state state = { .closed = false };
	char why[JET_WHY_MAX];
	int r;

	if (fetch->jet)
		jet_state(fetch->jet, &state);
	if (state.closed || (state.connected && is_hung(fetch))) {
		jet_close(fetch->jet);
		fetch->jet = NULL;
	}
	if (fetch->jet)
		return 0;
	r = jet_open(&options, &fetch->jet, why);
	switch (-r) {
	case 0:
		return 0;
	case EAGAIN:
		fetch_say(fetch, WAIT_SERVERS, "no server answers: %s", why);
		return -EAGAIN;
	case EACCES:
		fetch_say(fetch, WAIT_DENIED, "the servers refuse this user: %s", why);
		return -EAGAIN;
	default:
		cli_note("%s: %s", fetch->stream, why);
		return CLI_IO;
	}
}

/* The description tells whose stream it is. */
static int check_about(struct fetch *fetch)
{
	struct stream_about about;
	int r;

	r = stream_about_get(fetch->info.description, &about);
	if (r < 0) {
		cli_note("%s: the stream was not made by chronq ship%s", fetch->stream,
		         r == -EPROTONOSUPPORT ? ", or by a later version" : "");
		return SHIP_FOREIGN;
	}
	if (fetch->have_about &&
	    memcmp(about.identity, fetch->about.identity, sizeof about.identity) != 0) {
		cli_note("%s: the stream was made again, for another queue", fetch->stream);
		return SHIP_FOREIGN;
	}
	if (fetch->replica.exists &&
	    memcmp(about.identity, fetch->replica.source, sizeof about.identity) != 0) {
		cli_note("%s: it is a replica of another queue than that of stream %s",
		         fetch->replica.dir, fetch->stream);
		return SHIP_PROMOTED;
	}
	fetch->about = about;
	fetch->have_about = true;
	return 0;
}

static int gone(struct fetch *fetch)
{
	uint64_t now = fetch_now_ms();

	const bool was_there = fetch->have_about || fetch->replica.exists;

	if (was_there && fetch->gone_since == 0)
		fetch->gone_since = now;
	if (was_there && now - fetch->gone_since < GONE_MS) {
		fetch_say(fetch, WAIT_SERVERS, "waiting: the stream is not there");
		return -EAGAIN;
	}
	if (fetch->have_about)
		cli_note("%s: the stream was deleted", fetch->stream);
	else
		cli_note("%s: there is no such stream", fetch->stream);
	return SHIP_NO_STREAM;
}

int fetch_ask(struct fetch *fetch)
{
	int r;

	r = jet_info(fetch->jet, &fetch->info);
	switch (-r) {
	case 0:
		fetch->gone_since = 0;
		return check_about(fetch);
	case ENOENT:
		return gone(fetch);
	case EACCES:
		fetch_say(fetch, WAIT_DENIED, "this user may not ask: %s", jet_why(fetch->jet));
		return -EAGAIN;
	default:
		fetch_say(fetch, WAIT_SERVERS, "waiting for the servers: %s", jet_why(fetch->jet));
		return -EAGAIN;
	}
}

/* A locate_probe_fn. */
static int read_head(void *arg, uint64_t sequence, struct wire_head *ret_head)
{
	struct fetch *fetch = arg;
	natsMsg *message;
	int r;

	r = jet_message(fetch->jet, sequence, &message);
	if (r < 0)
		return r;
	r = take_head(message, ret_head);
	natsMsg_Destroy(message);
	return r;
}

/* Where record `seq` is; `first` to the last message of the stream are there. */
static int find(struct fetch *fetch, uint64_t seq, uint64_t first)
{
	uint64_t last = fetch->info.last_sequence, guess = 0;
	struct wire_head head;
	int r;

	r = read_head(fetch, last, &head);
	if (r == 0 && !locate_reaches(&head, seq)) {
		fetch->sequence = last + 1;
		if (fetch->replica.writer && head.next < seq)
			fetch_say(fetch, WAIT_BEHIND,
			          "the stream ends before record %" PRIu64
			          ", and the replica has those up to %" PRIu64
			          ": waiting for chronq ship to send them again",
			          head.next, seq - 1);
		return 0;
	}
	/* with a record in each message this is the one */
	if (r == 0 && head.first >= seq && head.first - seq <= last - first)
		guess = last - (head.first - seq);
	return locate(seq, first, last, guess, read_head, fetch, &fetch->sequence);
}

/* If the message before the place ends with the replica's last record, they have to be the same. */
static int compare(struct fetch *fetch, uint64_t first)
{
	struct replica *replica = &fetch->replica;
	struct wire_head head;
	int r;

	if (!replica->writer || fetch->sequence <= first)
		return 0;
	r = read_head(fetch, fetch->sequence - 1, &head);
	if (r < 0)
		return r == -ENOENT || r == -EBADMSG || r == -EPROTONOSUPPORT ? 0 : r;
	if (head.kind == WIRE_GAP || head.next != replica->next || head.next == head.first ||
	    replica_has_last(replica, &head.last))
		return 0;
	return -EEXIST;
}

static int find_place(struct fetch *fetch)
{
	const struct jet_info *info = &fetch->info;
	uint64_t seq, first = info->first_sequence;
	int r = 0;

	if (fetch->floor > info->last_sequence + 1)
		fetch->floor = 0; /* the stream was made again, or fell back */
	if (first < fetch->floor)
		first = fetch->floor;
	if (info->messages == 0 || first > info->last_sequence)
		fetch->sequence = info->last_sequence + 1;
	else if (!is_due(fetch, &seq))
		fetch->sequence = first;
	else
		r = find(fetch, seq, first);
	if (r == 0 && info->messages > 0)
		r = compare(fetch, first);
	if (r == -EEXIST) {
		cli_note("%s: record %" PRIu64 " of the replica is another one in stream %s",
		         fetch->replica.dir, fetch->replica.next - 1, fetch->stream);
		return SHIP_DIFFERS;
	}
	if (r < 0)
		fetch_say(fetch, WAIT_SERVERS, "waiting for the servers: %s", jet_why(fetch->jet));
	return r;
}

int fetch_attach(struct fetch *fetch)
{
	char why[JET_WHY_MAX];
	int r;

	consume_close(fetch->consumer);
	fetch->consumer = NULL;
	r = connect_jet(fetch);
	if (r == 0)
		r = fetch_ask(fetch);
	if (r == 0)
		r = find_place(fetch);
	if (r != 0)
		return r;
	fetch->pending = fetch->info.last_sequence + 1 - fetch->sequence;
	if (fetch->options->ship.once && !fetch->have_target) {
		fetch->have_target = true;
		fetch->target = fetch->info.last_sequence;
	}
	if (fetch->have_target && fetch->sequence > fetch->target) {
		fetch->done = true;
		return 0;
	}
	r = consume_open(fetch->jet, fetch->stream, fetch->sequence, &fetch->consumer, why);
	if (r < 0) {
		fetch_say(fetch, r == -EACCES ? WAIT_DENIED : WAIT_SERVERS,
		          "the stream cannot be followed: %s", why);
		if (fetch->backoff.tries > 3) /* the servers do answer */
			fetch->backoff.tries = 3;
		return r;
	}
	fetch->attaches++;
	fetch->idle_since = fetch_now_ms();
	fetch->idle_checks = 0;
	if (fetch->wait != WAIT_BEHIND)
		fetch_well(fetch);
	return 0;
}
