/* SPDX-License-Identifier: Apache-2.0 */
/* successor.c - when a segment has been left, and which one comes next; see successor.h */
#include "catalog/successor.h"

#include <errno.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "os/fault.h"
#include "os/io.h"

void cq_successor_control(struct cq_control *control, int dirfd, bool writable)
{
	struct stat mapped, named;
	struct cq_control fresh;

	if (control->page && cq_io_stat(control->map.fd, &mapped) == 0 &&
	    cq_io_stat_at(dirfd, CQ_CONTROL_NAME, &named) == 0 && mapped.st_ino == named.st_ino &&
	    mapped.st_dev == named.st_dev) /* GCOV_EXCL_BR_LINE: same inode, other device */
		return;
	if (cq_control_open(&fresh, dirfd, writable) < 0)
		return;
	if (control->page)
		cq_control_close(control);
	*control = fresh;
}

uint32_t cq_successor_current(const struct cq_control *control)
{
	if (!control->page)
		return 0;
	return __atomic_load_n(&control->page->current_segment, __ATOMIC_ACQUIRE);
}

int cq_successor_next(int dirfd, uint32_t from, uint32_t *ret_id)
{
	uint32_t id = 0;
	int r;

	if (from > CQ_SEGMENT_ID_MAX)
		return -ENOENT;
	r = cq_dir_next(dirfd, from, &id);
	/* A listing may miss a segment that is published while it runs, and still show one that is
	 * published later.  The second look finds the earlier one by its name. */
	if (r == 0 && id != from)
		r = cq_dir_next(dirfd, from, &id);
	if (r == 0)
		*ret_id = id;
	return r;
}

/* The segment after this one has a record in it. */
static bool successor_begun(cq_queue *queue, uint32_t id)
{
	struct cq_record_header h;
	struct cq_mapped mapped;
	uint32_t next = 0;
	bool begun;

	if (cq_successor_next(queue->dirfd, id + 1, &next) < 0 ||
	    cq_mapped_of(queue, next, &mapped) < 0)
		return false;
	begun = cq_mapped_header(&mapped, sizeof(struct cq_segment_header), &h) != 0;
	cq_mapped_close(&mapped);
	return begun;
}

/* Without a seal control.meta is asked.  Since that may be wrong, it is believed only if the next segment
 * has a record. */
bool cq_successor_left(cq_queue *queue, const struct cq_control *control,
                       const struct cq_mapped *mapped)
{
	if (cq_mapped_sealed(mapped))
		return true;
	if (cq_planted("reader_follows_unsealed"))
		return true;
	return cq_successor_current(control) > mapped->id && successor_begun(queue, mapped->id);
}

bool cq_successor_none(const cq_queue *queue, const struct cq_control *control,
                       const struct cq_mapped *mapped)
{
	char name[CQ_NAME_MAX];
	struct stat st;

	if (!control->page || cq_successor_current(control) != mapped->id ||
	    cq_mapped_sealed(mapped) || mapped->id == CQ_SEGMENT_ID_MAX)
		return false;
	cq_segment_name(name, mapped->id + 1);
	return cq_io_stat_at(queue->dirfd, name, &st) == -ENOENT;
}

bool cq_successor_unused(const struct cq_mapped *mapped)
{
	struct cq_record_header h;

	return !cq_mapped_sealed(mapped) &&
	       cq_mapped_header(mapped, sizeof(struct cq_segment_header), &h) == 0;
}
