/* SPDX-License-Identifier: Apache-2.0 */
/* ship.h - chronq ship: sends the records of a queue to a stream */
#ifndef CHRONQ_SHIP_SHIP_H
#define CHRONQ_SHIP_SHIP_H

#include "jet/options.h"
#include "ship/compose.h"
#include "wire/status.h"

#define SHIP_FRAME_SIZE (64U << 10)
#define SHIP_KEEP_MS 600000U

struct ship_settings {
	struct ship_options ship;
	const char *dir;
	bool check; /* compares, and sends nothing */
	bool create, visible, per_record;
	bool have_format;    /* frame_size or per_record was given */
	uint64_t frame_size; /* bytes of a frame's body; 0: not given */
	bool have_keep;
	uint64_t keep_ms; /* records are committed when they were acknowledged so long ago */
	/* of a stream that is made */
	int replicas;
	uint64_t max_bytes, max_age_ms; /* 0: no limit */
};

struct ship_metrics {
	struct status *status;        /* NULL: none is wanted */
	uint64_t look_at;             /* ms: when the queue's end is looked up again */
	uint64_t end_seq, end_stream; /* of the queue, when it was looked up; STATUS_UNKNOWN */
	uint64_t
		lag_since; /* ms: records are due since then, if their times are not known; 0: none are */
};

struct ship {
	const struct ship_settings *settings;
	const char *stream; /* its name */
	struct source source;
	struct compose compose;
	struct publish *publish;
	struct jet *jet;         /* NULL: none is open */
	struct window_kept kept; /* what may be committed */
	uint64_t kept_ms;        /* its time: it passes while a generation runs */
	uint64_t kept_at;        /* ship_now_ms() of kept_ms */
	struct backoff backoff;
	bool had_stream;  /* it was there, and was this queue's */
	bool ready;       /* a generation runs: records are read */
	bool attached;    /* the publishes go through jet */
	bool warned;      /* of the servers' version */
	bool abandoned;   /* a thread still connects: the process ends without it */
	bool have_target; /* --once: it ends when the records below target are acknowledged */
	uint64_t target;
	uint64_t stall_ms; /* acknowledgements that do not come for so long will not come */
	uint64_t resyncs;
	struct ship_metrics metrics;
	/* times in ms, CLOCK_MONOTONIC */
	struct {
		uint64_t next; /* the record that is waited for */
		uint64_t looked_at;
		bool seen; /* at that look it was there, and not durable */
		bool said;
	} undurable;
	uint64_t gone_since;       /* the stream, or its last message, was not there; 0: it is */
	uint64_t housed_at;        /* ship_house() did its work */
	uint64_t not_committed_at; /* it was said that a commit has failed; 0: never */
	char waits_for[256];       /* empty: nothing */
	uint64_t said_at;          /* ship_say() said something; 0: not yet, or all is well since */
};

/* Returns the exit code. */
int ship_run(const struct ship_settings *settings);

/* ---- resync.c ---- */

/*
 * Connects if need be, asks the stream what it has, and begins a generation there (publish.h).  0; an exit code, after
 * a message; or a negative errno: try again after a pause.
 */
int ship_resync(struct ship *ship);
void ship_disconnect(struct ship *ship);

/* ---- connect.c ---- */

/*
 * jet_open() into ship->jet, while ship_house() does its work.  Errors as those of jet_open(), with `why`; and without:
 *   EINTR  a signal has come
 *   an exit code, after a message of ship_house()
 */
int ship_connect(struct ship *ship, const struct jet_options *options, char why[JET_WHY_MAX]);

/* ---- house.c ---- */

/* Once a second: commits what is due, which is also the reader's sign of life.  0, or an exit code after a message. */
int ship_house(struct ship *ship);
/* The same now, for the last time. */
int ship_house_last(struct ship *ship);
/* The stream has only the records below `next`. */
void ship_house_cut(struct ship *ship, uint64_t next);
/* Before the next try.  As ship_house(). */
int ship_pause(struct ship *ship);
/* Called while there is nothing to ship: says once that records wait since nothing makes them durable, when they have
 * done so for ten seconds, or (last) now. */
void ship_undurable(struct ship *ship, bool last);
/* "chronq: STREAM: MESSAGE" about what is waited for, once a minute at most. */
void ship_say(struct ship *ship, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was waited for is there. */
void ship_well(struct ship *ship);
uint64_t ship_now_ms(void);

/* ---- metrics.c ---- */

/* 0, or an exit code after a message. */
int ship_metrics_begin(struct ship *ship);
/* Writes them if that is due, or (last) in any case. */
void ship_metrics(struct ship *ship, bool last);

#endif
