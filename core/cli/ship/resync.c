/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resync.c - asks the stream what it has, and continues there; see ship.h
 *
 * Invariant: a generation of publishes begins with what the stream has said after the last one had ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define HEADERS 1024 /* bytes of a message that are kept for its headers and its subject */
#define LEAST 1024   /* bytes of a body that a stream has to take */
/* Servers that start may not know a stream yet, and its last message may expire while it is asked for.  Such an answer
 * is believed when it has been the same for so long; the stream is asked about once a second. */
#define GONE_MS 5000 /* of a stream that was there */
#define GONE_AT_START_MS \
	2000 /* of one that this process has not seen, and somebody has shipped this queue before */
#define GONE_TRIES 3

void ship_disconnect(struct ship *ship)
{
	publish_detach(ship->publish);
	jet_close(ship->jet);
	ship->jet = NULL;
}

static int connect_jet(struct ship *ship)
{
	const struct ship_options *o = &ship->settings->ship;
	const struct jet_options options = {
		.url = &o->url,
		.creds = o->creds,
		.tls_ca = o->tls_ca,
		.cert = o->cert,
		.key = o->key,
		.name = "chronq ship",
		.event = publish_wake,
		.event_arg = ship->publish,
	};
	char why[JET_WHY_MAX];
	int r;

	r = ship_connect(ship, &options, why);
	if (r == 0) {
		r = publish_attach(ship->publish, ship->jet);
		if (r < 0)
			ship_disconnect(ship);
		return r;
	}
	if (r > 0 || r == -EINTR)
		return r;
	if (r == -EAGAIN || r == -EACCES || r == -EPROTO) {
		ship_say(ship, r == -EACCES ? "the servers refuse this user: %s" : "%s", why);
		return r;
	}
	cli_note("%s: %s", ship->stream, why);
	return CLI_IO;
}

static const char *get_header(void *arg, const char *name)
{
	const char *value;

	return natsMsgHeader_Get(arg, name, &value) == NATS_OK ? value : NULL;
}

/* The stream's last message. */
static int read_last(struct ship *ship, struct resume_stream *stream)
{
	natsMsg *message;
	int r = jet_message(ship->jet, stream->last_sequence, &message);

	if (r == -ENOENT) /* it has expired since */
		return 0;
	if (r < 0)
		return r;
	r = wire_head_get(get_header, message, &stream->last);
	stream->have_last = r == 0;
	stream->foreign = r < 0;
	stream->last_size = (size_t)natsMsg_GetDataLength(message);
	natsMsg_Destroy(message);
	return 0;
}

/* What the stream says of itself. */
static int ask(struct ship *ship, struct jet_info *info, struct resume_stream *ret_stream)
{
	struct resume_stream stream = { .exists = true };
	int r = jet_info(ship->jet, info);

	if (r == -ENOENT) {
		*ret_stream = (struct resume_stream){ .exists = false };
		return 0;
	}
	if (r < 0)
		return r;
	stream.foreign = stream_about_get(info->description, &stream.about) < 0;
	stream.last_sequence = info->last_sequence;
	stream.messages = info->messages;
	if (!stream.foreign && info->messages > 0) {
		r = read_last(ship, &stream);
		if (r < 0)
			return r;
	}
	*ret_stream = stream;
	return 0;
}

/* The number of the record that both must have; false: there is none. */
static bool common_record(const struct resume_stream *stream, uint64_t *ret_seq)
{
	const struct wire_head *last = &stream->last;

	if (!stream->have_last || last->kind == WIRE_GAP)
		return false;
	*ret_seq = last->kind == WIRE_PART ? last->first : last->next - 1;
	return true;
}

static int too_small(struct ship *ship, int64_t most)
{
	cli_note("%s: takes messages of %" PRId64 " bytes only", ship->stream, most);
	return CLI_IO;
}

static int create(struct ship *ship, uint64_t first)
{
	const struct ship_settings *settings = ship->settings;
	const int64_t most = natsConnection_GetMaxPayload(jet_connection(ship->jet));
	struct stream_about about = {
		.format = settings->per_record ? STREAM_RECORDS : STREAM_FRAMES,
		.first = first,
		.segment_size = ship->source.segment_size,
	};
	char description[STREAM_ABOUT_MAX];
	const struct jet_create wanted = {
		.description = description,
		.replicas = settings->replicas,
		.max_bytes = (int64_t)settings->max_bytes,
		.max_age_ns = (int64_t)settings->max_age_ms * 1000000,
	};
	int r;

	if (most < HEADERS + LEAST)
		return too_small(ship, most);
	about.message_size = (uint64_t)most - HEADERS;
	if (!settings->per_record)
		about.frame_size =
			settings->frame_size != 0 ? settings->frame_size : SHIP_FRAME_SIZE;
	if (about.frame_size > about.message_size)
		about.frame_size = about.message_size;
	memcpy(about.identity, ship->source.identity, sizeof about.identity);
	stream_about_put(description, &about);
	r = jet_create(ship->jet, &wanted);
	if (r == -EPROTO) {
		cli_note("%s: %s", ship->stream, jet_why(ship->jet));
		return CLI_IO;
	}
	if (r < 0) {
		ship_say(ship, "%s", jet_why(ship->jet));
		return r;
	}
	ship->had_stream = true; /* it is not made twice */
	return -EINPROGRESS;
}

