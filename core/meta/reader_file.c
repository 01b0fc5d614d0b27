/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_file.c - readers/NAME.meta: the committed position of a named reader
 *
 * Invariant: the newest slot is never the one being written: if a reader dies in a write, the position
 * before that write is still there.  Nothing in the file is trusted: only a possible position with a right
 * CRC counts.
 *
 * Invariant: between the reading of the slots and the write of one, nobody else writes: each write is under
 * a lock of the slots' bytes (cq_io_lock_bytes()), which excludes other open files of this process as it does
 * other processes, and which ends with the process (and the children that it has forked).  So of two writes
 * the later one counts, and a sign of life stores the position that is in the file then.  Reading needs no
 * lock.  The lock that a handle has on its reader is another one (reader_lock.h).
 */
#include "meta/reader_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "format/record.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

#define FILE_NAME_SIZE (CQ_READER_NAME_MAX + sizeof CQ_READER_SUFFIX)

bool cq_reader_name_valid(const char *name)
{
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "abcdefghijklmnopqrstuvwxyz"
	                             "0123456789._-");

	if (cq_planted("reader_name_escapes"))
		return true;
	return name[0] != '.' && name[length] == '\0' && length >= 1 &&
	       length <= CQ_READER_NAME_MAX;
}

static void file_name(char buffer[FILE_NAME_SIZE], const char *name)
{
	snprintf(buffer, FILE_NAME_SIZE, "%s" CQ_READER_SUFFIX, name);
}

static int open_regular(int dirfd, const char *file, int flags, int *ret_fd)
{
	struct stat st;
	int fd, r;

	r = cq_io_open(dirfd, file, flags, &fd);
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	/* a file with a second name does not belong to a reader, and is not even read */
	if (r == 0 && st.st_nlink != 1)
		r = -EBADMSG;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int open_readers_dir(int dirfd, bool create, int *ret_fd)
{
	int r = cq_io_open_dir(dirfd, CQ_READERS_DIR, ret_fd);

	if (r != -ENOENT || !create)
		return r;
	r = cq_io_mkdir(dirfd, CQ_READERS_DIR, 0750);
	if (r < 0 && r != -EEXIST)
		return r;
	return cq_io_open_dir(dirfd, CQ_READERS_DIR, ret_fd);
}

int cq_reader_file_open(int dirfd, const char *name, bool create, int *ret_fd)
{
	char file[FILE_NAME_SIZE];
	int dir, r;

	if (!cq_reader_name_valid(name))
		return -EINVAL;
	r = open_readers_dir(dirfd, create, &dir);
	if (r < 0)
		return r;
	file_name(file, name);
	r = open_regular(dir, file, O_RDWR, ret_fd);
	if (r == -ENOENT && create) {
		r = cq_io_create_new(dir, file, 0640, ret_fd);
		if (r == -EEXIST)
			r = open_regular(dir, file, O_RDWR, ret_fd);
	}
	close(dir);
	return r;
}

static bool position_possible(uint64_t segment, uint64_t offset)
{
	return segment <= CQ_SEGMENT_ID_MAX && offset % CQ_ALIGN == 0 &&
	       offset <= CQ_FORMAT_SIZE_MAX;
}

static bool slot_valid(const struct cq_reader_slot *slot)
{
	return slot->crc == cq_crc32(0, slot, offsetof(struct cq_reader_slot, crc)) &&
	       slot->generation != UINT64_MAX && position_possible(slot->segment, slot->offset);
}

/* Neither valid nor as before the first write: zeros, or, in the first slot, the position of an older
 * program. */
static bool slot_damaged(const struct cq_reader_slot *slot, bool first)
{
	static const struct cq_reader_slot none;
	const size_t older = first ? offsetof(struct cq_reader_slot, heartbeat_ns) : 0;

	return !slot_valid(slot) &&
	       memcmp((const uint8_t *)slot + older, (const uint8_t *)&none + older,
	              sizeof none - older) != 0;
}

static unsigned damaged_slots(const struct cq_reader_slot slots[2])
{
	return (slot_damaged(&slots[0], true) ? 1U : 0U) |
	       (slot_damaged(&slots[1], false) ? 2U : 0U);
}

#define SAME_TWICE 10

/* A slot may be read while its reader writes it: it is damaged only if it stays so. */
static ssize_t read_reader_slots(int fd, struct cq_reader_slot slots[2])
{
	const size_t size = 2 * sizeof *slots;
	struct cq_reader_slot before[2];
	ssize_t n = 0;

	for (int i = 0; i < SAME_TWICE; i++) {
		memset(slots, 0, size);
		n = cq_io_pread(fd, slots, size, 0);
		if (n < (ssize_t)size || damaged_slots(slots) == 0 ||
		    (i > 0 &&
		     memcmp(slots, before, size) == 0)) /* GCOV_EXCL_BR_LINE: written just then */
			break;
		memcpy(before, slots, size);
	}
	return n;
}

#define NO_SLOT 2U

/* *ret_at: the newest valid slot, or NO_SLOT. */
static int read_newest(int fd, struct cq_reader_file *ret_cursor, unsigned *ret_at)
{
	struct cq_reader_slot slots[2];
	const struct cq_reader_slot *best = NULL;
	uint64_t legacy[2] = { 0 };
	ssize_t n;
	size_t i;

	n = read_reader_slots(fd, slots);
	if (n < 0)
		return (int)n;
	if (n == 8 || n == 16) {
		/* the older of the two has the offset alone */
		memcpy(n == 8 ? &legacy[1] : &legacy[0], slots, (size_t)n);
		if (!position_possible(legacy[0], legacy[1]))
			return -ENOENT;
		*ret_cursor = (struct cq_reader_file){ .segment = legacy[0], .offset = legacy[1] };
		*ret_at = NO_SLOT;
		return 0;
	}
	for (i = 0; i < 2 && (size_t)n >= (i + 1) * sizeof slots[0]; i++)
		if (slot_valid(&slots[i]) && (!best || slots[i].generation > best->generation))
			best = &slots[i];
	if (!best)
		return -ENOENT;
	*ret_cursor = (struct cq_reader_file){
		.segment = best->segment,
		.offset = best->offset,
		.heartbeat_ns = best->heartbeat_ns,
		.generation = best->generation,
		.damaged = damaged_slots(slots),
	};
	*ret_at = best == &slots[1];
	return 0;
}

int cq_reader_file_read(int fd, struct cq_reader_file *ret_cursor)
{
	unsigned at;

	return read_newest(fd, ret_cursor, &at);
}

/* A lock is held for some microseconds.  One that is held for longer is that of a stopped process. */
#define LOCK_WAIT_NS 1000000000U
#define LOCK_PAUSE_NS_MIN 20000
#define LOCK_PAUSE_NS_MAX 5000000
#define SLOTS_SIZE (2 * sizeof(struct cq_reader_slot))

int cq_reader_file_lock(int fd, bool wait)
{
	const uint64_t start = cq_monotonic_ns();
	struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS_MIN };
	int r;

	if (cq_planted("reader_unlocked"))
		return 0;
	while ((r = cq_io_lock_bytes(fd, SLOTS_SIZE)) == -EBUSY && wait &&
	       cq_monotonic_ns() - start < LOCK_WAIT_NS) {
		(void)nanosleep(&pause, NULL);
		if (pause.tv_nsec < LOCK_PAUSE_NS_MAX)
			pause.tv_nsec *= 2;
	}
	return r == -EBUSY ? -EAGAIN : r;
}

