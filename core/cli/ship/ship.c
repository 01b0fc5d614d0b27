/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship.c - chronq ship: the loop
 *
 * The happy path: the stream says which record it has last; records from there on are published, many at a time, and
 * acknowledged; those that were acknowledged long enough ago are committed, so that retention may delete them.
 *
 * A publish that fails in any way, acknowledgements that do not come, a lost connection: what is on its way is given a
 * short time to arrive, then the stream is asked again.  A signal or SIGKILL at any point leaves a queue and a
 * stream from which the next start continues, as nothing but these two decides where that is.
 *
 * The main thread reads the queue, publishes and commits; libnats' threads take acknowledgements (publish.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define STALL_MIN_MS 1000
#define STALL_MAX_MS 30000
#define STOP_MS 5000  /* for acknowledgements, after a signal */
#define DRAIN_MS 1000 /* the same, before the stream is asked again */
#define ACK_WAIT_MS 100
#define WRONG_TRIES 4 /* after so many in vain it is said */
#define IDLE_WAIT_MS 1000

/* Until all that is on its way is stored or refused, but no longer than the limit, and not when no reply can come. */
static void drain(struct ship *ship, uint64_t limit_ms)
{
	const uint64_t begin = ship_now_ms();
	struct publish_state state;

	for (;;) {
		publish_state(ship->publish, &state);
		if (state.unanswered == 0 || ship_now_ms() - begin >= limit_ms ||
		    (state.failed && state.why.answer == STREAM_UNAVAILABLE))
			return;
		publish_wait(ship->publish, 10);
	}
}

/* The records up to `next` are not in the queue because its oldest segments were deleted. */
static bool were_deleted(struct ship *ship, uint64_t next)
{
	struct cq_queue_info info = CQ_SIZED(info);

	return cq_queue_info(ship->source.queue, &info) == 0 && info.have_bounds &&
	       info.first_seq >= next;
}

/* At a hole, or an error that the queue gives.  The exit code, after a message. */
static int stop_at(struct ship *ship, int error)
{
	const struct source *source = &ship->source;
	const char *what = source->damaged ? "damaged" : "missing";
	int code = SHIP_DAMAGED;

	if (error == -EIO) {
		cli_note("%s: record %" PRIu64
		         " is damaged, and nothing shows where the next one is",
		         source->dir, source->next);
		return code;
	}
	if (error == -EILSEQ) {
		cli_note("%s: record %" PRIu64 " comes where %" PRIu64
		         " is due: the queue has lost records, and their numbers were given again",
		         source->dir, source->back_to, source->next);
		return SHIP_DIFFERS;
	}
	if (error != -ENODATA) {
		cli_fail(source->dir, error);
		return CLI_IO;
	}
	if (were_deleted(ship, source->hole_end)) {
		what = "deleted";
		code = SHIP_MISSING;
	}
	cli_note("%s: records %" PRIu64 " to %" PRIu64 " are %s (--accept-gap ships the rest)",
	         source->dir, source->next, source->hole_end - 1, what);
	return code;
}

/* There is no next message now.  Waits for one, or for what is on its way. */
static int wait_for_records(struct ship *ship, const struct publish_state *state)
{
	int r;

	if (state->waiting > 0 && ship->have_target && ship->source.next >= ship->target) {
		publish_wait(ship->publish, ACK_WAIT_MS);
		return 0;
	}
	r = source_wait(&ship->source, state->waiting > 0 ? ACK_WAIT_MS : IDLE_WAIT_MS);
	if (r < 0) {
		cli_fail(ship->source.dir, r);
		return CLI_IO;
	}
	return 0;
}

/* Sends the next message, or waits.  0, or an exit code. */
static int step(struct ship *ship, const struct publish_state *state)
{
	struct publish_message message;
	int r = compose_next(&ship->compose, &message);

	/* the numbers up to the target have no record: they are a gap at the end of the queue */
	if (r == 0 && ship->have_target && ship->source.at_end && state->waiting == 0) {
		ship->target = ship->source.next;
		return 0;
	}
	if (r == 0) {
		if (state->waiting == 0) {
			ship_well(ship);
			ship_undurable(ship, false);
		}
		return wait_for_records(ship, state);
	}
	if (r < 0) {
		/* damage in the segment that is being written: what follows it is not known yet */
		if (r == -EIO && ship->settings->ship.accept_gap) {
			ship_say(ship, "record %" PRIu64 " of the queue is damaged",
			         ship->source.next);
			publish_wait(ship->publish, ACK_WAIT_MS);
			return 0;
		}
		/* all before it is sent; when that has arrived, too, ship ends */
		if (state->waiting == 0)
			return stop_at(ship, r);
		publish_wait(ship->publish, ACK_WAIT_MS);
		return 0;
	}
	if (!publish_may(ship->publish, &message)) {
		publish_wait(ship->publish, ACK_WAIT_MS);
		return 0;
	}
	publish_send(ship->publish, &message);
	compose_sent(&ship->compose, &message);
	return 0;
}

