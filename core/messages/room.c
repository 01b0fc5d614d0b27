/* SPDX-License-Identifier: Apache-2.0 */
/* room.c - see room.h */
#include "messages/room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "messages/log.h"

void cq_size_text(char text[CQ_SIZE_TEXT], uint64_t bytes)
{
	if (bytes > 0 && bytes % (1 << 20) == 0)
		snprintf(text, CQ_SIZE_TEXT, "%" PRIu64 " MiB", bytes >> 20);
	else if (bytes > 0 && bytes % (1 << 10) == 0)
		snprintf(text, CQ_SIZE_TEXT, "%" PRIu64 " KiB", bytes >> 10);
	else
		snprintf(text, CQ_SIZE_TEXT, "%" PRIu64 " bytes", bytes);
}

bool cq_room_lacks(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

/* How much room there is of the kind that the error is about; false: unknown. */
static bool measure(int error, int dirfd, uint64_t *ret_bytes)
{
	struct statvfs fs;
	struct rlimit limit;

	if (error == -ENOSPC &&
	    fstatvfs(dirfd, &fs) == 0) /* GCOV_EXCL_BR_LINE: of an open directory */
		*ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	else if (error == -EFBIG &&
	         getrlimit(RLIMIT_FSIZE, &limit) == 0) /* GCOV_EXCL_BR_LINE: it cannot fail */
		*ret_bytes = limit.rlim_cur;
	else
		return false;
	return true;
}

void cq_room_log(const struct cq_config *config, enum cq_level level, const char *what, int error,
                 int dirfd, uint64_t segment_size)
{
	const char *why = strerrordesc_np(-error);
	char needed[CQ_SIZE_TEXT], there[CQ_SIZE_TEXT];
	uint64_t bytes;

	cq_size_text(needed, segment_size);
	if (!cq_room_lacks(error)) {
		cq_log(config, level, "%s: %s", what, why);
	} else if (!measure(error, dirfd, &bytes)) {
		cq_log(config, level, "%s: %s; a segment file takes %s (segment_size)", what, why,
		       needed);
	} else {
		cq_size_text(there, bytes);
		cq_log(config, level, "%s: %s; a segment file takes %s (segment_size), %s %s", what,
		       why, needed, there,
		       error == -EFBIG ? "are allowed (RLIMIT_FSIZE, ulimit -f)" : "are free");
	}
}

/* A rule that keeps `segments` segments deletes some before the limit is reached. */
static bool makes_room(const struct cq_config *config, uint64_t segments, uint64_t segment_size)
{
	return segments != 0 && segments < config->max_bytes / segment_size;
}

void cq_room_check(const struct cq_config *config, uint64_t segment_size)
{
	const uint64_t limit = config->max_bytes;
	char text[CQ_SIZE_TEXT];

	if (limit == 0 || config->retain_age_ms != 0 ||
	    (config->retain_bytes == 0 && config->retain_segments == 0) ||
	    (config->retain_bytes != 0 && config->retain_bytes < limit) ||
	    makes_room(config, config->retain_segments, segment_size))
		return;
	cq_size_text(text, limit);
	cq_log(config, CQ_WARNING,
	       "retention never deletes a segment: max_bytes of %s is reached before %s", text,
	       config->retain_bytes != 0 ? "retain_bytes is" : "retain_segments is");
}
