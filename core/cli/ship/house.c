/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house.c - what is done once a second, and what is said while ship waits; see ship.h
 *
 * Invariant: the committed position is at or before the last record that is acknowledged, and moves back with it.
 *
 * The time that --keep-acked gives stands still while the stream does not answer: servers that are away for hours may
 * come back with an older state, which only the queue can heal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define PERIOD_MS 1000
#define SAY_MS 60000
#define CONNECTED_MS 1000 /* the longest pause while a server is connected */
#define LOOK_MS 5000
#define SLICE_MS 100 /* a signal ends a pause so soon */

uint64_t ship_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Once a minute at most: it is tried each second. */
static void say_not_committed(struct ship *ship, int error, uint64_t now)
{
	if (ship->not_committed_at != 0 && now - ship->not_committed_at < SAY_MS)
		return;
	ship->not_committed_at = now;
	cli_note("%s: reader %s: cannot commit: %s", ship->source.dir, SOURCE_READER,
	         cq_strerror(error));
}

/* Time of ship->kept. */
static uint64_t kept_ns(struct ship *ship, const struct publish_state *state, uint64_t now)
{
	if (ship->ready && !state->failed)
		ship->kept_ms += now - ship->kept_at;
	ship->kept_at = now;
	return ship->kept_ms * 1000000;
}

static int commit(struct ship *ship, uint64_t now, uint64_t at_ns)
{
	const uint64_t before = ship->source.committed;
	uint64_t next = before, due;
	int r;

	if (window_kept_due(&ship->kept, at_ns, &due) && due > next)
		next = due;
	r = source_commit(&ship->source, next);
	if (r == -EIO && next != before) {
		/* damage hides the place, until a later one is committed: meanwhile the reader stays where it was, and gives its
		 * sign of life */
		say_not_committed(ship, r, now);
		r = source_commit(&ship->source, before);
	}
	if (r == -EAGAIN || r == -EIO) { /* a writer of the reader's file was stopped */
		say_not_committed(ship, r, now);
		return 0;
	}
	return r < 0 ? cli_fail_reader(ship->source.dir, SOURCE_READER, r) : 0;
}

static int keep_house(struct ship *ship, uint64_t now, bool last)
{
	struct publish_state state;
	uint64_t at_ns;

	publish_state(ship->publish, &state);
	at_ns = kept_ns(ship, &state, now);
	if (state.acked_next > ship->source.committed)
		window_kept_add(&ship->kept, state.acked_next, at_ns);
	ship_metrics(ship, last);
	return commit(ship, now, at_ns);
}

int ship_house(struct ship *ship)
{
	const uint64_t now = ship_now_ms();

	if (now - ship->housed_at < PERIOD_MS)
		return 0;
	ship->housed_at = now;
	return keep_house(ship, now, false);
}

int ship_house_last(struct ship *ship)
{
	return keep_house(ship, ship_now_ms(), true);
}

void ship_house_cut(struct ship *ship, uint64_t next)
{
	window_kept_cut(&ship->kept, next);
}

void ship_undurable(struct ship *ship, bool last)
{
	const uint64_t now = ship_now_ms(), next = ship->source.next;
	struct cq_queue_info info = CQ_SIZED(info);
	const bool same = ship->undurable.next == next && ship->undurable.looked_at != 0;

	if (ship->settings->visible || ship->undurable.said ||
	    (same && !last && now - ship->undurable.looked_at < LOOK_MS))
		return;
	ship->undurable.seen = same && ship->undurable.seen;
	ship->undurable.next = next;
	ship->undurable.looked_at = now;
	if (cq_queue_info(ship->source.queue, &info) < 0 || !info.have_bounds ||
	    info.durable_seq > next || info.next_seq <= next) {
		ship->undurable.seen = false;
	} else if (ship->undurable.seen || last) {
		ship->undurable.said = true;
		cli_note(
			"%s: records %" PRIu64 " to %" PRIu64
			" wait until they are durable (sync= of the mount, or fsync; or --visible)",
			ship->source.dir, next, info.next_seq - 1);
	} else {
		ship->undurable.seen = true;
	}
}

static bool is_connected(struct ship *ship)
{
	struct jet_state state = { .connected = false };

	if (ship->jet)
		jet_state(ship->jet, &state);
	return state.connected;
}

int ship_pause(struct ship *ship)
{
	const bool was_connected = is_connected(ship);
	struct timespec now;
	uint32_t left, part;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = backoff_next_ms(&ship->backoff, (uint32_t)now.tv_nsec);
	/* A server that answers costs one request; as soon as the stream has a leader, shipping continues. */
	if (was_connected && left > CONNECTED_MS)
		left = CONNECTED_MS - (uint32_t)now.tv_nsec % (CONNECTED_MS / 5);
	for (; left > 0 && !cli_stopped && r == 0; left -= part) {
		part = left < SLICE_MS ? left : SLICE_MS;
		(void)nanosleep(&(struct timespec){ .tv_nsec = (long)part * 1000000 }, NULL);
		r = ship_house(ship);
		if (!was_connected && is_connected(ship)) {
			ship->backoff.tries = 0;
			break;
		}
	}
	return r;
}

void ship_say(struct ship *ship, const char *format, ...)
{
	const uint64_t now = ship_now_ms();
	va_list arguments;

	va_start(arguments, format);
	// NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start() is in front of it
	(void)vsnprintf(ship->waits_for, sizeof ship->waits_for, format, arguments);
	va_end(arguments);
	if (ship->said_at != 0 && now - ship->said_at < SAY_MS)
		return;
	ship->said_at = now;
	cli_note("%s: waiting: %s", ship->stream, ship->waits_for);
}

void ship_well(struct ship *ship)
{
	if (ship->said_at != 0)
		cli_note("%s: ship continues", ship->stream);
	ship->said_at = 0;
	ship->waits_for[0] = '\0';
}
