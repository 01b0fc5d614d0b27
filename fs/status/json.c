/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - the status fields as stats.json; see stats.h */
#include "chronfs.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "status/stats.h"

/* Room for all but the path, and for a path each of whose bytes has to be escaped.  A unit test renders
 * the largest values that there can be. */
#define SIZE_WITHOUT_PATH 18432
#define ESCAPED_BYTE 6
#define SIZE_STEP 4096

size_t chronfs_json_size(const struct chronfs *fs)
{
	size_t size = SIZE_WITHOUT_PATH + ESCAPED_BYTE * strlen(fs->options.queue);

	return (size + SIZE_STEP - 1) / SIZE_STEP * SIZE_STEP;
}

/* A number too large for jansson is a limit that somebody gave: no count becomes so large. */
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

static json_t *value(const struct chronfs_field *field)
{
	switch (field->type) {
	case CHRONFS_FLAG:
		return json_boolean(field->number);
	case CHRONFS_TEXT:
		return json_string(field->text);
	case CHRONFS_ERROR:
		return field->number ? json_string(strerrorname_np((int)field->number)) : number(0);
	case CHRONFS_LATENCY:
		return latency(field->latency);
	case CHRONFS_COUNT:
	case CHRONFS_NS:
	case CHRONFS_MS:
	default: /* GCOV_EXCL_BR_LINE: no other value */
		return number(field->number);
	}
}

/* The object of a group of fields; made for the first of them. */
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

/* If an allocation gives NULL, the jansson call that gets this NULL as an argument fails. */
static int put_fields(json_t *root, const struct chronfs_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].shown && json_object_set_new(group(root, fields[i].group),
		                                           fields[i].key, value(&fields[i])) < 0)
			return -ENOMEM;
	return 0;
}

static int put_readers(json_t *root, const struct chronfs_stats *stats)
{
	struct chronfs_field fields[CHRONFS_READER_FIELDS];
	json_t *list, *reader;
	size_t count;
	int r = 0;

	list = json_array();
	for (size_t i = 0; r == 0 && i < stats->readers_shown; i++) {
		reader = json_object();
		count = chronfs_reader_fields(&stats->reader[i], fields);
		r = put_fields(reader, fields, count);
		if (json_array_append_new(list, reader) < 0)
			r = -ENOMEM;
	}
	if (json_object_set_new(group(root, "readers"), "listed", list) < 0)
		r = -ENOMEM;
	return r;
}

/* Pads with blanks and a newline, so that the size is always the same. */
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
	struct chronfs_field fields[CHRONFS_FIELDS_MAX];
	const size_t count = chronfs_fields(stats, fields);
	json_t *root = json_object();
	int r;

	r = put_fields(root, fields, count);
	if (r == 0 && (stats->sources & CHRONFS_FROM_READERS))
		r = put_readers(root, stats);
	if (r == 0)
		r = dump(root, size, ret_text);
	json_decref(root);
	return r;
}