static void warn(struct ship *ship, const struct jet_info *info)
{
	const unsigned *v = info->server_version;
	const uint64_t version = (uint64_t)v[0] << 40 | (uint64_t)v[1] << 20 | v[2];

	if (ship->warned || info->replicas < 2 || version == 0)
		return;
	ship->warned = true;
	if (version < ((uint64_t)2 << 40 | (uint64_t)10 << 20 | 23))
		cli_note(
			"%s: nats-server %u.%u.%u may lose a stream when most servers of a cluster are killed: use "
			"2.10.23 or later",
			ship->stream, v[0], v[1], v[2]);
}

/* Says why; the exit code. */
static int stop(struct ship *ship, const struct resume_plan *plan)
{
	if (plan->gap_first == plan->seq)
		cli_note("%s: %s: %s", ship->source.dir, ship->stream, plan->why);
	else
		cli_note("%s: %s: %s: records %" PRIu64 " to %" PRIu64, ship->source.dir,
		         ship->stream, plan->why, plan->gap_first, plan->seq - 1);
	return plan->code;
}

static int begin(struct ship *ship, const struct jet_info *info, const struct resume_stream *stream,
                 const struct resume_plan *plan)
{
	const uint64_t next = plan->action == RESUME_GAP ? plan->gap_first : plan->seq;
	uint64_t frame_size = stream->about.frame_size, message_size = stream->about.message_size;
	int r;

	if (message_size == 0)
		message_size =
			info->max_payload > HEADERS ? (uint64_t)info->max_payload - HEADERS : 0;
	if (message_size < LEAST || (int64_t)message_size > info->max_payload - HEADERS)
		return too_small(ship, info->max_payload);
	if (frame_size == 0)
		frame_size = ship->settings->frame_size != 0 ? ship->settings->frame_size
		                                             : SHIP_FRAME_SIZE;
	r = compose_set(&ship->compose, stream->about.format, frame_size, message_size);
	if (r < 0)
		return r;
	ship_house_cut(ship, next);
	r = source_seek(&ship->source, plan->seq);
	if (r < 0) {
		cli_fail(ship->source.dir, r);
		return CLI_IO;
	}
	compose_begin(&ship->compose, plan->part_offset);
	if (plan->action == RESUME_GAP) {
		ship->compose.gap_first = plan->gap_first;
		ship->compose.gap_next = plan->seq;
	}
	publish_begin(ship->publish, plan->expected_last, next);
	ship->had_stream = true;
	ship->resyncs++;
	warn(ship, info);
	return 0;
}

/* For how long what the stream says now is not believed; 0: it is. */
static uint64_t doubt_ms(const struct ship *ship, const struct resume_stream *stream)
{
	if (stream->exists) /* all is well, or the last message is not there although there are messages */
		return stream->foreign || stream->have_last || stream->messages == 0 ? 0 : GONE_MS;
	if (ship->had_stream)
		return GONE_MS;
	return ship->source.committed > 0 ? GONE_AT_START_MS : 0;
}

static bool is_in_doubt(struct ship *ship, const struct resume_stream *stream)
{
	const uint64_t now = ship_now_ms(), limit = doubt_ms(ship, stream);

	if (limit == 0) {
		ship->gone_since = 0;
		return false;
	}
	if (ship->gone_since == 0)
		ship->gone_since = now;
	return now - ship->gone_since < limit;
}

/* --frame, as the stream says it: no frame is larger than a message. */
static uint64_t wanted_frame_size(const struct ship *ship, const struct stream_about *about)
{
	const uint64_t wanted = ship->settings->frame_size;

	return about->message_size != 0 && wanted > about->message_size ? about->message_size
	                                                                : wanted;
}

int ship_resync(struct ship *ship)
{
	struct resume_options options = {
		.create = ship->settings->create,
		.accept_gap = ship->settings->ship.accept_gap,
		.had_stream = ship->had_stream,
		.any_format = !ship->settings->have_format,
		.format = ship->settings->per_record ? STREAM_RECORDS : STREAM_FRAMES,
	};
	struct resume_stream stream;
	struct resume_queue queue;
	struct resume_plan plan;
	struct jet_info info;
	uint64_t last = 0;
	bool have_last;
	int r = 0;

	if (!ship->jet)
		r = connect_jet(ship);
	if (r != 0)
		return r;
	r = ask(ship, &info, &stream);
	if (r < 0) {
		ship_say(ship, "%s", jet_why(ship->jet));
		if (r == -ENOTCONN)
			ship_disconnect(ship);
		return r;
	}
	if (is_in_doubt(ship, &stream)) {
		ship->backoff.tries =
			ship->backoff.tries < GONE_TRIES ? ship->backoff.tries : GONE_TRIES;
		ship_say(ship, stream.exists ? "the stream's last message is not there"
		                             : "the stream is not there");
		return -EAGAIN;
	}
	have_last = common_record(&stream, &last);
	r = source_describe(&ship->source, have_last, last, &queue);
	if (r < 0) {
		cli_fail(ship->source.dir, r);
		return CLI_IO;
	}
	if (ship->settings->ship.once && !ship->have_target) {
		ship->have_target = true;
		ship->target = queue.next_seq;
	}
	options.frame_size = wanted_frame_size(ship, &stream.about);
	resume_decide(&queue, &stream, &options, &plan);
	if (plan.action == RESUME_STOP)
		return stop(ship, &plan);
	return plan.action == RESUME_CREATE ? create(ship, plan.seq)
	                                    : begin(ship, &info, &stream, &plan);
}
