/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - what is said about a stream of the servers: its URL, its description, replies to publishes.  Pure.
 *
 * URL: nats://[user:password@]host[:port],host[:port].../STREAM; tls:// in place of nats:// asks for TLS.  User and
 * password hold for all hosts; characters of them that have a meaning in a URL are written as %XX.  An IPv6 address
 * is in brackets.
 *
 * A stream's description says which queue it belongs to:
 *   "chronq/1 identity=HEX32 format=record|frames first=N segment=BYTES [frame=BYTES] [message=BYTES]"
 * (the description, not the metadata: servers before 2.10 and libnats before 3.7 have no metadata).  Fields come in
 * any order; fields with other names are ignored.
 *
 * frame and message say where messages end.  They belong to the stream, not to a run of ship: publishes of a process
 * that was killed, or of another host that ships a copy of the queue, may come to the stream after those of this one.
 * What expects the same place of the stream must then have the same records, or some would be lost between.
 */
#ifndef CHRONQ_STREAM_H
#define CHRONQ_STREAM_H

#include <chronq.h>
#include <stddef.h>
#include <stdint.h>

enum stream_format { STREAM_FRAMES, STREAM_RECORDS };

struct stream_about {
	uint8_t identity[CQ_IDENTITY_SIZE]; /* of the queue */
	enum stream_format format;
	uint64_t first;        /* number of the first record that the stream was made for */
	uint64_t segment_size; /* of the queue, in bytes */
	uint64_t
		frame_size; /* bytes of a frame's body, if it has more than one record, at most; 0: not said */
	uint64_t
		message_size; /* bytes of a message's body, at most: larger records are sent in parts; 0: not said */
};

#define STREAM_ABOUT_MAX 240
/* Stores the description, with its terminator. */
void stream_about_put(char text[STREAM_ABOUT_MAX], const struct stream_about *about);
/* -EBADMSG: not such a description; -EPROTONOSUPPORT: of a later version. */
int stream_about_get(const char *text, struct stream_about *ret_about);

#define STREAM_NAME_MAX 64
#define STREAM_SERVERS_MAX 16

struct stream_url {
	char *servers
		[STREAM_SERVERS_MAX]; /* each a URL for libnats: "nats://user:password@host:port" */
	int count;
	char name[STREAM_NAME_MAX + 1]; /* of the stream: letters, digits, - and _ */
	char *storage;                  /* of the above */
};

/* -EINVAL: *ret_why is constant text for people, without anything of the URL; -ENOMEM. */
int stream_url_parse(const char *text, struct stream_url *ret_url, const char **ret_why);
/* Overwrites the passwords, and frees.  The structure is all zero then; again is harmless. */
void stream_url_free(struct stream_url *url);

/* What the reply to a publish says. */
enum stream_answer {
	STREAM_STORED,     /* sequence is valid */
	STREAM_WRONG_LAST, /* the stream's last sequence is another one */
	STREAM_FULL,       /* the stream, the account's or the server's storage: wait, and say so */
	STREAM_DENIED,     /* permissions */
	STREAM_NO_STREAM, /* no such stream; or nobody answers for it, as without a leader: ask for it to know */
	STREAM_TOO_LARGE,   /* the message is larger than the stream or the server takes */
	STREAM_UNAVAILABLE, /* no leader, no quorum, no suitable peers, timeouts: try again */
	STREAM_REFUSED,     /* any other error */
};

struct stream_reply {
	enum stream_answer answer;
	uint64_t sequence;                /* STREAM_STORED: of the message; else 0 */
	int code;                         /* of the error; STREAM_STORED: 0 */
	char stream[STREAM_NAME_MAX + 1]; /* STREAM_STORED: where; cut off, if it is longer */
	char text[120];                   /* of the error, printable; STREAM_STORED: empty */
};

/* What an error of JetStream asks for.  error: its err_code (10000 and above), or 0; status: its code (404, 503). */
enum stream_answer stream_answer_of(int error, int status);
/* The body of a reply (JSON).  An empty one is that of "503 No Responders".  -EBADMSG: no such thing. */
int stream_reply_parse(const char *body, size_t size, struct stream_reply *ret_reply);

#endif
