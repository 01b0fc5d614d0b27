/* SPDX-License-Identifier: Apache-2.0 */
/*
 * promote.c - makes a replica an ordinary queue
 *
 * Under the queue's lock, so no writer appends the source's records meanwhile, and the next one finds the mark
 * or finds it gone (check/recover.c).  Nothing but identity.meta changes: the next writer recovers the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "files/trust.h"
#include "format/format.h"
#include "messages/log.h"
#include "messages/sized.h"
#include "meta/identity.h"
#include "meta/lock.h"
#include "os/io.h"

/* No link, no file of another name, of nobody who may change the queue. */
static int check_files(int dirfd, const struct cq_config *config)
{
	static const char *const names[] = { CQ_LOCK_NAME, CQ_IDENTITY_NAME };
	int r = 0;

	for (size_t i = 0; i < sizeof names / sizeof names[0] && r == 0; i++) {
		r = cq_trust_regular(dirfd, names[i], config);
		if (r == 0)
			r = cq_trust_to_write(dirfd, names[i], config);
	}
	return r;
}

/* Under the lock. */
static int remove_mark(int dirfd, const struct cq_config *config)
{
	struct cq_identity identity;
	int r = cq_identity_read(dirfd, &identity);

	if (r == -ENOENT)
		return -ENOLINK;
	if (r == -EBADMSG)
		cq_log(config, CQ_ERROR, CQ_IDENTITY_NAME " is damaged");
	if (r < 0)
		return r;
	if (cq_identity_is_none(identity.source))
		return -ENOLINK;
	if (!identity.settled)
		r = cq_identity_settle(dirfd);
	return r < 0 ? r : cq_identity_promote(dirfd, &identity);
}

static int promote(int dirfd, const struct cq_config *config)
{
	struct cq_lock lock = CQ_LOCK_NONE;
	enum cq_dir_kind kind;
	int r;

	r = cq_dir_classify(dirfd, &kind);
	if (r < 0)
		return r;
	if (kind != CQ_DIR_QUEUE)
		return kind == CQ_DIR_FOREIGN ? -ENOTEMPTY : -ENOLINK;
	r = check_files(dirfd, config);
	if (r == 0)
		r = cq_lock_acquire(dirfd, &lock);
	if (r < 0)
		return r;
	r = remove_mark(dirfd, config);
	cq_lock_release(&lock);
	return r;
}

int cq_promote(const char *dir, const struct cq_config *config)
{
	struct cq_config all;
	int dirfd, r;

	cq_config_init(&all);
	r = config ? cq_sized_take(&all, sizeof all, config) : 0;
	if (r == 0)
		r = cq_io_open_dir(AT_FDCWD, dir, &dirfd);
	if (r < 0)
		return r;
	r = promote(dirfd, &all);
	close(dirfd);
	return r;
}
