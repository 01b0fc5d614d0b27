/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_loop.c - the threads that serve requests, with requests that wait for as long as the test wants
 *
 * The linker replaces libfuse's session by ours (--wrap): requests come from a socket, replies that go
 * past libfuse to another one.  Some tests call held/disk_requests.h as a serving thread does, at a moment
 * that no thread of the loop's meets for certain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/disk_requests.h"
#include "held/proc.h"
#include "kernel/loop.h"
#include "nodes.h"

#define REQUESTS 200
#define BUFFER 4096
#define KILLED 4711 /* a process */
#define LATE 4712   /* a process that is killed while its request ends */
#define FAILING 999 /* no request: reading it fails with the errno in pid */
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
static bool held;        /* what may wait for the disk, does */
static uint64_t passing; /* except this one */
static bool stopped;
static __thread bool no_memory;
static __thread int threads_left = -1; /* that this one can start; below zero: any number */
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
void __real_chronfs_disk_requests_stop(struct chronfs *f);
void __wrap_chronfs_disk_requests_stop(struct chronfs *f);
int __real_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

int __wrap_fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf)
{
	const struct fuse_in_header *in;
	uint64_t word;
	ssize_t n;

	if (!buf->mem)
		buf->mem = malloc(BUFFER);
	n = read(kernel[1], buf->mem, BUFFER);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	in = buf->mem;
	if (in->opcode == FAILING) {
		memcpy(&word, in + 1, sizeof word);
		if (word != 0) /* as by a signal */
			__wrap_fuse_session_exit(se);
		return -(int)in->pid;
	}
	buf->size = (size_t)n;
	received = in->unique;
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
	while (held && in->unique != passing)
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
	switch (in->opcode) {
	case FUSE_READ:
	case FUSE_GETATTR:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_LSEEK:
	case FUSE_POLL:
		wait_for_disk(in);
		break;
	default:
		break;
	}
	if (in->opcode == FUSE_RELEASE || in->opcode == FUSE_RELEASEDIR)
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

static void let_go(bool hold)
{
	pthread_mutex_lock(&lock);
	held = hold;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

bool __wrap_chronfs_proc_is_killed(pid_t thread)
{
	static __thread bool looking;

	if (thread == LATE && !looking) {
		looking = true;
		let_go(false);
		while (chronfs_disk_requests_interrupt(&fs, last)) /* until it is done */
			(void)sched_yield();
		looking = false;
		return true;
	}
	return thread == KILLED;
}

void __wrap_chronfs_disk_requests_stop(struct chronfs *f)
{
	__real_chronfs_disk_requests_stop(f);
	pthread_mutex_lock(&lock);
	stopped = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* The second thread of a loop that may have only one is refused when the first one has had time to do
 * something. */
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg)
{
	if (threads_left < 0 || threads_left-- > 0)
		return __real_pthread_create(ret_thread, attributes, run, arg);
	for (int i = 0; i < 100 && !__atomic_load_n(&requests[last].received, __ATOMIC_RELAXED);
	     i++)
		usleep(1000);
	return EAGAIN;
}

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
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
	exited = stopped = released_early = false;
	held = true;
	passing = 0;
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

static void await_end(int result)
{
	pthread_join(loop, NULL);
	assert_int_equal(loop_result, result);
	assert_null(fs.disk_requests);
}

/* The mount is gone. */
static void end_loop(void)
{
	assert_int_equal(shutdown(kernel[0], SHUT_WR), 0);
	await_end(0);
}

struct packet {
	struct fuse_in_header in;
	uint64_t words[16]; /* the first: the open file, or the interrupted request */
};
#define PACKET_SIZE (sizeof(struct fuse_in_header) + 8 * sizeof(uint64_t))

static struct packet packet_of(uint64_t unique, uint32_t opcode, enum chronfs_kind kind,
                               uint32_t pid, uint64_t word)
{
	return (struct packet){
		.in = { .opcode = opcode,
		        .unique = unique,
		        .nodeid = chronfs_node(kind, 1),
		        .pid = pid },
		.words = { word },
	};
}

static void send_as(uint64_t unique, uint32_t opcode, enum chronfs_kind kind, uint32_t pid,
                    uint64_t word)
{
	const struct packet packet = packet_of(unique, opcode, kind, pid, word);

	assert_int_equal(write(kernel[0], &packet, PACKET_SIZE), PACKET_SIZE);
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

/* A killed process has this request, which goes on, and uses open file 7. */
static uint64_t abandon(uint32_t opcode, enum chronfs_kind kind)
{
	const uint64_t unique = ++last;

	send_as(unique, opcode, kind, KILLED, 7);
	await(&requests[unique].begun);
	send_as(++last, FUSE_INTERRUPT, CHRONFS_ROOT, 0, unique);
	await_reply(unique, EINTR);
	return unique;
}

/* Whether a RELEASE waits for a request. */
static bool waits(uint64_t unique, uint32_t opcode, enum chronfs_kind kind, uint64_t fh,
                  size_t size)
{
	struct packet packet = packet_of(unique, opcode, kind, 0, fh);
	const struct fuse_buf request = { .size = size, .mem = &packet };

	return chronfs_disk_requests_release(&fs, &request);
}

static void release_waits(void **state)
{
	static const struct {
		uint32_t opcode, release;
		enum chronfs_kind kind;
	} users[] = {
		{ FUSE_READ, FUSE_RELEASE, CHRONFS_SEGMENT_SEALED },
		{ FUSE_LSEEK, FUSE_RELEASE, CHRONFS_SEGMENT_SEALED },
		{ FUSE_POLL, FUSE_RELEASE, CHRONFS_SEGMENT_SEALED },
		{ FUSE_READDIR, FUSE_RELEASEDIR, CHRONFS_SEGMENTS },
		{ FUSE_READDIRPLUS, FUSE_RELEASEDIR, CHRONFS_SEGMENTS },
	};
	uint64_t release;

	(void)state;
	for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
		let_go(true);
		read_before_release = abandon(users[i].opcode, users[i].kind);
		release = ++last;
		assert_true(waits(release, users[i].release, users[i].kind, 7, PACKET_SIZE));
		append();
		assert_int_equal(requests[release].begun, 0);
		let_go(false);
		await(&requests[release].done);
		assert_false(released_early);
	}
	end_loop();
}

static void release_of_another(void **state)
{
	const enum chronfs_kind kind = CHRONFS_SEGMENT_SEALED;

	(void)state;
	await(&requests[send_read()].begun);
	assert_false(waits(0, FUSE_RELEASE, kind, 0, PACKET_SIZE)); /* its process lives */
	abandon(FUSE_READ, kind);
	abandon(FUSE_GETATTR, CHRONFS_STATS); /* uses none */
	await(&requests[send_read()].begun);
	assert_false(waits(0, FUSE_RELEASE, kind, 8, PACKET_SIZE));
	assert_false(waits(0, FUSE_RELEASE, CHRONFS_SEGMENT_UNSEALED, 7, PACKET_SIZE));
	assert_false(waits(0, FUSE_FLUSH, kind, 7, PACKET_SIZE));
	assert_false(waits(0, FUSE_RELEASE, kind, 7, sizeof(struct fuse_in_header)));
	assert_false(waits(0, FUSE_RELEASE, kind, 7, sizeof(struct packet))); /* too long */
	let_go(false);
	end_loop();
}

/* Two threads of a killed process read the same open file. */
static void release_waits_for_both(void **state)
{
	const enum chronfs_kind kind = CHRONFS_SEGMENT_SEALED;
	uint64_t first, second, release;

	(void)state;
	first = abandon(FUSE_READ, kind);
	second = abandon(FUSE_READ, kind);
	release = ++last;
	assert_true(waits(release, FUSE_RELEASE, kind, 7, PACKET_SIZE));
	assert_true(chronfs_disk_requests_interrupt(&fs, second)); /* once more */
	await_reply(second, EINTR);
	read_before_release = first;
	pthread_mutex_lock(&lock);
	passing = second;
	pthread_cond_broadcast(&changed);
	while (requests[second].done == 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 10; i++)
		append(); /* most likely the RELEASE waits for the first now */
	assert_int_equal(requests[release].begun, 0);
	let_go(false);
	await(&requests[release].done);
	assert_false(released_early);
	end_loop();
}

static void interrupted_while_it_ends(void **state)
{
	uint64_t lives;

	(void)state;
	lives = send_read();
	await(&requests[lives].begun);
	assert_true(chronfs_disk_requests_interrupt(&fs, lives)); /* no reply */
	send_as(++last, FUSE_READ, CHRONFS_SEGMENT_SEALED, LATE, 0);
	await(&requests[last].begun);
	assert_true(chronfs_disk_requests_interrupt(&fs, last)); /* no reply: it has got its own */
	end_loop();
	assert_int_equal(requests[last].done, 1);
	assert_true(recv(replies[0], &lives, sizeof lives, MSG_DONTWAIT) < 0);
}

/* Requests that were read just before the end: all get a reply. */
static void begun_at_the_end(void **state)
{
	static const enum chronfs_disk_class kinds[] = { CHRONFS_DISK_STATE, CHRONFS_DISK_DATA };
	struct packet packet;
	const struct fuse_buf request = { .size = PACKET_SIZE, .mem = &packet };

	(void)state;
	read_most();
	assert_int_equal(shutdown(kernel[0], SHUT_WR), 0);
	pthread_mutex_lock(&lock);
	while (!stopped)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	packet = packet_of(150, FUSE_READ, CHRONFS_SEGMENT_SEALED, 1, 0);
	no_memory = true;
	chronfs_disk_requests_serve(&fs, CHRONFS_DISK_DATA, &request);
	no_memory = false;
	await_reply(150, ENOMEM);
	for (unsigned i = 0; i < 2; i++) {
		packet.in.unique = 151 + i;
		chronfs_disk_requests_serve(&fs, kinds[i], &request);
	}
	let_go(false);
	end_loop();
	await_reply(151, ENOTCONN);
	await_reply(152, ENOTCONN);
	for (uint64_t i = 150; i <= 152; i++)
		assert_int_equal(requests[i].begun, 0);
}

static void reading_fails(void **state)
{
	(void)state;
	send_as(0, FAILING, CHRONFS_ROOT, EINTR, 0);
	send_as(0, FAILING, CHRONFS_ROOT, EINTR, 0);
	send_as(0, FAILING, CHRONFS_ROOT, EINTR, 0);
	append(); /* a thread that was interrupted serves on */
	send_as(0, FAILING, CHRONFS_ROOT, EIO, 0);
	await_end(-EIO);
}

static void ended_by_a_signal(void **state)
{
	(void)state;
	append();
	send_as(0, FAILING, CHRONFS_ROOT, EINTR, 1);
	await_end(0);
}

static void no_memory_to_begin(void **state)
{
	static struct chronfs other;
	int r;

	(void)state;
	no_memory = true;
	r = chronfs_loop(&other);
	no_memory = false;
	assert_int_equal(r, -ENOMEM);
	assert_null(other.disk_requests);
}

/* A mount that cannot have all of its first threads answers nobody: else it would be taken for one that works,
 * and end. */
static void one_thread_is_too_few(void **state)
{
	static struct chronfs other;

	(void)state;
	memset(requests, 0, sizeof requests);
	exited = stopped = false;
	last = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, kernel), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, replies), 0);
	(void)send_request(FUSE_WRITE, CHRONFS_APPEND);
	threads_left = 1;
	assert_int_equal(chronfs_loop(&other), -EAGAIN);
	threads_left = -1;
	assert_int_equal(requests[last].received, 0);
	assert_null(other.disk_requests);
	(void)tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(appends_beside_readers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(end_with_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(release_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(release_of_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(release_waits_for_both, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interrupted_while_it_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(begun_at_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reading_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ended_by_a_signal, set_up, tear_down),
		cmocka_unit_test(no_memory_to_begin),
		cmocka_unit_test(one_thread_is_too_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
