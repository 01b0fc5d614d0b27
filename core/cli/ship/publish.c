/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c - messages on their way to the stream; see publish.h
 *
 * The reply inbox of a publish is INBOX.INDEX, its index in the window.  What comes for an earlier generation finds
 * nothing there.  A message counts as stored when all before it are.
 */
#include "ship/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire/fault.h"

#define EXPECTED "Nats-Expected-Last-Sequence" /* of the stream; libnats' own option omits a 0 */

struct publish {
	struct jet *jet;
	natsSubscription *subscription;
	char inbox[96];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool subscribed; /* on_complete() will be called */
	/* under lock: */
	bool complete; /* it was: on_reply() does not run, and will not */
	struct window window;
	uint64_t base;            /* index in the window of the generation's first message */
	uint64_t sequence;        /* the stream's last one when the generation began */
	uint64_t gap;             /* records that the message on its way says are missing */
	bool blocked;             /* nothing is sent until all are stored */
	uint64_t unanswered;      /* messages of the generation */
	unsigned losses, denials; /* of jet_state() when the generation began */
	bool news;                /* something has changed since publish_wait() */
	struct publish_state state;
	struct publish_oldest
		oldest[PUBLISH_MESSAGES]; /* of the message with index i: [i % PUBLISH_MESSAGES] */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Under lock: ends publish_wait(). */
static void tell(struct publish *publish)
{
	publish->news = true;
	pthread_cond_signal(&publish->changed);
}

/* Under lock. */
static void fail(struct publish *publish, const struct stream_reply *why)
{
	if (publish->state.failed)
		return;
	publish->state.failed = true;
	publish->state.why = *why;
	tell(publish);
}

/* Under lock. */
static void fail_to_send(struct publish *publish, const char *text)
{
	struct stream_reply why = { .answer = STREAM_UNAVAILABLE };

	(void)snprintf(why.text, sizeof why.text, "%s", text);
	fail(publish, &why);
}

/* Under lock: more messages are stored. */
static void advance(struct publish *publish)
{
	struct publish_state *state = &publish->state;

	state->acked_records += publish->window.next - state->acked_next - publish->gap;
	state->acked_next = publish->window.next;
	state->sequence = publish->sequence + (publish->window.first - publish->base);
	publish->gap = 0;
	if (window_is_empty(&publish->window))
		publish->blocked = false;
}

/* Under lock. */
static void take(struct publish *publish, uint64_t index, const struct stream_reply *reply)
{
	struct stream_reply misplaced = { .answer = STREAM_WRONG_LAST,
		                          .text = "stored under another sequence" };
	int r;

	if (index < publish->window.first || index >= publish->window.end)
		return; /* of an earlier generation */
	if (publish->unanswered > 0)
		publish->unanswered--;
	if (reply->answer != STREAM_STORED) {
		fail(publish, reply);
		tell(publish);
		return;
	}
	r = window_acknowledge(&publish->window, index, reply->sequence, now_ns());
	if (r == -EBADMSG)
		fail(publish, &misplaced);
	if (r < 0)
		return;
	publish->state.acked_at = time(NULL);
	if (publish->window.next != publish->state.acked_next || window_is_empty(&publish->window))
		advance(publish);
	tell(publish);
}

/* The reply to a message for this stream, as what it means. */
static void parse(const char *stream, natsMsg *message, struct stream_reply *reply)
{
	memset(reply, 0, sizeof *reply);
	if (natsMsg_IsNoResponders(message)) {
		reply->answer = STREAM_NO_STREAM;
		(void)snprintf(reply->text, sizeof reply->text, "no responders");
	} else if (stream_reply_parse(natsMsg_GetData(message),
	                              (size_t)natsMsg_GetDataLength(message), reply) < 0) {
		reply->answer = STREAM_REFUSED;
		(void)snprintf(reply->text, sizeof reply->text,
		               "a reply that is none of JetStream's");
	} else if (reply->answer == STREAM_STORED && strcmp(reply->stream, stream) != 0) {
		reply->answer = STREAM_REFUSED;
		(void)snprintf(reply->text, sizeof reply->text, "stored in another stream, %s",
		               reply->stream);
	}
}

/* libnats' thread. */
static void on_reply(natsConnection *nc, natsSubscription *subscription, natsMsg *message,
                     void *arg)
{
	const char *index = strrchr(natsMsg_GetSubject(message), '.');
	struct publish *publish = arg;
	struct stream_reply reply;

	(void)nc;
	(void)subscription;
	parse(jet_subject(publish->jet) + strlen("chronq."), message, &reply);
	pthread_mutex_lock(&publish->lock);
	if (index)
		take(publish, strtoull(index + 1, NULL, 10), &reply);
	pthread_mutex_unlock(&publish->lock);
	natsMsg_Destroy(message);
}

/* The same thread, last. */
static void on_complete(void *arg)
{
	struct publish *publish = arg;

	pthread_mutex_lock(&publish->lock);
	publish->complete = true;
	pthread_cond_signal(&publish->changed);
	pthread_mutex_unlock(&publish->lock);
}

struct publish *publish_new(void)
{
	struct publish *publish = calloc(1, sizeof *publish);
	pthread_condattr_t attributes;
	int r;

