/* SPDX-License-Identifier: Apache-2.0 */
/* test_jet_stream.c - what answers of servers mean: wait, give up, or there is none; libnats is played */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jet/jet_own.h"

static struct {
	natsStatus status;
	jsErrCode code;
	bool denies, no_url;
	int32_t max_message;
	int64_t waited; /* ms that the last question had */
	int64_t max_age, duplicates, limit;
	unsigned versions;
	jsStreamConfig config;
	jsStreamInfo info;
} world;

static struct stream_url url = { .name = "S" };
static struct jet jet;

/* ---- played ---- */

void jet_state(struct jet *j, struct jet_state *ret_state)
{
	*ret_state = j->state;
}

void jet_say(struct jet *j, const char *text)
{
	(void)snprintf(j->why, sizeof j->why, "%s", text);
}

const char *jet_text(natsStatus s)
{
	return natsStatus_GetText(s);
}

bool jet_server_version(const char *server, unsigned ret_version[3])
{
	assert_string_equal(server, "nats://h:1");
	ret_version[0] = 2;
	ret_version[1] = 10;
	ret_version[2] = ++world.versions;
	return true;
}

static natsStatus answer(jsErrCode *ret_code)
{
	*ret_code = world.code;
	if (world.denies)
		jet.state.denials++;
	return world.status;
}

natsStatus js_GetStreamInfo(jsStreamInfo **info, jsCtx *js, const char *stream, jsOptions *options,
                            jsErrCode *code)
{
	(void)js;
	assert_string_equal(stream, "S");
	world.waited = options->Wait;
	world.config.MaxMsgSize = world.max_message;
	world.config.Replicas = 3;
	world.info.Config = &world.config;
	*info = &world.info;
	return answer(code);
}

natsStatus js_GetMsg(natsMsg **message, jsCtx *js, const char *stream, uint64_t sequence,
                     jsOptions *options, jsErrCode *code)
{
	(void)message;
	(void)js;
	(void)options;
	assert_string_equal(stream, "S");
	assert_int_equal(sequence, 7);
	return answer(code);
}

natsStatus js_AddStream(jsStreamInfo **info, jsCtx *js, jsStreamConfig *config, jsOptions *options,
                        jsErrCode *code)
{
	(void)info;
	(void)js;
	(void)options;
	assert_string_equal(config->Name, "S");
	assert_true(config->DenyDelete && config->DenyPurge);
	world.max_age = config->MaxAge;
	world.duplicates = config->Duplicates;
	world.limit = config->MaxMsgSize;
	return answer(code);
}

void jsStreamInfo_Destroy(jsStreamInfo *info)
{
	assert_ptr_equal(info, &world.info);
}

int64_t natsConnection_GetMaxPayload(natsConnection *nc)
{
	(void)nc;
	return 1048576;
}

natsStatus natsConnection_GetConnectedUrl(natsConnection *nc, char *buffer, size_t size)
{
	(void)nc;
	(void)snprintf(buffer, size, "nats://h:1");
	return world.no_url ? NATS_NOT_FOUND : NATS_OK;
}

/* ---- tests ---- */

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&jet, 0, sizeof jet);
	jet.options.url = &url;
	(void)snprintf(jet.subject, sizeof jet.subject, "chronq.S");
	return 0;
}

