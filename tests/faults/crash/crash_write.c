/* SPDX-License-Identifier: Apache-2.0 */
/* crash_write.c - the process that writes and is killed; see crash.h */
#include "crash.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fault.h"
#include "write/writer.h"

#define BATCH_MOST 6U

/* ---- the places ---- */

static struct crash_shared *heard_by;
static unsigned kill_at; /* the Nth of all places; 0: never */
static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;

static struct crash_place *find_place(struct crash_shared *s, const char *name)
{
	struct crash_place *place;
	unsigned n = atomic_load(&s->place_count);

	for (place = s->places; place < s->places + n; place++)
		if (strcmp(place->name, name) == 0)
			return place;
	return NULL;
}

unsigned crash_passes(const struct crash_shared *shared, const char *name)
{
	const unsigned n = atomic_load(&shared->place_count);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(shared->places[i].name, name) == 0)
			return shared->places[i].passes;
	return 0;
}

static void hear(const char *name)
{
	struct crash_shared *s = heard_by;
	struct crash_place *place;
	unsigned n;

	pthread_mutex_lock(&places);
	place = find_place(s, name);
	if (!place && s->place_count < CRASH_PLACES) {
		place = &s->places[s->place_count];
		place->passes = 0;
		(void)snprintf(place->name, sizeof place->name, "%s", name);
		atomic_fetch_add(&s->place_count, 1);
	}
	if (place)
		place->passes++;
	n = atomic_fetch_add(&s->passes, 1) + 1;
	pthread_mutex_unlock(&places);
	if (n == kill_at)
		kill(getpid(), SIGKILL);
}

/* ---- what is called ---- */

struct script {
	struct crash_shared *shared;
	const struct crash_round *round;
	struct crash_random random;
	struct cq_config config;
	cq_writer *writer;
	uint64_t next; /* sequence number of the next record */
	struct crash_message message[BATCH_MOST];
	/* one request at a time */
	struct cq_sync_request request;
	uint64_t request_upto;
	_Atomic bool requested;
};

static void give_up(void)
{
	_exit(1);
}

static void expect(struct script *t, const char *call, int r, int wanted)
{
	if (r == wanted)
		return;
	crash_problem(t->shared, "round %" PRIu32 ": %s gave %d (%s), not %d", t->round->number,
	              call, r, r < 0 ? strerrordesc_np(-r) : "", wanted);
	give_up();
}

static void raise_to(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t now = atomic_load(value);

	while (now < to && !atomic_compare_exchange_weak(value, &now, to))
		;
}

static void appended(struct script *t, uint64_t first, unsigned count)
{
	if (first != t->next) {
		crash_problem(t->shared, "round %" PRIu32 ": appended as %" PRIu64 ", not %" PRIu64,
		              t->round->number, first, t->next);
		give_up();
	}
	t->next += count;
	atomic_store(&t->shared->acked, t->next);
	if (t->config.sync == CQ_SYNC_ALWAYS)
		raise_to(&t->shared->durable, t->next);
}

/* The limit is reached: the record is absent for ever, and what comes next gets its number. */
static void refused(struct script *t)
{
	atomic_store(&t->shared->begun, t->next);
	atomic_fetch_add(&t->shared->refused, 1);
}

static void append(struct script *t)
{
	struct crash_message *m = t->message;
	struct cq_appended in;
	int r;

	crash_message(t->shared, t->round->number, t->next, false, m);
	atomic_store(&t->shared->begun, t->next + 1);
	r = cq_writer_append(t->writer, m->type, m->bytes, m->length, &in);
	if (r == -EDQUOT) {
		refused(t);
		return;
	}
	expect(t, "append", r, 0);
	appended(t, in.seq, 1);
}

static void append_batch(struct script *t)
{
	const unsigned count = 2 + crash_below(&t->random, BATCH_MOST - 1);
	struct cq_message messages[BATCH_MOST];
	struct cq_appended in;
	ssize_t n;

	for (unsigned i = 0; i < count; i++) {
		struct crash_message *m = &t->message[i];

		crash_message(t->shared, t->round->number, t->next + i, false, m);
		messages[i] = (struct cq_message){ m->bytes, m->length, m->type };
	}
	atomic_store(&t->shared->begun, t->next + count);
	n = cq_writer_append_batch(t->writer, messages, count, &in);
	if (n > 0)
		appended(t, in.seq, (unsigned)n);
	if (n == -EDQUOT || (n > 0 && n < (ssize_t)count))
		refused(t);
	else if (n != (ssize_t)count)
		expect(t, "batch", (int)n, (int)count);
}

static void append_refused(struct script *t)
{
	struct crash_message *m = t->message;

	crash_message(t->shared, t->round->number, t->next, true, m);
	expect(t, "append of padding",
	       cq_writer_append(t->writer, 0xFFFF, m->bytes, m->length, NULL), -EINVAL);
	expect(t, "append of too much",
	       cq_writer_append(t->writer, m->type, m->bytes, (size_t)t->shared->segment_size - 127,
	                        NULL),
	       -EMSGSIZE);
	atomic_fetch_add(&t->shared->refused, 2);
}

