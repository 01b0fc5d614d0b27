/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronq.h - libchronq: a persistent message queue of memory-mapped segment files
 *
 * A queue is a directory.  One writer at a time appends records to it; any number of readers, in
 * any process, read them while the writer runs.  docs/format.md describes the files,
 * docs/architecture.md the design.
 *
 * Conventions of every function here
 *   Result    0 or a count on success, a negative errno on failure.  Each function lists the errors
 *             that it gives a meaning to; a failing system call's errno passes through unchanged
 *             (EIO, ENOMEM, EMFILE, ENFILE, EACCES, EPERM, EROFS and the like).
 *   ret_x     written on success only.
 *   Units     sizes and offsets are bytes, times are CLOCK_REALTIME nanoseconds since 1970, spans
 *             are milliseconds where the name ends in _ms.
 *   Ownership a handle belongs to the caller until its _close; _close(NULL) does nothing.  Strings
 *             and structures passed in are copied where they are needed later.
 *   Sizes     a structure whose first member is `size` may get more members, at its end.  The caller sets
 *             size to that of the structure it knows (CQ_SIZED(), cq_config_init()) before each call
 *             that takes or fills it; the library never changes size.  Where a call takes a structure,
 *             members that the caller does not know are as cq_config_init() leaves them, or 0.  Where a
 *             call fills one, the caller gets the members that it knows, and 0 in those that the library
 *             does not know.  A call returns EINVAL and does nothing if size is not set, or if the
 *             caller has set a member that this library does not know to anything but 0.
 *             Structures that the library passes to a callback grow at their end, too.  All other
 *             structures never change.
 *   Threads   cq_writer, cq_queue and cq_segment may be used by many threads at once.  A cq_reader
 *             belongs to one thread at a time.
 *   Fork      a handle belongs to the process that opened it.  In a child that was forked since then
 *             every call on it returns ECHILD at once and changes nothing, and the parent uses its
 *             handles as before.  A child opens handles of its own.  Of the calls that return no error,
 *             _close does nothing, cq_writer_sync_async() itself calls request->done with -ECHILD, and
 *             cq_writer_max_payload() and cq_writer_queue() return what they return in the parent.  The
 *             child's copies of memory, mappings and descriptors are freed when it calls exec or ends;
 *             if the parent is killed, the writer's lock is held until then.  (Before Linux 4.14 the
 *             library cannot detect a child: there a child must not use such a handle.)
 *   Signals   the library's own threads block all signals but SIGPROF and those that a thread's own
 *             faults raise (SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP): so crash
 *             handlers and profilers see these, and all others reach a thread of the program.
 *             cq_reader_open() describes the handler for SIGBUS.  That handler stays installed, so
 *             dlclose() does not unload the library.
 *
 * Crash contract
 *   When an append has returned, its record is complete and visible to every reader, and survives
 *   the death of this process by any signal.  When cq_writer_sync() has returned 0 (or an append in
 *   CQ_SYNC_ALWAYS mode has), every record appended before the call survives a power cut.  A failed
 *   append leaves nothing behind.  What survives is always a prefix of what was appended.
 */
#ifndef CHRONQ_H
#define CHRONQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CQ_API __attribute__((visibility("default")))

/* The version of this header.  While MAJOR is 0 another MINOR may be incompatible. */
#define CHRONQ_VERSION_MAJOR 0
#define CHRONQ_VERSION_MINOR 2
#define CHRONQ_VERSION_PATCH 0
#define CHRONQ_VERSION                \
	CQ_TEXT(CHRONQ_VERSION_MAJOR) \
	"." CQ_TEXT(CHRONQ_VERSION_MINOR) "." CQ_TEXT(CHRONQ_VERSION_PATCH)
#define CQ_TEXT(number) CQ_TEXT_(number)
#define CQ_TEXT_(number) #number

/* The version of the library that the program runs with, such as "0.2.0".  Any thread. */
CQ_API const char *cq_version(void);

/*
 * The text of an error for people: what it means for a queue, or the system's text where it means the same
 * here as elsewhere.  error: an errno, positive, or negative as functions return it.  The text is constant.
 * Never NULL.  Any thread, also in a signal handler.
 */
CQ_API const char *cq_strerror(int error);

/* For the definition of a structure that begins with its size: struct cq_stats stats = CQ_SIZED(stats); */
#define CQ_SIZED(variable)               \
	{                                \
		.size = sizeof(variable) \
	}

typedef struct cq_writer cq_writer;   /* the one appender of a queue */
typedef struct cq_reader cq_reader;   /* a position in a queue */
typedef struct cq_queue cq_queue;     /* a queue's directory, seen without changing it */
typedef struct cq_segment cq_segment; /* one published segment file, opened for reading */
typedef struct cq_stream cq_stream;   /* a queue's payload bytes, read at any position */

#define CQ_SEGMENT_SIZE_DEFAULT (128ULL << 20)
#define CQ_SEGMENT_SIZE_MIN 4096ULL               /* of a queue that we create */
#define CQ_SEGMENT_SIZE_MAX ((4ULL << 30) - 4096) /* of a queue that we create */
#define CQ_SEGMENT_ID_MAX 999999999U              /* nine digits: the last segment */
#define CQ_SPARES_MAX 8U
#define CQ_TYPE_DEFAULT 1U  /* record type of an ordinary message */
#define CQ_TYPE_MAX 0xFFFEU /* 0xFFFF marks padding in the format */
#define CQ_READER_NAME_MAX 64U
#define CQ_IDENTITY_SIZE 16U /* bytes of a queue's identity */

/* ---- messages ------------------------------------------------------------------------------- */

enum cq_level { CQ_ERROR, CQ_WARNING, CQ_NOTICE };

/*
 * The library never prints.  It passes what a person should know (which process holds the lock, what
 * recovery found and set aside, a background failure) to this callback, as one line of text without a
 * newline.  The thread that opens the writer and the library's own threads call it, with no lock held
 * that the callback could need; the callback must not call into the same writer.
 */
typedef void (*cq_log_fn)(void *arg, enum cq_level level, const char *message);

/*
 * Makes any text fit for a line on a terminal or in a log, as all messages of the library are: each byte
 * that belongs to a control character, to a character that changes the direction of writing, or to no
 * character of UTF-8 becomes \xHH; all others stay.  A printable text stays as it is.  `to` gets at most
 * `size` bytes (1 or more), the final zero included; a longer text is cut off between two characters.
 * Any thread.
 */
CQ_API void cq_printable(char *to, size_t size, const char *from);

/* ---- progress ------------------------------------------------------------------------------- */

/* Calls that may take minutes read segments from their first to their last record. */
enum cq_phase {
	CQ_PHASE_RECOVER, /* cq_writer_open(): segments that may not have been on the disk at a
	                   * crash; cq_repair(): all segments */
	CQ_PHASE_INDEXES, /* cq_repair(): all segments again, to compare their indexes with them */
	CQ_PHASE_VERIFY,  /* cq_verify_with(): all segments */
};

struct cq_progress {
	enum cq_phase phase;
	uint64_t segments_done, segments; /* of this phase */
	uint64_t bytes_done, bytes; /* the same in bytes of segment files; the unused rest of a
	                                   * segment counts, and takes no time */
};

