/* SPDX-License-Identifier: Apache-2.0 */
/*
 * held.h - a queue's directory held in memory, to be put on the disk again and again
 *
 * For tests that damage a small queue thousands of times.  It holds the files of the directory and of its
 * subdirectory readers/.  A failure here ends the program.
 */
#ifndef CQ_TEST_HELD_H
#define CQ_TEST_HELD_H

#include <stddef.h>
#include <stdint.h>

#define HELD_NAME_SIZE 80 /* of "readers/NAME" with its zero byte */
#define HELD_FILES 64

struct held_file {
	char name[HELD_NAME_SIZE]; /* below the directory */
	uint8_t *bytes;
	size_t size;
};

struct held {
	struct held_file files[HELD_FILES];
	size_t count;
};

/* If the condition does not hold, prints it and ends the program as a crash does. */
#define HELD_CHECK(condition) ((condition) ? (void)0 : held_fail(#condition, __FILE__, __LINE__))
void held_fail(const char *what, const char *file, int line) __attribute__((noreturn));

void held_load(struct held *held, const char *dir);
void held_free(struct held *held);

/* Holds a copy of these bytes under this name; replaces a file of the same name. */
void held_set(struct held *held, const char *name, const void *bytes, size_t size);
void held_drop(struct held *held, const char *name);
struct held_file *held_find(struct held *held, const char *name);

/* Makes the directory contain exactly these files, with these bytes. */
void held_put(const struct held *held, const char *dir);

#endif
