/* SPDX-License-Identifier: Apache-2.0 */
/* time.h - points in time on a command line, as journalctl(1) takes them (systemd.time(7)) */
#ifndef CHRONQ_TIME_H
#define CHRONQ_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* A local time that comes twice, as when summer time ends, means its first or its second occurrence. */
enum cli_twice { CLI_TWICE_FIRST, CLI_TWICE_SECOND };

/*
 * Parses a point in time.  now_ns is the present.  Returns NULL with *ret_ns, or why the text is refused, a
 * constant text.
 *
 *   2026-11-30 10:00:00.5    also without the fraction, the seconds, the time of day (midnight), or the date
 *   2026-11-30T10:00:00Z     (today); T in place of the blank.  Behind it a time zone: Z, UTC, +01:00, +0100, +01,
 *                            CET (if it is one of the local zone's names), Europe/Berlin; default: local time.
 *                            A day of the week before it must be the right one.
 *   today yesterday tomorrow midnight; a time zone may follow
 *   now
 *   -10min, 10 min ago       before now; +10min, 10 min left: after now.  Several: 1h 30min
 *   @1234567890.5            seconds since 1970
 *
 * A second 60 (a leap second) is the first one of the next minute: the queue's clock has no leap seconds.  A
 * local time that does not come, as when summer time begins, is taken as if the clock had not been put
 * forward.
 */
const char *cli_parse_time(const char *text, uint64_t now_ns, enum cli_twice twice,
                           uint64_t *ret_ns);

/* What to add to a message that quotes a text which cli_parse_time() has refused for this reason: examples for one
 * that is no time at all, or nothing. */
const char *cli_time_examples(const char *fault);

/* CLOCK_REALTIME; 0 before 1970. */
uint64_t cli_now_ns(void);

#endif
