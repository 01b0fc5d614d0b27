/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - fuzzing target: the parser of writes to ctl
 *
 * Input: the bytes of one write.  Compared with a reference that parses them in another way: by words, the
 * number as a text without its leading zeros.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append/ctl.h"
#include "chronfs.h"
#include "fuzz.h"

#define LONGEST 64U /* a longer text, without blanks at its end, is no command */

static const char blanks[] = " \t\n";

/* Whether the text is the number. */
static bool tells(const char *digits, uint64_t number)
{
	char text[32];

	digits += strspn(digits, "0");
	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	return strcmp(digits, number == 0 ? "" : text) == 0;
}

/* Whether these digits are larger than any sequence number. */
static bool too_large(const char *digits)
{
	static const char most[] = "18446744073709551615";
	const size_t length = strlen(digits += strspn(digits, "0"));

	return length > sizeof most - 1 || (length == sizeof most - 1 && strcmp(digits, most) > 0);
}

/* The command, without blanks at its end, as a string, to be freed.  NULL: it holds a zero. */
static char *text_of(const uint8_t *data, size_t size)
{
	char *text;

	while (size > 0 && data[size - 1] != '\0' && strchr(blanks, data[size - 1]))
		size--;
	if (memchr(data, '\0', size))
		return NULL;
	text = strndup((const char *)data, size);
	HELD_CHECK(text != NULL);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* a copy of exactly this size: a sanitizer sees reads behind it */
	char *copy = malloc(size > 0 ? size : 1), *text, *number = NULL;
	const uint64_t untouched = 0x0123456789ABCDEF;
	enum chronfs_ctl_command verb = CHRONFS_CTL_ROLL;
	uint64_t seq = untouched;
	bool sense;

	HELD_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	sense = chronfs_ctl_parse(copy, size, &verb, &seq);
	text = text_of((const uint8_t *)copy, size);
	if (text && strlen(text) <= LONGEST && strncmp(text, "trim", 4) == 0 &&
	    strspn(text + 4, blanks) > 0)
		number = text + 4 + strspn(text + 4, blanks);
	if (number && number[0] != '\0' && number[strspn(number, "0123456789")] == '\0' &&
	    !too_large(number)) {
		HELD_CHECK(sense && verb == CHRONFS_CTL_TRIM && tells(number, seq));
	} else if (text && (strcmp(text, "roll") == 0 || strcmp(text, "sync") == 0)) {
		HELD_CHECK(sense && verb == (text[0] == 'r' ? CHRONFS_CTL_ROLL : CHRONFS_CTL_SYNC));
	} else {
		HELD_CHECK(!sense && seq == untouched);
	}
	free(text);
	free(copy);
	return 0;
}
