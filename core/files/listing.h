/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listing.h - which segments there are, without reading a directory that has not changed
 *
 * A closing writer reads the directory, and stores in durable.meta what it found and the directory's time of
 * change.  While the directory has this time, an opening writer takes the list from there.
 */
#ifndef CQ_LISTING_H
#define CQ_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

/* Nothing in the directory has changed since this record was made: its ids, and no others, are those of
 * cq_dir_list(), and there is no temp name. */
bool cq_listing_holds(int dirfd, const struct cq_listing_record *record,
                      const uint8_t boot_id[CQ_BOOT_ID_SIZE]);

/* Its ids, as cq_dir_list() gives them; to be freed.  ENOMEM. */
int cq_listing_ids(const struct cq_listing_record *record, uint32_t **ret_ids, size_t *ret_count);

/* Under the writer's lock, by the thread that is the last one to change anything: reads the directory, unless
 * the record in durable.meta (`fd`) still holds, and stores a new one.  Where it cannot, no record holds. */
void cq_listing_store(int dirfd, int fd);

#endif
