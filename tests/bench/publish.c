/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c - JetStream without chronq: the peer of `chronq ship` in scripts/bench ship
 *
 * publish URL STREAM create REPLICAS      makes a stream as `chronq ship --create` does
 * publish URL STREAM delete               deletes it
 * publish URL STREAM plain BYTES COUNT    publishes messages without a header; ends when each is acknowledged
 * publish URL STREAM header BYTES COUNT   the same, each with the sequence that it expects to be the stream's last
 * publish URL STREAM pause                prints the longest time between two messages of the stream, in seconds
 *
 * Publishing is asynchronous, with a bounded window, and the delivery thread counts acknowledgements: as chronq ship
 * does it, so that the header is all the difference.
 */
#include <errno.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

#define WINDOW_MESSAGES 4096
#define WINDOW_BYTES (16U << 20)

static void nats_must(const char *what, natsStatus status)
{
	if (status == NATS_OK)
		return;
	fprintf(stderr, "publish: %s: %s\n", what, natsStatus_GetText(status));
	exit(1);
}

struct window {
	pthread_mutex_t mutex;
	pthread_cond_t acknowledged_more;
	uint64_t published, acknowledged; /* by mutex */
};

static void on_ack(natsConnection *nc, natsSubscription *sub, natsMsg *message, void *arg)
{
	struct window *w = arg;

	(void)nc;
	(void)sub;
	if (!natsMsg_GetData(message) || !strstr(natsMsg_GetData(message), "\"seq\"")) {
		fprintf(stderr, "publish: refused: %.*s\n", natsMsg_GetDataLength(message),
		        natsMsg_GetData(message) ? natsMsg_GetData(message) : "");
		exit(1);
	}
	natsMsg_Destroy(message);
	pthread_mutex_lock(&w->mutex);
	w->acknowledged++;
	pthread_cond_signal(&w->acknowledged_more);
	pthread_mutex_unlock(&w->mutex);
}

/* Waits until so few messages are on their way. */
static void wait_for_room(struct window *w, uint64_t most)
{
	pthread_mutex_lock(&w->mutex);
	while (w->published - w->acknowledged > most)
		pthread_cond_wait(&w->acknowledged_more, &w->mutex);
	w->published++;
	pthread_mutex_unlock(&w->mutex);
}

static void publish_all(natsConnection *nc, const char *subject, size_t size, uint64_t count,
                        bool header)
{
	const uint64_t by_bytes = WINDOW_BYTES / size;
	const uint64_t most = by_bytes < WINDOW_MESSAGES ? by_bytes : WINDOW_MESSAGES;
	struct window window = { .mutex = PTHREAD_MUTEX_INITIALIZER,
		                 .acknowledged_more = PTHREAD_COND_INITIALIZER };
	natsSubscription *acks;
	natsInbox *inbox;
	char reply[128], expected[24];
	char *bytes = malloc(size);

	if (!bytes)
		must("memory", -ENOMEM);
	memset(bytes, 'x', size);
	nats_must("inbox", natsInbox_Create(&inbox));
	snprintf(reply, sizeof reply, "%s.*", inbox);
	nats_must("subscribe", natsConnection_Subscribe(&acks, nc, reply, on_ack, &window));
	nats_must("limits", natsSubscription_SetPendingLimits(acks, -1, -1));
	for (uint64_t n = 0; n < count; n++) {
		natsMsg *message;

		wait_for_room(&window, most);
		snprintf(reply, sizeof reply, "%s.%" PRIu64, inbox, n);
		nats_must("message", natsMsg_Create(&message, subject, reply, bytes, (int)size));
		if (header) {
			snprintf(expected, sizeof expected, "%" PRIu64, n);
			nats_must("header",
			          natsMsgHeader_Set(message, "Nats-Expected-Last-Sequence",
			                            expected));
		}
		nats_must("publish", natsConnection_PublishMsg(nc, message));
		natsMsg_Destroy(message);
	}
	wait_for_room(&window, 0);
	natsSubscription_Destroy(acks);
	natsInbox_Destroy(inbox);
	free(bytes);
}

static void create(jsCtx *js, const char *stream, const char *subject, int64_t replicas)
{
	jsStreamConfig config;

	nats_must("configuration", jsStreamConfig_Init(&config));
	config.Name = stream;
	config.Subjects = &subject;
	config.SubjectsLen = 1;
	config.Storage = js_FileStorage;
	config.Replicas = replicas;
	config.Discard = js_DiscardNew;
	config.DenyDelete = config.DenyPurge = true;
	nats_must("create", js_AddStream(NULL, js, &config, NULL, NULL));
}

/* The server puts its time on each message when it stores it. */
static void print_longest_pause(jsCtx *js, const char *stream)
{
	int64_t last = 0, longest = 0;
	jsStreamInfo *info;

	nats_must("stream", js_GetStreamInfo(&info, js, stream, NULL, NULL));
	for (uint64_t n = info->State.FirstSeq; n <= info->State.LastSeq; n++) {
		natsMsg *message;
		int64_t time;

		nats_must("message", js_GetMsg(&message, js, stream, n, NULL, NULL));
		time = natsMsg_GetTime(message);
		if (last > 0 && time - last > longest)
			longest = time - last;
		last = time;
		natsMsg_Destroy(message);
	}
	printf("%.3f\n", (double)longest / 1e9);
	jsStreamInfo_Destroy(info);
}

/* Does what the words say; false: they say nothing. */
static bool run(natsConnection *nc, jsCtx *js, const char *stream, int count, char **words)
{
	char subject[80];

	snprintf(subject, sizeof subject, "chronq.%s", stream);
	if (count == 2 && strcmp(words[0], "create") == 0)
		create(js, stream, subject, strtol(words[1], NULL, 10));
	else if (count == 1 && strcmp(words[0], "delete") == 0)
		nats_must("delete", js_DeleteStream(js, stream, NULL, NULL));
	else if (count == 1 && strcmp(words[0], "pause") == 0)
		print_longest_pause(js, stream);
	else if (count == 3 && (strcmp(words[0], "plain") == 0 || strcmp(words[0], "header") == 0))
		publish_all(nc, subject, strtoul(words[1], NULL, 10), strtoull(words[2], NULL, 10),
		            words[0][0] == 'h');
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	natsOptions *options = NULL;
	natsConnection *nc = NULL;
	jsOptions js_options;
	jsCtx *js = NULL;
	bool done;

	if (argc < 4) {
		fprintf(stderr,
		        "usage: publish URL STREAM create REPLICAS | delete | plain|header BYTES COUNT | "
		        "pause\n");
		return 2;
	}
	nats_must("options", natsOptions_Create(&options));
	nats_must("URL", natsOptions_SetURL(options, argv[1]));
	nats_must("connect", natsConnection_Connect(&nc, options));
	nats_must("options", jsOptions_Init(&js_options));
	js_options.Wait = 30000;
	nats_must("JetStream", natsConnection_JetStream(&js, nc, &js_options));
	done = run(nc, js, argv[2], argc - 3, argv + 3);
	jsCtx_Destroy(js);
	natsConnection_Destroy(nc);
	natsOptions_Destroy(options);
	nats_Close();
	return done ? 0 : 2;
}
