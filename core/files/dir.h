/* SPDX-License-Identifier: Apache-2.0 */
/* dir.h - the queue's directory seen as segments: names, what is there, leftovers */
#ifndef CQ_DIR_H
#define CQ_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

/* True, with the id, for exactly nine digits followed by ".q" (or by the given suffix). */
bool cq_segment_name_parse(const char *name, uint32_t *ret_id);
bool cq_numbered_name_parse(const char *name, const char *suffix, uint32_t *ret_id);

/* The same of what recovery has set aside: .q.broken, .q.corrupt, .q.broken.2, ... */
bool cq_aside_name_parse(const char *name, uint32_t *ret_id);

void cq_segment_name(char name[CQ_NAME_MAX], uint32_t id);
void cq_index_name(char name[CQ_NAME_MAX], uint32_t id);

/* Published segments by name, ascending.  *ret_ids is to be freed. */
int cq_dir_list(int dirfd, uint32_t **ret_ids, size_t *ret_count);

/* Lowest published id that is >= from; -ENOENT if there is none. */
int cq_dir_next(int dirfd, uint32_t from, uint32_t *ret_id);

/* Whether the directory is empty, a queue, or something else. */
enum cq_dir_kind { CQ_DIR_EMPTY, CQ_DIR_QUEUE, CQ_DIR_FOREIGN };
int cq_dir_classify(int dirfd, enum cq_dir_kind *ret_kind);

/* Published segments likewise, and (a look at every name takes its time) whether there are temp
 * names: what a writer has when it prepares a segment, an index, control.meta, ours and chronicle-rs's. */
int cq_dir_list_temps_too(int dirfd, uint32_t **ret_ids, size_t *ret_count, bool *ret_temps);

/* Calls visit for each temp name until it returns non-zero; returns that. */
int cq_dir_each_temp(int dirfd, int (*visit)(void *arg, const char *name), void *arg);

/* Unlinks what a dead writer left half-prepared: temp names, nothing else. */
int cq_dir_sweep(int dirfd);

#endif
