/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_loop.c - when ship asks the stream again, waits or ends, and with which exit code and words
 *
 * ship.c alone; the queue, the publishes and the clock are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define EVER_MS 600000U /* no test plays so long */

static struct {
	struct ship *ship;
	uint64_t now_ms;
	/* the queue */
	uint64_t records, end; /* it has the records 0 to end - 1, of which ship has sent so many */
	int behind_end;        /* what compose_next() gives then */
	uint64_t hole_end;
	bool damaged, at_end;
	int info, wait, open;
	struct cq_queue_info bounds;
	/* the stream */
	struct publish_state state;
	bool full_window, silent;    /* nothing is sent; no acknowledgement comes */
	struct stream_reply refusal; /* of the message with number refused_at */
	uint64_t refused_at;
	unsigned refusals; /* after the first one */
	/* results */
	const int *resyncs; /* of ship_resync(), one after another; the last one stays */
	int pause, house, house_last, metrics;
	uint64_t house_fails_at, signal_at; /* ms; 0: never */
	/* what ship did */
	unsigned asked, paused, closed, noted, well, undurable, undurable_last;
	char text[256], said[256];
} world;

static struct ship_settings settings;
volatile sig_atomic_t cli_stopped;

/* ---- played: time ---- */

static void acknowledge(void)
{
	struct publish_state *state = &world.state;

	if (world.silent || state->waiting == 0)
		return;
	state->unanswered = 0;
	if (state->failed) /* the others are refused, too */
		return;
	state->sequence += state->waiting;
	state->acked_next = world.records;
	state->waiting = state->stalled_ms = 0;
}

static void pass(uint64_t ms)
{
	world.now_ms += ms;
	assert_true(world.now_ms < EVER_MS);
	if (world.signal_at != 0 && world.now_ms >= world.signal_at)
		cli_stopped = 1;
	if (world.silent && world.state.waiting > 0)
		world.state.stalled_ms += ms;
	acknowledge();
}

uint64_t ship_now_ms(void)
{
	return world.now_ms;
}

/* ---- played: the queue ---- */

int source_open(struct source *source, const char *dir, bool visible)
{
	world.ship = (struct ship *)((char *)source - offsetof(struct ship, source));
	assert_false(visible);
	/* ship_run() is called once by a process, and keeps all this in one place */
	*source = (struct source){ .dir = dir };
	world.ship->have_target = world.ship->ready = false;
	world.ship->backoff.tries = 0;
	return world.open;
}

void source_close(struct source *source)
{
	assert_ptr_equal(source, &world.ship->source);
	world.closed++;
}

int source_wait(struct source *source, int timeout_ms)
{
	assert_ptr_equal(source, &world.ship->source);
	pass((uint64_t)timeout_ms);
	return world.wait;
}

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	(void)queue;
	*ret_info = world.bounds;
	return world.info;
}

int compose_next(struct compose *compose, struct publish_message *ret_message)
{
	struct source *source = &world.ship->source;

	assert_ptr_equal(compose, &world.ship->compose);
	source->next = world.records;
	source->at_end = false;
	if (world.records < world.end) {
		*ret_message = (struct publish_message){
			.head = { .first = world.records, .next = world.records + 1 },
		};
		return 1;
	}
	source->hole_end = world.hole_end;
	source->damaged = world.damaged;
	source->back_to = 3;
	source->at_end = world.at_end;
	return world.behind_end;
}

void compose_sent(struct compose *compose, const struct publish_message *message)
{
	(void)compose;
	world.records = world.ship->source.next = message->head.next;
}

void compose_free(struct compose *compose)
{
	(void)compose;
}

/* ---- played: the stream ---- */

struct publish *publish_new(void)
{
	return (struct publish *)&world;
}

void publish_free(struct publish *publish)
{
	assert_ptr_equal(publish, &world);
}

bool publish_may(struct publish *publish, const struct publish_message *message)
{
	(void)publish;
	(void)message;
	return !world.full_window || world.state.waiting == 0;
}

void publish_send(struct publish *publish, const struct publish_message *message)
{
	(void)publish;
	world.state.waiting++;
	world.state.unanswered++;
	if (world.refusal.answer == STREAM_STORED || message->head.first != world.refused_at)
		return;
	world.state.failed = true;
	world.state.why = world.refusal;
	if (world.refusals-- == 0)
		world.refused_at = UINT64_MAX;
}

