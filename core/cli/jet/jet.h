/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jet.h - a connection to NATS servers, and one JetStream stream, for ship and fetch
 *
 * Threads  All calls on one jet belong to one thread.  libnats' own threads read and reconnect; they block all
 *          signals, and call jet_options.event.
 * Waits    Every call returns within JET_WAIT_MS, and some milliseconds.
 */
#ifndef CHRONQ_JET_H
#define CHRONQ_JET_H

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/stream.h"

#define JET_WAIT_MS 3000
#define JET_WHY_MAX 256

struct jet_options {
	const struct stream_url *url;
	const char *creds, *tls_ca, *cert, *key; /* files; NULL: none */
	const char *name; /* of the program, for the servers' lists of connections */
	/* Called by threads of libnats after each change of jet_state(); NULL: no call.  It must not call into the jet. */
	void (*event)(void *arg);
	void *event_arg;
};

struct jet;

/*
 * Connects.  All strings of the options have to stay until jet_close().
 *   -EAGAIN   no server answers now
 *   -EACCES   the servers refuse this user
 *   -EPROTO   no agreement about TLS
 *   others    a file of the options cannot be read: no later call can succeed
 * why: text for people, printable, without passwords; only after an error.
 */
int jet_open(const struct jet_options *options, struct jet **ret_jet, char why[JET_WHY_MAX]);
void jet_close(struct jet *jet);

natsConnection *jet_connection(struct jet *jet);
jsCtx *jet_js(struct jet *jet);
/* Ends a subscription on this connection; NULL: does nothing. */
void jet_unsubscribe(natsConnection *nc, natsSubscription *subscription);

/* Why the last call on this jet failed, or what the servers have refused since.  Printable, without passwords; valid
 * until the next call on this jet. */
const char *jet_why(struct jet *jet);

struct jet_state {
	bool connected;
	bool closed; /* for good, as the servers have refused this user: jet_close(), and jet_open() again */
	unsigned
		losses; /* how often the connection was lost: publishes and subscriptions of before may be lost */
	unsigned denials; /* how often the servers have said that this user may not do something */
};
void jet_state(struct jet *jet, struct jet_state *ret_state);

struct jet_info {
	char description[STREAM_ABOUT_MAX]; /* cut off, if it is longer */
	uint64_t first_sequence, last_sequence, messages, bytes;
	int replicas;
	int64_t max_payload; /* of a message: the server's limit, or the stream's where that is less */
	unsigned server_version[3]; /* of the server that we are connected to; 0.0.0: unknown */
};
/*
 *   -ENOENT    no such stream
 *   -EAGAIN    no leader, no quorum, no connection, no answer in time
 *   -EACCES    this user may not ask
 *   -ENOTCONN  the connection is closed for good (jet_state())
 *   -EPROTO    the servers refuse for another reason
 */
int jet_info(struct jet *jet, struct jet_info *ret_info);

struct jet_create {
	const char *description;
	int replicas;
	int64_t max_bytes; /* 0: no limit, as in the others */
	int64_t max_age_ns;
	int64_t max_message;
};
/* A stream in files with the one subject jet_subject(), which refuses deletions, purges, and messages that find it full.
 * Errors as jet_info(), and -EEXIST: there is one of that name with another configuration. */
int jet_create(struct jet *jet, const struct jet_create *create);
const char *jet_subject(const struct jet *jet); /* "chronq.STREAM" */

/* Errors as jet_info(); -ENOENT: this message has expired, or there was none.  natsMsg_Destroy() frees it. */
int jet_message(struct jet *jet, uint64_t sequence, natsMsg **ret_message);

/* ---- server_version.c ---- */

/* The version that the server at HOST:PORT (a URL, perhaps) tells each new connection, before TLS begins.
 * False: it told none within a second or two. */
bool jet_server_version(const char *url, unsigned ret_version[3]);

#endif
