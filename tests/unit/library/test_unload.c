/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_unload.c - a program that loads libchronq.so while it runs, and unloads it
 *
 * Usage: test_unload LIBCHRONQ.  The program has a handler for SIGBUS of its own, before.  It is called
 * for the program's own files, while the library is there and when it has been unloaded; and in a thread
 * that is older than the library that handler is reached without an allocation, which no signal handler
 * may make.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chronq.h"

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			printf("not ok 1 - %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

static pthread_barrier_t loaded, touched, unloaded;
static volatile sig_atomic_t answered, in_signal, allocations;
static sigjmp_buf back;

/* glibc's own, which malloc() and the like are here; the loader takes ours for thread-local memory. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);

void *malloc(size_t size)
{
	allocations += in_signal;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations += in_signal;
	return __libc_calloc(count, size);
}

static void on_sigbus(int number)
{
	(void)number;
	answered++;
	siglongjmp(back, 1);
}

/* A file of one page less than is mapped. */
static volatile char *cut_file(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	FILE *file = tmpfile();
	char *base;

	CHECK(file && ftruncate(fileno(file), (off_t)(2 * page)) == 0);
	base = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fileno(file), 0);
	CHECK(base != MAP_FAILED);
	CHECK(ftruncate(fileno(file), (off_t)page) == 0);
	CHECK(fclose(file) == 0);
	return base + page;
}

static bool is_answered(volatile char *byte)
{
	const sig_atomic_t before = answered;

	if (sigsetjmp(back, 1) == 0) {
		in_signal = 1;
		(void)*byte;
	}
	in_signal = 0;
	return answered == before + 1;
}

static void *older(void *arg)
{
	volatile char *byte = arg;

	pthread_barrier_wait(&loaded);
	CHECK(is_answered(byte));
	pthread_barrier_wait(&touched);
	pthread_barrier_wait(&unloaded);
	CHECK(is_answered(byte));
	return NULL;
}

/* Makes a queue, and maps it. */
static void use(void *library)
{
	char dir[] = "/tmp/chronfs-unload.XXXXXX", command[64];
	__typeof__(&cq_config_init_size) config_init;
	__typeof__(&cq_writer_open) writer_open;
	__typeof__(&cq_writer_close) writer_close;
	struct cq_config config;
	cq_writer *writer;

	*(void **)&config_init = dlsym(library, "cq_config_init_size");
	*(void **)&writer_open = dlsym(library, "cq_writer_open");
	*(void **)&writer_close = dlsym(library, "cq_writer_close");
	CHECK(config_init && writer_open && writer_close && mkdtemp(dir));
	config_init(&config, sizeof config);
	config.segment_size = CQ_SEGMENT_SIZE_MIN;
	CHECK(writer_open(dir, &config, &writer) == 0);
	CHECK(writer_close(writer) == 0);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	CHECK(system(command) == 0);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigbus };
	volatile char *byte = cut_file();
	pthread_t thread;
	void *library;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("1..1");
	CHECK(argc == 2);
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	CHECK(pthread_barrier_init(&loaded, NULL, 2) == 0);
	CHECK(pthread_barrier_init(&touched, NULL, 2) == 0);
	CHECK(pthread_barrier_init(&unloaded, NULL, 2) == 0);
	CHECK(pthread_create(&thread, NULL, older, (void *)(uintptr_t)byte) == 0);
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	CHECK(library);
	use(library);
	pthread_barrier_wait(&loaded);
	pthread_barrier_wait(&touched);
	CHECK(is_answered(byte));
	CHECK(allocations == 0);
	CHECK(dlclose(library) == 0);
	pthread_barrier_wait(&unloaded);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(is_answered(byte));
	puts("ok 1 - a signal of the program's own, with the library and without");
	return 0;
}
