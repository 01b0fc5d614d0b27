/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop.c - the threads that serve requests, with requests that wait for as long as the test wants
 *
 * The linker replaces libfuse's session by ours (--wrap): requests come from a socket, replies that go
 * past libfuse to another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/proc.h"
#include "kernel/loop.h"
#include "nodes.h"

#define REQUESTS 200
#define BUFFER 4096
#define KILLED 4711 /* a process */
#define SEGMENTS_MAX 13
#define BUSY_MAX 17

static struct chronfs fs;
static int kernel[2], replies[2]; /* ours, the daemon's */
static pthread_t loop;
static int loop_result;
static __thread uint64_t received;

/* Of the requests, by number; under lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct request {
	int received, begun, done; /* how often */
	bool same;                 /* the thread served it that received it */
} requests[REQUESTS];
static bool exited;
static bool held; /* what may wait for the disk, does */
static unsigned reading, waiting, most_reading, most_waiting;
static uint64_t last; /* request */
static uint64_t read_before_release;
static bool released_early;

int __wrap_fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf);
void __wrap_fuse_session_process_buf(struct fuse_session *se, const struct fuse_buf *buf);
int __wrap_fuse_session_exited(struct fuse_session *se);
void __wrap_fuse_session_exit(struct fuse_session *se);
int __wrap_fuse_session_fd(struct fuse_session *se);
bool __wrap_chronfs_proc_is_killed(pid_t thread);

int __wrap_fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf)
{
	ssize_t n;

	(void)se;
	if (!buf->mem)
		buf->mem = malloc(BUFFER);
	n = read(kernel[1], buf->mem, BUFFER);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	buf->size = (size_t)n;
	received = ((const struct fuse_in_header *)buf->mem)->unique;
	pthread_mutex_lock(&lock);
	requests[received].received++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return (int)n;
}

/* Under the lock, without it meanwhile. */
static void wait_for_disk(const struct fuse_in_header *in)
{
	const bool reads = in->opcode == FUSE_READ;

	reading += reads;
	waiting++;
	if (reading > most_reading)
		most_reading = reading;
	if (waiting > most_waiting)
		most_waiting = waiting;
	while (held)
		pthread_cond_wait(&changed, &lock);
	waiting--;
	reading -= reads;
}

void __wrap_fuse_session_process_buf(struct fuse_session *se, const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;
	struct request *r = &requests[in->unique];

	(void)se;
	pthread_mutex_lock(&lock);
	r->begun++;
	r->same = received == in->unique;
	pthread_cond_broadcast(&changed);
	if (in->opcode == FUSE_READ || in->opcode == FUSE_GETATTR)
		wait_for_disk(in);
	if (in->opcode == FUSE_RELEASE)
		released_early = requests[read_before_release].done == 0;
	r->done++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

int __wrap_fuse_session_exited(struct fuse_session *se)
{
	bool is;

	(void)se;
	pthread_mutex_lock(&lock);
	is = exited;
	pthread_mutex_unlock(&lock);
	return is;
}

void __wrap_fuse_session_exit(struct fuse_session *se)
{
	(void)se;
	pthread_mutex_lock(&lock);
	exited = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

int __wrap_fuse_session_fd(struct fuse_session *se)
{
	(void)se;
	return replies[1];
}

bool __wrap_chronfs_proc_is_killed(pid_t thread)
{
	return thread == KILLED;
}

static void *run_loop(void *arg)
{
	(void)arg;
	loop_result = chronfs_loop(&fs);
	return NULL;
}

static int set_up(void **state)
{
	(void)state;
	memset(requests, 0, sizeof requests);
	last = most_reading = most_waiting = 0;
	exited = false;
	held = true;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, kernel) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, replies) < 0)
		return -1;
	return pthread_create(&loop, NULL, run_loop, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		close(kernel[i]);
		close(replies[i]);
	}
	return 0;
}

