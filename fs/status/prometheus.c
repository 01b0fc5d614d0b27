/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus.c - the figures as metrics, in the text format 0.0.4 of Prometheus; see stats.h
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

/* Exactly, and in one way only: as a label a bound is a text. */
static void put_seconds(FILE *out, uint64_t ns)
{
	uint64_t fraction = ns % 1000000000;
	int digits = 9;

	for (; digits > 1 && fraction % 10 == 0; digits--)
		fraction /= 10;
	(void)fprintf(out, "%" PRIu64 ".%0*" PRIu64, ns / 1000000000, digits, fraction);
}

static void put_value(FILE *out, const struct chronfs_figure *figure, const void *base)
{
	const uint64_t number = chronfs_figure_number(figure, base);

	if (figure->form == CHRONFS_NS)
		put_seconds(out, number);
	else if (figure->form == CHRONFS_MS)
		put_seconds(out, number * 1000000); /* below INT64_MAX ns (option_numbers.c) */
	else
		(void)fprintf(out, "%" PRIu64, number);
	(void)fputc('\n', out);
}

static void put_head(FILE *out, const char *metric, const char *help, const char *type)
{
	(void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void put_figure_head(FILE *out, const struct chronfs_figure *figure)
{
	const char *type = figure->counter ? "counter" : "gauge";

	if (figure->form == CHRONFS_LATENCY)
		type = "histogram";
	if (figure->help)
		put_head(out, figure->metric, figure->help, type);
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

static bool is_text(const struct chronfs_figure *figure)
{
	return figure->form == CHRONFS_TEXT || figure->form == CHRONFS_ARRAY;
}

static void put_info(FILE *out, const struct chronfs_stats *stats)
{
	const char *between = "{";

	put_head(out, "chronfs_info", "What is mounted.", "gauge");
	(void)fputs("chronfs_info", out);
	for (size_t i = 0; i < chronfs_figure_count; i++) {
		const struct chronfs_figure *figure = &chronfs_figures[i];

		if (!is_text(figure) || !chronfs_figure_shown(figure, stats->sources, stats))
			continue;
		(void)fprintf(out, "%s%s=\"", between, figure->key);
		put_escaped(out, chronfs_figure_text(figure, stats));
		(void)fputc('"', out);
		between = ",";
	}
	(void)fputs("} 1\n", out);
}

static void put_figure(FILE *out, const struct chronfs_figure *figure,
                       const struct chronfs_stats *stats)
{
	if (!figure->metric || !chronfs_figure_shown(figure, stats->sources, stats))
		return;
	put_figure_head(out, figure);
	if (figure->form == CHRONFS_LATENCY) {
		put_latency(out, figure->metric,
		            (const void *)((const char *)stats + figure->offset));
		return;
	}
	(void)fputs(figure->metric, out);
	if (figure->label)
		(void)fprintf(out, "{%s}", figure->label);
	(void)fputc(' ', out);
	put_value(out, figure, stats);
}

/* One metric, a line for each reader that it is known of. */
static void put_of_readers(FILE *out, const struct chronfs_figure *figure,
                           const struct chronfs_stats *stats)
{
	bool first = true;

	for (size_t i = 0; i < stats->readers_shown; i++) {
		const struct chronfs_reader_stats *reader = &stats->reader[i];

		if (!figure->metric || !chronfs_figure_shown(figure, stats->sources, reader))
			continue;
		if (first)
			put_figure_head(out, figure);
		first = false;
		(void)fprintf(out, "%s{reader=\"", figure->metric);
		put_escaped(out, chronfs_figure_text(&chronfs_reader_figures[0], reader));
		(void)fputs("\"} ", out);
		put_value(out, figure, reader);
	}
}

int chronfs_prometheus_render(const struct chronfs_stats *stats, char **ret_text,
                              size_t *ret_length)
{
	char *text = NULL;
	size_t length;
	FILE *out;

	out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	put_info(out, stats);
	for (size_t i = 0; i < chronfs_figure_count; i++)
		put_figure(out, &chronfs_figures[i], stats);
	for (size_t i = 0; i < chronfs_reader_figure_count; i++)
		put_of_readers(out, &chronfs_reader_figures[i], stats);
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	*ret_length = length;
	return 0;
}
