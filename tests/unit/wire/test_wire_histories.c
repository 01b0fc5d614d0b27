/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wire_histories.c - random histories of a queue and a stream, in which resume_decide() says where to continue
 *
 * The queue grows, is trimmed, and loses its end to power cuts, after which it gives numbers again; the stream expires,
 * falls back to an older copy, is deleted; ship stops after any message.  A record has an identity of its own, and knows
 * that of the record before it.  In the stream that consumers see, each number must come once, in order, and behind
 * the record that was before it in the queue; all that the queue has must have been in the stream once ship is at the
 * end; ship stops only if something has gone wrong, and then has written nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/resume.h"

#define RECORDS 400U
#define MESSAGES 4000U
#define PART 10U /* bytes */

struct record {
	uint64_t id, before; /* of this record, and of the one before it at that time */
	uint32_t epoch;
	unsigned parts; /* 1: fits into a message */
};

struct message {
	struct wire_head head;
	struct record records[4]; /* from head.first */
	bool unknown_before;      /* the queue no longer had the record before */
};

static struct {
	uint64_t random;
	/* the queue */
	struct record records[RECORDS];
	uint64_t first, next, committed, last_id;
	uint32_t epoch;
	/* the stream: the messages seen .. last can be read, those before have expired */
	bool exists;
	uint64_t begin, seen, last;
	struct message messages[MESSAGES];
	bool harmed; /* something has happened for which ship may stop */
	bool ahead;  /* the reader has committed what the servers have lost since */
	unsigned ended, stopped, gaps;
} m;

static uint64_t below(uint64_t n)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return n == 0 ? 0 : m.random % n;
}

/* ---- what happens to the queue and the stream ---- */

static void append(void)
{
	for (uint64_t n = 1 + below(12); n > 0 && m.next < RECORDS; n--, m.next++) {
		struct record *r = &m.records[m.next];

		r->id = ++m.last_id;
		r->before = m.next > 0 ? r[-1].id : 0;
		r->epoch = m.epoch;
		r->parts = below(8) == 0 ? 2 + (unsigned)below(3) : 1;
	}
}

static void trim(void)
{
	/* retention waits for the reader, people do not always */
	const bool forced = below(8) == 0;
	const uint64_t most = forced ? m.next : m.committed;

	if (most <= m.first)
		return;
	m.first += 1 + below(most - m.first);
	m.harmed = m.harmed || forced;
	if (m.committed < m.first)
		m.committed = m.first;
}

static void power_cut(void)
{
	m.next -= below(m.next - m.first + 1) / 4;
	m.epoch++;
	m.harmed = true;
	if (m.committed > m.next)
		m.committed = m.next;
}

/* Number behind the last record that is complete in the stream up to this message. */
static uint64_t end_at(uint64_t sequence)
{
	return sequence == 0 ? m.begin : m.messages[sequence].head.next;
}

static void expire(void)
{
	if (m.exists && m.seen <= m.last && !m.ahead)
		m.seen += below(3) == 0 ? m.last - m.seen + 1 : below(m.last - m.seen + 1);
}

static void fall_back(void)
{
	uint64_t last = m.last;

	if (!m.exists || m.seen > m.last)
		return;
	last -= below(m.last - m.seen + 1) / 2;
	if (end_at(last) < m.committed)
		m.ahead = m.harmed = true;
	m.last = last;
}

static void delete_stream(void)
{
	m.exists = false;
	m.seen = 1;
	m.last = 0;
	m.ahead = false;
}

/* ---- ship ---- */

static struct wire_fingerprint fingerprint(const struct record *r)
{
	return (struct wire_fingerprint){ .epoch = r->epoch,
		                          .crc = (uint32_t)r->id,
		                          .time_ns = r->id * 7 };
}

static void describe(struct resume_queue *queue, struct resume_stream *stream)
{
	const struct message *last = &m.messages[m.last];
	uint64_t seq;

	*queue = (struct resume_queue){
		.identity = { 1 },
		.first_seq = m.first,
		.next_seq = m.next,
		.committed = m.committed,
	};
	*stream = (struct resume_stream){ .exists = m.exists };
	if (!m.exists)
		return;
	stream->about.identity[0] = 1;
	stream->about.first = m.begin;
	stream->last_sequence = m.last;
	stream->messages = m.last + 1 - m.seen;
	stream->have_last = m.seen <= m.last;
	if (!stream->have_last)
		return;
	stream->last = last->head;
	stream->last_size = PART;
	if (last->head.kind == WIRE_GAP)
		return;
	seq = last->head.kind == WIRE_PART ? last->head.first : last->head.next - 1;
	queue->have_record = seq >= m.first && seq < m.next;
	if (queue->have_record) {
		queue->record = fingerprint(&m.records[seq]);
		queue->record_length = m.records[seq].parts * PART;
	}
}

static struct message *put(enum wire_kind kind, uint64_t first, uint64_t next, bool unknown_before)
{
	struct message *message;

	assert_true(++m.last < MESSAGES);
	message = &m.messages[m.last];
	*message = (struct message){
		.head = { .kind = kind, .first = first, .next = next },
		.unknown_before = unknown_before,
	};
	return message;
}

/* Publishes up to so many messages from record seq on. */
static void publish(uint64_t seq, uint64_t offset, uint64_t most, bool unknown_before)
{
	for (; most > 0 && seq < m.next; most--, unknown_before = false) {
		const struct record *r = &m.records[seq];
		struct message *message;

		if (r->parts > 1) {
			const uint64_t length = r->parts * PART;
			const bool whole = offset + PART == length;

			message = put(WIRE_PART, seq, seq + whole, unknown_before);
			message->head.part_offset = offset;
			message->head.part_length = length;
			message->records[0] = *r;
			offset = whole ? 0 : offset + PART;
			seq += whole;
		} else {
			message = put(WIRE_FRAME, seq, seq, unknown_before);
			for (uint64_t n = 1 + below(4);
			     n > 0 && seq < m.next && m.records[seq].parts == 1; n--) {
				message->records[seq - message->head.first] = m.records[seq];
				r = &m.records[seq++];
			}
			message->head.next = seq;
		}
		message->head.last = fingerprint(r);
	}
}

