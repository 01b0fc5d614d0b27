/* SPDX-License-Identifier: Apache-2.0 */
/* test_jet_version.c - the version that a server tells, and values of the options of ship and fetch */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jet/jet.h"
#include "jet/options.h"
#include "shared/cli.h"

static char note[512];

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(note, sizeof note, format, arguments);
	va_end(arguments);
}

bool cli_parse_number(const char *text, const char **ret_rest, uint64_t *ret_number)
{
	*ret_number = 0;
	for (*ret_rest = text; **ret_rest >= '0' && **ret_rest <= '9'; (*ret_rest)++)
		*ret_number = *ret_number * 10 + (uint64_t)(**ret_rest - '0');
	return *ret_rest > text;
}

static bool no_socket, no_answer;

int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_poll(struct pollfd *list, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *list, nfds_t count, int timeout);

int __wrap_socket(int family, int type, int protocol)
{
	return no_socket ? -1 : __real_socket(family, type, protocol);
}

int __wrap_poll(struct pollfd *list, nfds_t count, int timeout)
{
	return no_answer ? 0 : __real_poll(list, count, timeout);
}

/* ---- version ---- */

static int listener;
static unsigned port;

static int begin(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof address;

	(void)state;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	port = ntohs(address.sin_port);
	return 0;
}

static int end(void **state)
{
	(void)state;
	close(listener);
	return 0;
}

/* Sends the text, in two pieces, to who connects, and hangs up. */
static void *serve(void *text)
{
	const size_t size = strlen(text), half = size / 2;
	const int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return NULL;
	(void)!write(fd, text, half);
	(void)!write(fd, (char *)text + half, size - half);
	(void)shutdown(fd, SHUT_WR);
	(void)!read(fd, &(char){ 0 }, 1); /* until the other side has closed it */
	close(fd);
	return NULL;
}

static bool told(char *text, const char *format, unsigned version[3])
{
	pthread_t thread;
	char server[64];
	bool r;

	(void)snprintf(server, sizeof server, "%s127.0.0.1:%u", format, port);
	assert_int_equal(pthread_create(&thread, NULL, serve, text), 0);
	r = jet_server_version(server, version);
	pthread_join(thread, NULL);
	return r;
}

static void versions(void **state)
{
	static char good[] = "INFO {\"version\":\"2.10.27\"}\r\n",
		    beta[] = "INFO {\"version\":\"2.11.0-beta\"}\r\n";
	static char bad[][64] = {
		"",
		"INFO {}\r\n",
		"HTTP {\"version\":\"2.10.27\"}\r\n",
		"INFO {\"version\":\"x\"}\r\n",
		"INFO {\"version\":\"2\"}\r\n",
		"INFO {\"version\":\"2.99999.1\"}\r\n",
	};
	unsigned version[3] = { 9, 9, 9 };
	static char endless[20000];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(told(bad[i], "nats://", version));
	memset(endless, 'x', sizeof endless - 1);
	assert_false(told(endless, "", version));
	assert_int_equal(version[0], 9);
	assert_true(told(good, "nats://user:secret@", version));
	assert_int_equal(version[0], 2);
	assert_int_equal(version[1], 10);
	assert_int_equal(version[2], 27);
	assert_true(told(beta, "", version));
	assert_int_equal(version[1], 11);
}

static void no_server(void **state)
{
	char server[300], host[280];
	unsigned version[3];

	(void)state;
	(void)snprintf(server, sizeof server, "nats://127.0.0.1:%u", port);
	close(listener);
	assert_false(jet_server_version(server, version));
	/* it takes the connection and says nothing */
	begin(NULL);
	(void)snprintf(server, sizeof server, "nats://127.0.0.1:%u/", port);
	assert_false(jet_server_version(server, version));
	no_answer = true; /* nor takes it, in time */
	assert_false(jet_server_version(server, version));
	no_answer = false;
	no_socket = true;
	assert_false(jet_server_version(server, version));
	no_socket = false;
	/* none of these is an address */
	memset(host, 'h', 260);
	host[260] = '\0';
	(void)snprintf(server, sizeof server, "nats://%s:1", host);
	assert_false(jet_server_version(server, version));
	assert_false(jet_server_version("nats://:4222", version));
	assert_false(jet_server_version("nats://h:123456789", version));
	assert_false(jet_server_version("nats://[::1", version));
	assert_false(jet_server_version("nats://[::1/x]", version));
	assert_false(jet_server_version("nats://[::1]:1", version));
	assert_false(jet_server_version("127.0.0.1:x", version));
	assert_false(jet_server_version("[not:an:address]", version));
}

/* ---- options ---- */

static void spans(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms; /* 0: none */
	} cases[] = {
		{ "1", 1000 },
		{ "5s", 5000 },
		{ "2m", 120000 },
		{ "3h", 10800000 },
		{ "1d", 86400000 },
		{ "", 0 },
		{ "s", 0 },
		{ "0", 0 },
		{ "0d", 0 },
		{ "5x", 0 },
		{ "5ss", 0 },
		{ "9999999999d", 0 },
		{ "9223372036", 9223372036000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t ms = 0;

		if (ship_parse_span(cases[i].text, &ms) != (cases[i].ms > 0) || ms != cases[i].ms)
			fail_msg("%s", cases[i].text);
	}
}

static void taken(void **state)
{
	static const struct option own[] = { { "size", required_argument, NULL, SHIP_OPTION_OWN },
		                             SHIP_OPTIONS,
		                             { 0 } };
	struct ship_options options = { .once = false };
	static char value[] = "value";

	(void)state;
	optarg = value;
	assert_true(ship_option(&options, SHIP_OPTION_CREDS));
	assert_true(ship_option(&options, SHIP_OPTION_TLS_CA));
	assert_true(ship_option(&options, SHIP_OPTION_CERT));
	assert_true(ship_option(&options, SHIP_OPTION_STATUS));
	assert_true(ship_option(&options, SHIP_OPTION_ONCE));
	assert_true(ship_option(&options, SHIP_OPTION_ACCEPT_GAP));
	assert_false(ship_option(&options, SHIP_OPTION_OWN));
	assert_true(options.once && options.accept_gap && !options.key);
	assert_ptr_equal(options.creds, value);
	assert_false(ship_url(&options, "nats://h/S"));
	assert_string_equal(note, "--cert and --key belong together");
	assert_true(ship_option(&options, SHIP_OPTION_KEY));
	assert_false(ship_url(&options, "nats://a:secret@h"));
	assert_non_null(strstr(note, "not the URL of a stream"));
	assert_null(strstr(note, "secret"));
	assert_true(ship_url(&options, "nats://h/S"));
	ship_options_free(&options);
	ship_bad_value(own, SHIP_OPTION_OWN);
	assert_string_equal(note, "--size: not a value of this option: value");
	ship_bad_value(own, SHIP_OPTION_KEY);
	assert_string_equal(note, "--key: not a value of this option: value");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(versions, begin, end),
		cmocka_unit_test_setup_teardown(no_server, begin, end),
		cmocka_unit_test(spans),
		cmocka_unit_test(taken),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