/*
 * Called many times a second by the thread that made the call, the first time before a segment is read.
 * Returns 0 to continue; anything else ends the call with ECANCELED.  It is called only before anything
 * is changed, and must not call into the same queue.
 */
typedef int (*cq_progress_fn)(void *arg, const struct cq_progress *progress);

/*
 * The progress as a text for people: "35 %, 512 MiB/s, 12 s left", of `done` out of `total` bytes, elapsed_ms
 * milliseconds after the beginning.  What is not known is left out: with `total` 0 it is "512 MiB, 100 MiB/s".
 * `text` gets at most `size` bytes (1 or more), the final zero included; CQ_PROGRESS_TEXT are enough.  Any thread.
 */
#define CQ_PROGRESS_TEXT 100
CQ_API void cq_progress_text(char *text, size_t size, uint64_t done, uint64_t total,
                             uint64_t elapsed_ms);

/* ---- writer --------------------------------------------------------------------------------- */

enum cq_sync_mode {
	CQ_SYNC_NONE,     /* durable when cq_writer_sync() says so; sealed segments are synced in
	                   * the background */
	CQ_SYNC_INTERVAL, /* as NONE, and a background sync every sync_interval_ms while there is
	                   * something to sync */
	CQ_SYNC_ALWAYS,   /* an append returns when its record is durable */
};

struct cq_config {
	size_t size; /* of this structure */

	/* Bytes of a segment file.  0: the existing queue's, or CQ_SEGMENT_SIZE_DEFAULT for a new one.
	 * A new queue takes multiples of 4096 from CQ_SEGMENT_SIZE_MIN to CQ_SEGMENT_SIZE_MAX; for an
	 * existing queue any other value than its own gives EINVAL. */
	uint64_t segment_size;

	/* How long a roll waits for the segment that the background worker is preparing before the
	 * appending thread makes one itself.  Default 100. */
	uint32_t prealloc_wait_ms;

	/* How many segments are prepared ahead, 1 to CQ_SPARES_MAX.  Default 1, as chronicle-rs does.
	 * More help where small segments roll thousands of times a second; each takes the space of a
	 * segment. */
	uint32_t spares;

	/* A roll that finds no prepared segment within prealloc_wait_ms makes none: it fails with
	 * EAGAIN, and nothing is appended. */
	bool require_prealloc;

	enum cq_sync_mode sync;    /* default CQ_SYNC_NONE */
	uint32_t sync_interval_ms; /* for CQ_SYNC_INTERVAL; 1 or more */

	/* Retention: deletes sealed segments, oldest first, while any limit that is not 0 is exceeded:
	 * more than retain_segments segments, more than retain_bytes of segment files (both count the
	 * current one), or the newest record of a segment older than retain_age_ms.  It never deletes
	 * the current segment, a prepared one, or one that a live named reader has still to read.
	 * Default: all 0, nothing is deleted.
	 * A record's time that cannot be right (more than a minute in the future; before 2020; more than
	 * a minute before this writer saw the segment empty, unless cq_writer_append_at() or
	 * cq_writer_append_batch_at() has been used) is logged once.  The age of such a segment
	 * comes from its file's change time, from a later segment, or from the time for which this
	 * writer has been past it: so it is deleted late, never early.
	 * The positions of all named readers are read before segments are deleted; with 64 readers or
	 * more, at most once in 200 us for each reader, unless an append waits for room.  Until then
	 * segments stay longer. */
	uint64_t retain_segments;
	uint64_t retain_bytes;
	uint64_t retain_age_ms;

	/* The most bytes of segment files that the queue may have, prepared ones included; 0: no
	 * limit, else at least two segments.  An append that would need one more segment fails with
	 * EDQUOT.  This writer never exceeds the limit; a queue that is larger already accepts what
	 * still fits into its current segment.  (Where a crash has left no current segment, opening
	 * makes one, also beyond the limit: retention and trims need an open queue.)  For retention to
	 * make room in time, set it to keep less than this: less by the prepared segments and one. */
	uint64_t max_bytes;

	/* Called when an append that failed with EDQUOT or ENOSPC is worth trying again: any process
	 * has deleted segments, or the disk has room again.  A thread of the library or one that trims
	 * calls it, with no lock held, also before cq_writer_open() has returned; it may append.
	 * A thread that waits for this call retries its append after it has registered for the call:
	 * the library does not repeat the call for room that was made before.  NULL: no call. */
	void (*space)(void *arg);
	void *space_arg;

	/* A live named reader protects from deletion what it has not committed.  It is live if it has
	 * committed or waited within reader_ttl_ms (0: always), and is at most reader_max_lag_bytes of
	 * segment files behind the writer (0: any distance). */
	uint64_t reader_ttl_ms;
	uint64_t reader_max_lag_bytes;

	/* Open although recovery found that records are lost: durable ones; or committed ones if the
	 * machine has not been restarted since the writer was at work, or if a slot of durable.meta is
	 * damaged (docs/durability.md).  Recovery then sets the damaged files aside and reports what is
	 * lost.  Default false: EBADMSG, and nothing is changed (except that a missing writer.lock is
	 * made).  cq_repair() finds and reports more. */
	bool accept_loss;

	/* Accept files of the queue that everybody may write to. Default false: EPERM. */
	bool trust_files;

	cq_log_fn log; /* NULL: silence */
	void *log_arg;

	/* Called with the progress of recovery, which it may end.  NULL: no call. */
	cq_progress_fn progress;
	void *progress_arg;

	/* Where a new queue begins, for a replica or an import: its first record gets the number begin_seq
	 * (below 2^62), and its first payload byte is at position begin_stream of the stream (at most 2^62).
	 * To everybody the queue is then as if retention had deleted the records before those, in segment 0.
	 * Default: both 0.  A queue with a segment, or that had one, begins where it began: begin_seq other
	 * than 0 gives EEXIST.  begin_stream needs a begin_seq: EINVAL.
	 * Crash contract: a killed open, or a power cut, leaves no segment, or one that says where the queue
	 * begins; never one that begins at 0. */
	uint64_t begin_seq;
	uint64_t begin_stream;

	/* All zero, or the identity of another queue, the source: this writer appends the source's records, and
	 * the queue is its replica.  A new queue is marked as that, which no other writer opens (EREMOTE) until
	 * cq_promote() removes the mark.  A queue that is there already has to be a replica of this source:
	 * else ENOLINK, also if it has been promoted. */
	uint8_t replica_of[CQ_IDENTITY_SIZE];
};

/* Fills *config, of `size` bytes, with its size and the defaults named above. */
CQ_API void cq_config_init_size(struct cq_config *config, size_t size);

static inline void cq_config_init(struct cq_config *config)
{
	cq_config_init_size(config, sizeof *config);
}

