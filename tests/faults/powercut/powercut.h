/* SPDX-License-Identifier: Apache-2.0 */
/*
 * powercut.h - what a disk may hold after a power cut, by what POSIX promises and nothing more
 *
 * A trace (powercut_trace.c) is a run of a writer as the disk sees it: in order, the versions that
 * each page of each file has had, each file's sizes, the names given and taken, and what was made
 * durable.  A disk (powercut_disk.c) is one of the states that a cut at some event of the trace may
 * leave: a page is in any version since its file's last fdatasync, or torn between two successive
 * ones; so is the file's size; names that no fsync of the directory has covered are there or not.
 * The check (powercut_check.c) opens a queue on such a disk and holds it to the promise.
 */
#ifndef CQ_TEST_POWERCUT_H
#define CQ_TEST_POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq.h"
#include "meta/identity.h"
#include "support.h"

#define PC_PAGE 4096U
#define PC_SECTOR 512U /* written whole or not at all */
#define PC_NAME 40U
#define PC_DIR "q" /* the queue's directory, in a directory of the test's */

/* ---- trace ---- */

enum pc_what { PC_PAGE_STORED, PC_RESIZED, PC_SYNCED };

struct pc_change { /* of one file */
	unsigned event;
	enum pc_what what;
	uint32_t page;
	uint32_t version; /* of the page: in pc_trace.versions */
	uint64_t size;
};

struct pc_file {
	int fd; /* ours: so no other file gets its inode number */
	ino_t ino;
	uint64_t size;
	uint32_t *pages; /* their versions now */
	size_t page_count;
	struct pc_change *changes;
	size_t count;
};

enum pc_act { PC_NAMED, PC_RENAMED, PC_REMOVED, PC_NAMES_SYNCED };

struct pc_name { /* one operation on the directory */
	unsigned event;
	enum pc_act act;
	char name[PC_NAME];
	char to[PC_NAME]; /* PC_RENAMED */
	unsigned file;
};

struct pc_record { /* in the order of their appending */
	uint64_t seq;
	size_t length;
	uint64_t hash;
	uint32_t segment;
};

struct pc_mark { /* from this event on, so many records are promised to survive */
	unsigned event;
	size_t records;
};

struct pc_trace {
	char base[PATH_SIZE];
	char dir[PATH_SIZE];
	int dirfd; /* of the queue's directory; -1: not made yet */
	ino_t base_ino, dir_ino;
	uint64_t segment_size; /* that the writers ask for */
	uint64_t begin_seq;    /* the number that the queue was to begin with; 0: none */
	/* the event from which on the queue has this identity for ever; 0: none */
	unsigned identified;
	struct cq_identity identity;
	unsigned
		begun; /* the event from which on that is promised; before, there may be no segment */
	/* a replica whose writer left out the numbers up to this one, which the stream reaches at that position; 0: no
	 * replica.  Promised from the event on */
	uint64_t skip_seq, skip_stream;
	unsigned skipped;
	unsigned events;
	unsigned made, made_durable; /* events; the directory's own name */
	uint8_t *versions;           /* pages; number 0 is all zero */
	uint64_t *hashes;
	uint32_t version_count;
	struct pc_file *files;
	size_t file_count;
	struct pc_name *names;
	size_t name_count;
	struct pc_record *records;
	size_t record_count;
	struct pc_mark *marks;
	size_t mark_count;
};

/* Watches base/q from now on; what is in it is durable. */
void pc_begin(struct pc_trace *trace, const char *base);
/* The records in it, before the first append, are promised to survive. */
void pc_adopt(struct pc_trace *trace);
/* No more events. */
void pc_end(struct pc_trace *trace);
void pc_free(struct pc_trace *trace);

/* Appends that succeed, several as one batch; their payloads are made from `seed`: pc_payload(). */
void pc_append(struct pc_trace *trace, cq_writer *writer, const size_t *lengths, size_t count,
               uint64_t seed);
/* A sync of all records that returns 0. */
void pc_sync(struct pc_trace *trace, cq_writer *writer);
/* They all are durable, by every place that records it. */
void pc_promised(struct pc_trace *trace);

void pc_payload(uint8_t *payload, size_t length, uint64_t seed);
uint64_t pc_hash(const void *bytes, size_t length, uint64_t hash);

/* ---- disk ---- */

enum pc_kind {
	PC_NOTHING, /* of what was not synced reached the disk */
	PC_EVERYTHING,
	PC_NAMES,        /* all names, no data */
	PC_DATA,         /* all data, no names */
	PC_SIZES,        /* all names and sizes, no data */
	PC_BUT_ONE_PAGE, /* all but it; the nth */
	PC_ONE_PAGE,     /* and names and sizes */
	PC_BUT_ONE_FILE, /* all but its data */
	PC_BUT_ONE_NAME,
	PC_ONE_NAME, /* and data */
	PC_ANY,      /* subsets, versions and tears at random */
	PC_KINDS
};

struct pc_choice {
	unsigned event; /* the cut is just after it */
	enum pc_kind kind;
	uint64_t random; /* the nth, or the seed of all that is random */
};

struct pc_disk {
	bool exists; /* the queue's directory does */
	struct pc_disk_file {
		char name[PC_NAME];
		uint64_t size;
		uint8_t *bytes;
	} * files;
	size_t count;
	uint64_t hash; /* of all of it */
};

void pc_disk_make(const struct pc_trace *trace, struct pc_choice choice, struct pc_disk *ret_disk);
void pc_disk_free(struct pc_disk *disk);
/* As directory base/q, which it replaces. */
void pc_disk_write(const struct pc_disk *disk, const char *base);

/* Gives the disk its files: their names, and in .size, for now, their numbers in the trace. */
void pc_disk_name(const struct pc_trace *trace, struct pc_choice choice, uint64_t *random,
                  struct pc_disk *disk);

uint64_t pc_random(uint64_t *state);
bool pc_chance(uint64_t *state, unsigned percent);

/* ---- check ---- */

/* Every record of a queue in order, to be freed; or the negative errno of what stops a reader. */
ssize_t pc_read(const char *dir, struct pc_record **ret_records);

/* Opens the queue in base/q as a cut of the trace at `event` left it and holds it to the promise.
 * NULL: kept; else what is wrong. */
const char *pc_check(const struct pc_trace *trace, unsigned event, const char *base);

/* Records a recovery of base/q, as a cut at `event` left it.  NULL, or what is wrong. */
const char *pc_record_recovery(const struct pc_trace *trace, unsigned event, const char *base,
                               struct pc_trace *ret_recovery);

#endif
