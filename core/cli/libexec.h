/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libexec.h - chronq ship and chronq fetch: programs of their own, which may be missing
 *
 * They are linked with the NATS library, and chronq is not.
 */
#ifndef CHRONQ_LIBEXEC_H
#define CHRONQ_LIBEXEC_H

#include "shared/cli.h"

extern const struct cli_command cli_fetch, cli_ship;

#endif