void cq_reader_file_unlock(int fd)
{
	cq_io_unlock_bytes(fd, SLOTS_SIZE);
}

int cq_reader_file_store_locked(int fd, struct cq_reader_file *cursor)
{
	struct cq_reader_slot slot = {
		.segment = cursor->segment,
		.offset = cursor->offset,
		.heartbeat_ns = cursor->heartbeat_ns,
		.generation = cursor->generation,
	};
	static const struct cq_reader_slot none;
	struct cq_reader_file there;
	unsigned at = NO_SLOT;
	bool restart;
	int r;

	/* Other processes write here, too, as a recovery that moves the reader: a lower generation than
	 * the file's would not count. */
	r = read_newest(fd, &there, &at);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && there.generation > slot.generation)
		slot.generation = there.generation;
	/* If a program has stored a generation near the highest possible one, generations start at 1
	 * again: the old slot is cleared after the new one is written. */
	restart = slot.generation > CQ_COUNT_MAX;
	slot.generation = restart ? 1 : slot.generation + 1;
	/* the newest slot may be in the wrong place for its generation */
	if (slot.generation % 2 == at && !cq_planted("cursor_overwritten"))
		slot.generation++;
	slot.crc = cq_crc32(0, &slot, offsetof(struct cq_reader_slot, crc));
	cq_point("reader.slots_read");
	/* The first generation is 1, in the second slot: so the first write gives a new file, or an older
	 * one of 8 or 16 bytes, its full size. */
	r = cq_io_pwrite(fd, &slot, sizeof slot, slot.generation % 2 * sizeof slot);
	if (r == 0 && restart && at != NO_SLOT)
		r = cq_io_pwrite(fd, &none, sizeof none, at * sizeof none);
	if (r < 0)
		return r;
	cursor->generation = slot.generation;
	return 0;
}

