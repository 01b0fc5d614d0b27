/* SPDX-License-Identifier: Apache-2.0 */
/* append.h - how the files that take records begin and end */
#ifndef CHRONFS_APPEND_H
#define CHRONFS_APPEND_H

struct chronfs;

void chronfs_append_init(struct chronfs *fs);

/* When no request is served any more: answers those that wait, then closes every open file, which
 * commits the open lines; says what is lost. */
void chronfs_append_fini(struct chronfs *fs);

#endif
