/* SPDX-License-Identifier: Apache-2.0 */
/* cat.h - all records of a queue, for more than one command */
#ifndef CHRONQ_CAT_H
#define CHRONQ_CAT_H

#include "read/format.h"
#include "shared/cli.h"

/* Writes all records in this style; `what` is for the progress.  Returns the exit code. */
int cli_cat_all(const char *dir, const char *what, const struct cli_style *style);

#endif
