/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_stream.c - URL and description of a stream, and the replies that servers give to a publish */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/stream.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IDENTITY "000102030405060708090a0b0c0d0eff"

/* ---- description ---- */

static const struct stream_about example = {
	.identity = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255 },
	.format = STREAM_RECORDS,
	.first = 17,
	.segment_size = 8388608,
};

static void same_about(const struct stream_about *a, const struct stream_about *b)
{
	assert_memory_equal(a->identity, b->identity, CQ_IDENTITY_SIZE);
	assert_int_equal(a->format, b->format);
	assert_int_equal(a->first, b->first);
	assert_int_equal(a->segment_size, b->segment_size);
	assert_int_equal(a->frame_size, b->frame_size);
	assert_int_equal(a->message_size, b->message_size);
}

static void about_text(void **state)
{
	struct stream_about about = example, got;
	char text[STREAM_ABOUT_MAX];

	(void)state;
	stream_about_put(text, &about);
	assert_string_equal(text, "chronq/1 identity=" IDENTITY
	                          " format=record first=17 segment=8388608");
	assert_int_equal(stream_about_get(text, &got), 0);
	same_about(&got, &about);

	about = (struct stream_about){ .format = STREAM_FRAMES,
		                       .first = UINT64_MAX,
		                       .segment_size = UINT64_MAX };
	about.frame_size = about.message_size = UINT64_MAX;
	memset(about.identity, 0xff, sizeof about.identity);
	stream_about_put(text, &about);
	assert_int_equal(stream_about_get(text, &got), 0);
	same_about(&got, &about);

	about = example;
	about.frame_size = 65536;
	about.message_size = 1047552;
	stream_about_put(text, &about);
	assert_string_equal(text,
	                    "chronq/1 identity=" IDENTITY
	                    " format=record first=17 segment=8388608 frame=65536 message=1047552");
	assert_int_equal(stream_about_get(text, &got), 0);
	same_about(&got, &about);
}

/* A later version may add fields, and people change the order. */
static void about_order(void **state)
{
	struct stream_about got;

	(void)state;
	assert_int_equal(
		stream_about_get("chronq/1 made=today segment=8388608 first=17 format=record "
	                         "identity=" IDENTITY,
	                         &got),
		0);
	same_about(&got, &example);
}

static void about_refused(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{ "", -EBADMSG },
		{ "orders of the shop", -EBADMSG },
		{ "chronq", -EBADMSG },
		{ "chronq/", -EBADMSG },
		{ "chronq/x", -EBADMSG },
		{ "chronq/0 identity=" IDENTITY " format=record first=1 segment=1", -EBADMSG },
		{ "chronq/1", -EBADMSG },
		{ "chronq/2", -EPROTONOSUPPORT },
		{ "chronq/2 something else", -EPROTONOSUPPORT },
		{ "chronq/99999999999999999999999", -EBADMSG },
		{ " chronq/1 identity=" IDENTITY " format=record first=1 segment=1", -EBADMSG },
		{ "chronq/1 format=record first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1 segment=1 first=1",
		  -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1 segment=1 word", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1 segment=1 ", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1 segment=1 frame=x",
		  -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1 segment=1 message=",
		  -EBADMSG },
		{ "chronq/1 identity=" IDENTITY "0 format=record first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=00 format=record first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=000102030405060708090A0B0C0D0EFF format=record first=1 segment=1",
		  -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=records first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=packed first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=frame first=1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=-1 segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first= segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY " format=record first=1x segment=1", -EBADMSG },
		{ "chronq/1 identity=" IDENTITY
		  " format=record first=18446744073709551616 segment=1",
		  -EBADMSG },
	};
	struct stream_about got, before;

	(void)state;
	memset(&got, 0x5a, sizeof got);
	before = got;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (stream_about_get(cases[i].text, &got) != cases[i].error)
			fail_msg("%s: not %d", cases[i].text, cases[i].error);
		assert_memory_equal(&got, &before, sizeof got);
	}
}

/* ---- URL ---- */

