/* SPDX-License-Identifier: Apache-2.0 */
/* repair_support.c - see repair_support.h; whatever fails here fails the test */
#include "repair_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void hear(void *arg, const struct cq_repair_step *step)
{
	struct reported *reported = arg;

	assert_true(reported->count < RS_MOST_STEPS);
	assert_non_null(step->text);
	snprintf(reported->files[reported->count], CQ_NAME_MAX, "%s", step->file);
	reported->steps[reported->count++] = *step;
}

struct cq_repair_result rs_repair(struct qs *q, bool accept_loss, struct reported *reported)
{
	const struct cq_repair_config config = { .size = sizeof config,
		                                 .accept_loss = accept_loss,
		                                 .step = hear,
		                                 .step_arg = reported };
	struct cq_repair_result result = CQ_SIZED(result);

	reported->count = 0;
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	return result;
}

const struct cq_repair_step *rs_find(const struct reported *reported, enum cq_repair_action action,
                                     const char *file)
{
	for (size_t i = 0; i < reported->count; i++)
		if (reported->steps[i].action == action && strcmp(reported->files[i], file) == 0)
			return &reported->steps[i];
	return NULL;
}

void rs_finds_nothing(struct qs *q)
{
	struct cq_verify_result result = CQ_SIZED(result);
	struct reported reported;

	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
	assert_int_equal(rs_repair(q, false, &reported).steps, 0);
	assert_int_equal(reported.count, 0);
}

void rs_is_sound(struct qs *q)
{
	qs_format_check(q->dir, "--closed");
	rs_finds_nothing(q);
}
