/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - shared by the fuzzing targets that work on files of a queue
 *
 * A target lays hostile files out as a queue, and fuzz_exercise() uses it as a program does.  It ends the
 * program (libFuzzer then keeps the input) for findings of a sanitizer, and for answers of the library that
 * do not agree, see fuzz_exercise().
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
#define FUZZ_FLAGS 2U /* the first bit for targets */

/*
 * Lays the files out; reads them with all functions; opens a writer, appends, closes.
 *   If verification finds nothing, a reader and the stream give all records, and the same.
 *   An open that fails returns an error that chronq.h names.
 *   A writer's records are the last ones of the queue, and verification finds no new damage.
 */
void fuzz_exercise(const struct held *held, unsigned flags);

/* Corrects the checksums in a file of this name, if it is large enough to have them. */
void fuzz_mend(const char *name, uint8_t *bytes, size_t size);

/* Changes the contents of a file of that name: as libFuzzer does, or one of its fields, then
 * perhaps the checksums.  Returns the new size. */
size_t fuzz_mutate(const char *name, uint8_t *bytes, size_t size, size_t max_size, unsigned seed);

#endif