static void urls(void **state)
{
	static const struct {
		const char *text, *name;
		const char *servers[STREAM_SERVERS_MAX];
	} cases[] = {
		{ "nats://localhost/S", "S", { "nats://localhost:4222" } },
		{ "tls://h1.example,h2:4333,10.0.0.3/Orders_2-x",
		  "Orders_2-x",
		  { "tls://h1.example:4222", "tls://h2:4333", "tls://10.0.0.3:4222" } },
		{ "nats://user:secret@h1,h2:1/S",
		  "S",
		  { "nats://user:secret@h1:4222", "nats://user:secret@h2:1" } },
		{ "nats://token@h1:65535/S", "S", { "nats://token@h1:65535" } },
		{ "nats://a:p%40%2f%2C!@h/S", "S", { "nats://a:p%40%2f%2C!@h:4222" } },
		{ "nats://a:@h/S", "S", { "nats://a:@h:4222" } },
		{ "nats://[::1]:4333,[fe80::1]/S",
		  "S",
		  { "nats://[::1]:4333", "nats://[fe80::1]:4222" } },
		{ "nats://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16/S",
		  "S",
		  { "nats://1:4222", "nats://2:4222", "nats://3:4222", "nats://4:4222",
		    "nats://5:4222", "nats://6:4222", "nats://7:4222", "nats://8:4222",
		    "nats://9:4222", "nats://10:4222", "nats://11:4222", "nats://12:4222",
		    "nats://13:4222", "nats://14:4222", "nats://15:4222", "nats://16:4222" } },
		{ "nats://h/0123456789012345678901234567890123456789012345678901234567890123",
		  "0123456789012345678901234567890123456789012345678901234567890123",
		  { "nats://h:4222" } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *why = "nothing";
		struct stream_url url;
		int count = 0;

		if (stream_url_parse(cases[i].text, &url, &why) != 0)
			fail_msg("%s: %s", cases[i].text, why);
		assert_string_equal(url.name, cases[i].name);
		while (count < STREAM_SERVERS_MAX && cases[i].servers[count]) {
			assert_true(count < url.count);
			assert_string_equal(url.servers[count], cases[i].servers[count]);
			count++;
		}
		assert_int_equal(url.count, count);
		stream_url_free(&url);
		stream_url_free(&url);
	}
}

static void urls_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"localhost/S",
		"http://localhost/S",
		"NATS://localhost/S",
		"nats:/localhost/S",
		"nats://localhost",
		"nats://localhost/",
		"nats:///S",
		"nats://h/S/",
		"nats://h/S/T",
		"nats://h/S.T",
		"nats://h/S T",
		"nats://h/S*",
		"nats://h/S?x=1",
		"nats://h/S#x",
		"nats://h/\xc3\xa9",
		"nats://h/01234567890123456789012345678901234567890123456789012345678901234",
		"nats://h,/S",
		"nats://,h/S",
		"nats://h1,,h2/S",
		"nats://h:/S",
		"nats://h:0/S",
		"nats://h:65536/S",
		"nats://h:123456/S",
		"nats://h:4222x/S",
		"nats://h:-1/S",
		"nats://:4222/S",
		"nats://h h/S",
		"nats://h\n/S",
		"nats://::1/S",
		"nats://[::1/S",
		"nats://[]/S",
		"nats://[::1x/S",
		"nats://[::1]4222/S",
		"nats://[h]/S",
		"nats://@h/S",
		"nats://:hunter2@h/S",
		"nats://a:hunter2:x@h/S",
		"nats://a:hunter2@h1,b:hunter2@h2/S",
		"nats://a:hunter2@x@h/S",
		"nats://a:hunter2,x@h/S",
		"nats://a:hunter2%@h/S",
		"nats://a:hunter2%4@h/S",
		"nats://a:hunter2%4g@h/S",
		"nats://a:hunter2/x@h/S",
		"nats://a:hunter2 @h/S",
		"nats://a:hunter2@/S",
		"nats://a:hunter2@h:x/S",
		"nats://a:hunter2@h/S?",
		"nats://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/S",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct stream_url url, before;
		const char *why = NULL;

		memset(&url, 0x5a, sizeof url);
		before = url;
		if (stream_url_parse(cases[i], &url, &why) != -EINVAL)
			fail_msg("%s is not refused", cases[i]);
		assert_non_null(why);
		assert_null(strstr(why, "hunter2"));
		assert_memory_equal(&url, &before, sizeof url);
	}
}

/* ---- replies ---- */

