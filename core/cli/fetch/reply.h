/* SPDX-License-Identifier: Apache-2.0 */
/* reply.h - what a server says of a message of a stream in its reply subject.  Pure. */
#ifndef CHRONQ_FETCH_REPLY_H
#define CHRONQ_FETCH_REPLY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * "$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.NUMBER.TIME.PENDING"; later servers may have "DOMAIN.ACCOUNT." before
 * STREAM, and a random word at the end.  number: how many messages this consumer got, with this one; pending: how many
 * there were behind it.  False: it is no such subject.
 */
bool fetch_reply_parse(const char *reply, uint64_t *ret_sequence, uint64_t *ret_number,
                       uint64_t *ret_pending);

#endif
