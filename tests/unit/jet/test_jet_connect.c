/* SPDX-License-Identifier: Apache-2.0 */
/* test_jet_connect.c - what is said when no connection can be made, or is lost; libnats is played */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jet/jet_own.h"

static struct {
	unsigned fails; /* the call of libnats with this number; 0: none */
	natsStatus status;
	unsigned calls;
	const char *text, *said; /* the last error of the thread, and of the connection */
	bool unnamed;
	natsConnectionHandler lost, reconnected, closed;
	natsErrHandler error;
	natsCustomReconnectDelayHandler delay;
	void *arg;
	unsigned events, unsubscribed;
} world;

static struct stream_url url;
static struct jet_options options;

/* ---- played ---- */

static natsStatus play(void)
{
	return ++world.calls == world.fails ? world.status : NATS_OK;
}

#define OPTION(name, type)                         \
	natsStatus name(natsOptions *to, type one) \
	{                                          \
		(void)to;                          \
		(void)one;                         \
		return play();                     \
	}
#define OPTION_OF_TWO(name, type, other)                      \
	natsStatus name(natsOptions *to, type one, other two) \
	{                                                     \
		(void)to;                                     \
		(void)one;                                    \
		(void)two;                                    \
		return play();                                \
	}

OPTION_OF_TWO(natsOptions_SetServers, const char **, int)
OPTION(natsOptions_SetName, const char *)
OPTION(natsOptions_SetTimeout, int64_t)
OPTION(natsOptions_SetWriteDeadline, int64_t)
OPTION(natsOptions_SetPingInterval, int64_t)
OPTION(natsOptions_SetMaxPingsOut, int)
OPTION(natsOptions_SetMaxReconnect, int)
OPTION(natsOptions_SetReconnectBufSize, int)
OPTION(natsOptions_SetFailRequestsOnDisconnect, bool)
OPTION(natsOptions_SetSendAsap, bool)
OPTION_OF_TWO(natsOptions_SetUserCredentialsFromFiles, const char *, const char *)
OPTION(natsOptions_SetSecure, bool)
OPTION(natsOptions_LoadCATrustedCertificates, const char *)
OPTION_OF_TWO(natsOptions_LoadCertificatesChain, const char *, const char *)

natsStatus natsOptions_Create(natsOptions **ret)
{
	const natsStatus s = play();

	if (s == NATS_OK)
		*ret = (natsOptions *)&world;
	return s;
}

natsStatus natsOptions_SetCustomReconnectDelay(natsOptions *to,
                                               natsCustomReconnectDelayHandler handler, void *arg)
{
	(void)to;
	(void)arg;
	world.delay = handler;
	return play();
}

natsStatus natsOptions_SetDisconnectedCB(natsOptions *to, natsConnectionHandler handler, void *arg)
{
	(void)to;
	world.lost = handler;
	world.arg = arg;
	return play();
}

natsStatus natsOptions_SetReconnectedCB(natsOptions *to, natsConnectionHandler handler, void *arg)
{
	(void)to;
	(void)arg;
	world.reconnected = handler;
	return play();
}

natsStatus natsOptions_SetClosedCB(natsOptions *to, natsConnectionHandler handler, void *arg)
{
	(void)to;
	(void)arg;
	world.closed = handler;
	return play();
}

natsStatus natsOptions_SetErrorHandler(natsOptions *to, natsErrHandler handler, void *arg)
{
	(void)to;
	(void)arg;
	world.error = handler;
	return play();
}

void natsOptions_Destroy(natsOptions *to)
{
	(void)to;
}

natsStatus natsConnection_Connect(natsConnection **ret, natsOptions *from)
{
	const natsStatus s = play();

	(void)from;
	if (s == NATS_OK)
		*ret = (natsConnection *)&world;
	return s;
}

natsStatus jsOptions_Init(jsOptions *js)
{
	memset(js, 0, sizeof *js);
	return play();
}

natsStatus natsConnection_JetStream(jsCtx **ret, natsConnection *nc, jsOptions *js)
{
	(void)nc;
	assert_int_equal(js->Wait, JET_WAIT_MS);
	*ret = (jsCtx *)&world;
	return play();
}

