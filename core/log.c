/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#define CODE_SIZE sizeof "\\x00"

void cq_log_printable(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from != '\0' && size - n >= CODE_SIZE; from++) {
		const unsigned char c = (unsigned char)*from;

		if (c >= ' ' && c < 0x7F)
			to[n++] = *from;
		else
			n += (size_t)snprintf(to + n, size - n, "\\x%02x", c);
	}
	to[n] = '\0';
}

void cq_log(const struct cq_config *config, enum cq_level level, const char *format, ...)
{
	char text[512], line[2 * sizeof text];
	va_list args;

	if (!config->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	cq_log_printable(line, sizeof line, text);
	config->log(config->log_arg, level, line);
}