void publish_state(struct publish *publish, struct publish_state *ret_state)
{
	(void)publish;
	*ret_state = world.state;
}

void publish_wait(struct publish *publish, unsigned timeout_ms)
{
	(void)publish;
	pass(timeout_ms);
}

const char *jet_why(struct jet *jet)
{
	(void)jet;
	return "no permission for chronq.S";
}

int ship_resync(struct ship *ship)
{
	const int r = *world.resyncs;

	world.asked++;
	if (world.resyncs[1] != 1)
		world.resyncs++;
	if (r == 0) { /* what is not acknowledged is sent again */
		world.records = world.ship->source.next = world.state.acked_next;
		world.state.waiting = world.state.unanswered = world.state.stalled_ms = 0;
		world.state.failed = false;
	}
	if (settings.ship.once && !ship->have_target) {
		ship->have_target = true;
		ship->target = world.end + (world.at_end ? 5 : 0);
	}
	return r;
}

void ship_disconnect(struct ship *ship)
{
	(void)ship;
}

/* ---- played: the house ---- */

int ship_house(struct ship *ship)
{
	assert_true(ship->ready);
	return world.house_fails_at != 0 && world.now_ms >= world.house_fails_at ? world.house : 0;
}

int ship_house_last(struct ship *ship)
{
	(void)ship;
	return world.house_last;
}

int ship_pause(struct ship *ship)
{
	assert_false(ship->ready);
	world.paused++;
	ship->backoff.tries++;
	pass(100);
	return world.pause;
}

void ship_undurable(struct ship *ship, bool last)
{
	(void)ship;
	assert_true(last || world.state.waiting == 0);
	world.undurable++;
	world.undurable_last += last;
}

int ship_metrics_begin(struct ship *ship)
{
	(void)ship;
	return world.metrics;
}

__attribute__((format(printf, 2, 0))) static void keep(char text[256], const char *format,
                                                       va_list arguments)
{
	(void)vsnprintf(text, 256, format, arguments);
}

void ship_say(struct ship *ship, const char *format, ...)
{
	va_list arguments;

	(void)ship;
	va_start(arguments, format);
	keep(world.said, format, arguments);
	va_end(arguments);
}

void ship_well(struct ship *ship)
{
	(void)ship;
	world.well++;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	world.noted++;
	va_start(arguments, format);
	keep(world.text, format, arguments);
	va_end(arguments);
}

int cli_fail(const char *subject, int error)
{
	cli_note("%s: error %d", subject, -error);
	return CLI_IO;
}

void cli_stop_on(int signal)
{
	assert_true(signal == SIGTERM || signal == SIGINT);
}

/* ---- tests ---- */

static const int always[] = { 0, 1 };

/* --once, and a queue with 20 records. */
static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&settings, 0, sizeof settings);
	settings.dir = "/q";
	settings.ship.once = true;
	(void)snprintf(settings.ship.url.name, sizeof settings.ship.url.name, "S");
	world.now_ms = 1000;
	world.end = 20;
	world.resyncs = always;
	cli_stopped = 0;
	return 0;
}

static void ends_with(int code, const char *text)
{
	assert_int_equal(ship_run(&settings), code);
	assert_string_equal(world.text, text);
	assert_int_equal(world.noted, text[0] != '\0');
}

static void all_is_well(void **state)
{
	(void)state;
	ends_with(CLI_OK, "");
	assert_int_equal(world.state.acked_next, 20);
	assert_int_equal(world.asked, 1);
	assert_int_equal(world.closed, 1);
	assert_true(world.well > 0);
	assert_string_equal(world.said, "");
	assert_int_equal(world.undurable_last, 1);
}

static void one_at_a_time(void **state)
{
	(void)state;
	world.full_window = true;
	ends_with(CLI_OK, "");
	assert_int_equal(world.state.sequence, 20);
}

/* The last numbers have no record, and there is nothing to wait for. */
static void gap_at_the_end(void **state)
{
	(void)state;
	world.at_end = true;
	ends_with(CLI_OK, "");
	assert_int_equal(world.state.acked_next, 20);
}

