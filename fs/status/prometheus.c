/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus.c - the status fields as metrics, in the text format 0.0.4 of Prometheus; see stats.h
 *
 * Base units: seconds and bytes.  Texts are labels of one metric, chronfs_info.
 */
#include "status/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			(void)fputs("\\n", out);
		else if (*text == '\\' || *text == '"')
			(void)fprintf(out, "\\%c", *text);
		else
			(void)fputc(*text, out);
	}
}

/* Exact and always the same: as a label a bound is a text. */
static void put_seconds(FILE *out, uint64_t ns)
{
	uint64_t fraction = ns % 1000000000;
	int digits = 9;

	for (; digits > 1 && fraction % 10 == 0; digits--)
		fraction /= 10;
	(void)fprintf(out, "%" PRIu64 ".%0*" PRIu64, ns / 1000000000, digits, fraction);
}

static void put_value(FILE *out, const struct chronfs_field *field)
{
	if (field->type == CHRONFS_NS)
		put_seconds(out, field->number);
	else if (field->type == CHRONFS_MS)
		put_seconds(out,
		            field->number * 1000000); /* below INT64_MAX ns (option_numbers.c) */
	else if (field->type == CHRONFS_ERROR)
		(void)fputc(field->number ? '1' : '0', out);
	else
		(void)fprintf(out, "%" PRIu64, field->number);
	(void)fputc('\n', out);
}

static void put_head(FILE *out, const char *metric, const char *help, const char *type)
{
	(void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void put_field_head(FILE *out, const struct chronfs_field *field)
{
	const char *type = field->counter ? "counter" : "gauge";

	if (field->type == CHRONFS_LATENCY)
		type = "histogram";
	if (field->help)
		put_head(out, field->metric, field->help, type);
}

static void put_latency(FILE *out, const char *metric, const struct chronfs_latency *latency)
{
	for (size_t i = 0; i < CQ_SYNC_BUCKETS; i++) {
		(void)fprintf(out, "%s_bucket{le=\"", metric);
		put_seconds(out, CQ_SYNC_BUCKET_NS(i));
		(void)fprintf(out, "\"} %" PRIu64 "\n", latency->within[i]);
	}
	(void)fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", metric, latency->count,
	              metric);
	put_seconds(out, latency->total_ns);
	(void)fprintf(out, "\n%s_count %" PRIu64 "\n", metric, latency->count);
}

static void put_info(FILE *out, const struct chronfs_field *fields, size_t count)
{
	const char *between = "{";

	put_head(out, "chronfs_info", "What is mounted.", "gauge");
	(void)fputs("chronfs_info", out);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].type != CHRONFS_TEXT || !fields[i].shown)
			continue;
		(void)fprintf(out, "%s%s=\"", between, fields[i].key);
		put_escaped(out, fields[i].text);
		(void)fputc('"', out);
		between = ",";
	}
	(void)fputs("} 1\n", out);
}

static void put_field(FILE *out, const struct chronfs_field *field)
{
	if (!field->metric || !field->shown)
		return;
	put_field_head(out, field);
	if (field->type == CHRONFS_LATENCY) {
		put_latency(out, field->metric, field->latency);
		return;
	}
	(void)fputs(field->metric, out);
	if (field->label)
		(void)fprintf(out, "{%s}", field->label);
	(void)fputc(' ', out);
	put_value(out, field);
}

/* One metric of the readers, a line for each that it is known of. */
static void put_of_readers(FILE *out, size_t metric, const struct chronfs_stats *stats)
{
	struct chronfs_field fields[CHRONFS_READER_FIELDS];
	const struct chronfs_field *field = &fields[metric];
	bool first = true;

	for (size_t i = 0; i < stats->readers_shown; i++) {
		(void)chronfs_reader_fields(&stats->reader[i], fields);
		if (!field->metric || !field->shown)
			continue;
		if (first)
			put_field_head(out, field);
		first = false;
		(void)fprintf(out, "%s{reader=\"", field->metric);
		put_escaped(out, fields[0].text);
		(void)fputs("\"} ", out);
		put_value(out, field);
	}
}

int chronfs_prometheus_render(const struct chronfs_stats *stats, char **ret_text,
                              size_t *ret_length)
{
	struct chronfs_field fields[CHRONFS_FIELDS_MAX];
	const size_t count = chronfs_fields(stats, fields);
	char *text = NULL;
	size_t length;
	FILE *out;

	out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	put_info(out, fields, count);
	for (size_t i = 0; i < count; i++)
		put_field(out, &fields[i]);
	for (size_t i = 0; i < CHRONFS_READER_FIELDS; i++)
		put_of_readers(out, i, stats);
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	*ret_length = length;
	return 0;
}
