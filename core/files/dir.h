/* SPDX-License-Identifier: Apache-2.0 */
/* dir.h - the names in a queue's directory: segments, what recovery set aside, temp files */
#ifndef CQ_DIR_H
#define CQ_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

/* True, with the id, for exactly nine digits followed by ".q" (or by the given suffix). */
bool cq_segment_name_parse(const char *name, uint32_t *ret_id);
bool cq_numbered_name_parse(const char *name, const char *suffix, uint32_t *ret_id);

/* The same for what recovery has set aside: .q.broken, .q.corrupt, .q.broken.2, ... */
bool cq_aside_name_parse(const char *name, uint32_t *ret_id);

void cq_segment_name(char name[CQ_NAME_MAX], uint32_t id);
void cq_index_name(char name[CQ_NAME_MAX], uint32_t id);

/* Published segments by name, ascending.  *ret_ids is to be freed. */
int cq_dir_list(int dirfd, uint32_t **ret_ids, size_t *ret_count);

/* The same, and in the same listing whether there are temp names: of a segment, an index or control.meta
 * that a writer, ours or chronicle-rs's, was preparing. */
int cq_dir_list_and_temps(int dirfd, uint32_t **ret_ids, size_t *ret_count, bool *ret_temps);

/* Lowest published id that is >= from; -ENOENT if there is none. */
int cq_dir_next(int dirfd, uint32_t from, uint32_t *ret_id);

/* Whether the directory is empty, a queue, or something else.  Empty: as a new file system is, or with nothing but the
 * files of named readers, which were there before the queue. */
enum cq_dir_kind { CQ_DIR_EMPTY, CQ_DIR_QUEUE, CQ_DIR_FOREIGN };
int cq_dir_classify(int dirfd, enum cq_dir_kind *ret_kind);

/* Calls visit for each temp name until it returns non-zero; returns that. */
int cq_dir_each_temp(int dirfd, int (*visit)(void *arg, const char *name), void *arg);

/* Unlinks the files with temp names, which a dead writer left, and no others. */
int cq_dir_sweep(int dirfd);

#endif
