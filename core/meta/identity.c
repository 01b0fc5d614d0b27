/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c - identity.meta; see identity.h */
#include "meta/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "format/format.h"
#include "format/record.h"
#include "os/fault.h"
#include "os/io.h"

bool cq_identity_is_none(const uint8_t id[CQ_IDENTITY_SIZE])
{
	static const uint8_t none[CQ_IDENTITY_SIZE];

	return memcmp(id, none, sizeof none) == 0;
}

void cq_identity_print(char text[CQ_IDENTITY_TEXT], const uint8_t id[CQ_IDENTITY_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < CQ_IDENTITY_SIZE; i++) {
		text[2 * i] = digits[id[i] >> 4];
		text[2 * i + 1] = digits[id[i] & 15];
	}
	text[CQ_IDENTITY_TEXT - 1] = '\0';
}

static uint32_t file_crc(const struct cq_identity_file *file)
{
	return cq_crc32(0, file, offsetof(struct cq_identity_file, crc));
}

static bool is_valid(const struct cq_identity_file *file)
{
	return file->magic == CQ_IDENTITY_MAGIC && file->version == CQ_IDENTITY_VERSION &&
	       file->crc == file_crc(file) && file->settled <= 1 && !cq_identity_is_none(file->id);
}

int cq_identity_read(int dirfd, struct cq_identity *ret_identity)
{
	struct cq_identity_file file;
	ssize_t n;
	int fd, r;

	r = cq_io_open(dirfd, CQ_IDENTITY_NAME, O_RDONLY, &fd);
	if (r < 0)
		return r == -ELOOP ? -EBADMSG : r;
	n = cq_io_pread(fd, &file, sizeof file, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	if (n < (ssize_t)sizeof file || !is_valid(&file))
		return -EBADMSG;
	memcpy(ret_identity->id, file.id, sizeof file.id);
	memcpy(ret_identity->source, file.source, sizeof file.source);
	ret_identity->settled = file.settled != 0;
	return 0;
}

/* Names a complete file, which is on the disk before that, and the name after it. */
static int store(int dirfd, const struct cq_identity_file *file, bool replace)
{
	int fd, r;

	r = cq_io_create_new(dirfd, CQ_IDENTITY_TEMP, 0640, &fd);
	if (r == -EEXIST) { /* a killed promotion's */
		r = cq_io_unlink(dirfd, CQ_IDENTITY_TEMP);
		if (r == 0)
			r = cq_io_create_new(dirfd, CQ_IDENTITY_TEMP, 0640, &fd);
	}
	if (r < 0)
		return r;
	r = cq_io_pwrite(fd, file, sizeof *file, 0);
	if (r == 0)
		r = cq_io_sync_data(fd);
	close(fd);
	cq_point("identity.written");
	if (r == 0)
		r = replace ? cq_io_rename(dirfd, CQ_IDENTITY_TEMP, CQ_IDENTITY_NAME)
		            : cq_io_rename_noreplace(dirfd, CQ_IDENTITY_TEMP, CQ_IDENTITY_NAME);
	if (r < 0) {
		(void)cq_io_unlink(dirfd, CQ_IDENTITY_TEMP);
		return r;
	}
	cq_point("identity.named");
	return cq_planted("identity_unsynced") ? 0 : cq_io_sync_dir(dirfd);
}

static int mark_settled(int dirfd)
{
	const uint32_t settled = 1;
	int fd, r;

	r = cq_io_open(dirfd, CQ_IDENTITY_NAME, O_RDWR, &fd);
	if (r < 0)
		return r;
	r = cq_io_pwrite(fd, &settled, sizeof settled, offsetof(struct cq_identity_file, settled));
	close(fd);
	cq_point("identity.settled");
	return r;
}

int cq_identity_settle(int dirfd)
{
	const int r = cq_io_sync_dir(dirfd);

	return r < 0 ? r : mark_settled(dirfd);
}

int cq_identity_make(int dirfd, const uint8_t source[CQ_IDENTITY_SIZE], bool replace)
{
	struct cq_identity_file file = { .magic = CQ_IDENTITY_MAGIC,
		                         .version = CQ_IDENTITY_VERSION };
	int r;

	r = cq_io_random(file.id, sizeof file.id);
	if (r < 0)
		return r;
	memcpy(file.source, source, sizeof file.source);
	file.crc = file_crc(&file);
	r = store(dirfd, &file, replace);
	return r < 0 ? r : mark_settled(dirfd);
}

int cq_identity_promote(int dirfd, const struct cq_identity *identity)
{
	struct cq_identity_file file = {
		.magic = CQ_IDENTITY_MAGIC,
		.version = CQ_IDENTITY_VERSION,
		.settled = 1, /* the identity has its name already */
	};

	memcpy(file.id, identity->id, sizeof file.id);
	file.crc = file_crc(&file);
	return store(dirfd, &file, true);
}
