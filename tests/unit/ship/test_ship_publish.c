/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_publish.c - messages on their way, and replies that are late, bad, or about something else
 *
 * publish.c alone; the connection is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "ship/publish.h"

#define MESSAGES 8U
#define WAIT_MS 30U

static struct {
	natsMsgHandler on_reply;
	void *arg;
	void (*on_complete)(void *arg);
	void *complete_arg;
	bool ends_late, complete;
	pthread_t thread; /* of the subscription, if it ends late */
	struct jet_state jet;
	natsStatus publish;              /* what natsConnection_PublishMsg() gives */
	natsStatus subscribe, completes; /* the same of these */
	bool answers_at_once;
	unsigned sent;
	struct {
		char reply[128], expected[32], first[32];
	} messages[MESSAGES];
} world;

static struct publish *publish;

/* ---- played ---- */

natsStatus natsConnection_Subscribe(natsSubscription **subscription, natsConnection *nc,
                                    const char *subject, natsMsgHandler handler, void *arg)
{
	(void)nc;
	assert_non_null(strstr(subject, ".*"));
	*subscription = (natsSubscription *)&world;
	world.on_reply = handler;
	world.arg = arg;
	if (world.subscribe != NATS_OK)
		*subscription = NULL;
	return world.subscribe;
}

natsStatus natsSubscription_SetPendingLimits(natsSubscription *subscription, int messages,
                                             int bytes)
{
	(void)subscription;
	assert_true(messages < 0 && bytes < 0);
	return NATS_OK;
}

natsStatus natsSubscription_SetOnCompleteCB(natsSubscription *subscription,
                                            natsOnCompleteCB handler, void *arg)
{
	(void)subscription;
	world.on_complete = handler;
	world.complete_arg = arg;
	return world.completes;
}

/* libnats' thread has a reply in its hands when the subscription ends. */
static void *end_late(void *arg)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
	world.on_reply(NULL, NULL, arg, world.arg);
	__atomic_store_n(&world.complete, true, __ATOMIC_SEQ_CST);
	world.on_complete(world.complete_arg);
	return NULL;
}

void jet_unsubscribe(natsConnection *nc, natsSubscription *subscription)
{
	natsMsg *message;

	(void)nc;
	(void)subscription;
	if (!world.ends_late) {
		world.on_complete(world.complete_arg);
		return;
	}
	assert_int_equal(natsMsg_Create(&message, "inbox.7", NULL, "{}", 2), NATS_OK);
	assert_int_equal(pthread_create(&world.thread, NULL, end_late, message), 0);
}

static void header(natsMsg *message, const char *name, char value[32])
{
	const char *text;

	assert_int_equal(natsMsgHeader_Get(message, name, &text), NATS_OK);
	(void)snprintf(value, 32, "%s", text);
}

static void stored(unsigned n, uint64_t sequence);

natsStatus natsConnection_PublishMsg(natsConnection *nc, natsMsg *message)
{
	(void)nc;
	assert_true(world.sent < MESSAGES);
	assert_string_equal(natsMsg_GetSubject(message), "chronq.S");
	(void)snprintf(world.messages[world.sent].reply, 128, "%s", natsMsg_GetReply(message));
	header(message, "Nats-Expected-Last-Sequence", world.messages[world.sent].expected);
	header(message, "Chronq-First", world.messages[world.sent].first);
	world.sent++;
	if (world.answers_at_once)
		stored(world.sent - 1, world.sent);
	return world.publish;
}

natsConnection *jet_connection(struct jet *jet)
{
	return (natsConnection *)jet;
}

const char *jet_subject(const struct jet *jet)
{
	(void)jet;
	return "chronq.S";
}

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	(void)jet;
	*ret_state = world.jet;
}

/* ---- what the tests do ---- */

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	world.jet.connected = true;
	publish = publish_new();
	assert_non_null(publish);
	assert_int_equal(publish_attach(publish, (struct jet *)&world), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	publish_detach(publish);
	publish_free(publish);
	return 0;
}

/* A record, 10 bytes long. */
static struct publish_message one(uint64_t seq, bool alone)
{
	return (struct publish_message){
		.head = { .kind = WIRE_RECORD, .first = seq, .next = seq + 1 },
		.body = "0123456789",
		.size = 10,
		.alone = alone,
	};
}

static void send(uint64_t seq)
{
	const struct publish_message message = one(seq, false);

	assert_true(publish_may(publish, &message));
	publish_send(publish, &message);
}

static bool may(uint64_t seq, bool alone)
{
	const struct publish_message message = one(seq, alone);

	return publish_may(publish, &message);
}

