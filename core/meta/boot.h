/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - which boot of the machine this is
 *
 * A writer leaves the number in control.meta.  Who finds the present one there knows that no power cut
 * has come since: what a process had stored is what the page cache still shows.
 */
#ifndef CQ_BOOT_H
#define CQ_BOOT_H

#include "format/format.h"

/* All zero where the kernel does not tell (no /proc).  Fails for want of descriptors or memory alone. */
int cq_boot_id(uint8_t ret_id[CQ_BOOT_ID_SIZE]);

#endif
