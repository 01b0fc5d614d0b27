/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

void cq_log(const struct cq_config *config, enum cq_level level, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!config->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	config->log(config->log_arg, level, text);
}
