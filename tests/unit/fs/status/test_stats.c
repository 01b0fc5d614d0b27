/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stats.c - the status fields, stats.json and metrics, without a mount
 *
 * The state is made up: every field has its largest value, or is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status/stats.h"

#define ALL_SOURCES (~0U)

static struct chronfs_stats stats;
static struct chronfs fs;
static char path[PATH_MAX];

static void set_texts(void)
{
	stats.sources = ALL_SOURCES;
	stats.version = stats.libfuse_version = "999.999.999";
	stats.sync_mode = "interval";
	(void)strcpy(stats.queue, path);
}

static int setup(void **state)
{
	(void)state;
	memset(&stats, 0, sizeof stats);
	memset(&fs, 0, sizeof fs);
	memset(path, 0, sizeof path);
	(void)strcpy(path, "/queue");
	fs.options.queue = path;
	set_texts();
	return 0;
}

/* Every field gets the largest value that its member can hold. */
static void fill_all(void)
{
	memset(&stats, 0xff, sizeof stats);
	set_texts();
	stats.read_only = stats.passthrough = false; /* longer than true */
	stats.writer.error = -EPROTONOSUPPORT;       /* a long name */
	stats.readers_shown = CHRONFS_READERS_SHOWN;
	for (size_t i = 0; i < CHRONFS_READERS_SHOWN; i++) {
		char *name = stats.reader[i].position.name;
		const size_t size = sizeof stats.reader[i].position.name;

		memset(name, 'W', size - 1);
		name[size - 1] = '\0';
	}
}

/* ---- the list ---- */

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool ends_in(const char *text, const char *end)
{
	const size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void check_list(const struct chronfs_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct chronfs_field *f = &fields[i];
		bool first = true;

		assert_non_null(f->key);
		assert_int_not_equal(f->source, 0);
		assert_true(f->shown);
		assert_true((f->type == CHRONFS_TEXT) == (f->text != NULL));
		assert_true((f->type == CHRONFS_LATENCY) == (f->latency != NULL));
		for (size_t j = 0; j < i; j++) {
			assert_false(same(fields[j].key, f->key) &&
			             same(fields[j].group, f->group));
			if (f->metric && same(fields[j].metric, f->metric)) {
				assert_false(same(fields[j].label, f->label));
				assert_int_equal(fields[j].counter, f->counter);
				assert_int_equal(fields[j].source, f->source);
				assert_true(same(fields[i - 1].metric, f->metric)); /* together */
				first = false;
			}
		}
		if (!f->metric)
			continue;
		assert_true((f->help != NULL) == first);
		assert_int_equal(strncmp(f->metric, "chronfs_", 8), 0);
		assert_int_equal(f->counter, ends_in(f->metric, "_total"));
		if (f->type == CHRONFS_NS || f->type == CHRONFS_MS)
			assert_true(ends_in(f->metric, "_seconds"));
	}
}

static void list_is_well_formed(void **state)
{
	struct chronfs_field fields[CHRONFS_FIELDS_MAX];
	size_t count;

	(void)state;
	fill_all();
	count = chronfs_fields(&stats, fields);
	assert_in_range(count, 1, CHRONFS_FIELDS_MAX);
	check_list(fields, count);
	assert_int_equal(chronfs_reader_fields(&stats.reader[0], fields), CHRONFS_READER_FIELDS);
	check_list(fields, CHRONFS_READER_FIELDS);
	assert_string_equal(fields[0].key, "name");
	assert_int_equal(fields[0].type, CHRONFS_TEXT);
}

/* ---- stats.json ---- */

static json_t *render_json(void)
{
	const size_t size = chronfs_json_size(&fs);
	json_error_t error;
	json_t *root;
	char *text;

	assert_int_equal(chronfs_json_render(&stats, size, &text), 0);
	assert_int_equal(text[size - 1], '\n');
	root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(root);
	free(text);
	return root;
}

static json_int_t number_in(const json_t *root, const char *group, const char *key)
{
	const json_t *value = json_object_get(json_object_get(root, group), key);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

/* For paths of all lengths whose bytes are escaped, each to six. */
static void largest_values_fit(void **state)
{
	json_t *root;

	(void)state;
	fill_all();
	for (size_t length = 1; length < sizeof path; length += length < 1400 ? 1 : 97) {
		memset(path, 1, length);
		(void)strcpy(stats.queue, path);
		root = render_json();
		json_decref(root);
	}
	root = render_json();
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(root, "readers"), "listed")),
		CHRONFS_READERS_SHOWN);
	assert_true(number_in(root, "limits", "max_bytes") == INT64_MAX);
	assert_true(number_in(root, "position", "epoch") == UINT32_MAX);
	assert_string_equal(json_string_value(json_object_get(root, "writer_error")),
	                    "EPROTONOSUPPORT");
	json_decref(root);
}

static void too_small_a_size_is_an_error(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(chronfs_json_render(&stats, 100, &text), -EOVERFLOW);
}

/* ---- no memory ---- */

static long allocations; /* that succeed before one fails */

static void *allocate(size_t size)
{
	return allocations-- == 0 ? NULL : malloc(size);
}

/* The text is the same as with memory, or there is none. */
static void without_memory_there_is_no_json(void **state)
{
	const size_t size = chronfs_json_size(&fs);
	char *whole, *text;
	long made;
	int r;

	(void)state;
	fill_all();
	stats.writer.error = -EIO;
	stats.readers_shown = 20; /* more than a new array has room for */
	json_set_alloc_funcs(allocate, free);
	allocations = LONG_MAX;
	assert_int_equal(chronfs_json_render(&stats, size, &whole), 0);
	made = LONG_MAX - allocations;
	for (long i = 0; i < made; i++) {
		allocations = i;
		r = chronfs_json_render(&stats, size, &text);
		if (r == 0) {
			assert_memory_equal(text, whole, size);
			free(text);
		} else {
			assert_int_equal(r, -ENOMEM);
		}
	}
	json_set_alloc_funcs(malloc, free);
	printf("# %ld allocations\n", made);
	free(whole);
}