/* As servers of the versions 2.9 and 2.10 write them. */
static const struct {
	const char *body;
	enum stream_answer answer;
	uint64_t sequence;
	int code;
} replies[] = {
	{ "{\"stream\":\"S\", \"seq\":1}", STREAM_STORED, 1, 0 },
	{ "{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":9007199254740993}", STREAM_STORED,
	  9007199254740993U, 0 },
	{ "{\"stream\":\"S\",\"seq\":7,\"duplicate\": true}", STREAM_STORED, 7, 0 },
	{ "", STREAM_NO_STREAM, 0, 503 },
	{ "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 17\"},\"stream\":\"S\",\"seq\":0}",
	  STREAM_WRONG_LAST, 0, 10071 },
	{ "{\"error\":{\"code\":400,\"err_code\":10164,\"description\":\"wrong last sequence\"},\"stream\":\"S\",\"seq\":0}",
	  STREAM_WRONG_LAST, 0, 10164 },
	{ "{\"error\":{\"code\":503,\"err_code\":10063,\"description\":\"expected stream sequence does not match\"}}",
	  STREAM_WRONG_LAST, 0, 10063 },
	{ "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum bytes exceeded\"},\"stream\":\"S\",\"seq\":0}",
	  STREAM_FULL, 0, 10077 },
	{ "{\"error\":{\"code\":500,\"err_code\":10047,\"description\":\"insufficient storage resources available\"}}",
	  STREAM_FULL, 0, 10047 },
	{ "{\"error\":{\"code\":500,\"err_code\":10028,\"description\":\"insufficient memory resources available\"}}",
	  STREAM_FULL, 0, 10028 },
	{ "{\"error\":{\"code\":503,\"err_code\":10023,\"description\":\"insufficient resources\"}}",
	  STREAM_FULL, 0, 10023 },
	{ "{\"error\":{\"code\":400,\"err_code\":10002,\"description\":\"resource limits exceeded for account\"}}",
	  STREAM_FULL, 0, 10002 },
	{ "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}",
	  STREAM_NO_STREAM, 0, 10059 },
	{ "{\"error\":{\"code\":404,\"description\":\"stream not found\"}}", STREAM_NO_STREAM, 0,
	  404 },
	{ "{\"error\":{\"code\":400,\"err_code\":10054,\"description\":\"message size exceeds maximum allowed\"}}",
	  STREAM_TOO_LARGE, 0, 10054 },
	{ "{\"error\":{\"code\":400,\"err_code\":10005,\"description\":\"no suitable peers for placement\"}}",
	  STREAM_UNAVAILABLE, 0, 10005 },
	{ "{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"JetStream system temporarily unavailable\"}}",
	  STREAM_UNAVAILABLE, 0, 10008 },
	{ "{\"error\":{\"code\":500,\"err_code\":10009,\"description\":\"JetStream cluster can not handle request\"}}",
	  STREAM_UNAVAILABLE, 0, 10009 },
	{ "{\"error\":{\"code\":503,\"err_code\":10076,\"description\":\"JetStream not enabled\"}}",
	  STREAM_UNAVAILABLE, 0, 10076 },
	{ "{\"error\":{\"code\":503,\"err_code\":10039,\"description\":\"JetStream not enabled for account\"}}",
	  STREAM_UNAVAILABLE, 0, 10039 },
	{ "{\"error\":{\"code\":429,\"err_code\":10167,\"description\":\"too many requests\"}}",
	  STREAM_UNAVAILABLE, 0, 10167 },
	{ "{\"error\":{\"code\":503,\"err_code\":19999,\"description\":\"of a later version\"}}",
	  STREAM_UNAVAILABLE, 0, 19999 },
	{ "{\"error\":{\"code\":503}}", STREAM_UNAVAILABLE, 0, 503 },
	{ "{\"error\":{\"code\":403,\"description\":\"permissions violation\"}}", STREAM_DENIED, 0,
	  403 },
	{ "{\"error\":{\"code\":400,\"err_code\":10109,\"description\":\"invalid operation on sealed stream\"}}",
	  STREAM_REFUSED, 0, 10109 },
	{ "{\"error\":{\"code\":400,\"err_code\":10060,\"description\":\"expected stream does not match\"}}",
	  STREAM_REFUSED, 0, 10060 },
	{ "{\"error\":{\"code\":503,\"err_code\":10036,\"description\":\"not currently supported in clustered mode\"}}",
	  STREAM_REFUSED, 0, 10036 },
	{ "{\"error\":{\"code\":401,\"description\":\"\"}}", STREAM_DENIED, 0, 401 },
	{ "{\"error\":{\"code\":408,\"description\":\"timeout\"}}", STREAM_UNAVAILABLE, 0, 408 },
	{ "{\"error\":{}}", STREAM_REFUSED, 0, 0 },
	{ "{\"error\":{\"code\":-5,\"err_code\":99999999999}}", STREAM_REFUSED, 0, 0 },
};

