/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.c - cq_repair(): a writer that looks at everything when it opens, and closes at once
 *
 * So a repair and a writer that opens after a crash decide and act by the same code, and a repair
 * leaves what a writer leaves that was closed.
 */
#include <errno.h>

#include "check/internal.h"
#include "messages/sized.h"
#include "write/writer.h"

int cq_repair(const char *dir, const struct cq_repair_config *config,
              struct cq_repair_result *ret_result)
{
	struct cq_repair_config all = CQ_SIZED(all);
	struct cq_repairer repairer = { .config = &all };
	struct cq_config opening;
	cq_writer *writer;
	int r;

	r = cq_sized_check(ret_result);
	if (r == 0 && config)
		r = cq_sized_take(&all, sizeof all, config);
	if (r < 0)
		return r;
	cq_config_init(&opening);
	opening.accept_loss = repairer.config->accept_loss;
	opening.trust_files = repairer.config->trust_files;
	opening.log = repairer.config->log;
	opening.log_arg = repairer.config->log_arg;
	opening.progress = repairer.config->progress;
	opening.progress_arg = repairer.config->progress_arg;
	r = cq_writer_open_as(dir, &opening, false, &repairer, &writer);
	if (r == 0) {
		r = cq_writer_close(writer);
		repairer.result.done = r == 0;
	} else if ((r == -ECANCELED && !repairer.stopped) || repairer.result.refused) {
		r = 0;
	}
	if (r == 0)
		cq_sized_give(ret_result, &repairer.result, sizeof repairer.result);
	return r;
}