/* The reply to the nth message that was sent. */
static void replied(unsigned n, const char *body)
{
	natsMsg *message;

	assert_int_equal(
		natsMsg_Create(&message, world.messages[n].reply, NULL, body, (int)strlen(body)),
		NATS_OK);
	world.on_reply(NULL, NULL, message, world.arg);
}

static void stored(unsigned n, uint64_t sequence)
{
	char body[64];

	(void)snprintf(body, sizeof body, "{\"stream\":\"S\",\"seq\":%" PRIu64 "}", sequence);
	replied(n, body);
}

static void refused(unsigned n)
{
	replied(n,
	        "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 4\"},\"seq\":0}");
}

static struct publish_state look(void)
{
	struct publish_state state;

	publish_state(publish, &state);
	return state;
}

static void fails(enum stream_answer answer)
{
	const struct publish_state state = look();

	assert_true(state.failed);
	assert_int_equal(state.why.answer, answer);
	assert_false(may(99, false));
}

/* The first one of a generation alone, and then so many that are on their way at once. */
static void begin(uint64_t sequence, uint64_t seq, unsigned more)
{
	const unsigned n = world.sent;

	publish_begin(publish, sequence, seq);
	send(seq);
	assert_false(may(seq + 1, false));
	stored(n, sequence + 1);
	for (unsigned i = 1; i <= more; i++)
		send(seq + i);
}

/* ---- tests ---- */

static void in_order(void **state)
{
	struct publish_state now;

	(void)state;
	begin(0, 7, 3);
	for (unsigned i = 0; i < 4; i++) {
		char text[32];

		(void)snprintf(text, sizeof text, "%u", i);
		assert_string_equal(world.messages[i].expected, text); /* 0, too */
		(void)snprintf(text, sizeof text, "%u", 7 + i);
		assert_string_equal(world.messages[i].first, text);
	}
	stored(2, 3);
	now = look();
	assert_int_equal(now.acked_next, 8); /* the one before it is not acknowledged */
	assert_int_equal(now.sequence, 1);
	assert_int_equal(now.unanswered, 2);
	stored(1, 2);
	now = look();
	assert_int_equal(now.acked_next, 10);
	assert_int_equal(now.sequence, 3);
	assert_false(may(11, true)); /* one is still on its way */
	stored(3, 4);
	assert_true(may(11, true));
	now = look();
	assert_int_equal(now.acked_next, 11);
	assert_int_equal(now.waiting, 0);
	assert_int_equal(now.acked_records, 4);
	assert_false(now.failed);
}

static void one_that_is_sent_alone(void **state)
{
	const struct publish_message message = one(9, true);

	(void)state;
	begin(0, 7, 1);
	assert_false(publish_may(publish, &message));
	stored(1, 2);
	assert_true(publish_may(publish, &message));
	publish_send(publish, &message);
	assert_false(may(10, false));
	stored(2, 3);
	assert_true(may(10, false));
}

/* Another sequence than expected: the others are refused after it, and that is waited for, not for their storing. */
static void refused_one_after_another(void **state)
{
	uint64_t begun;

	(void)state;
	begin(3, 7, 3);
	refused(1);
	fails(STREAM_WRONG_LAST);
	assert_int_equal(look().unanswered, 2);
	publish_wait(publish, 1000); /* returns at once, for that */
	begun = cq_monotonic_ns();
	publish_wait(publish, WAIT_MS); /* and does not for what was known before */
	assert_true(cq_monotonic_ns() - begun >= WAIT_MS * 1000000);
	refused(2);
	refused(3);
	assert_int_equal(look().unanswered, 0);
	assert_int_equal(look().acked_next, 8);
}

/* What comes for an earlier generation counts for nothing, even if it could be meant for this one. */
static void late_replies(void **state)
{
	(void)state;
	begin(0, 7, 2);
	refused(1);
	begin(1, 8, 2); /* messages 3 to 5 of all */
	stored(1, 2);
	stored(2, 3);
	refused(2);
	assert_false(look().failed);
	assert_int_equal(look().acked_next, 9);
	assert_int_equal(look().unanswered, 2);
	stored(4, 3);
	stored(4, 3); /* twice */
	stored(5, 4);
	assert_int_equal(look().acked_next, 11);
	assert_int_equal(look().acked_records, 4);
}

static void stored_elsewhere(void **state)
{
	(void)state;
	begin(0, 7, 1);
	stored(1, 17);
	fails(STREAM_WRONG_LAST);
	assert_int_equal(look().acked_next, 8);
}

