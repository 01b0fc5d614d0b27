/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - what the service manager is told */
#ifndef CHRONFS_NOTIFY_H
#define CHRONFS_NOTIFY_H

/* Sends lines of sd_notify(3) to $NOTIFY_SOCKET, if that is set; what cannot be sent is dropped. */
void chronfs_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
