/* SPDX-License-Identifier: Apache-2.0 */
/* seeds.h - the parts of the program that makes first inputs */
#ifndef CQ_FUZZ_SEEDS_H
#define CQ_FUZZ_SEEDS_H

#include <stddef.h>

/* Writes TO/TARGET/NAME. */
void seeds_put(const char *target, const char *name, const void *bytes, size_t size);

/* Those for core/cli/wire. */
void seeds_put_wire(void);

#endif
