/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - a line a second on a terminal while a large queue is read */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "shared/cli.h"

int cli_progress(void *arg, const struct cq_progress *p)
{
	static const char *const verbs[] = {
		[CQ_PHASE_RECOVER] = "read",
		[CQ_PHASE_INDEXES] = "compared with their indexes",
		[CQ_PHASE_VERIFY] = "checked",
	};
	static time_t said; /* 0: the first second begins */
	const char *dir = arg;
	struct timespec now;

	if (isatty(STDERR_FILENO) != 1)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (said == 0)
		said = now.tv_sec;
	if (now.tv_sec == said)
		return 0;
	said = now.tv_sec;
	cli_note("%s: %" PRIu64 " of %" PRIu64 " segments %s (%" PRIu64 " of %" PRIu64 " MiB)", dir,
	         p->segments_done, p->segments, verbs[p->phase], p->bytes_done >> 20,
	         p->bytes >> 20);
	return 0;
}
