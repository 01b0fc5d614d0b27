/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locate.h - finds the message of a stream at which a replica continues.  Pure.
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

#endif
