/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what a person should know goes to the caller's callback; the library never prints
 *
 * Whatever is in the arguments, a message is one line that no terminal obeys: cq_printable().
 */
#ifndef CQ_LOG_H
#define CQ_LOG_H

#include "chronq.h"

void cq_log(const struct cq_config *config, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