/*
 * Opens the queue in directory `dir` for appending; makes the directory (mode 0750, its parent must
 * exist) and the queue where there is none.  Recovers after a crash: see docs/durability.md.  Starts
 * two background threads; installs the handler for SIGBUS of cq_reader_open().  config NULL: the
 * defaults.
 *
 *   EBUSY            another writer has the queue; the log callback gets its process
 *   EREMOTE          the queue is a replica, and config does not name its source
 *   ENOLINK          config names a source of which the queue is no replica
 *   EINVAL           a value in config is out of range, or segment_size is not the queue's
 *   ENOTDIR          dir is not a directory
 *   ENOTEMPTY        dir holds files but no queue
 *   EBADMSG          the queue is damaged, or records or its identity are lost (and not accept_loss): the
 *                    log callback gets the details; or a name of the queue's belongs to something that is no regular
 *                    file
 *   EEXIST           begin_seq is set, and the queue is there already; or of one segment 999 files of bytes, or 999 whole copies, are set aside already, and
 *                    recovery has more to set aside; the log callback gets the segment
 *   ELOOP            a name of the queue's is a symbolic link: none is followed
 *   EPERM            a file that would be written to has a second name (a hard link), belongs neither
 *                    to this process's user nor to the directory's owner nor to root, or may be written
 *                    by everybody (and not trust_files); the log callback gets the file
 *   EPROTONOSUPPORT  the queue's format version is newer than this library
 *   EOPNOTSUPP       the file system cannot rename without replacing, or cannot preallocate
 *   ENODEV           the file system cannot map files
 *   ENOSPC, EDQUOT   no room for the first segment
 *   EFBIG            RLIMIT_FSIZE is below the segment size (no SIGXFSZ comes of it, here or later)
 *   EAGAIN           the system has no thread left
 *   EOVERFLOW        the segment ids are used up: the segment with the last one is sealed
 *   ECANCELED        config.progress has ended it; the lock is free, and nothing was changed (except that
 *                    a missing writer.lock is made)
 * An open that fails removes what it has made of a new queue.
 * An open that is refused because of what is in the directory (not because a call failed) has changed
 * nothing, except that a missing writer.lock is made.
 */
CQ_API int cq_writer_open(const char *dir, const struct cq_config *config, cq_writer **ret_writer);

/*
 * Makes a replica an ordinary queue that goes on behind its last number: removes the mark.  Its identity, which
 * was its own, stays.  Of config (NULL: the defaults) only log, log_arg and trust_files count.
 *   ENOLINK          it is no replica, or no more
 *   EBUSY            a writer has the queue
 *   EBADMSG          identity.meta is damaged, or no regular file
 *   ENOENT, ENOTDIR  no such directory
 *   ENOTEMPTY        a directory with files but no queue
 *   ELOOP, EPERM     as cq_writer_open()
 * Crash contract: the queue is a replica or promoted, nothing between; promoted for good after 0.
 */
CQ_API int cq_promote(const char *dir, const struct cq_config *config);

/*
 * Ends background work, syncs everything (as cq_writer_sync), writes the closing positions, releases
 * the lock and frees the writer, also when it returns an error: the first error of that sync.  All
 * calls on the writer must have returned.  Sync requests that are still open are answered now.
 */
CQ_API int cq_writer_close(cq_writer *writer);

/*
 * cq_writer_close() for a writer that had nothing to append.  If its open made the queue, and the queue
 * has no record, this removes the files that were made, and the directory if that was made, too.  A queue
 * that was there before stays as cq_writer_close() leaves it.
 */
CQ_API int cq_writer_discard(cq_writer *writer);

/* The effect of an append, whether it succeeds or fails. */
struct cq_appended {
	size_t count; /* records that are in the queue now, visible to every reader */
	uint64_t
		seq; /* sequence number of the first of them, gap-free from 0; the others follow it */
	bool durable; /* they are on the disk; in every mode but CQ_SYNC_ALWAYS false: not known yet */
};

/*
 * Appends one record of `length` bytes.  type is 0 to CQ_TYPE_MAX.  Records of all threads get one
 * order.  *ret_appended (may be NULL) is filled in on failure, too.
 *
 *   EMSGSIZE         longer than cq_writer_max_payload(), which is 0 where segments have 128 bytes
 *   EINVAL           type is 0xFFFF
 *   ENOSPC           no room for another segment on the disk
 *   EDQUOT           another segment would exceed config.max_bytes, or the disk's quota
 *   EAGAIN           require_prealloc is set and no segment was ready in time
 *   EIO              an earlier sync failed, or the current segment's file was cut short: the writer
 *                    refuses appends until it is reopened
 *   EBADMSG          the file with the next segment's name is not an empty segment of this queue
 *   ELOOP, EPERM     it is a symbolic link, or not to be written to (cq_writer_open())
 *   EOVERFLOW        the segment ids, or the sequence numbers, are used up
 * In CQ_SYNC_ALWAYS mode also the errors of cq_writer_sync(), then with ret_appended->count 1: the
 * caller must not append the record again.  After EIO the next open shows whether the record is durable;
 * after other errors cq_writer_sync() tries again.  With any other failure the count is 0.
 */
CQ_API int cq_writer_append(cq_writer *writer, uint16_t type, const void *payload, size_t length,
                            struct cq_appended *ret_appended);

/* The same for one record whose payload is gathered from iovcnt pieces. */
CQ_API int cq_writer_appendv(cq_writer *writer, uint16_t type, const struct iovec *iov, int iovcnt,
                             struct cq_appended *ret_appended);

struct cq_message {
	const void *payload;
	size_t length;
	uint16_t type;
};

/*
 * Appends `count` records one after another, with no other thread's record between them and one
 * reading of the clock.  Returns how many were appended: all of them, or fewer when a later one
 * failed (calling again with the rest gives its error); an error if the first one failed.  Errors
 * as cq_writer_append(): in CQ_SYNC_ALWAYS mode also that of the sync, and then ret_appended->count
 * records are in the queue and not known to be durable.  A caller that continues after an error does so
 * with messages[ret_appended->count].  *ret_appended (may be NULL) is filled in on failure, too.
 */
CQ_API ssize_t cq_writer_append_batch(cq_writer *writer, const struct cq_message *messages,
                                      size_t count, struct cq_appended *ret_appended);

/*
 * cq_writer_append() and cq_writer_append_batch() for records that have a time already, as those of a replica or
 * an import: each record keeps the time that the caller gives it, times_ns[i] that of messages[i].  Any time
 * is taken as it is: it may be before the time of the record before it, or in the future.  Times order
 * nothing; cq_reader_seek_time() finds a record by its time if no record has an earlier time than the one
 * before it.  Retention by age goes by these times (config.retain_age_ms), and so may delete a segment as
 * soon as it is sealed.  The records of such a batch are visible at once only as far as they are next to one
 * another and have one time.  Everything else, the errors too, is as with those calls, and both kinds of calls
 * may be mixed.
 */
CQ_API int cq_writer_append_at(cq_writer *writer, uint16_t type, uint64_t time_ns,
                               const void *payload, size_t length,
                               struct cq_appended *ret_appended);
CQ_API ssize_t cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret_appended);

/*
 * Whether an append of `length` bytes would find room below config.max_bytes: 0, or the error that the
 * append would give: EDQUOT, EMSGSIZE, or EIO of a poisoned writer.
 */
CQ_API int cq_writer_room(cq_writer *writer, size_t length);

/* Seals the current segment and continues in the next one.  Does nothing when the current one holds no
 * record.  Errors as cq_writer_append(). */
CQ_API int cq_writer_roll(cq_writer *writer);

