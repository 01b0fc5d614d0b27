/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - messages to the service manager */
#ifndef CHRONFS_NOTIFY_H
#define CHRONFS_NOTIFY_H

/* Sends lines of sd_notify(3) to $NOTIFY_SOCKET, if that is set; drops lines that cannot be sent. */
void chronfs_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