static void what_ends_it_at_the_start(void **state)
{
	static const int no_stream[] = { SHIP_NO_STREAM, 1 };

	(void)state;
	world.open = CLI_IO;
	ends_with(CLI_IO, "");
	assert_int_equal(world.closed, 0);
	setup(NULL);
	world.metrics = CLI_IO;
	ends_with(CLI_IO, "");
	assert_int_equal(world.asked, 0);
	assert_int_equal(world.closed, 1);
	setup(NULL);
	world.resyncs = no_stream;
	ends_with(SHIP_NO_STREAM, "");
	assert_int_equal(world.closed, 1);
	setup(NULL);
	cli_stopped = 1;
	ends_with(CLI_OK, "");
	assert_int_equal(world.asked, 0);
}

/* A stream that was just made is asked at once; after errors that pass there is a pause. */
static void the_stream_is_asked_again(void **state)
{
	static const int made[] = { -EINPROGRESS, 0, 1 };
	static const int later[] = { -EAGAIN, -EACCES, -EAGAIN, 0, 1 };

	(void)state;
	world.resyncs = made;
	ends_with(CLI_OK, "");
	assert_int_equal(world.asked, 2);
	assert_int_equal(world.paused, 0);
	setup(NULL);
	world.resyncs = later;
	ends_with(CLI_OK, "");
	assert_int_equal(world.asked, 4);
	assert_int_equal(world.paused, 3);
}

static void errors_of_the_reader_file(void **state)
{
	static const int never[] = { -EAGAIN, 1 };

	(void)state;
	settings.ship.once = false;
	world.house = CLI_IO;
	world.house_fails_at = 5000;
	ends_with(CLI_IO, "");
	setup(NULL);
	world.resyncs = never;
	world.pause = CLI_IO;
	ends_with(CLI_IO, "");
	setup(NULL);
	world.house_last = CLI_IO;
	ends_with(CLI_IO, "");
	assert_int_equal(world.state.acked_next, 20);
}

/* A signal: what is on its way is waited for, five seconds at most. */
static void signals(void **state)
{
	(void)state;
	settings.ship.once = false;
	world.signal_at = 9000;
	ends_with(CLI_OK, "");
	assert_int_equal(world.state.acked_next, 20);
	assert_true(world.now_ms < 11000);
	assert_true(world.undurable > 0); /* what may be said of records that wait in the queue */
	assert_int_equal(world.undurable_last, 0);
	setup(NULL);
	world.silent = true;
	world.signal_at = 1500;
	ends_with(CLI_OK, "");
	assert_in_range(world.now_ms, 6500, 6700);
}

static void refused(enum stream_answer answer, const char *text, const char *said)
{
	setup(NULL);
	world.refusal = (struct stream_reply){ .answer = answer };
	(void)snprintf(world.refusal.text, sizeof world.refusal.text, "%s", text);
	world.refused_at = 7;
	ends_with(CLI_OK, "");
	assert_string_equal(world.said, said);
	assert_int_equal(world.asked, 2);
	assert_int_equal(world.paused, 1);
	assert_int_equal(world.state.acked_next, 20);
}

/* Whatever is refused, the stream is asked, and says where to continue. */
static void refusals(void **state)
{
	(void)state;
	refused(STREAM_WRONG_LAST, "wrong last sequence: 7", ""); /* of no interest */
	refused(STREAM_DENIED, "denied", "no permission for chronq.S");
	refused(STREAM_FULL, "maximum bytes exceeded",
	        "the stream is full: maximum bytes exceeded");
	refused(STREAM_NO_STREAM, "no responders", "no responders");
	refused(STREAM_TOO_LARGE, "message too large", "message too large");
	refused(STREAM_UNAVAILABLE, "the connection was lost", "the connection was lost");
	refused(STREAM_REFUSED, "sealed", "sealed");
}

/* Another one stores messages there all the time. */
static void the_stream_is_never_as_expected(void **state)
{
	(void)state;
	world.refusal.answer = STREAM_WRONG_LAST;
	(void)strcpy(world.refusal.text, "wrong last sequence: 7");
	world.refusals = 4;
	ends_with(CLI_OK, "");
	assert_int_equal(world.paused, 5);
	assert_string_equal(world.said, "wrong last sequence: 7");
}