/*
 * For the writer of a replica (config.replica_of): the records from the next number up to `seq` - 1 do not exist any
 * more, so the next record gets the number `seq`, and its first payload byte is at position `stream` of the stream;
 * 0: that is unknown, and the position continues where it is.  Does nothing if that is the next record's place already.
 * Readers get ENODATA there once, with the missing records counted, as at a segment that is gone; a seek to a missing
 * record leads to the next one.  Costs one segment file, which then takes no space, and begins another one.
 *   ENOLINK          the writer names no source: an ordinary queue has no gaps
 *   ERANGE           the next record has a higher number, or a higher position; or it has the number, and another
 *                    position
 *   EOVERFLOW        beyond 2^62; or the segment ids are used up
 * Errors as cq_writer_append() otherwise, those of CQ_SYNC_ALWAYS mode too: with any other than those nothing is left
 * out, and the call may be repeated.
 * Crash contract: when the call has returned, a death of this process leaves the gap; if it dies in the call, there is the
 * whole gap or none.  The same holds for a power cut from the next sync on; after an earlier one the gap and all
 * records behind it may be gone.
 */
CQ_API int cq_writer_skip(cq_writer *writer, uint64_t seq, uint64_t stream);

/*
 * Returns when every record appended before the call is durable.  Concurrent calls share one flush.
 *
 *   EIO   a flush failed, now or earlier.  The kernel may have dropped the data, so a later flush
 *         proves nothing: the writer stays poisoned until it is reopened.
 *   EMFILE, ENFILE, ENOMEM  and the like: there was no flush; the next call tries again.
 */
CQ_API int cq_writer_sync(cq_writer *writer);

/*
 * As cq_writer_sync(), without waiting: a library thread (or cq_writer_close()) later calls
 * done(request, result), once, with no lock held.  *request belongs to the caller and must stay where it
 * is until then; the caller sets `done` and leaves the rest alone.
 */
struct cq_sync_request {
	void (*done)(struct cq_sync_request *request, int result);
	uint64_t upto;
	struct cq_sync_request *next;
};
CQ_API void cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *request);

/*
 * Deletes sealed segments, oldest first, while all records of the oldest are below `seq`, but at most
 * `most` segments (each costs the time of an unlink).  Returns how many; 0: the oldest holds a record
 * that stays, or is the current one.
 *   EBUSY         a live named reader has still to read the oldest one
 *   EBADMSG, EIO  the oldest one is damaged: neither it nor its successor shows what it holds
 * After an error none was deleted: if a later segment fails, the next call returns its error.
 */
CQ_API int cq_writer_trim(cq_writer *writer, uint64_t seq, unsigned most);

/*
 * Deletes one segment with its index.
 *   ENOENT  there is no such segment
 *   EBUSY   it is not the oldest, not sealed, or a live named reader has still to read it
 */
CQ_API int cq_writer_remove(cq_writer *writer, uint32_t id);

/* The largest payload that fits into one record of this queue: segment size - 128. */
CQ_API size_t cq_writer_max_payload(const cq_writer *writer);

#define CQ_SYNC_BUCKETS 10
#define CQ_SYNC_BUCKET_NS(i) (100000ULL << (2 * (i))) /* 0.1 ms, 0.4 ms, ... 26 s */

struct cq_stats {
	size_t size;           /* of this structure */
	uint64_t next_seq;     /* sequence number that the next record will get */
	uint64_t durable_seq;  /* records below this are known to be durable */
	uint64_t records;      /* appended since the writer was opened */
	uint64_t bytes;        /* payload bytes appended since then */
	uint64_t last_time_ns; /* of the newest record; 0: none in this queue yet */
	uint64_t segment_size;
	uint32_t segment;         /* current segment */
	uint64_t offset;          /* write position in it */
	uint64_t stream_end;      /* payload bytes of the queue up to here, trimmed ones included */
	uint32_t epoch;           /* how many times the queue was opened for writing */
	uint64_t rolls_ready;     /* rolls that took a prepared segment at once */
	uint64_t rolls_waited;    /* rolls that had to wait for it */
	uint64_t rolls_fallback;  /* rolls whose segment the appending thread made itself */
	uint64_t prealloc_made;   /* segments prepared in the background */
	uint64_t prealloc_stale;  /* of these, discarded because the writer had gone past them */
	uint64_t prealloc_failed; /* preparations that failed */
	uint64_t syncs;           /* flushes done */
	uint64_t sync_requests;   /* requests that they answered */
	uint64_t sync_ns_total;   /* time spent in flushes */
	uint64_t sync_ns_max;
	uint64_t sync_within
		[CQ_SYNC_BUCKETS]; /* flushes that took no longer than CQ_SYNC_BUCKET_NS(i) */
	uint64_t unsynced;         /* sealed segments that wait for their sync */
	uint64_t retired;          /* segments deleted, by retention or on request */
	uint64_t full;             /* appends and rolls refused for max_bytes */
	uint64_t max_bytes;        /* config's */
	uint32_t oldest;           /* oldest published segment */
	uint64_t file_bytes;       /* of all published segment files, prepared ones included */
	int error;                 /* 0, or the negative errno that poisoned the writer */
};
CQ_API int cq_writer_stats(cq_writer *writer, struct cq_stats *ret_stats);

/* The writer's own view of the directory.  It belongs to the writer and is valid as long as the writer:
 * cq_queue_close() leaves it alone. */
CQ_API cq_queue *cq_writer_queue(cq_writer *writer);

/* ---- queue directory ------------------------------------------------------------------------ */

/*
 * Opens a queue for inspection.  Changes nothing, takes no lock, works while any writer runs.
 *   ENOENT, ENOTDIR  no such directory
 *   ENOTEMPTY        a directory with files but no queue
 */
CQ_API int cq_queue_open(const char *dir, cq_queue **ret_queue);
CQ_API void cq_queue_close(cq_queue *queue);

/* The process that holds (or last held) the writer's lock, according to writer.lock. */
struct cq_holder {
	size_t size;         /* of this structure */
	bool locked;         /* the lock is held now; the kernel's lock alone decides */
	bool alive;          /* the named process exists with that start time */
	pid_t pid;           /* 0: unknown */
	uint64_t start_time; /* field 22 of /proc/PID/stat, clock ticks after boot */
	bool closing;        /* it closes the queue, or has closed it; or it has lost writer.lock,
	                      * and stops as soon as it notices */
	uint64_t progress;   /* of closing: grows while closing advances */
};
CQ_API int cq_queue_holder(cq_queue *queue, struct cq_holder *ret_holder);

/*
 * Waits until no process holds the writer's lock, for at most timeout_ms milliseconds: umount(8) returns
 * before the daemon has flushed and released the lock.  ret_holder: the state at the end; `locked` if the
 * time is up.  Takes no lock itself: another writer can be faster.  Any thread; errors are those of
 * cq_queue_holder().
 */
CQ_API int cq_queue_await_release(cq_queue *queue, uint32_t timeout_ms,
                                  struct cq_holder *ret_holder);

/*
 * Waits while the holder is closing the queue and its `progress` grows.  Returns when the holder has
 * released the lock (`locked` is false then), when the holder is another process or is not closing, when
 * `progress` has not grown for stall_ms milliseconds, or when stop(arg), which is called some fifty times
 * a second and may be NULL, returns true.  ret_holder, threads and errors as cq_queue_await_release().
 */
CQ_API int cq_queue_await_closing(cq_queue *queue, uint32_t stall_ms, bool (*stop)(void *arg),
                                  void *arg, struct cq_holder *ret_holder);

