/* SPDX-License-Identifier: Apache-2.0 */
/* repair_support.h - a repair and the steps that it reports, for the tests of repair; beside queue_support.h */
#ifndef CQ_TEST_REPAIR_SUPPORT_H
#define CQ_TEST_REPAIR_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "chronq.h"
#include "format/format.h"
#include "queue_support.h"

#define RS_MOST_STEPS 50

/* The steps of one repair, in order. */
struct reported {
	struct cq_repair_step steps[RS_MOST_STEPS]; /* file and text are not to be looked at */
	char files[RS_MOST_STEPS][CQ_NAME_MAX];
	size_t count;
};

struct cq_repair_result rs_repair(struct qs *q, bool accept_loss, struct reported *reported);

/* The step of this kind, of this file; NULL: none was reported. */
const struct cq_repair_step *rs_find(const struct reported *reported, enum cq_repair_action action,
                                     const char *file);

/* Neither verification nor a repair finds anything; nor does tests/support/programs/format_check.py. */
void rs_finds_nothing(struct qs *q);
void rs_is_sound(struct qs *q);

#endif
