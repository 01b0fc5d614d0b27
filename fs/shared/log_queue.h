/* SPDX-License-Identifier: Apache-2.0 */
/* log_queue.h - messages on their way to stderr or syslog; see log_queue.c */
#ifndef CHRONFS_LOG_QUEUE_H
#define CHRONFS_LOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define CHRONFS_LOG_BYTES (1U << 20) /* of messages that wait to be written */
#define CHRONFS_LOG_WAIT_S 2         /* the longest wait for a reader that does not read */

/*
 * A line is for stderr: this prefix, the message, a newline.  syslog gets the message alone.
 * Priorities are those of syslog(3); CHRONFS_LOG_RAW is any piece of text, which goes to stderr
 * wherever messages go.
 */
#define CHRONFS_LOG_PREFIX "chronfs: "
#define CHRONFS_LOG_RAW (-1)

struct chronfs_log_queue;

/* Starts the thread that writes.  The caller has blocked the signals that another thread waits for.
 *   ENOMEM
 *   EAGAIN  no thread */
int chronfs_log_queue_start(struct chronfs_log_queue **ret_log);

/* Takes one line and returns at once.  Any thread. */
void chronfs_log_queue_put(struct chronfs_log_queue *log, int priority, const char *line);

/* From now on messages go to syslog, since nobody reads our stderr any more.  First writes the
 * earlier ones to stderr, unless that is stuck.  log may be NULL. */
void chronfs_log_queue_to_syslog(struct chronfs_log_queue *log);

/* Writes all messages, and ends the thread.  A stuck thread ends with the process.  log may be
 * NULL. */
void chronfs_log_queue_stop(struct chronfs_log_queue *log);

/* Writes one line now; waits for its reader. */
void chronfs_log_write_line(bool use_syslog, int priority, const char *line);

#endif
