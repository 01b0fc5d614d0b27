/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.c - the list of segments in durable.meta; see listing.h
 *
 * Invariant: a record that holds gives the same ids, and the same answer about temp names, as reading the
 * directory would.  So recovery decides by it what it would decide by the directory, and no verdict is later
 * or weaker: nothing but the place of the list is different.
 *
 * Proof.  Each change of names in a directory sets the directory's time of change (ctime) to the time of the
 * kernel's last tick, or a later one, under the lock that a reading of the directory takes, too.  No call sets
 * a ctime to a value of its own, as utimensat() does with the other times.
 *   A record is made only if the ctime, taken before the directory is read, is older than the last tick was
 *   then.  So each change that the reading does not show gets a later ctime.  (A directory that has just
 *   changed gets no record.)
 *   A whole second as ctime may be all that the file system stores, so such a directory gets no record.
 *   After a step of the clock backwards a change gets an equal ctime only if it comes in a tick that has the
 *   same nanosecond.
 * No change needs to invalidate the record first: a directory that has changed has another ctime, whoever
 * changed it (a user, chronicle-rs, a version of this library that knows no record), and whether the record's
 * bytes were written before or after.
 *
 *   Copied, restored, unpacked: another inode or device; and where the number is used again, another ctime.
 *   Moved: a rename sets the ctime of what is renamed, too.
 *   Power cut, snapshot: the record holds only in the boot in which it was made, so what a disk keeps of a
 *   directory does not matter.  Where a disk goes back to an earlier state under a running machine, the
 *   journal brings back names and ctime together (durability.md, "File systems").
 *   File systems other than those with a known way of doing this get no record: a network's may show an old
 *   ctime, overlay that of one of its layers.
 *   Kill: one pwrite() stores the record, and its checksum shows a half of it.
 *
 * What recovery takes from the list, and so needs the whole of it:
 *   the oldest and the newest file give the segment size; segments behind the watermark's are read, and those
 *   behind a hole set aside, or are a loss; segments missing just below the watermark, with the one that it
 *   names, are a loss; an open segment before a watermark that is behind all segments is a loss, or lacks its
 *   seal; the number of files counts for max_bytes; holes are reported; the oldest id is where retention and
 *   streams begin; temp names are swept, and a directory among them refuses the open.
 * None of these may come after the open: all but the last three decide whether it is refused, and then nothing
 * may have changed.  Trying names one by one shows none of them for certain, for a name behind a hole would not
 * be tried.
 *
 * A name that fsck has removed without a change of the ctime is the one thing that the time does not show.
 * Recovery looks at each segment from the watermark on, and at the oldest one: if one of these is missing, it
 * reads the directory after all (inspect.c).
 *
 * Only lists without a hole are stored; they are two numbers.  Where ids are missing, the next open reads the
 * directory, and its messages name them.
 */
#include "files/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chronq.h"
#include "files/dir.h"
#include "files/fs_probe.h"
#include "format/record.h"
#include "meta/boot.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

#define SECOND_NS 1000000000U
/* Two ticks of the slowest clock: the times of files may lag behind the clock by one. */
#define SETTLED_NS 20000000U

static uint32_t record_crc(const struct cq_listing_record *record)
{
	return cq_crc32(0, record, offsetof(struct cq_listing_record, crc));
}

static uint64_t nanoseconds(struct timespec t)
{
	return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* The fields that say which directory it is, and in which state.  False: that cannot be said. */
static bool identify(int dirfd, const uint8_t boot_id[CQ_BOOT_ID_SIZE],
                     struct cq_listing_record *record)
{
	static const uint8_t unknown[CQ_BOOT_ID_SIZE];
	struct stat st;

	if (memcmp(boot_id, unknown, sizeof unknown) == 0 || !cq_fs_is_known(dirfd) ||
	    cq_io_stat(dirfd, &st) < 0)
		return false;
	memset(record, 0, sizeof *record);
	memcpy(record->boot_id, boot_id, sizeof record->boot_id);
	record->device = st.st_dev;
	record->inode = st.st_ino;
	record->changed_ns = nanoseconds(st.st_ctim);
	return record->changed_ns % SECOND_NS != 0;
}

/* `now` comes from identify(). */
static bool holds(const struct cq_listing_record *record, const struct cq_listing_record *now)
{
	return record->crc == record_crc(record) && record->oldest <= record->newest &&
	       record->newest <= CQ_SEGMENT_ID_MAX &&
	       memcmp(record->boot_id, now->boot_id, sizeof now->boot_id) == 0 &&
	       record->device == now->device && record->inode == now->inode &&
	       (record->changed_ns == now->changed_ns || cq_planted("listing_time_unchecked"));
}

bool cq_listing_holds(int dirfd, const struct cq_listing_record *record,
                      const uint8_t boot_id[CQ_BOOT_ID_SIZE])
{
	struct cq_listing_record now;

	return record->changed_ns != 0 && identify(dirfd, boot_id, &now) && holds(record, &now);
}

int cq_listing_ids(const struct cq_listing_record *record, uint32_t **ret_ids, size_t *ret_count)
{
	const size_t count = (size_t)record->newest - record->oldest + 1;
	uint32_t *ids = malloc(count * sizeof *ids);

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		ids[i] = record->oldest + (uint32_t)i;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

/* Reads the directory.  False: its names are more than two numbers can say. */
static bool read_directory(int dirfd, struct cq_listing_record *record)
{
	uint32_t *ids;
	size_t count;
	bool temps, simple;

	if (cq_dir_list_and_temps(dirfd, &ids, &count, &temps) < 0)
		return false;
	simple = !temps && count > 0 && ids[count - 1] - ids[0] == count - 1;
	if (simple) {
		record->oldest = ids[0];
		record->newest = ids[count - 1];
	}
	free(ids);
	return simple;
}

void cq_listing_store(int dirfd, int fd)
{
	const size_t at = offsetof(struct cq_durable_file, listing);
	const uint64_t before = cq_realtime_ns();
	struct cq_listing_record record, stored;
	uint8_t boot_id[CQ_BOOT_ID_SIZE];

	if (cq_boot_id(boot_id) < 0 || !identify(dirfd, boot_id, &record))
		return;
	if (record.changed_ns + SETTLED_NS > before && !cq_planted("listing_unsettled"))
		return;
	if (cq_io_pread(fd, &stored, sizeof stored, at) == sizeof stored && holds(&stored, &record))
		return;
	if (!read_directory(dirfd, &record))
		return;
	record.crc = record_crc(&record);
	cq_point("listing.read");
	(void)cq_io_pwrite(fd, &record, sizeof record, at);
	cq_point("listing.stored");
}
