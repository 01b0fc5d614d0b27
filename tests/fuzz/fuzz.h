/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what the fuzzing targets that work on a queue's files share
 *
 * A target lays hostile files out as a queue, and fuzz_exercise() does with it what a program does.
 * It ends the program (libFuzzer then keeps the input) not only for what a sanitizer sees: what the
 * library tells must also agree, see fuzz_exercise().
 */
#ifndef CQ_FUZZ_H
#define CQ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "gather.h"
#include "held.h"

#define FUZZ_SEGMENT_SIZE 512U /* of the queue that most targets damage */

/* libFuzzer's */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* The directory of the queue, made at the first call, removed when the program ends. */
const char *fuzz_dir(void);

/* A sound queue: segments 0 to 2 sealed, 3 current, 4 prepared; records in all the sizes that matter;
 * a reader "some" in the middle; closed. */
void fuzz_make_queue(struct held *held);

/* How fuzz_exercise() opens the queue for writing; the targets have bits of their own above. */
#define FUZZ_ACCEPT_LOSS 1U
#define FUZZ_FLAGS 2U /* the first bit that is a target's */

/*
 * Lays the files out; reads them by every function there is; opens a writer, appends, closes.
 *   Where verification finds nothing to say, a reader and the stream give all of it, the same.
 *   An open that fails does so with an error that chronq.h names.
 *   A writer's records are the last ones of the queue, and verification finds nothing that was not
 *   wrong before.
 */
void fuzz_exercise(const struct held *held, unsigned flags);

/* Makes the checksums in a file of this name right, where there is enough of it. */
void fuzz_mend(const char *name, uint8_t *bytes, size_t size);

/* Changes the contents of a file of that name: as libFuzzer does, or one of its fields, then
 * perhaps the checksums.  Returns the new size. */
size_t fuzz_mutate(const char *name, uint8_t *bytes, size_t size, size_t max_size, unsigned seed);

#endif
