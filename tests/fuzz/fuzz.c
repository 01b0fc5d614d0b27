/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.c - the directory and the queue of the targets; see fuzz.h */
#include "fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"
#include "write/writer.h"

#define MOST_FILE_BYTES (1U << 20) /* a hostile geometry asks for 4 GiB */

static char base[256], queue_dir[sizeof base + 8];

static void remove_all(void)
{
	static const struct held nothing;

	held_put(&nothing, queue_dir);
	(void)rmdir(queue_dir);
	(void)rmdir(base);
}

const char *fuzz_dir(void)
{
	const struct rlimit limit = { MOST_FILE_BYTES, MOST_FILE_BYTES };
	const char *place = getenv("TMPDIR");

	if (base[0] != '\0')
		return queue_dir;
	if (!place)
		place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(base, sizeof base, "%s/chronq-fuzz-XXXXXX", place);
	HELD_CHECK(mkdtemp(base) != NULL);
	(void)snprintf(queue_dir, sizeof queue_dir, "%s/q", base);
	HELD_CHECK(mkdir(queue_dir, 0750) == 0);
	HELD_CHECK(atexit(remove_all) == 0);
	HELD_CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	HELD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	return queue_dir;
}

/* The library makes no segments this small, but accepts them. */
static void make_first_segment(const char *dir)
{
	uint8_t bytes[FUZZ_SEGMENT_SIZE] = { 0 };
	const struct cq_segment_header header = { .magic = CQ_SEGMENT_MAGIC,
		                                  .version = CQ_SEGMENT_VERSION };
	struct held held = { .count = 0 };

	memcpy(bytes, &header, sizeof header);
	held_set(&held, "000000000.q", bytes, sizeof bytes);
	held_put(&held, dir);
	held_free(&held);
}

static void take_some(const char *dir)
{
	struct cq_record record;
	cq_reader *reader;

	HELD_CHECK(cq_reader_open(dir, "some", CQ_START_OLDEST, 0, &reader) == 0);
	for (unsigned i = 0; i < 4; i++) {
		HELD_CHECK(cq_reader_next(reader, &record) == 1);
		HELD_CHECK(cq_reader_commit(reader) == 0);
	}
	cq_reader_close(reader);
}

void fuzz_make_queue(struct held *held)
{
	/* the first and the third segment are filled to the last byte */
	static const uint8_t lengths[] = { 30, 0, 64, 1, /**/ 100, 127, /**/ 200, 1, /**/ 40, 0 };
	const char *dir = fuzz_dir();
	uint8_t payload[256];
	struct cq_config config;
	cq_writer *writer;

	make_first_segment(dir);
	cq_config_init(&config);
	config.prealloc_wait_ms = 0;
	HELD_CHECK(cq_writer_open_with(dir, &config, false, &writer) == 0);
	for (size_t i = 0; i < sizeof lengths; i++) {
		memset(payload, 'A' + (int)i, sizeof payload);
		HELD_CHECK(cq_writer_append(writer, CQ_TYPE_DEFAULT, payload, lengths[i], NULL) ==
		           0);
		while (cq_writer_prepare_step(writer) == 0)
			;
	}
	take_some(dir);
	HELD_CHECK(cq_writer_close(writer) == 0);
	held_load(held, dir);
	HELD_CHECK(held_find(held, "000000004.q") && held_find(held, "000000002.idx"));
}