static void replies_are_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(replies); i++) {
		struct stream_reply reply;

		memset(&reply, 0x5a, sizeof reply);
		assert_int_equal(
			stream_reply_parse(replies[i].body, strlen(replies[i].body), &reply), 0);
		if (reply.answer != replies[i].answer)
			fail_msg("%s: answer %d", replies[i].body, (int)reply.answer);
		assert_int_equal(reply.sequence, replies[i].sequence);
		assert_int_equal(reply.code, replies[i].code);
		assert_true(reply.answer == STREAM_STORED || reply.text[0] != '\0');
		assert_true(reply.answer != STREAM_STORED || reply.text[0] == '\0');
	}
}

/* Whether it is worth to wait, or somebody has to do something: of errors that no test of a server makes. */
static void errors_ask_for(void **state)
{
	static const struct {
		int error, status;
		enum stream_answer answer;
	} cases[] = {
		{ 10053, 400, STREAM_FULL },        { 10120, 400, STREAM_FULL },
		{ 10097, 400, STREAM_TOO_LARGE },   { 10004, 503, STREAM_UNAVAILABLE },
		{ 10006, 503, STREAM_UNAVAILABLE }, { 10007, 500, STREAM_UNAVAILABLE },
		{ 10035, 503, STREAM_UNAVAILABLE }, { 10041, 500, STREAM_UNAVAILABLE },
		{ 10118, 500, STREAM_UNAVAILABLE }, { 10194, 500, STREAM_UNAVAILABLE },
		{ 10158, 409, STREAM_UNAVAILABLE }, { 10163, 503, STREAM_UNAVAILABLE },
		{ 10010, 503, STREAM_REFUSED },     { 0, 401, STREAM_DENIED },
		{ 0, 408, STREAM_UNAVAILABLE },     { 0, 429, STREAM_UNAVAILABLE },
		{ 0, 400, STREAM_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (stream_answer_of(cases[i].error, cases[i].status) != cases[i].answer)
			fail_msg("%d of %d", cases[i].error, cases[i].status);
}

/* A reply that was cut off anywhere is none, even where its sequence seems to be whole. */
static void cut_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(replies); i++) {
		const size_t size = strlen(replies[i].body);

		for (size_t cut = 1; cut < size; cut++) {
			char *body = malloc(cut);
			struct stream_reply reply;

			assert_non_null(body);
			memcpy(body, replies[i].body, cut);
			if (stream_reply_parse(body, cut, &reply) != -EBADMSG)
				fail_msg("%.*s is not refused", (int)cut, body);
			free(body);
		}
	}
}

static void no_replies(void **state)
{
	static const char *const cases[] = {
		"+ACK",
		"null",
		"[]",
		"7",
		"{}",
		"{\"seq\":7}",
		"{\"stream\":\"S\"}",
		"{\"stream\":\"S\",\"seq\":0}",
		"{\"stream\":\"S\",\"seq\":-7}",
		"{\"stream\":\"S\",\"seq\":\"7\"}",
		"{\"stream\":\"S\",\"seq\":7.0}",
		"{\"stream\":\"S\",\"seq\":7000000000000000000000}",
		"{\"stream\":7,\"seq\":7}",
		"{\"error\":\"text\",\"seq\":0}",
	};
	struct stream_reply reply, before;

	(void)state;
	memset(&reply, 0x5a, sizeof reply);
	before = reply;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (stream_reply_parse(cases[i], strlen(cases[i]), &reply) != -EBADMSG)
			fail_msg("%s is not refused", cases[i]);
		assert_memory_equal(&reply, &before, sizeof reply);
	}
}

/* Errors are shown on terminals and in files of metrics. */
static void texts_are_printable(void **state)
{
	struct stream_reply reply;
	char body[1024];

	(void)state;
	(void)snprintf(
		body, sizeof body,
		"{\"error\":{\"code\":400,\"description\":\"a\\u007f\\u001b[2J\\n\xc3\xa9\\u0000%0300d\"}}",
		0);
	assert_int_equal(stream_reply_parse(body, strlen(body), &reply), 0);
	assert_int_equal(reply.answer, STREAM_REFUSED);
	assert_string_equal(reply.text, "a??[2J???");
	(void)snprintf(body, sizeof body, "{\"error\":{\"code\":400,\"description\":\"%0300d\"}}",
	               0);
	assert_int_equal(stream_reply_parse(body, strlen(body), &reply), 0);
	assert_int_equal(strlen(reply.text), sizeof reply.text - 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(about_text),          cmocka_unit_test(about_order),
		cmocka_unit_test(about_refused),       cmocka_unit_test(urls),
		cmocka_unit_test(urls_refused),        cmocka_unit_test(replies_are_known),
		cmocka_unit_test(cut_replies),         cmocka_unit_test(no_replies),
		cmocka_unit_test(texts_are_printable), cmocka_unit_test(errors_ask_for),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