static void replies_that_are_none(void **state)
{
	natsMsg *message;

	(void)state;
	begin(0, 7, 1);
	replied(1, "+OK");
	fails(STREAM_REFUSED);
	begin(1, 8, 1);
	replied(3, "{\"stream\":\"T\",\"seq\":2}"); /* another stream has the subject */
	fails(STREAM_REFUSED);
	begin(2, 9, 1);
	/* nobody listens on the stream's subject */
	assert_int_equal(natsMsg_Create(&message, world.messages[5].reply, NULL, NULL, 0), NATS_OK);
	assert_int_equal(natsMsgHeader_Set(message, "Status", "503"), NATS_OK);
	world.on_reply(NULL, NULL, message, world.arg);
	fails(STREAM_NO_STREAM);
	/* subjects that are no message's */
	begin(3, 10, 1);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const subjects[] = { "nowhere", "_INBOX.x.",
			                                "_INBOX.x.18446744073709551616" };

		assert_int_equal(natsMsg_Create(&message, subjects[i], NULL, "{}", 2), NATS_OK);
		world.on_reply(NULL, NULL, message, world.arg);
	}
	assert_false(look().failed);
}

static void lost_connections(void **state)
{
	(void)state;
	begin(0, 7, 1);
	world.jet.losses++;
	fails(STREAM_UNAVAILABLE);
	begin(1, 8, 1);
	assert_false(look().failed);
	world.jet.closed = true;
	fails(STREAM_UNAVAILABLE);
	world.jet.closed = false;
	begin(2, 9, 1);
	world.jet.denials++;
	fails(STREAM_DENIED);
	begin(3, 10, 0);
	world.publish = NATS_INSUFFICIENT_BUFFER; /* it has just been lost */
	send(11);
	fails(STREAM_UNAVAILABLE);
	assert_int_equal(look().unanswered, 0);
}

static void a_reply_while_it_is_detached(void **state)
{
	(void)state;
	world.ends_late = true;
	publish_detach(publish);
	assert_true(__atomic_load_n(&world.complete, __ATOMIC_SEQ_CST));
	pthread_join(world.thread, NULL);
	world.ends_late = false;
	assert_int_equal(publish_attach(publish, (struct jet *)&world), 0);
}

/* What could not be sent, as libnats says, has been stored all the same. */
static void sent_in_spite_of_an_error(void **state)
{
	(void)state;
	begin(0, 7, 0);
	world.publish = NATS_IO_ERROR;
	send(8);
	fails(STREAM_UNAVAILABLE);
	stored(1, 2);
	assert_int_equal(look().unanswered, 0);
	assert_int_equal(look().acked_next, 9);
	world.publish = NATS_OK;
	begin(2, 9, 0);
	world.publish = NATS_IO_ERROR;
	world.answers_at_once = true; /* before the error is known */
	publish_begin(publish, 3, 10);
	send(10);
	fails(STREAM_UNAVAILABLE);
	assert_int_equal(look().unanswered, 0);
	assert_int_equal(look().acked_next, 11);
}

static void connections_that_are_lost_at_once(void **state)
{
	(void)state;
	publish_detach(publish);
	world.subscribe = NATS_CONNECTION_CLOSED;
	assert_int_equal(publish_attach(publish, (struct jet *)&world), -EAGAIN);
	publish_detach(publish);
	world.subscribe = NATS_NO_MEMORY;
	assert_int_equal(publish_attach(publish, (struct jet *)&world), -ENOMEM);
	publish_detach(publish);
	world.subscribe = NATS_OK;
	world.completes = NATS_INVALID_SUBSCRIPTION;
	assert_int_equal(publish_attach(publish, (struct jet *)&world), -EAGAIN);
	publish_detach(publish);
	world.completes = NATS_OK;
	assert_int_equal(publish_attach(publish, (struct jet *)&world), 0);
	begin(0, 7, 0);
	assert_int_equal(look().acked_next, 8);
}

/* libnats makes the messages that are played. */
static int open_library(void **state)
{
	(void)state;
	return nats_Open(-1) == NATS_OK ? 0 : -1;
}

static int close_library(void **state)
{
	(void)state;
	nats_Close();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_sent_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_one_after_another, setup, teardown),
		cmocka_unit_test_setup_teardown(late_replies, setup, teardown),
		cmocka_unit_test_setup_teardown(stored_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(replies_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(sent_in_spite_of_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_that_are_lost_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reply_while_it_is_detached, setup, teardown),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, open_library, close_library);
}