void jsCtx_Destroy(jsCtx *js)
{
	(void)js;
}

void natsConnection_Close(natsConnection *nc)
{
	world.closed(nc, world.arg);
}

void natsConnection_Destroy(natsConnection *nc)
{
	(void)nc;
}

const char *nats_GetLastError(natsStatus *status)
{
	(void)status;
	return world.text;
}

natsStatus natsConnection_GetLastError(natsConnection *nc, const char **text)
{
	(void)nc;
	*text = world.said;
	return world.unnamed ? NATS_OK : NATS_NOT_PERMITTED;
}

natsStatus natsSubscription_Unsubscribe(natsSubscription *subscription)
{
	(void)subscription;
	world.unsubscribed++;
	return NATS_OK;
}

natsStatus natsConnection_FlushTimeout(natsConnection *nc, int64_t timeout)
{
	(void)nc;
	(void)timeout;
	return NATS_OK;
}

void natsSubscription_Destroy(natsSubscription *subscription)
{
	(void)subscription;
}

/* ---- tests ---- */

static void event(void *arg)
{
	assert_ptr_equal(arg, &world);
	world.events++;
}

static int setup(void **state)
{
	const char *why;

	(void)state;
	memset(&world, 0, sizeof world);
	assert_int_equal(stream_url_parse("nats://me:secret@h1,h2/S", &url, &why), 0);
	options = (struct jet_options){ .url = &url, .name = "test", .event = event };
	options.event_arg = &world;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stream_url_free(&url);
	return 0;
}

static void fails(natsStatus status, int error, const char *text)
{
	char why[JET_WHY_MAX] = "";
	struct jet *jet = NULL;

	world.status = status;
	world.calls = 0;
	assert_int_equal(jet_open(&options, &jet, why), error);
	assert_null(jet);
	if (!strstr(why, text))
		fail_msg("not \"%s\": %s", text, why);
	assert_null(strstr(why, "secret"));
}

/* Each call in turn finds no memory: none is passed over. */
static void each_call(void **state)
{
	struct jet *jet;
	char why[JET_WHY_MAX];
	unsigned calls;

	(void)state;
	options.creds = options.tls_ca = options.cert = options.key = "/dev/null";
	assert_int_equal(jet_open(&options, &jet, why), 0);
	jet_close(jet);
	calls = world.calls;
	assert_in_range(calls, 20, 30);
	for (world.fails = 1; world.fails <= calls; world.fails++)
		fails(NATS_NO_MEMORY, -ENOMEM, natsStatus_GetText(NATS_NO_MEMORY));
}

static void no_connection(void **state)
{
	static const struct {
		natsStatus status;
		int error;
	} cases[] = {
		{ NATS_NO_MEMORY, -ENOMEM },
		{ NATS_CONNECTION_AUTH_FAILED, -EACCES },
		{ NATS_NOT_PERMITTED, -EACCES },
		{ NATS_SSL_ERROR, -EPROTO },
		{ NATS_SECURE_CONNECTION_REQUIRED, -EPROTO },
		{ NATS_SECURE_CONNECTION_WANTED, -EPROTO },
		{ NATS_INVALID_ARG, -EINVAL },
		{ NATS_ERR, -EINVAL },
		{ NATS_TIMEOUT, -EAGAIN },
	};

	(void)state;
	world.fails = 17; /* natsConnection_Connect() */
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		fails(cases[i].status, cases[i].error, natsStatus_GetText(cases[i].status));
	/* libnats' own words, without its file */
	world.text = "(conn.c:123): refused\n";
	fails(NATS_TIMEOUT, -EAGAIN, "refused");
	world.text = "(no end";
	fails(NATS_TIMEOUT, -EAGAIN, "(no end");
	world.text = "plain";
	fails(NATS_TIMEOUT, -EAGAIN, "plain");
	world.text = "";
	fails(NATS_NO_SERVER, -EAGAIN, ": h1:4222, h2:4222");
}