	if (!publish) /* GCOV_EXCL_BR_LINE: no memory */
		return NULL;
	r = window_init(&publish->window, PUBLISH_MESSAGES, PUBLISH_BYTES);
	if (r < 0) { /* GCOV_EXCL_BR_LINE: no memory */
		free(publish);
		return NULL;
	}
	pthread_mutex_init(&publish->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&publish->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return publish;
}

void publish_free(struct publish *publish)
{
	pthread_cond_destroy(&publish->changed);
	pthread_mutex_destroy(&publish->lock);
	window_free(&publish->window);
	free(publish);
}

int publish_attach(struct publish *publish, struct jet *jet)
{
	char *inbox, subject[128];
	natsStatus s;

	publish->jet = jet;
	s = natsInbox_Create(&inbox);
	if (s != NATS_OK) /* GCOV_EXCL_BR_LINE: no memory in libnats */
		return -ENOMEM;
	(void)snprintf(publish->inbox, sizeof publish->inbox, "%s", inbox);
	natsInbox_Destroy(inbox);
	(void)snprintf(subject, sizeof subject, "%s.*", publish->inbox);
	s = natsConnection_Subscribe(&publish->subscription, jet_connection(jet), subject, on_reply,
	                             publish);
	publish->complete = false;
	if (s == NATS_OK)
		s = natsSubscription_SetOnCompleteCB(publish->subscription, on_complete, publish);
	publish->subscribed = s == NATS_OK;
	if (s == NATS_OK)
		s = natsSubscription_SetPendingLimits(publish->subscription, -1, -1);
	return s == NATS_OK ? 0 : s == NATS_NO_MEMORY ? -ENOMEM : -EAGAIN;
}

void publish_detach(struct publish *publish)
{
	if (publish->subscription)
		jet_unsubscribe(jet_connection(publish->jet), publish->subscription);
	pthread_mutex_lock(&publish->lock);
	while (publish->subscribed && !publish->complete)
		pthread_cond_wait(&publish->changed, &publish->lock);
	pthread_mutex_unlock(&publish->lock);
	publish->subscribed = false;
	publish->subscription = NULL;
	publish->jet = NULL;
}

void publish_begin(struct publish *publish, uint64_t sequence, uint64_t next)
{
	struct jet_state jet;

	jet_state(publish->jet, &jet);
	pthread_mutex_lock(&publish->lock);
	window_reset(&publish->window, next);
	publish->base = publish->window.end;
	publish->losses = jet.losses;
	publish->denials = jet.denials;
	publish->sequence = sequence;
	publish->gap = 0;
	publish->blocked = false;
	publish->unanswered = 0;
	publish->state.acked_next = next;
	publish->state.sequence = sequence;
	publish->state.failed = false;
	pthread_mutex_unlock(&publish->lock);
}

bool publish_may(struct publish *publish, const struct publish_message *message)
{
	bool may;

	pthread_mutex_lock(&publish->lock);
	may = !publish->state.failed && !publish->blocked &&
	      (message->alone && !wire_planted("ship_short_frames_in_a_row")
	               ? window_is_empty(&publish->window)
	               : window_has_room(&publish->window, message->size));
	pthread_mutex_unlock(&publish->lock);
	return may;
}

static int put_header(void *arg, const char *name, const char *value)
{
	natsStatus s = natsMsgHeader_Set(arg, name, value);

	return s == NATS_OK ? 0 : -ENOMEM; /* GCOV_EXCL_BR_LINE: no memory in libnats */
}

/* The message as libnats has it. */
static natsStatus make(struct publish *publish, const struct publish_message *message,
                       const char *reply, uint64_t expected, natsMsg **ret_message)
{
	char number[24];
	natsStatus s;
	int r;

	s = natsMsg_Create(ret_message, jet_subject(publish->jet), reply, message->body,
	                   (int)message->size);
	if (s != NATS_OK) /* GCOV_EXCL_BR_LINE: no memory in libnats */
		return s;
	(void)snprintf(number, sizeof number, "%" PRIu64, expected);
	if (!wire_planted("ship_expects_nothing"))
		s = natsMsgHeader_Set(*ret_message, EXPECTED, number);
	r = wire_head_put(&message->head, put_header, *ret_message);
	if (s == NATS_OK && r == 0) /* GCOV_EXCL_BR_LINE: no memory in libnats */
		return NATS_OK;
	natsMsg_Destroy(*ret_message);
	return NATS_NO_MEMORY;
}

void publish_send(struct publish *publish, const struct publish_message *message)
{
	uint64_t expected, index;
	char reply[128];
	natsMsg *out;
	natsStatus s;

	pthread_mutex_lock(&publish->lock);
	expected = publish->sequence + (publish->window.end - publish->base);
	publish->blocked = !wire_planted("ship_short_frames_in_a_row") &&
	                   (message->alone || publish->window.end == publish->base);
	publish->gap =
		message->head.kind == WIRE_GAP ? message->head.next - message->head.first : 0;
	if (message->head.kind != WIRE_GAP)
		publish->state.sent_records += message->head.next - message->head.first;
	publish->oldest[publish->window.end % PUBLISH_MESSAGES] = (struct publish_oldest){
		.time_ns = message->time_ns,
		.have_stream = message->head.have_stream,
		.stream = message->head.stream,
	};
	index = window_add(&publish->window, expected + 1, message->head.next, message->size,
	                   now_ns());
	publish->unanswered++;
	if (wire_planted("ship_commits_before_ack"))
		publish->state.acked_next = message->head.next;
	pthread_mutex_unlock(&publish->lock);
	(void)snprintf(reply, sizeof reply, "%s.%" PRIu64, publish->inbox, index);
	/* without the lock: the acknowledgement may come before this returns */
	s = make(publish, message, reply, expected, &out);
	if (s == NATS_OK) { /* GCOV_EXCL_BR_LINE: no memory in libnats */
		s = natsConnection_PublishMsg(jet_connection(publish->jet), out);
		natsMsg_Destroy(out);
	}
	if (s == NATS_OK)
		return;
	pthread_mutex_lock(&publish->lock);
	if (publish->unanswered > 0)
		publish->unanswered--;
	fail_to_send(publish, natsStatus_GetText(s));
	pthread_mutex_unlock(&publish->lock);
}

void publish_wait(struct publish *publish, unsigned timeout_ms)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	end.tv_sec += (time_t)(timeout_ms / 1000) + end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&publish->lock);
	if (!publish->news)
		(void)pthread_cond_timedwait(&publish->changed, &publish->lock, &end);
	publish->news = false;
	pthread_mutex_unlock(&publish->lock);
}

