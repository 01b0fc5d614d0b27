/* SPDX-License-Identifier: Apache-2.0 */
/* stream_side.c - see stream_side.h */
#include "check/stream_side.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "shared/cli.h"
#include "wire/resume.h"

#define STEP_MS 200     /* of a wait for a message */
#define SAY_MS 2000     /* of waiting for servers */
#define SILENCE_MS 4000 /* without a message that is there: it is read by itself */

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *header(void *arg, const char *name)
{
	const char *value = NULL;

	return natsMsgHeader_Get(arg, name, &value) == NATS_OK ? value : NULL;
}

/* After an error that may pass: waits a little.  False, after a message: it has lasted too long. */
static bool pause_for(struct stream_side *side, struct backoff *backoff, const char *why)
{
	const uint32_t ms = backoff_next_ms(backoff, (uint32_t)now_ms());
	const struct timespec time = { .tv_sec = ms / 1000,
		                       .tv_nsec = (long)(ms % 1000) * 1000000 };

	if (now_ms() - side->alive_ms > PATIENCE_MS) {
		cli_note("%s: %s", side->ship->url.name, why);
		return false;
	}
	if (!side->said && now_ms() - side->alive_ms > SAY_MS) {
		side->said = true;
		cli_note("%s: waiting: %s", side->ship->url.name, why);
	}
	(void)nanosleep(&time, NULL);
	return true;
}

static int open_jet(struct stream_side *side)
{
	const struct ship_options *ship = side->ship;
	const struct jet_options options = { .url = &ship->url,
		                             .creds = ship->creds,
		                             .tls_ca = ship->tls_ca,
		                             .cert = ship->cert,
		                             .key = ship->key,
		                             .name = "chronq-ship" };
	struct backoff backoff = { .tries = 0 };
	char why[JET_WHY_MAX];
	int r;

	while ((r = jet_open(&options, &side->jet, why)) == -EAGAIN)
		if (!pause_for(side, &backoff, why))
			return CLI_IO;
	if (r == 0)
		return CLI_OK;
	cli_note("%s: %s", ship->url.name, why);
	return CLI_IO;
}

/* Asks for the stream's state.  Returns CLI_OK or, after a message, an exit code. */
static int ask(struct stream_side *side, struct jet_info *ret_info)
{
	struct backoff backoff = { .tries = 0 };
	int r;

	while ((r = jet_info(side->jet, ret_info)) == -EAGAIN)
		if (!pause_for(side, &backoff, jet_why(side->jet)))
			return CLI_IO;
	if (r == 0)
		return CLI_OK;
	if (r == -ENOENT) {
		cli_note("%s: there is no such stream", side->ship->url.name);
		return SHIP_NO_STREAM;
	}
	cli_note("%s: %s", side->ship->url.name, jet_why(side->jet));
	return CLI_IO;
}

int stream_side_open(struct stream_side *side, const struct ship_options *ship)
{
	int r;

	side->ship = ship;
	side->alive_ms = now_ms();
	r = open_jet(side);
	if (r == CLI_OK)
		r = ask(side, &side->info);
	if (r != CLI_OK)
		return r;
	r = stream_about_get(side->info.description, &side->about);
	if (r == 0)
		return CLI_OK;
	cli_note("%s: the stream was not made by chronq ship%s", ship->url.name,
	         r == -EPROTONOSUPPORT ? ", or by a later version" : "");
	return SHIP_FOREIGN;
}

void stream_side_close(struct stream_side *side)
{
	natsMsg_Destroy(side->message);
	consume_close(side->consumer);
	jet_close(side->jet);
	wire_join_free(&side->items.join);
}

/* A message by itself.  Errors as jet_message(), but -EAGAIN only when it has lasted too long, after a message. */
static int read_one(struct stream_side *side, uint64_t sequence, natsMsg **ret_message)
{
	struct backoff backoff = { .tries = 0 };
	int r;

	while ((r = jet_message(side->jet, sequence, ret_message)) == -EAGAIN)
		if (!pause_for(side, &backoff, jet_why(side->jet)))
			break;
	return r;
}

/* A consumer from the message that is due.  0, or -EIO after a message. */
static int follow(struct stream_side *side)
{
	struct backoff backoff = { .tries = 0 };
	char why[JET_WHY_MAX];
	int r;

	consume_close(side->consumer);
	side->consumer = NULL;
	while ((r = consume_open(side->jet, side->ship->url.name, side->sequence, &side->consumer,
	                         why)) == -EAGAIN)
		if (!pause_for(side, &backoff, why))
			return -EIO;
	if (r < 0) {
		cli_note("%s: %s", side->ship->url.name, why);
		return -EIO;
	}
	side->silent_ms = now_ms();
	return 0;
}