static void let_go(bool hold)
{
	pthread_mutex_lock(&lock);
	held = hold;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* The mount is gone. */
static void end_loop(void)
{
	assert_int_equal(shutdown(kernel[0], SHUT_WR), 0);
	pthread_join(loop, NULL);
	assert_int_equal(loop_result, 0);
	assert_null(fs.disk_requests);
}

static void send_as(uint64_t unique, uint32_t opcode, enum chronfs_kind kind, uint32_t pid,
                    uint64_t word)
{
	const struct {
		struct fuse_in_header in;
		uint64_t words[8]; /* the first: the open file, or the interrupted request */
	} packet = {
		.in = { .opcode = opcode,
		        .unique = unique,
		        .nodeid = chronfs_node(kind, 1),
		        .pid = pid },
		.words = { word },
	};

	assert_int_equal(write(kernel[0], &packet, sizeof packet), sizeof packet);
}

static uint64_t send_request(uint32_t opcode, enum chronfs_kind kind)
{
	send_as(++last, opcode, kind, 1, 0);
	return last;
}

static uint64_t send_read(void)
{
	return send_request(FUSE_READ, CHRONFS_SEGMENT_SEALED);
}

static void await(const int *count)
{
	pthread_mutex_lock(&lock);
	while (*count == 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void append(void)
{
	await(&requests[send_request(FUSE_WRITE, CHRONFS_APPEND)].done);
}

static void await_reply(uint64_t unique, int error)
{
	struct fuse_out_header out;

	assert_int_equal(read(replies[0], &out, sizeof out), sizeof out);
	assert_int_equal(out.unique, unique);
	assert_int_equal(out.error, -error);
}

/* They all begin, and wait. */
static void read_most(void)
{
	for (int i = 0; i < SEGMENTS_MAX; i++) {
		await(&requests[send_read()].begun);
		append();
	}
}

static void appends_beside_readers(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		let_go(true);
		read_most();
		/* later, threads that are still about to end others may take them from the queue */
		for (int i = 0; round == 0 && i < SEGMENTS_MAX; i++)
			assert_true(requests[last - 2 * (uint64_t)i - 1].same);
		for (int i = 0; i < 10; i++)
			send_read(); /* queued */
		append();
		for (int i = 0; i < BUSY_MAX - SEGMENTS_MAX; i++)
			await(&requests[send_request(FUSE_GETATTR, CHRONFS_STATS)].begun);
		send_request(FUSE_GETATTR, CHRONFS_STATS); /* queued */
		for (int i = 0; i < 10; i++)
			append();
		let_go(false);
		for (uint64_t i = 1; i <= last; i++)
			await(&requests[i].done);
	}
	end_loop();
	for (uint64_t i = 1; i <= last; i++)
		assert_int_equal(requests[i].begun, 1);
	assert_int_equal(most_reading, SEGMENTS_MAX);
	assert_int_equal(most_waiting, BUSY_MAX);
}

static void killed(void **state)
{
	uint64_t overtaken, running, queued, interrupt;

	(void)state;
	/* the interrupt comes first */
	overtaken = ++last;
	interrupt = ++last;
	send_as(interrupt, FUSE_INTERRUPT, CHRONFS_ROOT, 0, overtaken);
	await(&requests[interrupt].done); /* libfuse has it, too */
	send_as(overtaken, FUSE_READ, CHRONFS_SEGMENT_SEALED, KILLED, 0);
	await_reply(overtaken, EINTR);

	/* of a process that lives: the request goes on */
	overtaken = ++last;
	interrupt = ++last;
	send_as(interrupt, FUSE_INTERRUPT, CHRONFS_ROOT, 0, overtaken);
	await(&requests[interrupt].done);
	send_as(overtaken, FUSE_READ, CHRONFS_SEGMENT_SEALED, 1, 0);
	await(&requests[overtaken].begun);

	/* while it reads: the file is closed after that */
	running = ++last;
	send_as(running, FUSE_READ, CHRONFS_SEGMENT_SEALED, KILLED, 7);
	await(&requests[running].begun);
	send_as(++last, FUSE_INTERRUPT, CHRONFS_ROOT, 0, running);
	await_reply(running, EINTR);
	read_before_release = running;
	send_as(++last, FUSE_RELEASE, CHRONFS_SEGMENT_SEALED, 0, 7);
	append();

	/* in the queue */
	for (int i = 2; i < SEGMENTS_MAX; i++)
		await(&requests[send_read()].begun);
	queued = ++last;
	send_as(queued, FUSE_READ, CHRONFS_SEGMENT_SEALED, KILLED, 0);
	append(); /* most likely it is there now; otherwise the interrupt overtakes it */
	send_as(++last, FUSE_INTERRUPT, CHRONFS_ROOT, 0, queued);
	await_reply(queued, EINTR);
	let_go(false);
	await(&requests[running + 2].done); /* the RELEASE */
	end_loop();
	assert_int_equal(requests[queued].begun, 0);
	assert_int_equal(requests[running].begun, 1);
	assert_false(released_early);
}

static void end_with_queue(void **state)
{
	uint64_t queued;

	(void)state;
	read_most();
	let_go(false);
	for (uint64_t i = 1; i <= last; i++)
		await(&requests[i].done);
	let_go(true); /* most threads rest now */
	read_most();
	queued = send_read();
	await(&requests[queued].received);
	assert_int_equal(shutdown(kernel[0], SHUT_WR), 0);
	pthread_mutex_lock(&lock);
	while (!exited)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	let_go(false);
	end_loop();
	/* all that were received got a reply */
	if (requests[queued].begun == 0)
		await_reply(queued, ENOTCONN);
	for (uint64_t i = 1; i <= last; i++)
		if (i != queued)
			assert_int_equal(requests[i].done, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(appends_beside_readers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(end_with_queue, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
