/* SPDX-License-Identifier: Apache-2.0 */
/*
 * consume.c - takes the messages of a stream; see consume.h
 *
 * A push consumer that the server forgets when nobody listens (ephemeral), without acknowledgements, with flow control
 * and heartbeats, on a subscription of our own.  Why so:
 *
 *   memory   The server sends at most some 32 MiB that we have not taken (flow control): a message that asks "did you
 *            get here?" is among the others, and is answered when its turn comes.  So a slow disk makes the server wait,
 *            and libnats keeps no more than that; its limit, above which it drops messages, is twice as high.
 *   speed    Three servers on one machine with two cores that did other work, too: frames of 64 KiB 82 to 90 MB/s, an
 *            ordered consumer of libnats 66, pull in batches of 500 78 to 101; messages of 100 bytes 182,000, 240,000 and
 *            66,000 a second.  A single message comes as soon as it is stored.  Pulling is slow where messages are small,
 *            as the consumer is idle between two batches.
 *   soundness  The server numbers what it sends to this consumer, so a loss on the way is noticed at the next message.  A
 *            consumer lives on one server: if that dies, its heartbeats end, and after SILENCE_MS the next one is made on
 *            another.  libnats' ordered consumer does the same in a thread of its own, differently in each version; here
 *            the caller decides where to continue, after it has looked at the stream.  Only a plain subscription and
 *            js_AddConsumer() are used, which libnats has in the same form from 3.4 to 3.10.
 */
#include "fetch/consume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/locate.h"

#define HEARTBEAT_NS 500000000
#define SILENCE_MS 2000 /* four heartbeats */
#define CREATE_MS \
	3000 /* the servers may have chosen one that hangs: the next try may find another one */
#define PENDING_BYTES (64 << 20)

struct consumer {
	natsConnection *nc;
	natsInbox *inbox;
	natsSubscription *subscription;
	uint64_t number;    /* of the last message, as the server counts them */
	unsigned silent_ms; /* waited since the last sign of life */
};

static natsStatus subscribe(struct consumer *consumer, jsCtx *js, const char *stream, uint64_t from,
                            jsErrCode *ret_code)
{
	jsConsumerConfig config;
	jsOptions options;
	natsStatus s;

	s = natsInbox_Create(&consumer->inbox);
	s = s ? s
	      : natsConnection_SubscribeSync(&consumer->subscription, consumer->nc,
	                                     consumer->inbox);
	s = s ? s : natsSubscription_SetPendingLimits(consumer->subscription, -1, PENDING_BYTES);
	s = s ? s : jsConsumerConfig_Init(&config);
	s = s ? s : jsOptions_Init(&options);
	if (s != NATS_OK)
		return s;
	config.DeliverSubject = consumer->inbox;
	config.DeliverPolicy = js_DeliverByStartSequence;
	config.OptStartSeq = from;
	config.AckPolicy = js_AckNone;
	config.MaxDeliver = 1;
	config.FlowControl = true;
	config.Heartbeat = HEARTBEAT_NS;
	config.MemoryStorage = true; /* nothing of it has to outlive its server */
	options.Wait = CREATE_MS;
	return js_AddConsumer(NULL, js, stream, &config, &options, ret_code);
}

int consume_open(struct jet *jet, const char *stream, uint64_t from, struct consumer **ret_consumer,
                 char why[JET_WHY_MAX])
{
	struct jet_state before, after;
	struct consumer *consumer;
	jsErrCode code = 0;
	natsStatus s;

	consumer = calloc(1, sizeof *consumer);
	if (!consumer) { /* GCOV_EXCL_BR_LINE: no memory */
		(void)snprintf(why, JET_WHY_MAX, "%s", cq_strerror(ENOMEM));
		return -EAGAIN;
	}
	consumer->nc = jet_connection(jet);
	jet_state(jet, &before);
	s = subscribe(consumer, jet_js(jet), stream, from, &code);
	if (s == NATS_OK) {
		*ret_consumer = consumer;
		return 0;
	}
	jet_state(jet, &after);
	if (after.denials != before.denials) {
		(void)snprintf(why, JET_WHY_MAX, "%s", jet_why(jet));
	} else {
		const char *text = nats_GetLastError(NULL);

		cq_printable(why, JET_WHY_MAX, text && *text ? text : natsStatus_GetText(s));
	}
	consume_close(consumer);
	return after.denials != before.denials ? -EACCES : -EAGAIN;
}

void consume_close(struct consumer *consumer)
{
	if (!consumer)
		return;
	/* the server sees that nobody listens, and forgets the consumer */
	jet_unsubscribe(consumer->nc, consumer->subscription);
	natsInbox_Destroy(consumer->inbox);
	free(consumer);
}

/* Of a message without a body: a heartbeat, or the server's question how far we are, which is answered. */
static bool is_control(struct consumer *consumer, natsMsg *message)
{
	const char *status = NULL, *stalled = NULL, *reply;

	if (natsMsg_GetDataLength(message) != 0 ||
	    natsMsgHeader_Get(message, "Status", &status) != NATS_OK)
		return false;
	reply = natsMsg_GetReply(message);
	if (reply && *reply)
		(void)natsConnection_Publish(consumer->nc, reply, NULL, 0);
	else if (natsMsgHeader_Get(message, "Nats-Consumer-Stalled", &stalled) == NATS_OK)
		(void)natsConnection_Publish(consumer->nc, stalled, NULL, 0);
	return true;
}

int consume_next(struct consumer *consumer, int timeout_ms, struct consumed *ret_consumed)
{
	struct consumed consumed;
	uint64_t number;
	natsStatus s;

	for (;;) {
		s = natsSubscription_NextMsg(&consumed.message, consumer->subscription, timeout_ms);
		if (s == NATS_TIMEOUT) {
			consumer->silent_ms += (unsigned)timeout_ms;
			return consumer->silent_ms >= SILENCE_MS ? -ESTALE : 0;
		}
		if (s != NATS_OK) /* messages were dropped, or the connection is closed */
			return -ESTALE;
		consumer->silent_ms = 0;
		if (is_control(consumer, consumed.message)) {
			natsMsg_Destroy(consumed.message);
			continue;
		}
		if (!fetch_reply_parse(natsMsg_GetReply(consumed.message), &consumed.sequence,
		                       &number, &consumed.pending)) {
			natsMsg_Destroy(consumed.message); /* somebody else's, to our inbox */
			continue;
		}
		if (number != consumer->number + 1) {
			natsMsg_Destroy(consumed.message);
			return -ESTALE;
		}
		consumer->number = number;
		*ret_consumed = consumed;
		return 1;
	}
}
