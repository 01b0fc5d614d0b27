/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seeds.c - first inputs for the fuzzing targets
 *
 *   seeds TO QUEUE...
 *
 * From a queue that this library's writer makes, and from the given queues (chronicle-rs's): a file for each
 * target, as TO/TARGET/NAME.  Leaves out queues that are too large for an archive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive.h"
#include "files/dir.h"
#include "fuzz.h"
#include "seeds.h"

#define MOST_BYTES (48U << 10)

static const char *to;

void seeds_put(const char *target, const char *name, const void *bytes, size_t size)
{
	char path[1024];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", to, target);
	(void)mkdir(path, 0755);
	(void)snprintf(path, sizeof path, "%s/%s/%s", to, target, name);
	file = fopen(path, "wbe");
	HELD_CHECK(file != NULL);
	HELD_CHECK(fwrite(bytes, 1, size, file) == size);
	HELD_CHECK(fclose(file) == 0);
}

/* With the byte of flags in front; a segment without the zeros at its end. */
static void put_file(const char *target, const char *label, const struct held_file *file)
{
	uint8_t *bytes = calloc(1, file->size + 1);
	size_t size = file->size;
	char name[256];

	HELD_CHECK(bytes != NULL);
	if (strcmp(target, "segment") == 0) {
		if (size > FUZZ_SEGMENT_SIZE)
			size = FUZZ_SEGMENT_SIZE;
		while (size > 0 && file->bytes[size - 1] == 0)
			size--;
	}
	memcpy(bytes + 1, file->bytes, size);
	(void)snprintf(name, sizeof name, "%s-%s", label,
	               strchr(file->name, '/') ? strchr(file->name, '/') + 1 : file->name);
	seeds_put(target, name, bytes, size + 1);
	free(bytes);
}

static const char *target_of(const char *name)
{
	const char *end = strrchr(name, '.');
	uint32_t id;

	if (cq_segment_name_parse(name, &id))
		return "segment";
	if (end && strcmp(end, ".idx") == 0)
		return "index";
	if (strncmp(name, "readers/", 8) == 0)
		return "reader";
	if (strcmp(name, "control.meta") == 0)
		return "control";
	if (strcmp(name, "index.meta") == 0)
		return "position";
	return strcmp(name, "durable.meta") == 0 ? "durable" : NULL;
}

static void put_queue(const char *label, const struct held *held)
{
	uint8_t *bytes = malloc(MOST_BYTES);
	const char *target;
	size_t size;

	HELD_CHECK(bytes != NULL);
	for (size_t i = 0; i < held->count && i < 12; i++) {
		target = target_of(held->files[i].name);
		if (target)
			put_file(target, label, &held->files[i]);
	}
	size = archive_pack(held, 0, bytes, MOST_BYTES);
	if (size > 0)
		seeds_put("directory", label, bytes, size);
	free(bytes);
}

int main(int argc, char **argv)
{
	static const char lines[] = "\7\0abcdone\ntwo\n\nthree and more\n\n\nlast";
	static const char small[] = "\3\xF0wxyz0123456789\n012345678901234567890123456789\n";
	static const char options[] =
		"-o\nsegment_size=1M,sync=interval:20,retain_age=3d,full=block,"
		"max_bytes=8M,reader_ttl=30s,spares=2\nq\nm";
	static const char more[] = "q\nm\n-o\nro,allow_other,recover\n-f\n-o\nline_timeout=5";
	static const char trim[] = "trim \t18446744073709551615 \n";
	struct held held;

	HELD_CHECK(argc >= 2);
	to = argv[1];
	(void)mkdir(to, 0755);
	fuzz_make_queue(&held);
	put_queue("ours", &held);
	held_free(&held);
	for (int i = 2; i < argc; i++) {
		held_load(&held, argv[i]);
		put_queue(strrchr(argv[i], '/') + 1, &held);
		held_free(&held);
	}
	seeds_put("line_splitter", "lines", lines, sizeof lines - 1);
	seeds_put("line_splitter", "small", small, sizeof small - 1);
	seeds_put("options", "writing", options, sizeof options - 1);
	seeds_put("options", "reading", more, sizeof more - 1);
	seeds_put("ctl", "roll", "roll\n", 5);
	seeds_put("ctl", "sync", "sync", 4);
	seeds_put("ctl", "trim", trim, sizeof trim - 1);
	seeds_put_wire();
	return 0;
}
