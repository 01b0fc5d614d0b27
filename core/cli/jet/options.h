/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the options that chronq ship and chronq fetch share */
#ifndef CHRONQ_SHIP_OPTIONS_H
#define CHRONQ_SHIP_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/stream.h"

struct ship_options {
	struct stream_url url;
	const char *creds, *tls_ca, *cert, *key; /* files; NULL: none */
	const char *status;                      /* file for metrics; NULL: none */
	bool once;
	bool accept_gap;
};

/* Values of getopt_long(); a program's own options have letters, or begin at SHIP_OPTION_OWN. */
enum {
	SHIP_OPTION_CREDS = 256,
	SHIP_OPTION_TLS_CA,
	SHIP_OPTION_CERT,
	SHIP_OPTION_KEY,
	SHIP_OPTION_STATUS,
	SHIP_OPTION_ONCE,
	SHIP_OPTION_ACCEPT_GAP,
	SHIP_OPTION_OWN,
};

#define SHIP_OPTIONS                                                         \
	{ "creds", required_argument, NULL, SHIP_OPTION_CREDS },             \
		{ "tls-ca", required_argument, NULL, SHIP_OPTION_TLS_CA },   \
		{ "cert", required_argument, NULL, SHIP_OPTION_CERT },       \
		{ "key", required_argument, NULL, SHIP_OPTION_KEY },         \
		{ "status", required_argument, NULL, SHIP_OPTION_STATUS },   \
		{ "once", no_argument, NULL, SHIP_OPTION_ONCE },             \
		{ "accept-gap", no_argument, NULL, SHIP_OPTION_ACCEPT_GAP }, \
	{                                                                    \
		"help", no_argument, NULL, 'h'                               \
	}

/* Their lines in --help, but for --once and --accept-gap, whose meaning differs. */
#define SHIP_OPTIONS_HELP                                                              \
	"      --creds FILE       credentials of a NATS user\n"                        \
	"      --tls-ca FILE      certificates that sign those of the servers; asks\n" \
	"                         for TLS, as a URL with tls:// does\n"                \
	"      --cert FILE        this client's certificate, with --key FILE\n"        \
	"      --status FILE      write metrics to FILE, once a second at most\n"

/* Takes the option that getopt_long() returned, with optarg.  False: it is not one of SHIP_OPTIONS. */
bool ship_option(struct ship_options *options, int option);

/* Says that optarg is no value of this option, which is one of the array. */
void ship_bad_value(const struct option *options, int option);

/* Takes the operand URL.  False, after a message: it is none, or --cert and --key are not together. */
bool ship_url(struct ship_options *options, const char *url);
void ship_options_free(struct ship_options *options);

/* N or Ns: seconds; Nm, Nh, Nd.  At least 1 second, else false. */
bool ship_parse_span(const char *text, uint64_t *ret_ms);

#endif
