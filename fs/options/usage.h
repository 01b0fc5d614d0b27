/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h - what --help and --version print */
#ifndef CHRONFS_USAGE_H
#define CHRONFS_USAGE_H

void chronfs_usage_print(const char *program);
void chronfs_usage_print_mount8(const char *program); /* of the mount(8) helper */
void chronfs_usage_print_version(void);

#endif
