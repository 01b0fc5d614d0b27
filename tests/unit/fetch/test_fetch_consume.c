/* SPDX-License-Identifier: Apache-2.0 */
/* test_fetch_consume.c - what comes on a consumer's subscription: messages, questions, strangers' messages, nothing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/consume.h"

static struct {
	unsigned calls, fails; /* the call with this number fails; 0: none */
	bool denies;
	const char *text; /* of the last error */
	struct jet_state state;
	natsMsg *next[8];  /* NULL: nothing comes */
	natsStatus status; /* when nothing comes */
	unsigned count, at;
	char answered[64];
} world;

static struct consumer *consumer;

/* ---- played ---- */

static natsStatus play(void)
{
	return ++world.calls == world.fails ? NATS_TIMEOUT : NATS_OK;
}

natsConnection *jet_connection(struct jet *jet)
{
	return (natsConnection *)jet;
}

jsCtx *jet_js(struct jet *jet)
{
	return (jsCtx *)jet;
}

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	(void)jet;
	*ret_state = world.state;
}

const char *jet_why(struct jet *jet)
{
	(void)jet;
	return "not permitted";
}

void jet_unsubscribe(natsConnection *nc, natsSubscription *subscription)
{
	(void)nc;
	(void)subscription;
}

natsStatus natsInbox_Create(natsInbox **inbox)
{
	*inbox = NULL;
	return play();
}

void natsInbox_Destroy(natsInbox *inbox)
{
	(void)inbox;
}

natsStatus natsConnection_SubscribeSync(natsSubscription **subscription, natsConnection *nc,
                                        const char *subject)
{
	(void)subscription;
	(void)nc;
	(void)subject;
	return play();
}

natsStatus natsSubscription_SetPendingLimits(natsSubscription *subscription, int messages,
                                             int bytes)
{
	(void)subscription;
	assert_true(messages < 0 && bytes > 0);
	return play();
}

natsStatus jsConsumerConfig_Init(jsConsumerConfig *config)
{
	memset(config, 0, sizeof *config);
	return play();
}

natsStatus jsOptions_Init(jsOptions *options)
{
	memset(options, 0, sizeof *options);
	return play();
}

natsStatus js_AddConsumer(jsConsumerInfo **info, jsCtx *js, const char *stream,
                          jsConsumerConfig *config, jsOptions *options, jsErrCode *code)
{
	(void)info;
	(void)js;
	(void)options;
	(void)code;
	assert_string_equal(stream, "S");
	assert_int_equal(config->OptStartSeq, 5);
	if (world.denies)
		world.state.denials++;
	return play();
}

const char *nats_GetLastError(natsStatus *status)
{
	(void)status;
	return world.text;
}

natsStatus natsSubscription_NextMsg(natsMsg **message, natsSubscription *subscription,
                                    int64_t timeout)
{
	(void)subscription;
	assert_true(timeout > 0);
	if (world.at == world.count)
		return world.status;
	*message = world.next[world.at++];
	return NATS_OK;
}

natsStatus natsConnection_Publish(natsConnection *nc, const char *subject, const void *data,
                                  int size)
{
	(void)nc;
	(void)data;
	assert_int_equal(size, 0);
	(void)snprintf(world.answered, sizeof world.answered, "%s", subject);
	return NATS_OK;
}

/* ---- tests ---- */

static int setup(void **state)
{
	char why[JET_WHY_MAX];

	(void)state;
	memset(&world, 0, sizeof world);
	world.status = NATS_TIMEOUT;
	assert_int_equal(nats_Open(-1), NATS_OK);
	assert_int_equal(consume_open((struct jet *)&world, "S", 5, &consumer, why), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	consume_close(consumer);
	consume_close(NULL);
	return 0;
}

static void comes(const char *reply, const char *header, const char *value, const char *body)
{
	natsMsg *message;

	assert_int_equal(natsMsg_Create(&message, "S", reply, body, (int)strlen(body)), NATS_OK);
	if (header)
		assert_int_equal(natsMsgHeader_Set(message, "Status", "100"), NATS_OK);
	if (header && value)
		assert_int_equal(natsMsgHeader_Set(message, header, value), NATS_OK);
	world.next[world.count++] = message;
}

static void gives(uint64_t sequence)
{
	struct consumed consumed;

	assert_int_equal(consume_next(consumer, 200, &consumed), 1);
	assert_int_equal(consumed.sequence, sequence);
	natsMsg_Destroy(consumed.message);
}

static void each_call(void **state)
{
	char why[JET_WHY_MAX];
	struct consumer *none = NULL;

	(void)state;
	for (world.fails = 1; world.fails <= 6; world.fails++) {
		world.calls = 0;
		world.text = world.fails % 2 ? "no leader" : world.fails == 2 ? "" : NULL;
		assert_int_equal(consume_open((struct jet *)&world, "S", 5, &none, why), -EAGAIN);
		assert_null(none);
		assert_string_equal(why, world.fails % 2 ? "no leader"
		                                         : natsStatus_GetText(NATS_TIMEOUT));
	}
	world.calls = 0;
	world.fails = 6;
	world.denies = true;
	assert_int_equal(consume_open((struct jet *)&world, "S", 5, &none, why), -EACCES);
	assert_string_equal(why, "not permitted");
}

static void messages_and_questions(void **state)
{
	struct consumed consumed;

	(void)state;
	comes("$JS.ACK.S.C.1.5.1.1796069646509397522.7", NULL, NULL, "text");
	gives(5);
	comes(NULL, "Nats-Last-Consumer", "1", ""); /* a heartbeat */
	comes("$JS.FC.x", "x", NULL, "");
	comes("$JS.ACK.S.C.1.6.2.1796069646509397522.7", NULL, NULL, "");
	gives(6);
	assert_string_equal(world.answered, "$JS.FC.x");
	comes(NULL, "Nats-Consumer-Stalled", "$JS.FC.y", "");
	comes("a stranger's", NULL, NULL, "text");
	assert_int_equal(consume_next(consumer, 200, &consumed), 0);
	assert_string_equal(world.answered, "$JS.FC.y");
}

static void lost_on_the_way(void **state)
{
	struct consumed consumed;

	(void)state;
	comes("$JS.ACK.S.C.1.6.2.1796069646509397522.7", NULL, NULL, "text");
	assert_int_equal(consume_next(consumer, 200, &consumed), -ESTALE);
	world.status = NATS_SLOW_CONSUMER;
	assert_int_equal(consume_next(consumer, 200, &consumed), -ESTALE);
}

static void silence(void **state)
{
	struct consumed consumed;
	unsigned waits = 1;

	(void)state;
	while (consume_next(consumer, 200, &consumed) == 0)
		assert_in_range(++waits, 1, 100);
	assert_int_equal(waits, 10); /* two seconds */
	comes(NULL, "Nats-Last-Consumer", "1", "");
	assert_int_equal(consume_next(consumer, 200, &consumed), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(each_call),
		TEST(messages_and_questions),
		TEST(lost_on_the_way),
		TEST(silence),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
