/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - the file of metrics of ship and fetch, in the text format 0.0.4 of Prometheus; see status.h. */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S 1000000000U

struct status {
	char *path, *temp;
	char *labels; /* queue="...",stream="..." */
	uint64_t tried_ns;
	bool tried;
	int error; /* of the last try */
};

enum type { COUNTER, GAUGE, SECONDS };

struct metric {
	const char *name, *help;
	enum type type;
	uint64_t value;   /* SECONDS: in ns */
	const char *text; /* an additional label */
};

/* A label's value is UTF-8: if this is not, its bytes above 0x7f are replaced. */
static void put_escaped(FILE *out, const char *text)
{
	json_t *utf8 = json_string(text);

	for (; *text; text++) {
		if (*text == '\n')
			(void)fputs("\\n", out);
		else if (*text == '\\' || *text == '"')
			(void)fprintf(out, "\\%c", *text);
		else if (!utf8 && (unsigned char)*text >= 0x80)
			(void)fputc('?', out);
		else
			(void)fputc(*text, out);
	}
	json_decref(utf8);
}

static void put(FILE *out, const char *prefix, const char *labels, const struct metric *metric)
{
	if (metric->value == STATUS_UNKNOWN)
		return;
	(void)fprintf(out, "# HELP %s_%s %s\n# TYPE %s_%s %s\n%s_%s{%s", prefix, metric->name,
	              metric->help, prefix, metric->name,
	              metric->type == COUNTER ? "counter" : "gauge", prefix, metric->name, labels);
	if (metric->text) {
		(void)fputs(",text=\"", out);
		put_escaped(out, metric->text);
		(void)fputc('"', out);
	}
	if (metric->type == SECONDS)
		(void)fprintf(out, "} %" PRIu64 ".%09" PRIu64 "\n", metric->value / NS_PER_S,
		              metric->value % NS_PER_S);
	else
		(void)fprintf(out, "} %" PRIu64 "\n", metric->value);
}

/* The metrics as text; NULL: no memory. */
static char *render(const struct status *status, const char *prefix, const struct metric *metrics,
                    size_t count, size_t *ret_size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);
	bool failed;

	if (!out)
		return NULL;
	for (size_t i = 0; i < count; i++)
		put(out, prefix, status->labels, &metrics[i]);
	failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		const ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Puts the text in place of the file. */
static int replace(const struct status *status, const char *text, size_t size)
{
	int fd, r;

	(void)unlink(status->temp);
	fd = open(status->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	/* node_exporter is another user, whatever our umask is */
	r = fchmod(fd, 0644) == 0 ? 0 : -errno;
	if (r == 0)
		r = write_all(fd, text, size);
	if (close(fd) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(status->temp, status->path) != 0)
		r = -errno;
	if (r < 0)
		(void)unlink(status->temp);
	return r;
}

static int write_metrics(struct status *status, const char *prefix, const struct metric *metrics,
                         size_t count, uint64_t now_ns)
{
	char *text;
	size_t size;
	int r = -ENOMEM, before = status->error;

	status->tried = true;
	status->tried_ns = now_ns;
	text = render(status, prefix, metrics, count, &size);
	if (text)
		r = replace(status, text, size);
	free(text);
	status->error = r;
	if (r == 0)
		return 1;
	return r == before ? 0 : r;
}

int status_write_ship(struct status *status, const struct status_ship *v, uint64_t now_ns)
{
	const bool failed = v->last_error && *v->last_error;
	const struct metric metrics[] = {
		{ "shipped_records_total", "Records published, also those published again.",
		  COUNTER, v->shipped_records, NULL },
		{ "acked_records_total", "Records that the stream has acknowledged.", COUNTER,
		  v->acked_records, NULL },
		{ "acked_bytes_total", "Bytes of acknowledged messages, without their headers.",
		  COUNTER, v->acked_bytes, NULL },
		{ "lag_records", "Records that may be shipped and are not acknowledged.", GAUGE,
		  v->lag_records, NULL },
		{ "lag_bytes", "Payload bytes that may be shipped and are not acknowledged.", GAUGE,
		  v->lag_bytes, NULL },
		{ "lag_seconds",
		  "Age of the oldest record that may be shipped and is not acknowledged.", SECONDS,
		  v->lag_ns, NULL },
		{ "resyncs_total",
		  "How often the stream was asked where to continue, the start included.", COUNTER,
		  v->resyncs, NULL },
		{ "connected", "Whether there is a connection to a server.", GAUGE, v->connected,
		  NULL },
		{ "last_ack_timestamp_seconds", "When the stream acknowledged a record last.",
		  SECONDS, v->last_ack_ns, NULL },
		{ "last_error", "The last error.", GAUGE, failed ? 1 : STATUS_UNKNOWN,
		  v->last_error },
	};

	return status ? write_metrics(status, "chronq_ship", metrics,
	                              sizeof metrics / sizeof metrics[0], now_ns)
	              : 1;
}

int status_write_fetch(struct status *status, const struct status_fetch *v, uint64_t now_ns)
{
	const bool failed = v->last_error && *v->last_error;
	const struct metric metrics[] = {
		{ "records_total", "Records appended to the replica.", COUNTER, v->records, NULL },
		{ "bytes_total", "Payload bytes appended to the replica.", COUNTER, v->bytes,
		  NULL },
		{ "gap_records_total", "Records that the replica counts as missing.", COUNTER,
		  v->gap_records, NULL },
		{ "lag_messages", "Messages of the stream that the replica does not have.", GAUGE,
		  v->lag_messages, NULL },
		{ "lag_seconds",
		  "Time since the last appended record was written at the source, while there are others.",
		  SECONDS, v->lag_ns, NULL },
		{ "resyncs_total",
		  "How often fetch has begun to read the stream, the start included.", COUNTER,
		  v->resyncs, NULL },
		{ "connected", "Whether there is a connection to a server.", GAUGE, v->connected,
		  NULL },
		{ "last_record_timestamp_seconds", "When a record was appended last.", SECONDS,
		  v->last_record_ns, NULL },
		{ "last_error", "The last error.", GAUGE, failed ? 1 : STATUS_UNKNOWN,
		  v->last_error },
	};

	return status ? write_metrics(status, "chronq_fetch", metrics,
	                              sizeof metrics / sizeof metrics[0], now_ns)
	              : 1;
}

bool status_is_due(const struct status *status, uint64_t now_ns)
{
	return status && (!status->tried || now_ns - status->tried_ns >= NS_PER_S);
}

int status_open(const char *path, const char *queue, const char *stream, struct status **ret_status)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	struct status *status;
	bool failed = true;
	size_t size;
	FILE *out;

	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	status = calloc(1, sizeof *status);
	if (!status)
		return -ENOMEM;
	status->path = strdup(path);
	if (asprintf(&status->temp, "%.*s.%s.tmp", (int)(name - path), path, name) < 0)
		status->temp = NULL;
	out = open_memstream(&status->labels, &size);
	if (out) {
		(void)fputs("queue=\"", out);
		put_escaped(out, queue);
		(void)fputs("\",stream=\"", out);
		put_escaped(out, stream);
		(void)fputc('"', out);
		failed = ferror(out);
		failed = fclose(out) != 0 || failed;
	}
	if (!status->path || !status->temp || failed) {
		status_close(status);
		return -ENOMEM;
	}
	(void)unlink(status->temp);
	*ret_status = status;
	return 0;
}

void status_close(struct status *status)
{
	if (!status)
		return;
	free(status->path);
	free(status->temp);
	free(status->labels);
	free(status);
}
