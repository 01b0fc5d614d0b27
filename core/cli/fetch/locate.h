/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locate.h - where a message is in a stream: found by a record's number, and told by a server.  Pure.
 *
 * The replica's next number is the only cursor: which message has that record is found by bisection over the heads
 * of messages, as their numbers ascend.  Messages at the beginning may expire meanwhile, and some may be
 * unreadable; the place that is found has no record of interest before it in any case.
 */
#ifndef CHRONQ_FETCH_LOCATE_H
#define CHRONQ_FETCH_LOCATE_H

#include "wire/wire.h"

/* Reads the head of one message.  -ENOENT: it is not there (any more); -EBADMSG, -EPROTONOSUPPORT: it has no sound
 * head; any other error ends the search. */
typedef int (*locate_probe_fn)(void *arg, uint64_t sequence, struct wire_head *ret_head);

/* The message has records, or a piece of one, from `seq` on. */
bool locate_reaches(const struct wire_head *head, uint64_t seq);

/*
 * Among the messages from `first` to `last`: the first that reaches record `seq`, or last + 1 if none does.  Where
 * messages around that place cannot be read it may be an earlier one, never a later one.  guess: where to look
 * first; 0: no idea.  Returns 0 or probe's error.
 */
int locate(uint64_t seq, uint64_t first, uint64_t last, uint64_t guess, locate_probe_fn probe,
           void *arg, uint64_t *ret_sequence);

/* What a server says of a message in its reply subject:
 * "$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.NUMBER.TIME.PENDING"; later servers may have "DOMAIN.ACCOUNT." before
 * STREAM, and a random word at the end.  number: how many messages this consumer got, with this one; pending: how many
 * there were behind it.  False: it is no such subject.
 */
bool fetch_reply_parse(const char *reply, uint64_t *ret_sequence, uint64_t *ret_number,
                       uint64_t *ret_pending);

#endif
