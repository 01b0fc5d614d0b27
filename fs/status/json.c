/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - the figures as stats.json; see stats.h */
#include "chronfs.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "status/stats.h"

/* Room for all but the path, and for a path each of whose bytes has to be escaped.  A unit test renders
 * the largest figures that there can be. */
#define SIZE_WITHOUT_PATH 18432
#define ESCAPED_BYTE 6
#define SIZE_STEP 4096

size_t chronfs_json_size(const struct chronfs *fs)
{
	size_t size = SIZE_WITHOUT_PATH + ESCAPED_BYTE * strlen(fs->options.queue);

	return (size + SIZE_STEP - 1) / SIZE_STEP * SIZE_STEP;
}

/* What jansson has no integer for is no figure that was counted, but a limit somebody gave. */
static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *latency(const struct chronfs_latency *latency)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CQ_SYNC_BUCKETS; i++) {
		json_t *bucket = json_object();

		if (json_object_set_new(bucket, "le_ns", number(CQ_SYNC_BUCKET_NS(i))) < 0 ||
		    json_object_set_new(bucket, "count", number(latency->within[i])) < 0) {
			json_decref(bucket);
			bucket = NULL;
		}
		if (json_array_append_new(list, bucket) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *value(const struct chronfs_figure *figure, const void *base)
{
	const char *member = (const char *)base + figure->offset;
	int error;

	switch (figure->form) {
	case CHRONFS_FLAG:
		return json_boolean(chronfs_figure_number(figure, base));
	case CHRONFS_TEXT:
	case CHRONFS_ARRAY:
		return json_string(chronfs_figure_text(figure, base));
	case CHRONFS_ERRNO:
		memcpy(&error, member, sizeof error);
		return error ? json_string(strerrorname_np(-error)) : number(0);
	case CHRONFS_LATENCY:
		return latency((const void *)member);
	case CHRONFS_COUNT:
	case CHRONFS_NS:
	case CHRONFS_MS:
	default: /* GCOV_EXCL_BR_LINE: no other value */
		return number(chronfs_figure_number(figure, base));
	}
}

/* The object that the figures of a group stand in; made for the first of them. */
static json_t *group(json_t *root, const char *name)
{
	json_t *object;

	if (!name)
		return root;
	object = json_object_get(root, name);
	if (!object && json_object_set_new(root, name, json_object()) == 0)
		object = json_object_get(root, name);
	return object;
}

/* jansson passes on a NULL that an allocation gave as an error of the call that gets it. */
static int put_figures(json_t *root, const struct chronfs_figure *table, size_t count,
                       unsigned sources, const void *base)
{
	for (size_t i = 0; i < count; i++)
		if (chronfs_figure_shown(&table[i], sources, base) &&
		    json_object_set_new(group(root, table[i].group), table[i].key,
		                        value(&table[i], base)) < 0)
			return -ENOMEM;
	return 0;
}

static int put_readers(json_t *root, const struct chronfs_stats *stats)
{
	json_t *list, *reader;
	int r = 0;

	list = json_array();
	for (size_t i = 0; r == 0 && i < stats->readers_shown; i++) {
		reader = json_object();
		r = put_figures(reader, chronfs_reader_figures, chronfs_reader_figure_count,
		                stats->sources, &stats->reader[i]);
		if (json_array_append_new(list, reader) < 0)
			r = -ENOMEM;
	}
	if (json_object_set_new(group(root, "readers"), "listed", list) < 0)
		r = -ENOMEM;
	return r;
}

/* Blanks at the end, then a newline: the size stays the same. */
static int dump(const json_t *root, size_t size, char **ret_text)
{
	char *text = malloc(size);
	size_t length;
	int r = -ENOMEM;

	if (!text)
		return r;
	length = json_dumpb(root, text, size - 1, JSON_INDENT(2));
	if (length == 0)
		goto fail;
	r = -EOVERFLOW;
	if (length > size - 1)
		goto fail;
	memset(text + length, ' ', size - 1 - length);
	text[size - 1] = '\n';
	*ret_text = text;
	return 0;
fail:
	free(text);
	return r;
}

int chronfs_json_render(const struct chronfs_stats *stats, size_t size, char **ret_text)
{
	json_t *root = json_object();
	int r;

	r = put_figures(root, chronfs_figures, chronfs_figure_count, stats->sources, stats);
	if (r == 0 && (stats->sources & CHRONFS_FROM_READERS))
		r = put_readers(root, stats);
	if (r == 0)
		r = dump(root, size, ret_text);
	json_decref(root);
	return r;
}