static void errors(void **state)
{
	static const struct {
		natsStatus status;
		int code;
		bool denies;
		int error;
	} cases[] = {
		{ NATS_NOT_FOUND, JSStreamNotFoundErr, false, -ENOENT },
		{ NATS_NOT_FOUND, JSNoMessageFoundErr, false, -ENOENT },
		{ NATS_ERR, JSStreamNameExistErr, false, -EEXIST },
		{ NATS_ERR, JSClusterIncompleteErr, false, -EAGAIN },
		{ NATS_ERR, JSClusterNoPeersErr, false, -EAGAIN },
		{ NATS_ERR, JSClusterNotActiveErr, false, -EAGAIN },
		{ NATS_ERR, JSClusterNotAssignedErr, false, -EAGAIN },
		{ NATS_ERR, JSClusterNotAvailErr, false, -EAGAIN },
		{ NATS_ERR, JSClusterNotLeaderErr, false, -EAGAIN },
		{ NATS_ERR, JSInsufficientResourcesErr, false, -EAGAIN },
		{ NATS_ERR, JSMemoryResourcesExceededErr, false, -EAGAIN },
		{ NATS_ERR, JSStorageResourcesExceededErr, false, -EAGAIN },
		{ NATS_ERR, JSNotEnabledErr, false, -EAGAIN },
		{ NATS_ERR, JSStreamOfflineErr, false, -EAGAIN },
		{ NATS_ERR, JSBadRequestErr, false, -EPROTO },
		{ NATS_NO_MEMORY, 0, false, -ENOMEM },
		{ NATS_CONNECTION_CLOSED, 0, false, -ENOTCONN },
		{ NATS_NO_RESPONDERS, 0, false, -EAGAIN },
		{ NATS_NOT_PERMITTED, 0, false, -EACCES },
		{ NATS_CONNECTION_AUTH_FAILED, 0, false, -EACCES },
		{ NATS_ERR, 0, false, -EPROTO },
		{ NATS_INVALID_ARG, 0, false, -EPROTO },
		{ NATS_TIMEOUT, 0, false, -EAGAIN },
		{ NATS_TIMEOUT, 0, true, -EACCES }, /* the server has said why in between */
		{ NATS_CONNECTION_DISCONNECTED, 0, false, -EAGAIN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct jet_create create = { .description = "", .replicas = 1 };
		struct jet_info info;
		natsMsg *message;

		world.status = cases[i].status;
		world.code = (jsErrCode)cases[i].code;
		world.denies = cases[i].denies;
		jet.why[0] = '\0';
		assert_int_equal(jet_info(&jet, &info), cases[i].error);
		assert_true(jet.why[0] != '\0');
		assert_int_equal(jet_message(&jet, 7, &message), cases[i].error);
		assert_int_equal(jet_create(&jet, &create), cases[i].error);
	}
}

/* Short waits at first, as a leader that dies drops the question; long ones where the servers are slow. */
static void patience_grows(void **state)
{
	struct jet_info info;

	(void)state;
	world.status = NATS_TIMEOUT;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(jet_info(&jet, &info), -EAGAIN);
		assert_in_range(world.waited, 1, JET_WAIT_MS - 1);
	}
	assert_int_equal(jet_info(&jet, &info), -EAGAIN);
	assert_int_equal(world.waited, JET_WAIT_MS);
	world.status = NATS_OK;
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_in_range(world.waited, 1, JET_WAIT_MS - 1);
}

static void what_is_told(void **state)
{
	struct jet_info info;

	(void)state;
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(info.max_payload, 1048576);
	assert_int_equal(info.replicas, 3);
	assert_string_equal(info.description, "");
	world.max_message = 1000;
	world.config.Description = "text";
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(info.max_payload, 1000);
	assert_string_equal(info.description, "text");
	world.max_message = 2000000; /* the server takes less */
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(info.max_payload, 1048576);
	assert_int_equal(info.server_version[2], 1);
	/* another connection, perhaps to another server */
	jet.state.losses++;
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(info.server_version[2], 2);
	jet.state.losses++;
	world.no_url = true;
	assert_int_equal(jet_info(&jet, &info), 0);
	assert_int_equal(info.server_version[0], 0);
}

static void limits_of_a_new_stream(void **state)
{
	struct jet_create create = { .description = "", .replicas = 1 };

	(void)state;
	assert_int_equal(jet_create(&jet, &create), 0);
	assert_true(world.max_age <= 0 && world.limit <= 0);
	create.max_message = 4096;
	create.max_bytes = 1 << 20;
	create.max_age_ns = 60000000000;
	assert_int_equal(jet_create(&jet, &create), 0);
	assert_int_equal(world.limit, 4096);
	assert_int_equal(world.max_age, 60000000000);
	assert_int_equal(world.duplicates, 60000000000); /* servers refuse a longer one */
	create.max_age_ns = 600000000000;
	assert_int_equal(jet_create(&jet, &create), 0);
	assert_int_equal(world.duplicates, 120000000000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(errors, setup),
		cmocka_unit_test_setup(patience_grows, setup),
		cmocka_unit_test_setup(what_is_told, setup),
		cmocka_unit_test_setup(limits_of_a_new_stream, setup),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
