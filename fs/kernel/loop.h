/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the threads that serve requests; see loop.c */
#ifndef CHRONFS_LOOP_H
#define CHRONFS_LOOP_H

struct chronfs;

/* Serves requests until the session ends.
 *   EAGAIN, ENOMEM  no thread
 *   another error   of reading a request */
int chronfs_loop(struct chronfs *fs);

#endif