void publish_state(struct publish *publish, struct publish_state *ret_state)
{
	static const struct stream_reply denied = { .answer = STREAM_DENIED,
		                                    .text = "no permission" };
	struct jet_state jet = { .closed = true };

	if (publish->jet)
		jet_state(publish->jet, &jet);
	pthread_mutex_lock(&publish->lock);
	if (jet.losses != publish->losses || jet.closed)
		fail_to_send(publish, "the connection was lost");
	else if (jet.denials != publish->denials)
		fail(publish, &denied);
	*ret_state = publish->state;
	ret_state->waiting = publish->window.end - publish->window.first;
	ret_state->unanswered = publish->unanswered;
	ret_state->acked_bytes = publish->window.acknowledged_bytes;
	ret_state->stalled_ms = window_stalled_ns(&publish->window, now_ns()) / 1000000;
	pthread_mutex_unlock(&publish->lock);
}

bool publish_oldest(struct publish *publish, struct publish_oldest *ret_oldest)
{
	bool waits;

	pthread_mutex_lock(&publish->lock);
	waits = !window_is_empty(&publish->window);
	if (waits)
		*ret_oldest = publish->oldest[publish->window.first % PUBLISH_MESSAGES];
	pthread_mutex_unlock(&publish->lock);
	return waits;
}

void publish_wake(void *arg)
{
	struct publish *publish = arg;

	pthread_mutex_lock(&publish->lock);
	tell(publish);
	pthread_mutex_unlock(&publish->lock);
}