struct cq_queue_info {
	size_t size;           /* of this structure */
	uint64_t segment_size; /* 0: an empty queue of unknown geometry */
	uint64_t segments;     /* published segment files */
	uint32_t oldest;       /* ids; meaningful when segments > 0 */
	uint32_t newest;
	bool have_control; /* the next four are valid: control.meta was readable */
	uint32_t current;  /* segment that the writer is in */
	uint64_t offset;   /* its write position */
	uint64_t epoch;
	uint64_t heartbeat_ns; /* last sign of life of the writer */

	/* Which queue this is, also after crashes, repairs and restarts: random bytes.  A copy of the directory
	 * has the same identity.  A queue of an older version, or of chronicle-rs, gets one when a writer
	 * opens it. */
	bool have_identity; /* the next three are valid */
	bool replica;       /* it is a replica, */
	uint8_t identity[CQ_IDENTITY_SIZE];
	uint8_t source[CQ_IDENTITY_SIZE]; /* of the queue with this identity; else all zero */

	/* Records below durable_seq are known to survive a power cut; it only grows, but for a loss that
	 * somebody has accepted.  False: no writer of this library has opened the queue. */
	bool have_durable;
	uint64_t durable_seq;

	/* The number of the oldest record, and the one that the next record gets (both the same: there is no
	 * record); and where the stream begins and ends.  To find the end, the headers of the last few
	 * thousand records are read; of all in the current segment, which takes up to some 60 ms for 128 MiB of records
	 * of 100 bytes, if chronicle-rs writes the queue, or no writer has opened it since the machine
	 * started.  False: chronicle-rs has
	 * written the oldest or the newest record, or damage hides the end. */
	bool have_bounds;
	uint64_t first_seq;
	uint64_t next_seq;
	uint64_t stream_begin;
	uint64_t stream_end;

	/* Flushes that have moved durable_seq, modulo 2^32, by writers from version 0.2.0 on; only its changes have
	 * a meaning.  Valid with have_control. */
	uint32_t flushes;
};
CQ_API int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info);

/*
 * Fills have_control, current, offset, epoch, heartbeat_ns and flushes, which one read of control.meta tells; the
 * other fields are 0 or false.
 *   ENOENT  have_control would be false
 */
CQ_API int cq_queue_position(cq_queue *queue, struct cq_queue_info *ret_info);

/*
 * Waits until all records below `seq` are known to be durable, in any process's writer: returns 1 then, 0 after
 * timeout_ms (negative: no limit; 0: only looks).  *ret_durable_seq (may be NULL): the number below which they
 * are; not after an error.  A writer makes records durable as its sync mode says: with CQ_SYNC_NONE those of
 * the current segment only when somebody asks for it.  Costs the writer a call for each flush, and nothing for an
 * append.  Any thread, many at once; nothing in the queue is changed, and a right to read is enough.  A writer
 * of an older version wakes nobody: then the wait ends up to a second late.
 *   EINTR  a signal handler ran
 */
CQ_API int cq_queue_wait_durable(cq_queue *queue, uint64_t seq, int timeout_ms,
                                 uint64_t *ret_durable_seq);

/* EPROTONOSUPPORT: the newest segment's format version is newer than this library.  The functions below
 * do not take such files for segments. */
CQ_API int cq_queue_check_version(cq_queue *queue);

/*
 * The oldest and the newest published segment, as in cq_queue_info(), at the cost of a few lookups: the
 * directory is listed only when both have moved far since the last call.
 *   ENOENT  there is no segment
 */
CQ_API int cq_queue_ends(cq_queue *queue, uint32_t *ret_oldest, uint32_t *ret_newest);

/* The committed position of a named reader. */
struct cq_reader_position {
	char name[CQ_READER_NAME_MAX + 1];
	uint32_t segment;
	uint64_t offset;
	uint64_t heartbeat_ns; /* when it last committed or waited */
	uint64_t lag_bytes; /* of segment files, between it and the writer; 0: unknown, or none */
};

/* Calls visit for each named reader of the queue that has a committed position, in no order. */
typedef void (*cq_reader_visit_fn)(void *arg, const struct cq_reader_position *position);
CQ_API int cq_queue_readers(cq_queue *queue, cq_reader_visit_fn visit, void *arg);

/* One named reader: its committed position, how far it is behind, and who uses it. */
struct cq_reader_info {
	size_t size; /* of this structure */
	uint32_t segment;
	uint64_t offset;
	uint64_t heartbeat_ns; /* as in struct cq_reader_position, as is lag_bytes */
	uint64_t lag_bytes;
	bool have_seq;         /* seq is known: no damage hides it */
	bool have_lag_records; /* lag_records is known: have_seq, and numbers ascend from there on */
	bool missing; /* records before the next one are gone: cq_reader_next() will give ENODATA */
	bool in_use; /* a handle has it, according to /proc/locks, which has none of processes that cannot be seen
	               * from here: those outside of a container's PID namespace */
	uint64_t seq; /* of the next record to take, or of the one that will be appended next */
	uint64_t lag_records;  /* that it has still to take */
	uint64_t next_time_ns; /* when the next record to take was appended; 0: none, or unknown */
	pid_t pid;             /* of the process that has it; 0: unknown, or none */
};

/*
 * Tells about one named reader.  Changes nothing and takes no lock.  Reads the reader's file, the next record
 * and, unless this process writes the queue, the headers of the records in the current segment.
 *   EINVAL          not the name of a reader (cq_reader_open())
 *   ENOENT          there is no such reader, or it has no committed position
 *   ELOOP, EBADMSG  its name belongs to something else
 */
CQ_API int cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret_info);

/* Ids of all published segments, ascending, by name alone (no file is opened).  *ret_ids is the
 * caller's to free(), also when *ret_count is 0. */
CQ_API int cq_queue_list(cq_queue *queue, uint32_t **ret_ids, size_t *ret_count);

/*
 * Opens a published segment.
 *   ENOENT   no file of that name
 *   EBADMSG  the file is not a regular file of the queue's segment size with a valid header for id
 */
CQ_API int cq_segment_open(cq_queue *queue, uint32_t id, cq_segment **ret_segment);
CQ_API void cq_segment_close(cq_segment *segment);

/* Where cq_segment_info() gets its answer from. */
enum cq_segment_source {
	/* the header alone: the content is known only for a sealed segment with a summary, and then
	 * without the times */
	CQ_SEGMENT_HEADER,
	/* the cheapest that knows the content: the summary and the index of a sealed segment, the writer if
	 * this process is the segment's writer, an earlier count of a sealed segment, else all records */
	CQ_SEGMENT_CONTENT,
	/* all records are read and counted; only this finds damage in a segment with a summary */
	CQ_SEGMENT_RECORDS,
};

