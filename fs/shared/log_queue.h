/* SPDX-License-Identifier: Apache-2.0 */
/* log_queue.h - messages on their way to stderr or syslog; nobody waits for them */
#ifndef CHRONFS_LOG_QUEUE_H
#define CHRONFS_LOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define CHRONFS_LOG_BYTES (1U << 20) /* of messages that wait to be written */
#define CHRONFS_LOG_WAIT_S 2         /* the most that anybody waits for what is stuck */

/*
 * A line is what goes to stderr: this prefix, the message, a newline.  syslog gets the message alone.
 * Priorities are those of syslog(3); CHRONFS_LOG_RAW is any piece of text, for stderr wherever messages go.
 */
#define CHRONFS_LOG_PREFIX "chronfs: "
#define CHRONFS_LOG_RAW (-1)

struct chronfs_log_queue;

/* Starts the thread that writes.  Signals that others wait for have to be blocked.  Errors: ENOMEM,
 * EAGAIN (no thread). */
int chronfs_log_queue_start(struct chronfs_log_queue **ret_log);

/* Takes one line and returns at once.  Any thread. */
void chronfs_log_queue_put(struct chronfs_log_queue *log, int priority, const char *line);

/* From now on messages go to syslog: nobody reads our stderr any more.  What was put before has been
 * written to stderr, unless that is stuck.  log NULL: nobody has put anything. */
void chronfs_log_queue_to_syslog(struct chronfs_log_queue *log);

/* Writes what was put, and ends the thread; a thread that is stuck is left to the end of the process. */
void chronfs_log_queue_stop(struct chronfs_log_queue *log);

/* Writes one line now, and waits for whoever reads it. */
void chronfs_log_write_line(bool use_syslog, int priority, const char *line);

#endif
