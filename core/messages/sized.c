/* SPDX-License-Identifier: Apache-2.0 */
/* sized.c - see sized.h */
#include "messages/sized.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define LARGEST 4096U /* a larger size comes from memory that was never set */

static size_t size_of(const void *given)
{
	size_t size;

	memcpy(&size, given, sizeof size);
	return size;
}

static size_t smaller(size_t one, size_t other)
{
	return one < other ? one : other;
}

int cq_sized_check(const void *given)
{
	size_t size = size_of(given);

	return size > sizeof size && size <= LARGEST ? 0 : -EINVAL;
}

int cq_sized_take(void *ours, size_t known, const void *given)
{
	size_t size = size_of(given);

	if (cq_sized_check(given) < 0)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (((const uint8_t *)given)[i] != 0)
			return -EINVAL;
	memcpy((uint8_t *)ours + sizeof size, (const uint8_t *)given + sizeof size,
	       smaller(size, known) - sizeof size);
	return 0;
}

void cq_sized_give(void *ret, const void *ours, size_t known)
{
	size_t size = size_of(ret);

	memcpy((uint8_t *)ret + sizeof size, (const uint8_t *)ours + sizeof size,
	       smaller(size, known) - sizeof size);
	if (size > known)
		memset((uint8_t *)ret + known, 0, size - known);
}