/* The messages from the one that is due to before this one do not come: they have expired, or are lost. */
static int pass_messages(struct stream_side *side, uint64_t sequence)
{
	struct jet_info info;

	if (ask(side, &info) != CLI_OK)
		return -EIO;
	if (info.first_sequence >= sequence)
		side->begun = false; /* the stream begins here now */
	else if (info.first_sequence > side->sequence)
		side->unreadable(side->unreadable_arg, info.first_sequence, sequence);
	else
		side->unreadable(side->unreadable_arg, side->sequence, sequence);
	side->sequence = sequence;
	return 0;
}

/* No message comes, though the consumer lives: reads the one that is due by itself.  1 with it; 0: it is passed over;
 * or -EIO after a message. */
static int read_due(struct stream_side *side)
{
	int r = read_one(side, side->sequence, &side->message);

	consume_close(side->consumer);
	side->consumer = NULL;
	if (r == 0) {
		side->alive_ms = now_ms();
		side->sequence++;
		return 1;
	}
	if (r == -ENOENT)
		return pass_messages(side, side->sequence + 1);
	cli_note("%s: %s", side->ship->url.name, jet_why(side->jet));
	return -EIO;
}

static int take_consumed(struct stream_side *side, const struct consumed *consumed)
{
	int r = 0;

	side->alive_ms = side->silent_ms = now_ms();
	side->message = consumed->message;
	if (consumed->sequence > side->sequence)
		r = pass_messages(side, consumed->sequence);
	side->sequence = consumed->sequence + 1;
	if (r < 0)
		return r;
	return consumed->sequence <= side->info.last_sequence;
}

/* The next message.  1: it is there; 0: there is none any more; or -EIO after a message. */
static int take(struct stream_side *side)
{
	struct consumed consumed;
	int r = 0;

	natsMsg_Destroy(side->message);
	side->message = NULL;
	while (r == 0 && side->sequence <= side->info.last_sequence) {
		if (!side->consumer && (r = follow(side)) < 0)
			return r;
		r = consume_next(side->consumer, STEP_MS, &consumed);
		if (r == 1)
			return take_consumed(side, &consumed);
		if (now_ms() - side->alive_ms > PATIENCE_MS) {
			cli_note("%s: no message comes", side->ship->url.name);
			return -EIO;
		}
		if (r < 0) { /* another consumer gets what was lost on the way */
			consume_close(side->consumer);
			side->consumer = NULL;
			r = 0;
		} else if (now_ms() - side->silent_ms > SILENCE_MS) {
			r = read_due(side);
		}
	}
	return r;
}

/* Begins the items of the message.  False: it has none. */
static bool unpack(struct stream_side *side)
{
	struct wire_head head;

	if (wire_head_get(header, side->message, &head) < 0) {
		side->unreadable(side->unreadable_arg, side->sequence - 1, side->sequence);
		return false;
	}
	if (!side->begun) {
		/* a record whose first part has expired is none of the stream's */
		const bool rest = head.kind == WIRE_PART && head.part_offset > 0;

		side->headless = rest ? head.first : UINT64_MAX;
		side->side.begins = side->sequence == 2 ? side->about.first : head.first + rest;
		side->begun = true;
	}
	if (head.kind == WIRE_PART && head.first == side->headless)
		return false;
	items_message(&side->items, &head, natsMsg_GetData(side->message),
	              (size_t)natsMsg_GetDataLength(side->message));
	return true;
}

static int next_item(void *arg, struct compare_item *ret_item)
{
	struct stream_side *side = arg;
	int r;

	while (!side->unpacked || items_next(&side->items, ret_item) == 0) {
		r = take(side);
		if (r <= 0)
			return r;
		side->unpacked = unpack(side);
	}
	return 1;
}

/* The stream has no message: with which record it begins. */
static uint64_t begin_of_empty(const struct stream_side *side, uint64_t committed)
{
	if (side->info.last_sequence == 0 || committed == UINT64_MAX)
		return side->about.first;
	return committed > side->about.first ? committed : side->about.first;
}

int stream_side_begin(struct stream_side *side, uint64_t committed, uint64_t *ret_next)
{
	natsMsg *message;
	struct wire_head head;
	uint64_t next = 0;
	int r;

	side->side.next = next_item;
	side->side.arg = side;
	side->side.begins = begin_of_empty(side, committed);
	side->sequence = side->info.first_sequence;
	*ret_next = 0;
	if (side->info.messages == 0) {
		side->sequence = side->info.last_sequence + 1;
		return CLI_OK;
	}
	r = read_one(side, side->info.last_sequence, &message);
	if (r == 0) {
		if (wire_head_get(header, message, &head) == 0)
			next = head.next;
		natsMsg_Destroy(message);
	} else if (r != -ENOENT) {
		cli_note("%s: %s", side->ship->url.name, jet_why(side->jet));
		return CLI_IO;
	}
	*ret_next = next;
	/* which record is the first is known when its message is there */
	r = take(side);
	if (r < 0)
		return CLI_IO;
	side->unpacked = r == 1 && unpack(side);
	return CLI_OK;
}