static void no_such_file(void **state)
{
	(void)state;
	options.key = "/nowhere/key";
	fails(NATS_OK, -ENOENT, "/nowhere/key: No such file or directory");
}

/* TLS may be asked for by a file of certificates, or by the URL. */
static void certificates(void **state)
{
	const char *why;

	(void)state;
	options.tls_ca = "/dev/null";
	world.fails = 18;
	fails(NATS_SSL_ERROR, -EINVAL, natsStatus_GetText(NATS_SSL_ERROR));
	options.tls_ca = NULL;
	options.cert = options.key = "/dev/null";
	fails(NATS_SSL_ERROR, -EINVAL, natsStatus_GetText(NATS_SSL_ERROR));
	world.text = "expected 'PONG', got ''";
	world.fails = 19;
	fails(NATS_TIMEOUT, -EAGAIN, "it may not accept this certificate");
	options.cert = options.key = NULL;
	stream_url_free(&url);
	assert_int_equal(stream_url_parse("tls://h1/S", &url, &why), 0);
	world.fails = 18;
	fails(NATS_TIMEOUT, -EAGAIN, "it may want a certificate");
	world.text = "Connection Closed";
	fails(NATS_CONNECTION_CLOSED, -EAGAIN, "it may want a certificate");
}

static void events(void **state)
{
	natsConnection *nc = (natsConnection *)&world;
	struct jet_state told;
	char why[JET_WHY_MAX];
	struct jet *jet;

	(void)state;
	assert_int_equal(jet_open(&options, &jet, why), 0);
	assert_string_equal(jet_subject(jet), "chronq.S");
	assert_ptr_equal(jet_connection(jet), &world);
	assert_ptr_equal(jet_js(jet), &world);
	world.lost(nc, jet);
	jet_state(jet, &told);
	assert_true(!told.connected && told.losses == 1 && world.events == 1);
	world.reconnected(nc, jet);
	jet_state(jet, &told);
	assert_true(told.connected && world.events == 2);
	/* a slow consumer is not about permissions */
	world.error(nc, NULL, NATS_SLOW_CONSUMER, jet);
	jet_state(jet, &told);
	assert_int_equal(told.denials, 0);
	assert_string_equal(jet_why(jet), "");
	world.said = "Permissions Violation for Publish";
	world.error(nc, NULL, NATS_NOT_PERMITTED, jet);
	assert_string_equal(jet_why(jet), "Permissions Violation for Publish");
	world.said = "";
	world.error(nc, NULL, NATS_CONNECTION_AUTH_FAILED, jet);
	assert_string_equal(jet_why(jet), natsStatus_GetText(NATS_CONNECTION_AUTH_FAILED));
	world.said = NULL;
	world.error(nc, NULL, NATS_NOT_PERMITTED, jet);
	assert_string_equal(jet_why(jet), natsStatus_GetText(NATS_NOT_PERMITTED));
	world.unnamed = true;
	world.error(nc, NULL, NATS_NOT_PERMITTED, jet);
	jet_state(jet, &told);
	assert_int_equal(told.denials, 4);
	jet_unsubscribe(nc, NULL);
	assert_int_equal(world.unsubscribed, 0);
	jet_unsubscribe(nc, (natsSubscription *)&world);
	assert_int_equal(world.unsubscribed, 1);
	jet_close(jet);
	jet_close(NULL);
}

/* Pauses between tries grow to five seconds, with a tenth of jitter. */
static void pauses(void **state)
{
	struct jet *jet;
	char why[JET_WHY_MAX];

	(void)state;
	options.event = NULL;
	assert_int_equal(jet_open(&options, &jet, why), 0);
	world.lost((natsConnection *)&world, jet);
	assert_in_range(world.delay(NULL, 1, NULL), 90, 110);
	assert_in_range(world.delay(NULL, 2, NULL), 180, 220);
	assert_in_range(world.delay(NULL, 7, NULL), 4500, 5500);
	assert_in_range(world.delay(NULL, 1000000, NULL), 4500, 5500);
	jet_close(jet);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(each_call),    TEST(no_connection), TEST(no_such_file),
		TEST(certificates), TEST(events),        TEST(pauses),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