int cq_reader_file_write(int fd, struct cq_reader_file *cursor)
{
	int r = cq_reader_file_lock(fd, true);

	if (r < 0)
		return r;
	r = cq_reader_file_store_locked(fd, cursor);
	cq_reader_file_unlock(fd);
	return r;
}

int cq_reader_file_beat(int fd, uint64_t now_ns, struct cq_reader_file *cursor)
{
	struct cq_reader_file there;
	int r = cq_reader_file_lock(fd, false);

	if (r < 0)
		return r;
	if (cq_reader_file_read(fd, &there) < 0)
		there = *cursor;
	there.heartbeat_ns = now_ns;
	r = cq_reader_file_store_locked(fd, &there);
	cq_reader_file_unlock(fd);
	if (r == 0)
		*cursor = there;
	return r;
}

bool cq_reader_file_name_parse(char ret_name[CQ_READER_NAME_MAX + 1], const char *file)
{
	size_t suffix = sizeof CQ_READER_SUFFIX - 1;
	size_t length = strlen(file);

	if (length <= suffix || length - suffix > CQ_READER_NAME_MAX ||
	    memcmp(file + length - suffix, CQ_READER_SUFFIX, suffix) != 0)
		return false;
	memcpy(ret_name, file, length - suffix);
	ret_name[length - suffix] = '\0';
	return cq_reader_name_valid(ret_name);
}

static int read_file(int dir, const char *file, struct cq_reader_file *ret_cursor)
{
	int fd, r;

	r = open_regular(dir, file, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_reader_file_read(fd, ret_cursor);
	close(fd);
	return r;
}

int cq_reader_file_read_named(int dirfd, const char *name, struct cq_reader_file *ret_cursor)
{
	char file[FILE_NAME_SIZE];
	int dir, r;

	r = open_readers_dir(dirfd, false, &dir);
	if (r < 0)
		return r;
	file_name(file, name);
	r = read_file(dir, file, ret_cursor);
	close(dir);
	return r;
}

bool cq_reader_file_is_unreadable(int error)
{
	return error != -ENOENT && error != -EBADMSG && error != -ELOOP;
}

struct visitor {
	cq_reader_file_name_fn name; /* NULL: the file is read, for one of the two below */
	cq_reader_file_visit_fn visit;
	cq_reader_file_unreadable_fn unreadable; /* may be NULL */
	void *arg;
};

/*
 * Visits one file.  Damage to a file concerns that reader alone.  A shortage of descriptors or memory is an
 * error, since retention would take a reader that was not visited for one that does not exist.
 */
static int visit_file(const struct visitor *visitor, int dir, const char *file)
{
	char name[CQ_READER_NAME_MAX + 1];
	struct cq_reader_file cursor;
	int r;

	if (!cq_reader_file_name_parse(name, file))
		return 0;
	if (visitor->name) {
		visitor->name(visitor->arg, name);
		return 0;
	}
	r = read_file(dir, file, &cursor);
	if (r == 0)
		visitor->visit(visitor->arg, name, &cursor);
	else if (visitor->unreadable && cq_reader_file_is_unreadable(r))
		visitor->unreadable(visitor->arg, name, r);
	if (cq_planted("bad_reader_is_fatal"))
		return r < 0 ? r : 0; /* GCOV_EXCL_BR_LINE: the planted fault alone comes here */
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : 0;
}

static int visit_all(int dirfd, const struct visitor *visitor)
{
	const char *file;
	DIR *stream;
	int dir, r;

	r = open_readers_dir(dirfd, false, &dir);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = cq_io_list(dir, &stream);
	if (r < 0)
		goto close_dir;
	while ((r = cq_io_next_name(stream, &file)) > 0) {
		r = visit_file(visitor, dir, file);
		if (r < 0)
			break;
	}
	closedir(stream);
close_dir:
	close(dir);
	return r;
}

int cq_reader_file_each(int dirfd, cq_reader_file_visit_fn visit,
                        cq_reader_file_unreadable_fn unreadable, void *arg)
{
	const struct visitor visitor = { NULL, visit, unreadable, arg };

	return visit_all(dirfd, &visitor);
}

int cq_reader_file_each_name(int dirfd, cq_reader_file_name_fn visit, void *arg)
{
	const struct visitor visitor = { .name = visit, .arg = arg };

	return visit_all(dirfd, &visitor);
}