struct cq_segment_info {
	size_t size; /* of this structure */
	uint32_t id;
	uint32_t version;     /* of its header: 2, or 1 for old ones */
	uint64_t file_bytes;  /* the queue's segment size */
	uint64_t modified_ns; /* time of its last record while this process is its writer, else the
	                       * file's modification time; no longer changes once it is sealed */
	bool sealed;          /* complete: it will not change any more */
	bool have_summary; /* the header has a summary that passes its CRC: stream_base is valid */
	bool have_content; /* the fields from records on are valid */
	bool damaged;      /* there is a damaged record at `used`; nothing behind it is counted */
	uint64_t stream_base; /* payload bytes of the queue before it */
	uint64_t first_seq;   /* of its first record; with a summary, also of one still to come */
	uint64_t records;
	uint64_t payload_bytes;
	uint64_t used;          /* offset behind the last record */
	uint64_t last_seq;      /* valid when records > 0 */
	uint64_t first_time_ns; /* valid when records > 0, not from the header alone */
	uint64_t last_time_ns;
};

/* Tells what a segment is and what it holds.  Each call reads the header, so `sealed` follows a live
 * writer.  EIO: the file was cut short. */
CQ_API int cq_segment_info(cq_segment *segment, enum cq_segment_source source,
                           struct cq_segment_info *ret_info);

/* The times of a segment's records: not those of the first and the last one if the clock was set back. */
struct cq_segment_times {
	uint64_t records;
	uint64_t lowest_ns; /* valid when records > 0 */
	uint64_t highest_ns;
};

/* Takes the times from the index of a sealed segment if that is of all its records; else reads all records.
 * EIO: a record is damaged, or the file was cut short. */
CQ_API int cq_segment_times(cq_segment *segment, struct cq_segment_times *ret_times);

/* Bytes of the file, exactly, as pread(2); live data of a running writer included. */
CQ_API ssize_t cq_segment_pread(cq_segment *segment, void *buffer, size_t length, uint64_t offset);

/* ---- stream --------------------------------------------------------------------------------- */

/*
 * The payloads of a queue, one after another, as bytes at positions.  A position never changes its
 * meaning: it counts all payload bytes ever appended, trimmed ones included; where chronicle-rs
 * wrote, from the oldest segment that there was when the position was first asked for.  May be used
 * by many threads at once.  Segment files are mapped for reading, with the guard against SIGBUS of
 * cq_reader_open(); nothing in the queue is changed, no lock is taken, no waiter registered.
 * `queue` must outlive the stream.
 */
CQ_API int cq_stream_open(cq_queue *queue, cq_stream **ret_stream);
CQ_API void cq_stream_close(cq_stream *stream);

/*
 * The positions of the oldest byte, and behind the newest.  Both only grow.  Cheap while this process is
 * the queue's writer; in a queue of another process, two system calls when nothing has changed.  The last
 * few segments that were read stay mapped, and a deleted file takes space while it is mapped: this call
 * unmaps those that were trimmed, so call it now and then.
 */
CQ_API int cq_stream_extent(cq_stream *stream, uint64_t *ret_begin, uint64_t *ret_end);

/*
 * Reads payload bytes from `position` on.  Returns how many: fewer than `length` at the end of the
 * stream, or before bytes that cannot be read (then the next call gives the error); 0 at or behind the
 * end.  A record's checksum is checked before any of its bytes is returned.
 *   ENODATA  the byte at `position` has been trimmed, or its segment is missing
 *   EIO      the record that holds it is damaged, or its file was cut short
 */
CQ_API ssize_t cq_stream_pread(cq_stream *stream, void *buffer, size_t length, uint64_t position);

/* The first position at or behind `position` whose byte is there, or the end of the stream.  Passes over
 * trimmed and missing bytes.  Damaged bytes count as there; where damage hides how many bytes a segment
 * holds, the rest of the segment counts as one byte. */
CQ_API int cq_stream_next_data(cq_stream *stream, uint64_t position, uint64_t *ret_position);

/* The first position behind `position` (whose byte is there) where bytes are missing, or the end of the
 * stream.  Does not find bytes that an empty placeholder segment replaces (a repair's, or that of
 * cq_writer_skip()): reading them gives ENODATA, and cq_stream_next_data() passes over them. */
CQ_API int cq_stream_next_hole(cq_stream *stream, uint64_t position, uint64_t *ret_position);

/* The part of the stream that one segment holds. */
struct cq_span {
	uint64_t begin; /* position of its first byte */
	uint64_t bytes;
	bool sealed; /* it will not grow any more */
};
/* ENOENT, EBADMSG as cq_segment_open(); EIO: a damaged record hides where it ends. */
CQ_API int cq_stream_segment(cq_stream *stream, uint32_t id, struct cq_span *ret_span);

/* cq_stream_pread() within one segment alone: position 0 is its first byte.  ENOENT: it was deleted. */
CQ_API ssize_t cq_stream_segment_pread(cq_stream *stream, uint32_t id, void *buffer, size_t length,
                                       uint64_t position);

/* ---- reader --------------------------------------------------------------------------------- */

enum cq_start {
	CQ_START_OLDEST, /* the oldest record */
	CQ_START_LATEST, /* behind the newest record: only records that are appended later */
	CQ_START_RESUME, /* the committed position; ENOENT where there is none */
	CQ_START_RESUME_OR_OLDEST, /* the committed position, else the oldest record */
};

/* Map everything read-only, never register for wake-ups, poll instead: for queues that must not be
 * changed in any way, or that this process may not write to.  Not with a name. */
#define CQ_READER_PASSIVE 1U

/*
 * Opens a reader.  Readers map segment files.  The library installs a handler for SIGBUS that answers for
 * these mappings and passes on every other SIGBUS: so a file that another process cuts short gives EIO
 * and does not end this one.
 *
 * name NULL: an anonymous reader, which retention does not wait for.  A named reader (characters A-Z a-z
 * 0-9 . _ -, 1 to 64, no leading dot) keeps its committed position in the queue.  The open of a new name
 * commits the place where it starts, so retention waits for it from then on.
 * One handle at a time has a name: its file is locked (flock) until cq_reader_close(), or until the process
 * dies; a child that was forked meanwhile keeps the lock if the parent dies without closing.
 *   EINVAL           bad name, start or flags
 *   EBUSY            another handle has the name, in this process or in another: cq_queue_reader() tells
 *                    which process
 *   ENOENT, ENOTDIR  no such directory; or CQ_START_RESUME without a committed position
 *   ENOTEMPTY        a directory with files but no queue
 *   ENODEV           the file system cannot map files
 *   EACCES, EPERM, EROFS  with a name: this process may not write to the reader's file, or may not make it.
 *                    (An anonymous reader needs no such right, nor does cq_queue_readers().)
 *   ELOOP, EBADMSG   the name of the reader's file belongs to something else
 *   ENOSPC, EDQUOT   no room for the file of a new name
 */
CQ_API int cq_reader_open(const char *dir, const char *name, enum cq_start start, unsigned flags,
                          cq_reader **ret_reader);
/* Commits nothing. */
CQ_API void cq_reader_close(cq_reader *reader);

struct cq_record {
	uint64_t seq;
	uint64_t time_ns;
	const void *payload; /* valid until the next call on this reader */
	size_t length;
	uint16_t type;
	bool have_stream; /* written by this library: stream_offset and epoch are known */
	uint32_t epoch;
	uint64_t stream_offset; /* of the first payload byte in the queue's stream of payloads */
	uint32_t segment;       /* where the record is */
	uint64_t offset;
};

