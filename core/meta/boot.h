/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - which boot of the machine this is
 *
 * A writer stores the boot id in control.meta.  If the next writer finds the present one there, the machine
 * has not been restarted since: the page cache still holds everything that the first one stored.
 */
#ifndef CQ_BOOT_H
#define CQ_BOOT_H

#include "format/format.h"

/* All zero if the kernel does not give it (no /proc).  Fails only for want of descriptors or memory. */
int cq_boot_id(uint8_t ret_id[CQ_BOOT_ID_SIZE]);

#endif
