/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what a person should know goes to the caller's callback; the library never prints
 *
 * Whatever is in the arguments, a message is one line of printable ASCII: other bytes become \xNN.
 */
#ifndef CQ_LOG_H
#define CQ_LOG_H

#include <stddef.h>

#include "chronq.h"

void cq_log(const struct cq_config *config, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same of any text for people: what files are called is up to strangers, and a terminal shall not
 * obey it.  Cut where it does not fit. */
void cq_log_printable(char *to, size_t size, const char *from);

#endif