/*
 * Takes the next record.  Returns 1 with *ret_record, or 0: there is none (yet).
 *   ENODATA  records before the next one are gone (retention or a lost segment).  The reader is now
 *            behind the gap, whose size cq_reader_stats() gives; call again to continue.
 *   EIO      a record's checksum is wrong or its segment was cut short; the reader stays before it
 *   EBADMSG  the next segment file is not one of this queue
 */
CQ_API int cq_reader_next(cq_reader *reader, struct cq_record *ret_record);

/*
 * Takes up to `most` (1 or more, else EINVAL) records, as so many calls of cq_reader_next(), but the payloads of all
 * of them are valid until the next call on this reader, also when their segment is deleted meanwhile.  Fewer come
 * where the next record is not there yet, is in another segment (one segment is mapped at a time), would
 * make the payloads more than max_bytes (0: no limit; the first record comes in any case), or is damaged.
 * Returns how many, or 0: there is none (yet).  Errors as cq_reader_next(), with nothing taken: where records
 * come before the damaged one, the next call gives the error.
 */
CQ_API ssize_t cq_reader_next_batch(cq_reader *reader, struct cq_record *ret_records, size_t most,
                                    size_t max_bytes);

/*
 * Moves past the damaged record for which cq_reader_next() returned EIO, and no further: its payload is wrong,
 * and its header, which is sound, says where the next record begins.  Returns 1 with what the header says in
 * *ret_record (payload NULL), unless that is NULL; 0, without moving, if the header is damaged, too, or has no
 * checksum (a record of chronicle-rs: its length may be what is wrong), or if the writer has not left the
 * segment: the next writer may end the queue before that record, and store other records there.
 */
CQ_API int cq_reader_skip_record(cq_reader *reader, struct cq_record *ret_record);

/* Moves past the damaged record for which cq_reader_next() returned EIO, or past the file for which it
 * returned EBADMSG: to the next sound segment.  From any place in a segment that the writer has left it moves to
 * the beginning of the next one.  Returns 1 if it moved; 0, without moving, if there is no such segment yet. */
CQ_API int cq_reader_skip_segment(cq_reader *reader);

/*
 * Waits until cq_reader_next() would return something other than 0.  Returns 1 then, 0 after
 * timeout_ms (negative: no limit).  EINTR: a signal handler ran.  A handler that runs just before the call does not
 * end it: a program that a signal is to stop waits with a limit, and looks again.
 */
CQ_API int cq_reader_wait(cq_reader *reader, int timeout_ms);

/*
 * A descriptor for poll(2), epoll(7) and event loops: readable (POLLIN) while cq_reader_next() may give something
 * other than 0.  It is readable at first, and until cq_reader_next() or cq_reader_next_batch() returns 0; then
 * when there is something again.  So a loop calls these until they return 0, and then waits for the descriptor;
 * with EPOLLET, too.  After a seek it is readable.  It may be readable and cq_reader_next() give 0, once.
 * Do not read it, write to it or close it: it belongs to the reader, and cq_reader_close() closes it.  Each call
 * returns the same one.
 *
 * The first call starts a thread, which sleeps as cq_reader_wait() does, but wakes up once a second at most
 * while nothing comes.  A passive reader, and one that may not write to control.meta, polls: it learns of a
 * record late, by an eighth of the time for which none came, and by a second at most.  A named reader gives no
 * sign of life meanwhile: for config.reader_ttl_ms it has to commit now and then.
 *
 * Threads: other threads may wait for the descriptor; all calls on the reader are one thread's at a time, as
 * ever.  Fork: a child inherits the descriptor until exec, and must not use it.
 *   EMFILE, ENFILE, ENOMEM  no descriptor
 *   EAGAIN                  the system has no thread left
 */
CQ_API int cq_reader_fd(cq_reader *reader);

/*
 * All seeks return EIO when a damaged record hides the place, and EBADMSG when a segment file does not
 * belong to this queue; the reader then has not moved.  They read headers only: cq_reader_next() finds a
 * damaged payload.  A seek does not pass over a record that is appended meanwhile, if it is the record
 * that is sought or comes behind it.
 */

/* Moves to the first record with this sequence number or a higher one, or behind the newest record.
 * Where sequence numbers repeat (chronicle-rs restarts at 0): in the last such run.  In the segment that is being
 * written, which has no index yet, a seek reads headers up to the segment's end: from the reader's place or those
 * that cq_reader_next_batch() has taken it to, where these are before the number, or from a place that the writer
 * tells.  The writer tells the more places the nearer they are to the end: for a record that has D records behind it
 * some 5 D + 8192 headers are read at most, of 0.1 us each. */
CQ_API int cq_reader_seek_seq(cq_reader *reader, uint64_t seq);

/* Moves to the first record that has this time or a later one, if no record has an earlier time than the
 * record before it: the clock never went back, and cq_writer_append_at() was given times in their order.
 * Otherwise it may find a later such record, or pass over all of them to the end. */
CQ_API int cq_reader_seek_time(cq_reader *reader, uint64_t time_ns);

/*
 * Moves to the record that holds payload byte `offset` of the stream (all payloads of the queue one
 * after another); *ret_skip bytes of that record come before it.  At or behind the end: to the end,
 * *ret_skip 0.
 *   ENODATA  that byte has been trimmed, or its segment is missing: the reader is at the first record
 *            behind it
 */
CQ_API int cq_reader_seek_stream(cq_reader *reader, uint64_t offset, uint64_t *ret_skip);

/* Moves to the oldest record, or behind the newest. */
CQ_API int cq_reader_seek_oldest(cq_reader *reader);
CQ_API int cq_reader_seek_end(cq_reader *reader);

/*
 * Makes the current position (behind the last record taken) the named reader's committed one, also if
 * another position has been stored in the reader's file meanwhile, as by a recovery.
 * Crash contract: a commit that has returned survives the death of this process by any signal; one that is cut
 * off leaves the position before it.  It is not synced: after a power cut an earlier commit may count, and
 * the reader gets records a second time, or a gap where they have been deleted since.
 *   EAGAIN     another process has been in the middle of a write to the reader's file for a second: it was
 *              stopped there
 *   EINVAL     the reader has no name
 *   ESTALE     the reader's file was removed or replaced, by other means than cq_reader_delete(), which
 *              gives EBUSY: nothing was committed.  A new open begins as one of a new name
 */
CQ_API int cq_reader_commit(cq_reader *reader);

/*
 * Makes the position behind record `seq` the committed one, while the reader stays where it is: for a program
 * that takes records ahead of those that it is done with.  The reader must have passed the record; it is the
 * one that cq_reader_seek_seq() finds.  If it is missing, the position is the one before the next record; if all
 * records up to the end of the queue were deleted, the reader's own.
 * Like cq_reader_commit(), this may move the committed position back.  Of a sequence of calls with ascending
 * numbers each reads the headers of the records since the one before; the first one costs a seek.
 *   ERANGE     the reader has not passed such a record
 *   EIO        a damaged record hides the place
 * Other errors and the crash contract as cq_reader_commit().
 */
CQ_API int cq_reader_commit_seq(cq_reader *reader, uint64_t seq);

enum cq_place {
	CQ_PLACE_SEQ,    /* value: a sequence number, as for cq_reader_seek_seq() */
	CQ_PLACE_TIME,   /* value: nanoseconds since 1970, as for cq_reader_seek_time() */
	CQ_PLACE_OLDEST, /* the oldest record; value is not used, as in the next one */
	CQ_PLACE_LATEST, /* behind the newest record */
};

