/* SPDX-License-Identifier: Apache-2.0 */
/* queue_disk.c - a queue's files: looking at them, making them; see queue_support.h */
#include "queue_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "files/dir.h"
#include "format/walk.h"
#include "format/window.h"
#include "meta/watermark.h"

/* ---- looking ---- */

static void add_record(const char *dir, uint32_t id, const struct cq_record_at *s,
                       struct qs_record **records, size_t *count)
{
	struct qs_record r = {
		.segment = id,
		.offset = s->offset,
		.seq = s->header.seq,
		.time_ns = s->header.time_ns,
		.stream_offset = s->header.stream_offset,
		.epoch = s->header.epoch,
		.ext = s->header.ext,
		.type = s->header.type,
		.version = s->header.version,
		.length = s->length,
	};
	char name[CQ_NAME_MAX];
	size_t n = s->length < sizeof r.text ? s->length : sizeof r.text - 1;

	cq_segment_name(name, id);
	support_peek(dir, name, s->offset + sizeof s->header, r.text, n);
	if (*count % 1024 == 0) {
		*records = realloc(*records, (*count + 1024) * sizeof r);
		assert_non_null(*records);
	}
	(*records)[(*count)++] = r;
}

size_t qs_records(const char *dir, struct qs_record **ret_records)
{
	struct qs_record *records = NULL;
	struct cq_record_at record;
	char name[CQ_NAME_MAX], path[PATH_SIZE];
	size_t segments, count = 0;
	struct cq_window scan;
	struct cq_walk walk;
	struct stat st;
	uint32_t *ids;
	int fd, r, dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dirfd >= 0);
	assert_int_equal(cq_dir_list(dirfd, &ids, &segments), 0);
	for (size_t i = 0; i < segments; i++) {
		cq_segment_name(name, ids[i]);
		support_path(path, dir, name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(cq_window_init(&scan, fd, (uint64_t)st.st_size), 0);
		walk = cq_walk_file(&scan);
		while ((r = cq_walk_next(&walk, &record)) > 0)
			add_record(dir, ids[i], &record, &records, &count);
		assert_int_equal(r, 0);
		cq_window_fini(&scan);
		close(fd);
	}
	free(ids);
	close(dirfd);
	*ret_records = records;
	return count;
}

void qs_expect(const char *dir, unsigned first, unsigned count)
{
	struct qs_record *records;
	char text[32];

	assert_int_equal(qs_records(dir, &records), count);
	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof text, "record %u", first + i);
		assert_string_equal(records[i].text, text);
		assert_int_equal(records[i].seq, first + i);
	}
	free(records);
}

uint32_t qs_peek32(const char *dir, const char *name, uint64_t offset)
{
	uint32_t value;

	support_peek(dir, name, offset, &value, sizeof value);
	return value;
}

uint64_t qs_peek64(const char *dir, const char *name, uint64_t offset)
{
	uint64_t value;

	support_peek(dir, name, offset, &value, sizeof value);
	return value;
}

bool qs_all_zero(const char *dir, const char *name, uint64_t from, uint64_t to)
{
	char path[PATH_SIZE];
	size_t size;
	char *bytes;
	bool zero = true;

	support_path(path, dir, name);
	bytes = support_slurp(path, &size);
	assert_true(to <= size);
	for (uint64_t i = from; i < to; i++)
		zero &= bytes[i] == 0;
	free(bytes);
	return zero;
}

uint64_t qs_mtime_ns(const char *dir, const char *name)
{
	char path[PATH_SIZE];
	struct stat st;

	support_path(path, dir, name);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
}

unsigned qs_count_names(const char *dir, const char *suffix)
{
	struct dirent *entry;
	DIR *stream = opendir(dir);
	unsigned count = 0;

	assert_non_null(stream);
	while ((entry = readdir(stream))) {
		size_t n = strlen(entry->d_name);

		if (n >= strlen(suffix) && strcmp(entry->d_name + n - strlen(suffix), suffix) == 0)
			count++;
	}
	closedir(stream);
	return count;
}

static int not_lock(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strcmp(entry->d_name, "writer.lock") != 0;
}

