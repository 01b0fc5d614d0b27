/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - messages to people, on stderr or in the log of the system */
#ifndef CHRONFS_LOG_H
#define CHRONFS_LOG_H

#include <stdbool.h>

#include "chronq.h"

struct chronfs;

void chronfs_log(struct chronfs *fs, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void chronfs_log_from_library(void *arg, enum cq_level level,
                              const char *message); /* a cq_log_fn */
/* The same before there is a mount: of the command line. */
void chronfs_print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line on stdout, escaped as they are. */
void chronfs_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on libfuse's messages take the same way as ours.  NULL: no more. */
void chronfs_log_take_fuse(struct chronfs *fs);
/* Libfuse's messages are left out, or not any more.  While there is one thread. */
void chronfs_log_mute_fuse(bool quiet);

#endif