/* Asks where to continue, and follows for a while or to the end. */
static void ship(bool to_the_end, bool create, bool accept_gap)
{
	const struct resume_options options = { .create = create, .accept_gap = accept_gap };
	struct resume_stream stream;
	struct resume_queue queue;
	struct resume_plan plan;
	uint64_t acknowledged;

	describe(&queue, &stream);
	resume_decide(&queue, &stream, &options, &plan);
	if (plan.action == RESUME_STOP) {
		assert_true(m.harmed || (!m.exists && !create));
		m.stopped++;
		if (to_the_end)
			delete_stream(); /* somebody decides to begin anew */
		return;
	}
	assert_true(m.exists || (plan.action == RESUME_CREATE && create));
	if (plan.action == RESUME_CREATE) {
		assert_false(m.exists);
		m.exists = true;
		m.begin = plan.seq;
		m.harmed = false;
	}
	assert_int_equal(plan.expected_last, m.last);
	if (plan.action == RESUME_GAP) {
		assert_true(accept_gap);
		assert_true(plan.seq <= m.first); /* nothing that the queue has */
		(void)put(WIRE_GAP, plan.gap_first, plan.seq, true);
		m.gaps++;
	}
	if (m.committed > plan.seq)
		m.committed = plan.seq;
	m.ahead = false;
	publish(plan.seq, plan.part_offset, to_the_end ? UINT64_MAX : below(6),
	        stream.have_last && !queue.have_record);
	/* what was acknowledged since it began, or was in the stream then; not what expired before */
	acknowledged = m.last > stream.last_sequence ? end_at(m.last) : plan.seq;
	if (below(2) == 0)
		m.committed += below(acknowledged - m.committed + 1);
}

/* ---- what must be true ---- */

/* As a consumer sees it that begins with the oldest message. */
static void look_at_the_stream(void)
{
	uint64_t expected = UINT64_MAX, before = 0, have = 0; /* UINT64_MAX, 0: not known */

	for (uint64_t i = m.seen; i <= m.last; i++) {
		const struct message *message = &m.messages[i];
		const struct wire_head *head = &message->head;

		assert_true(expected == UINT64_MAX || head->first == expected);
		if (message->unknown_before)
			before = 0;
		if (head->kind == WIRE_GAP) {
			before = have = 0;
		} else if (head->kind == WIRE_PART) {
			/* a part continues the one before it, or the record begins anew */
			assert_true(head->part_offset == 0 || head->part_offset == have ||
			            expected == UINT64_MAX);
			assert_true(before == 0 || head->part_offset > 0 ||
			            message->records[0].before == before);
			assert_true(head->part_offset == 0 || have == 0 ||
			            message[-1].records[0].id == message->records[0].id);
			have = head->next > head->first ? 0 : head->part_offset + PART;
			if (have == 0)
				before = message->records[0].id;
		} else {
			for (uint64_t seq = head->first; seq < head->next; seq++) {
				const struct record *r = &message->records[seq - head->first];

				assert_true(before == 0 || r->before == before);
				before = r->id;
			}
			have = 0;
		}
		expected = head->next;
	}
}

/* All that the queue has from the stream's begin on has been in the stream. */
static void look_for_losses(void)
{
	static uint64_t shipped[RECORDS];

	memset(shipped, 0, sizeof shipped);
	for (uint64_t i = 1; i <= m.last; i++) {
		const struct message *message = &m.messages[i];

		if (message->head.kind != WIRE_GAP)
			for (uint64_t seq = message->head.first; seq < message->head.next; seq++)
				shipped[seq] = message->records[seq - message->head.first].id;
	}
	for (uint64_t seq = m.first > m.begin ? m.first : m.begin; seq < m.next; seq++)
		if (shipped[seq] != m.records[seq].id)
			fail_msg("record %u has not come into the stream", (unsigned)seq);
}

static void random_histories(void **state)
{
	(void)state;
	for (unsigned history = 0; history < 3000; history++) {
		const unsigned ended = m.ended, stopped = m.stopped, gaps = m.gaps;

		memset(&m, 0, sizeof m);
		m.random = 88172645463325252ULL + history;
		m.ended = ended;
		m.stopped = stopped;
		m.gaps = gaps;
		m.first = m.next = m.committed = below(3) * 20;
		delete_stream();
		for (unsigned step = 0; step < 120 && m.next < RECORDS; step++) {
			const uint64_t what = below(100);
			/* rare ones are not in all histories: else few have nothing to stop for */
			const bool rare = history % 3 == 0;

			if (what < 30)
				append();
			else if (what < 40)
				trim();
			else if (what < 46)
				expire();
			else if (what < 52)
				fall_back();
			else if (what < 54 && rare)
				power_cut();
			else if (what < 55 && rare)
				delete_stream();
			else if (what < 90)
				ship(false, below(2), below(10) == 0);
			else
				ship(true, true, below(2));
			look_at_the_stream();
			if (m.exists && m.last > 0 && m.last >= m.seen &&
			    end_at(m.last) == m.next && what >= 90) {
				look_for_losses();
				m.ended++;
			}
		}
	}
	/* the histories are not all about nothing */
	assert_true(m.ended > 10000);
	assert_true(m.stopped > 1000);
	assert_true(m.gaps > 500);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
