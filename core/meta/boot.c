/* SPDX-License-Identifier: Apache-2.0 */
/* boot.c - which boot of the machine this is; see boot.h */
#include "meta/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "os/io.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = memchr(digits, c, sizeof digits - 1);

	return at ? (int)(at - digits) : -1;
}

/* 32 digits, with hyphens between some of them. */
static bool parse(const char *text, size_t length, uint8_t id[CQ_BOOT_ID_SIZE])
{
	unsigned count = 0;

	for (size_t i = 0; i < length && count < 2 * CQ_BOOT_ID_SIZE; i++) {
		int value = digit(text[i]);

		if (text[i] == '-')
			continue;
		if (value < 0)
			return false;
		id[count / 2] = (uint8_t)(id[count / 2] << 4 | value);
		count++;
	}
	return count == 2 * CQ_BOOT_ID_SIZE;
}

int cq_boot_id(uint8_t ret_id[CQ_BOOT_ID_SIZE])
{
	uint8_t id[CQ_BOOT_ID_SIZE] = { 0 };
	char text[64];
	ssize_t n;
	int fd, r;

	r = cq_io_open(AT_FDCWD, BOOT_ID_FILE, O_RDONLY, &fd);
	n = r;
	if (r == 0) {
		n = cq_io_pread(fd, text, sizeof text, 0);
		close(fd);
	}
	if (n == -EMFILE || n == -ENFILE || n == -ENOMEM)
		return (int)n;
	if (n < 0 || !parse(text, (size_t)n, id))
		memset(id, 0, sizeof id);
	memcpy(ret_id, id, sizeof id);
	return 0;
}