static void what_is_not_known_is_not_shown(void **state)
{
	json_t *root;

	(void)state;
	stats.sources = CHRONFS_FROM_MOUNT | CHRONFS_FROM_FILES;
	stats.writer.segment_size = 4096;
	stats.read_only = true;
	root = render_json();
	assert_true(json_is_true(json_object_get(root, "read_only")));
	assert_int_equal(number_in(root, "limits", "segment_size_bytes"), 4096);
	assert_null(json_object_get(json_object_get(root, "limits"), "record_bytes"));
	assert_null(json_object_get(root, "position"));
	assert_null(json_object_get(root, "readers"));
	assert_null(json_object_get(root, "writer_error"));
	json_decref(root);
}

static void limits_that_there_are_not_are_not_shown(void **state)
{
	json_t *root;

	(void)state;
	root = render_json();
	assert_non_null(json_object_get(root, "retention"));
	assert_null(json_object_get(json_object_get(root, "retention"), "retain_segments"));
	assert_null(json_object_get(json_object_get(root, "limits"), "max_bytes"));
	assert_int_equal(number_in(root, "appended", "records"), 0); /* a zero that is known */
	assert_true(json_is_integer(json_object_get(root, "writer_error")));
	json_decref(root);
	stats.config.retain_segments = 7;
	root = render_json();
	assert_int_equal(number_in(root, "retention", "retain_segments"), 7);
	json_decref(root);
}

/* ---- metrics ---- */

static char *render_metrics(void)
{
	size_t length;
	char *text;

	assert_int_equal(chronfs_prometheus_render(&stats, &text, &length), 0);
	assert_int_equal(strlen(text), length);
	assert_int_equal(text[length - 1], '\n');
	return text;
}

static void has_line(const char *text, const char *line)
{
	char wanted[256];

	(void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
	if (!strstr(text, wanted))
		fail_msg("no line: %s", line);
}

static int occurrences(const char *text, const char *what)
{
	int count = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		count++;
	return count;
}

static void labels_are_escaped(void **state)
{
	char *text;

	(void)state;
	(void)strcpy(stats.queue, "/a \"b\"\\c\nd");
	text = render_metrics();
	assert_non_null(strstr(text, "{queue=\"/a \\\"b\\\"\\\\c\\nd\",version="));
	free(text);
}

static void units_are_seconds_and_bytes(void **state)
{
	char *text;

	(void)state;
	stats.mount_time_ns = 1700000000000000000;
	stats.config.retain_age_ms = 86400500;
	stats.sync = (struct chronfs_latency){
		.count = 3, .total_ns = 1000000001, .max_ns = 999999000, .within = { 0, 1, 1, 2 }
	};
	stats.writer.rolls_waited = UINT64_MAX;
	stats.writer.error = -EIO;
	text = render_metrics();
	has_line(text, "chronfs_mount_time_seconds 1700000000.0");
	has_line(text, "chronfs_retain_age_seconds 86400.5");
	has_line(text, "chronfs_sync_max_seconds 0.999999");
	has_line(text, "# TYPE chronfs_sync_seconds histogram");
	has_line(text, "chronfs_sync_seconds_bucket{le=\"0.0001\"} 0");
	has_line(text, "chronfs_sync_seconds_bucket{le=\"0.0064\"} 2");
	has_line(text, "chronfs_sync_seconds_bucket{le=\"26.2144\"} 0");
	has_line(text, "chronfs_sync_seconds_bucket{le=\"+Inf\"} 3");
	has_line(text, "chronfs_sync_seconds_sum 1.000000001");
	has_line(text, "chronfs_sync_seconds_count 3");
	has_line(text, "chronfs_rolls_total{kind=\"waited\"} 18446744073709551615");
	has_line(text, "chronfs_writer_error 1");
	free(text);
}

static void a_line_for_each_reader(void **state)
{
	char *text;

	(void)state;
	stats.readers_shown = 2;
	(void)strcpy(stats.reader[0].position.name, "slow");
	(void)strcpy(stats.reader[1].position.name, "quick");
	stats.reader[0].position.lag_bytes = 8192;
	stats.reader[1].heartbeat_age_ns = 1500000000;
	text = render_metrics();
	has_line(text, "chronfs_reader_lag_bytes{reader=\"slow\"} 8192");
	has_line(text, "chronfs_reader_lag_bytes{reader=\"quick\"} 0");
	has_line(text, "chronfs_reader_heartbeat_age_seconds{reader=\"quick\"} 1.5");
	assert_null(strstr(text, "heartbeat_age_seconds{reader=\"slow\"}")); /* unknown */
	assert_int_equal(occurrences(text, "# TYPE chronfs_reader_lag_bytes"), 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(list_is_well_formed, setup),
		cmocka_unit_test_setup(largest_values_fit, setup),
		cmocka_unit_test_setup(too_small_a_size_is_an_error, setup),
		cmocka_unit_test_setup(without_memory_there_is_no_json, setup),
		cmocka_unit_test_setup(what_is_not_known_is_not_shown, setup),
		cmocka_unit_test_setup(limits_that_there_are_not_are_not_shown, setup),
		cmocka_unit_test_setup(labels_are_escaped, setup),
		cmocka_unit_test_setup(units_are_seconds_and_bytes, setup),
		cmocka_unit_test_setup(a_line_for_each_reader, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