void qs_snapshot(const char *dir, struct qs_snapshot *ret_snapshot)
{
	struct qs_snapshot s = { 0 };
	struct dirent **entries;
	int count = scandir(dir, &entries, not_lock, alphasort);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		size_t size = 0, name = strlen(entries[i]->d_name) + 1;
		char path[PATH_SIZE], *bytes = NULL;
		struct stat st;

		support_path(path, dir, entries[i]->d_name);
		assert_int_equal(lstat(path, &st), 0);
		if (S_ISREG(st.st_mode))
			bytes = support_slurp(path, &size);
		s.bytes = realloc(s.bytes, s.length + name + sizeof st.st_mode + size);
		assert_non_null(s.bytes);
		memcpy(s.bytes + s.length, entries[i]->d_name, name);
		memcpy(s.bytes + s.length + name, &st.st_mode, sizeof st.st_mode);
		s.length += name + sizeof st.st_mode;
		if (size > 0)
			memcpy(s.bytes + s.length, bytes, size);
		s.length += size;
		free(bytes);
		free(entries[i]);
	}
	free(entries);
	*ret_snapshot = s;
}

void qs_unchanged(const char *dir, struct qs_snapshot *snapshot)
{
	struct qs_snapshot now;

	qs_snapshot(dir, &now);
	assert_int_equal(now.length, snapshot->length);
	if (now.length > 0)
		assert_memory_equal(now.bytes, snapshot->bytes, now.length);
	free(now.bytes);
	free(snapshot->bytes);
	snapshot->bytes = NULL;
}

void qs_format_check(const char *dir, const char *option)
{
	const char *script = getenv("FORMAT_CHECK");
	FILE *findings = tmpfile();
	char line[512];
	int status = 0;
	pid_t pid;

	assert_non_null(script);
	assert_non_null(findings);
	fflush(NULL);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		CHILD(dup2(fileno(findings), STDOUT_FILENO) >= 0); /* stdout is TAP */
		execlp("python3", "python3", script, option, dir, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(findings);
	while (status != 0 && fgets(line, sizeof line, findings))
		fprintf(stderr, "format_check: %s", line);
	fclose(findings);
	assert_int_equal(status, 0);
}

uint32_t qs_crc32(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	uint32_t crc = 0xFFFFFFFFU;

	for (size_t i = 0; i < length; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xEDB88320U : crc >> 1;
	}
	return ~crc;
}

/* ---- making ---- */

void qs_write_file(const char *dir, const char *name, const void *bytes, size_t length)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

void qs_make_segment(const char *dir, uint32_t id, uint64_t size)
{
	const struct cq_segment_header header = { .magic = CQ_SEGMENT_MAGIC,
		                                  .version = CQ_SEGMENT_VERSION,
		                                  .id = id };
	char name[CQ_NAME_MAX], path[PATH_SIZE];

	cq_segment_name(name, id);
	qs_write_file(dir, name, &header, sizeof header);
	support_path(path, dir, name);
	assert_int_equal(truncate(path, (off_t)size), 0);
}

void qs_zero(const char *dir, const char *name, uint64_t from, uint64_t to)
{
	char *zeros = calloc(1, to - from);

	assert_non_null(zeros);
	support_poke(dir, name, from, zeros, to - from);
	free(zeros);
}

void qs_unseal(const char *dir, uint32_t id)
{
	uint8_t header[64];
	char name[CQ_NAME_MAX];
	uint32_t crc;

	cq_segment_name(name, id);
	support_peek(dir, name, 0, header, sizeof header);
	memset(header + 12, 0, 4);  /* flags */
	memset(header + 40, 0, 24); /* the summary */
	crc = qs_crc32(header + 24, 40);
	memcpy(header + 20, &crc, sizeof crc);
	support_poke(dir, name, 0, header, sizeof header);
}

void qs_other_boot(const char *dir)
{
	static const uint8_t boot_id[16] = { 'a', 'n', 'o', 't', 'h', 'e', 'r' };

	if (support_exists(dir, "control.meta"))
		support_poke(dir, "control.meta", 32, boot_id, sizeof boot_id);
}

struct cq_watermark_slot qs_watermark(int dirfd)
{
	struct cq_watermark_state state;

	assert_int_equal(cq_watermark_read(dirfd, &state), 0);
	assert_true(state.found);
	return state.slot;
}

void qs_expect_watermark(struct qs *q, uint64_t segment, uint64_t offset, uint64_t seq)
{
	const struct cq_watermark_slot mark = qs_watermark(q->dirfd);

	assert_int_equal(mark.segment, segment);
	assert_int_equal(mark.offset, offset);
	assert_int_equal(mark.seq, seq);
	assert_int_equal(mark.epoch, qs_stats(q->writer).epoch);
}

void qs_mark(const char *dir, uint64_t segment, uint64_t offset, uint64_t seq)
{
	struct cq_watermark_slot slots[2] = {
		{ .segment = segment, .offset = offset, .seq = seq, .epoch = 1, .generation = 2 }
	};

	slots[0].crc = qs_crc32(&slots[0], 32);
	qs_write_file(dir, "durable.meta", slots, sizeof slots);
	qs_other_boot(dir);
}