/* Nothing else is on its way any more when the stream is asked, or a second has passed. */
static void a_refusal_and_silence(void **state)
{
	(void)state;
	world.silent = true;
	world.refusal.answer = STREAM_REFUSED;
	world.signal_at = 1900;
	ends_with(CLI_OK, "");
	assert_int_equal(world.asked, 1);
	assert_in_range(world.now_ms, 2000, 2200);
}

/* The longer no acknowledgement comes, the longer it is waited for the next time. */
static void silence(void **state)
{
	uint64_t begin;

	(void)state;
	world.silent = true;
	world.signal_at = 200000;
	ends_with(CLI_OK, "");
	assert_in_range(world.asked, 8, 14);
	assert_string_equal(world.said, "no acknowledgement for 30 s");
	begin = world.now_ms;
	assert_in_range(begin, 200000, 210000);
}

/* More cannot be read of the queue.  All before it is shipped first. */
static void stopped_at(int error, int code, const char *text)
{
	world.behind_end = error;
	ends_with(code, text);
	assert_int_equal(world.state.acked_next, 20);
}

static void queues_that_cannot_be_read(void **state)
{
	(void)state;
	settings.ship.once = false;
	stopped_at(-EIO, SHIP_DAMAGED,
	           "/q: record 20 is damaged, and nothing shows where the next one is");
	setup(NULL);
	settings.ship.once = false;
	stopped_at(
		-EILSEQ, SHIP_DIFFERS,
		"/q: record 3 comes where 20 is due: the queue has lost records, and their numbers were given again");
	setup(NULL);
	settings.ship.once = false;
	stopped_at(-ENOMEM, CLI_IO, "/q: error 12");
	setup(NULL);
	settings.ship.once = false;
	world.wait = -EBADMSG;
	stopped_at(0, CLI_IO, "/q: error 74");
}

static void begin_hole(uint64_t first_seq)
{
	setup(NULL);
	settings.ship.once = false;
	world.hole_end = 30;
	world.bounds.have_bounds = true;
	world.bounds.first_seq = first_seq;
}

static void holes(void **state)
{
	static const char missing[] =
		"/q: records 20 to 29 are missing (--accept-gap ships the rest)";

	(void)state;
	begin_hole(30);
	stopped_at(-ENODATA, SHIP_MISSING,
	           "/q: records 20 to 29 are deleted (--accept-gap ships the rest)");
	begin_hole(0);
	stopped_at(-ENODATA, SHIP_DAMAGED, missing);
	begin_hole(30);
	world.bounds.have_bounds = false;
	stopped_at(-ENODATA, SHIP_DAMAGED, missing);
	begin_hole(30);
	world.info = -EIO;
	stopped_at(-ENODATA, SHIP_DAMAGED, missing);
	begin_hole(0);
	world.damaged = true;
	stopped_at(-ENODATA, SHIP_DAMAGED,
	           "/q: records 20 to 29 are damaged (--accept-gap ships the rest)");
}

/* --accept-gap, and damage in the segment that is being written: what follows is known when that is left. */
static void damage_whose_end_is_not_known(void **state)
{
	(void)state;
	settings.ship.once = false;
	settings.ship.accept_gap = true;
	world.signal_at = 5000;
	world.behind_end = -EIO;
	ends_with(CLI_OK, "");
	assert_string_equal(world.said, "record 20 of the queue is damaged");
	assert_int_equal(world.state.acked_next, 20);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_is_well, setup),
		cmocka_unit_test_setup(one_at_a_time, setup),
		cmocka_unit_test_setup(gap_at_the_end, setup),
		cmocka_unit_test_setup(what_ends_it_at_the_start, setup),
		cmocka_unit_test_setup(the_stream_is_asked_again, setup),
		cmocka_unit_test_setup(errors_of_the_reader_file, setup),
		cmocka_unit_test_setup(signals, setup),
		cmocka_unit_test_setup(refusals, setup),
		cmocka_unit_test_setup(the_stream_is_never_as_expected, setup),
		cmocka_unit_test_setup(a_refusal_and_silence, setup),
		cmocka_unit_test_setup(silence, setup),
		cmocka_unit_test_setup(queues_that_cannot_be_read, setup),
		cmocka_unit_test_setup(holes, setup),
		cmocka_unit_test_setup(damage_whose_end_is_not_known, setup),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