/*
 * Sets the committed position of a named reader that no handle has, and makes the reader if it is new.  Where
 * the records of the place are gone, it is at the next one.
 * Errors as cq_reader_open() and the seeks; after an error the position is what it was.
 */
CQ_API int cq_reader_set(const char *dir, const char *name, enum cq_place place, uint64_t value);

/*
 * Deletes a named reader that no handle has: retention no longer waits for it.
 *   EINVAL           bad name
 *   EBUSY            a handle has it
 *   ENOENT           there is no such reader, or no such directory
 *   ESTALE           its file was removed or replaced meanwhile, by other means
 *   ENOTDIR, ENOTEMPTY, EACCES, EPERM, EROFS, ELOOP, EBADMSG  as cq_reader_open()
 */
CQ_API int cq_reader_delete(const char *dir, const char *name);

struct cq_reader_stats {
	size_t size;           /* of this structure */
	uint64_t records;      /* taken with cq_reader_next() */
	uint64_t bytes;        /* their payload bytes */
	uint64_t gaps;         /* how often ENODATA was returned */
	uint64_t gap_segments; /* segments that were missing */
	uint64_t gap_records;  /* records that were missing, as far as sequence numbers show */
	uint32_t segment;      /* position */
	uint64_t offset;
};
CQ_API int cq_reader_stats(const cq_reader *reader, struct cq_reader_stats *ret_stats);

/* ---- verification --------------------------------------------------------------------------- */

struct cq_finding {
	bool damage; /* false: worth knowing, but no damage (chronicle-rs restarted its sequence
	                   * numbers, recovery has set bytes aside) */
	uint32_t segment; /* UINT32_MAX: the finding is about no segment */
	uint64_t offset;
	const char *text; /* printable (cq_printable()); valid during the call */
};
typedef void (*cq_finding_fn)(void *arg, const struct cq_finding *finding);

struct cq_verify_result {
	size_t size; /* of this structure */
	uint64_t segments;
	uint64_t records;
	uint64_t payload_bytes;
	uint64_t damage;      /* findings with damage set */
	uint64_t information; /* the others */
	uint64_t gaps;        /* placeholders behind which numbers are missing, */
	uint64_t
		gap_records; /* and how many: of a replica (cq_writer_skip()), or lost and accepted */
};

/*
 * Reads the whole queue and checks every header, checksum, sequence number, seal, index, position and the
 * watermark.  Changes nothing.  A writer may run meanwhile: what it had committed when the call began is
 * checked.  Returns 0 when it could read everything, whatever it found.  Errors as cq_queue_open().
 */
CQ_API int cq_verify(const char *dir, cq_finding_fn finding, void *arg,
                     struct cq_verify_result *ret_result);

struct cq_verify_config {
	size_t size;           /* of this structure */
	cq_finding_fn finding; /* called for each finding; NULL: no call */
	void *finding_arg;
	cq_progress_fn progress; /* NULL: no call */
	void *progress_arg;
};

/* cq_verify() with reports of its progress.  ECANCELED: config->progress has ended it. */
CQ_API int cq_verify_with(const char *dir, const struct cq_verify_config *config,
                          struct cq_verify_result *ret_result);

/* ---- repair --------------------------------------------------------------------------------- */

enum cq_repair_action {
	CQ_REPAIR_REMOVE,    /* delete a temp file, or an index that is not of its segment */
	CQ_REPAIR_SET_ASIDE, /* rename a segment to NNNNNNNNN.q.corrupt */
	CQ_REPAIR_CUT,       /* move the bytes behind the last sound record to NNNNNNNNN.q.broken */
	CQ_REPAIR_SEAL,      /* seal a segment that others follow */
	CQ_REPAIR_STAND_IN,  /* make a placeholder, an empty sealed segment, for one that is gone */
	CQ_REPAIR_MAKE,      /* make the segment to append to */
	CQ_REPAIR_INDEX,     /* rebuild an index */
	CQ_REPAIR_REWRITE,   /* correct control.meta, index.meta, durable.meta or a reader's file */
	CQ_REPAIR_LOSS,      /* no action: these records are no longer in the queue */
};

struct cq_repair_step {
	enum cq_repair_action action;
	const char *file;   /* below the queue's directory; valid during the call, as is text */
	uint64_t offset;    /* CUT: of the first such byte */
	uint64_t bytes;     /* CUT, SET_ASIDE: how many leave the queue; LOSS: payload bytes, or 0
	                     * if unknown */
	uint64_t first_seq; /* LOSS: the first and the last record; UINT64_MAX: unknown */
	uint64_t last_seq;
	const char *text; /* why, for people */
};
typedef void (*cq_repair_fn)(void *arg, const struct cq_repair_step *step);

struct cq_repair_config {
	size_t size;       /* of this structure */
	bool dry_run;      /* report the steps only; change nothing, make no file */
	bool accept_loss;  /* repair although records are lost, as in struct cq_config */
	bool trust_files;  /* as in struct cq_config; without it a dry run is refused, too */
	cq_repair_fn step; /* called for each step before the first one is done; NULL: no call */
	void *step_arg;
	cq_log_fn log; /* as in struct cq_config */
	void *log_arg;
	cq_progress_fn progress; /* called before the first step; NULL: no call */
	void *progress_arg;
};

struct cq_repair_result {
	size_t size;     /* of this structure */
	uint64_t steps;  /* that were reported, losses not counted; 0: there is nothing to repair */
	uint64_t losses; /* that were reported; `refused` ignores those that a power cut explains */
	uint64_t bytes;  /* that leave the queue, to files of other names */
	bool refused;    /* records would be lost, and not accept_loss: nothing was changed */
	bool done;       /* all steps were done */
};

/*
 * Recovers as cq_writer_open() does after a crash, and repairs more: reads all segments, not only those
 * that may have been in use, and corrects all files in which verification finds damage.  Then closes the
 * queue.  Damaged files are set aside under another name, never deleted.  A queue with nothing to repair
 * stays unchanged; an empty directory has nothing to repair.  config NULL: everything false.
 *
 *   ENOENT, ENOTDIR  no such directory
 *   ENOTEMPTY        a directory with files but no queue
 *   EBUSY            a writer has the queue
 *   EBADMSG          the size of segments is unknown: no file has it; or a name of the queue's other than a
 *                    segment's belongs to something that is no regular file (with a segment's name it
 *                    would be set aside); or an index's name belongs to a directory
 *   ELOOP, EPERM     as cq_writer_open(), for the files that would be written to: a sealed segment is one
 *                    only if something is wrong with it
 *   EEXIST           as cq_writer_open()
 *   EFBIG            more than 10,000 segments are missing between others
 *   EOVERFLOW        the segment with the last id is sealed, and there is something to repair
 *   EPROTONOSUPPORT  the queue's format version is newer than this library
 *   ECANCELED        config.progress has ended it
 * With these errors nothing has been changed.  Other errors can end a repair on the way, as ENOSPC, or
 * EFBIG of cq_writer_open(): completed steps stay, and the next repair does the rest.
 */
CQ_API int cq_repair(const char *dir, const struct cq_repair_config *config,
                     struct cq_repair_result *ret_result);

#ifdef __cplusplus
}
#endif

#endif
