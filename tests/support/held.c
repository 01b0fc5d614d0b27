/* SPDX-License-Identifier: Apache-2.0 */
/* held.c - a queue's directory held in memory; see held.h */
#include "held.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READERS "readers"

void held_fail(const char *what, const char *file, int line)
{
	(void)fprintf(stderr, "%s:%d: %s does not hold (errno %d: %s)\n", file, line, what, errno,
	              strerror(errno));
	abort();
}

struct held_file *held_find(struct held *held, const char *name)
{
	for (size_t i = 0; i < held->count; i++)
		if (strcmp(held->files[i].name, name) == 0)
			return &held->files[i];
	return NULL;
}

void held_set(struct held *held, const char *name, const void *bytes, size_t size)
{
	struct held_file *file = held_find(held, name);
	uint8_t *copy = malloc(size + 1);

	HELD_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, bytes, size);
	if (!file) {
		HELD_CHECK(held->count < HELD_FILES && strlen(name) < HELD_NAME_SIZE);
		file = &held->files[held->count++];
		*file = (struct held_file){ .bytes = NULL };
		memcpy(file->name, name, strlen(name) + 1);
	}
	free(file->bytes);
	file->bytes = copy;
	file->size = size;
}

void held_drop(struct held *held, const char *name)
{
	struct held_file *file = held_find(held, name);

	if (!file)
		return;
	free(file->bytes);
	*file = held->files[--held->count];
}

void held_free(struct held *held)
{
	for (size_t i = 0; i < held->count; i++)
		free(held->files[i].bytes);
	held->count = 0;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *open_stream(int dirfd)
{
	DIR *stream = fdopendir(dirfd);

	HELD_CHECK(stream != NULL);
	return stream;
}

static void load_file(struct held *held, int dirfd, const char *file, const char *name)
{
	struct stat st;
	uint8_t *bytes;
	int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	HELD_CHECK(fd >= 0);
	HELD_CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
	bytes = malloc((size_t)st.st_size + 1);
	HELD_CHECK(bytes != NULL);
	HELD_CHECK(read(fd, bytes, (size_t)st.st_size) == st.st_size);
	(void)close(fd);
	held_set(held, name, bytes, (size_t)st.st_size);
	free(bytes);
}

static void load_all(struct held *held, int dirfd, const char *prefix)
{
	DIR *stream = open_stream(dirfd);
	char name[HELD_NAME_SIZE + 256];
	struct dirent *entry;
	struct stat st;

	while ((entry = readdir(stream))) {
		if (is_dot(entry->d_name))
			continue;
		HELD_CHECK(fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		if (S_ISDIR(st.st_mode)) {
			HELD_CHECK(*prefix == '\0' && strcmp(entry->d_name, READERS) == 0);
			load_all(held, openat(dirfd, READERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			         READERS "/");
			continue;
		}
		(void)snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
		load_file(held, dirfd, entry->d_name, name);
	}
	(void)closedir(stream);
}

void held_load(struct held *held, const char *dir)
{
	held->count = 0;
	load_all(held, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "");
}

static bool is_held(const struct held *held, const char *name)
{
	for (size_t i = 0; i < held->count; i++)
		if (strcmp(held->files[i].name, name) == 0)
			return true;
	return false;
}

/* Removes what is not held; takes dirfd over. */
static void remove_others(const struct held *held, int dirfd, const char *prefix)
{
	DIR *stream = open_stream(dirfd);
	char name[HELD_NAME_SIZE + 256];
	struct dirent *entry;
	int sub;

	while ((entry = readdir(stream))) {
		if (is_dot(entry->d_name))
			continue;
		(void)snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
		if (is_held(held, name) || unlinkat(dirfd, entry->d_name, 0) == 0)
			continue;
		HELD_CHECK(*prefix == '\0' && strcmp(entry->d_name, READERS) == 0);
		sub = openat(dirfd, READERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		HELD_CHECK(sub >= 0);
		remove_others(held, sub, READERS "/");
		(void)unlinkat(dirfd, READERS, AT_REMOVEDIR);
	}
	(void)closedir(stream);
}

void held_put(const struct held *held, const char *dir)
{
	int fd, dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	HELD_CHECK(dirfd >= 0);
	remove_others(held, dup(dirfd), "");
	for (size_t i = 0; i < held->count; i++) {
		const struct held_file *file = &held->files[i];
		const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;

		fd = openat(dirfd, file->name, flags, 0640);
		if (fd < 0 && errno == ENOENT) {
			HELD_CHECK(mkdirat(dirfd, READERS, 0750) == 0);
			fd = openat(dirfd, file->name, flags, 0640);
		}
		HELD_CHECK(fd >= 0);
		if (file->size > 0)
			HELD_CHECK(pwrite(fd, file->bytes, file->size, 0) == (ssize_t)file->size);
		HELD_CHECK(ftruncate(fd, (off_t)file->size) == 0);
		(void)close(fd);
	}
	(void)close(dirfd);
}
