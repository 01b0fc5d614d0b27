/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h */
#include "messages/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "os/fault.h"

#define CODE_SIZE sizeof "\\x00" /* as long as the longest character, of four bytes */

/* The length of the UTF-8 character at `text`, and its code point; 0: these bytes are no character. */
static size_t take_character(const char *text, uint32_t *ret_code)
{
	const uint8_t *bytes = (const uint8_t *)text;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code = bytes[0];
	size_t length = 1;

	if (code >= 0x80) {
		length = code >= 0xF0 ? 4 : code >= 0xE0 ? 3 : 2;
		if (code < 0xC0 || code >= 0xF8)
			return 0;
		code &= 0x7FU >> length;
		for (size_t i = 1; i < length; i++) {
			if ((bytes[i] & 0xC0) != 0x80) /* also at the end of the text */
				return 0;
			code = code << 6 | (bytes[i] & 0x3F);
		}
		if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
			return 0;
	}
	*ret_code = code;
	return length;
}

/* Not a control character.  The last two ranges change the direction of the text around them, so that one
 * name can look like another. */
static bool is_shown(uint32_t code)
{
	return code >= ' ' && !(code >= 0x7F && code < 0xA0) &&
	       !(code >= 0x2028 && code <= 0x202E) && !(code >= 0x2066 && code <= 0x2069);
}

void cq_printable(char *to, size_t size, const char *from)
{
	uint32_t code = 0;
	size_t n = 0, length;
	bool shown;

	while (*from != '\0' && size - n >= CODE_SIZE) {
		length = take_character(from, &code);
		shown = length > 0 && (is_shown(code) || cq_planted("messages_raw"));
		if (shown) {
			memcpy(to + n, from, length);
			n += length;
			from += length;
			continue;
		}
		n += (size_t)snprintf(to + n, size - n, "\\x%02x", (unsigned)(uint8_t)*from);
		from++;
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
	cq_printable(line, sizeof line, text);
	config->log(config->log_arg, level, line);
}
