/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - messages to people, on stderr or in the system's log; see log.c */
#ifndef CHRONFS_LOG_H
#define CHRONFS_LOG_H

#include <stdbool.h>

#include "chronq.h"

struct chronfs;

/* The queue's path goes in front of the message. */
void chronfs_log(struct chronfs *fs, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void chronfs_log_from_library(void *arg, enum cq_level level,
                              const char *message); /* a cq_log_fn */
/* Writes an error of the command line to stderr, before there is a mount. */
void chronfs_print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes a line to stdout, escaped as messages are. */
void chronfs_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on libfuse's messages go the way of ours.  NULL: they go to stderr again. */
void chronfs_log_take_fuse(struct chronfs *fs);
/* Drops libfuse's messages, or no longer does.  Only while the process has one thread. */
void chronfs_log_mute_fuse(bool mute);

#endif