static void sync_now(struct script *t)
{
	expect(t, "sync", cq_writer_sync(t->writer), 0);
	raise_to(&t->shared->durable, t->next);
}

static void synced(struct cq_sync_request *request, int result)
{
	struct script *t =
		(struct script *)(void *)((char *)request - offsetof(struct script, request));

	expect(t, "asynchronous sync", result, 0);
	raise_to(&t->shared->durable, t->request_upto);
	atomic_store(&t->requested, false);
}

static void sync_later(struct script *t)
{
	if (atomic_exchange(&t->requested, true))
		return;
	t->request_upto = t->next;
	t->request.done = synced;
	cq_writer_sync_async(t->writer, &t->request);
}

static void trim(struct script *t)
{
	const uint64_t back = crash_below(&t->random, 100);
	const uint64_t upto = t->next > back ? t->next - back : 0;
	const unsigned most = 1 + crash_below(&t->random, 3);
	int r;

	raise_to(&t->shared->trimmed, upto);
	atomic_fetch_add(&t->shared->trims, most);
	r = cq_writer_trim(t->writer, upto, most);
	if (r < 0)
		expect(t, "trim", r, 0);
	atomic_fetch_sub(&t->shared->trims, most - (unsigned)r);
}

static void roll(struct script *t)
{
	const int r = cq_writer_roll(t->writer);

	if (r != -EDQUOT)
		expect(t, "roll", r, 0);
}

static void step(struct script *t)
{
	switch (crash_below(&t->random, 24)) {
	case 0:
	case 1:
		append_batch(t);
		break;
	case 2:
	case 3:
		sync_now(t);
		break;
	case 4:
		sync_later(t);
		break;
	case 5:
		roll(t);
		break;
	case 6:
		trim(t);
		break;
	case 7:
		append_refused(t);
		break;
	default:
		append(t);
	}
	/* Without threads their work is done here: now and then, so that rolls find a segment
	 * prepared, or none. */
	if (!t->round->threads && crash_below(&t->random, 3) == 0)
		(void)cq_writer_prepare_step(t->writer);
	if (!t->round->threads && crash_below(&t->random, 3) == 0)
		(void)cq_writer_flush_step(t->writer);
}

/* ---- the round ---- */

static void configure(struct script *t)
{
	struct cq_config *c = &t->config;
	struct crash_random *random = &t->random;

	cq_config_init(c);
	c->segment_size = t->shared->segment_size;
	c->prealloc_wait_ms = t->round->threads && crash_below(random, 2) ? 100 : 0;
	c->spares = crash_below(random, 3) ? 1 : 3;
	c->retain_segments = 4 + crash_below(random, 10);
	if (crash_below(random, 4) == 0)
		c->max_bytes = 12 * t->shared->segment_size;
	atomic_store(&t->shared->keeps, (unsigned)c->retain_segments);
	atomic_store(&t->shared->trims, 0);
	switch (crash_below(random, 6)) {
	case 0:
		c->sync = CQ_SYNC_ALWAYS;
		break;
	case 1:
		c->sync = CQ_SYNC_INTERVAL;
		c->sync_interval_ms = 1;
		break;
	default:
		break;
	}
}

static void open_queue(struct script *t)
{
	struct crash_shared *s = t->shared;
	const uint32_t n = atomic_load(&s->start_count);
	struct cq_stats stats = CQ_SIZED(stats);

	expect(t, "open", cq_writer_open_with(s->dir, &t->config, t->round->threads, &t->writer),
	       0);
	if (crash_below(&t->random, 3)) { /* else few are so large (run.c) */
		t->writer->run.piece = 4096;
		t->writer->run.least_record = 100 + crash_below(&t->random, 900);
		t->writer->run.least_batch = 100 + crash_below(&t->random, 900);
		t->writer->run.stable = crash_below(&t->random, 2);
	}
	cq_writer_stats(t->writer, &stats);
	t->next = stats.next_seq;
	if (t->next != atomic_load(&s->end)) {
		crash_problem(s,
		              "round %" PRIu32 ": the numbering goes on with %" PRIu64
		              " behind %" PRIu64 " records",
		              t->round->number, t->next, atomic_load(&s->end));
		give_up();
	}
	s->starts[n] = (struct crash_start){ t->next, t->round->number };
	atomic_store_explicit(&s->start_count, n + 1, memory_order_release);
}

void crash_write(struct crash_shared *shared, const struct crash_round *round)
{
	struct script t = { .shared = shared, .round = round };
	char value[80];

	t.random.state = shared->seed ^ ((uint64_t)round->number << 32);
	heard_by = shared;
	cq_point_heard = hear;
	if (round->place) {
		(void)snprintf(value, sizeof value, "%s:%u", round->place, round->pass);
		expect(&t, "setenv", setenv("CHRONQ_KILL", value, 1), 0);
	} else {
		kill_at = round->pass;
	}
	configure(&t);
	open_queue(&t);
	for (unsigned i = 0; i < round->steps; i++)
		step(&t);
	expect(&t, "close", cq_writer_close(t.writer), 0);
	raise_to(&shared->durable, t.next);
	_exit(0);
}
