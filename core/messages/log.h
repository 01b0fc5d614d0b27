/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - messages for people, for the caller's callback; the library never prints
 *
 * Each message is one printable line, whatever its arguments contain: cq_printable().
 */
#ifndef CQ_LOG_H
#define CQ_LOG_H

#include "chronq.h"

void cq_log(const struct cq_config *config, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