/* Says why the generation is over, unless the stream is just to be asked again. */
static void say_failure(struct ship *ship, const struct stream_reply *why)
{
	switch (why->answer) {
	case STREAM_STORED:
		break;
	case STREAM_WRONG_LAST: /* somebody else has stored something; to the stream itself that happens once */
		if (ship->backoff.tries >= WRONG_TRIES)
			ship_say(ship, "%s", why->text);
		break;
	case STREAM_DENIED:
		ship_say(ship, "%s", jet_why(ship->jet));
		break;
	case STREAM_FULL:
		ship_say(ship, "the stream is full: %s", why->text);
		break;
	case STREAM_NO_STREAM:
	case STREAM_TOO_LARGE:
	case STREAM_UNAVAILABLE:
	case STREAM_REFUSED:
		ship_say(ship, "%s", why->text);
		break;
	}
}

/* Publishes until something fails: -EAGAIN; or an exit code. */
static int run_generation(struct ship *ship)
{
	struct publish_state state;
	uint64_t acked;
	int r;

	publish_state(ship->publish, &state);
	acked = state.sequence;
	for (;;) {
		publish_state(ship->publish, &state);
		if (state.sequence != acked) {
			acked = state.sequence;
			ship->backoff.tries = 0;
			ship->stall_ms = STALL_MIN_MS;
			ship_well(ship);
		}
		if (state.failed) {
			say_failure(ship, &state.why);
			drain(ship, DRAIN_MS);
			return -EAGAIN;
		}
		if (state.stalled_ms > ship->stall_ms) {
			ship_say(ship, "no acknowledgement for %" PRIu64 " s",
			         state.stalled_ms / 1000);
			ship->stall_ms = ship->stall_ms < STALL_MAX_MS / 2 ? 2 * ship->stall_ms
			                                                   : STALL_MAX_MS;
			return -EAGAIN;
		}
		if (ship->have_target && state.acked_next >= ship->target)
			return CLI_OK;
		if (cli_stopped) {
			drain(ship, STOP_MS);
			return CLI_OK;
		}
		r = ship_house(ship);
		if (r == 0)
			r = step(ship, &state);
		if (r != 0)
			return r;
	}
}

/* Until an exit code. */
static int run(struct ship *ship)
{
	int r;

	for (;;) {
		if (cli_stopped)
			return CLI_OK;
		r = ship_resync(ship);
		if (r == 0) {
			ship->ready = true;
			ship->kept_at = ship_now_ms();
			r = run_generation(ship);
			ship->ready = false;
		} else if (r > 0) {
			return r;
		} else if (r == -EINPROGRESS) {
			continue;
		}
		if (r >= 0)
			return r;
		r = ship_pause(ship);
		if (r != 0)
			return r;
	}
}

int ship_run(const struct ship_settings *settings)
{
	/* not on the stack: it has the batch of records */
	static struct ship ship;
	int status, r;

	ship.settings = settings;
	ship.stream = settings->ship.url.name;
	ship.compose.source = &ship.source;
	ship.compose.accept_gap = settings->ship.accept_gap;
	ship.stall_ms = STALL_MIN_MS;
	ship.kept.span_ns = settings->keep_ms * 1000000;
	status = source_open(&ship.source, settings->dir, settings->visible);
	if (status != CLI_OK)
		return status;
	ship.publish = publish_new();
	if (!ship.publish) { /* GCOV_EXCL_BR_LINE: no memory */
		source_close(&ship.source);
		return cli_fail(settings->dir, -ENOMEM);
	}
	cli_stop_on(SIGTERM);
	cli_stop_on(SIGINT);
	(void)signal(SIGPIPE, SIG_IGN);
	status = ship_metrics_begin(&ship);
	if (status == CLI_OK)
		status = run(&ship);
	if (status == CLI_OK && ship.have_target)
		ship_undurable(&ship, true);
	r = ship_house_last(&ship);
	if (ship.abandoned) {
		source_close(&ship.source);
		_exit(status == CLI_OK ? r : status);
	}
	ship_disconnect(&ship);
	(void)nats_CloseAndWait(1000);
	status_close(ship.metrics.status);
	publish_free(ship.publish);
	compose_free(&ship.compose);
	source_close(&ship.source);
	return status == CLI_OK ? r : status;
}
