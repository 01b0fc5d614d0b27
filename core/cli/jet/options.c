/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the options that chronq ship and chronq fetch share; see options.h */
#include "jet/options.h"

#include <string.h>

#include "shared/cli.h"

bool ship_option(struct ship_options *options, int option)
{
	switch (option) {
	case SHIP_OPTION_CREDS:
		options->creds = optarg;
		return true;
	case SHIP_OPTION_TLS_CA:
		options->tls_ca = optarg;
		return true;
	case SHIP_OPTION_CERT:
		options->cert = optarg;
		return true;
	case SHIP_OPTION_KEY:
		options->key = optarg;
		return true;
	case SHIP_OPTION_STATUS:
		options->status = optarg;
		return true;
	case SHIP_OPTION_ONCE:
		options->once = true;
		return true;
	case SHIP_OPTION_ACCEPT_GAP:
		options->accept_gap = true;
		return true;
	default:
		return false;
	}
}

void ship_bad_value(const struct option *options, int option)
{
	while (options->val != option)
		options++;
	cli_note("--%s: not a value of this option: %s", options->name, optarg);
}

bool ship_url(struct ship_options *options, const char *url)
{
	const char *why;

	if (!options->cert != !options->key) {
		cli_note("--cert and --key belong together");
		return false;
	}
	if (stream_url_parse(url, &options->url, &why) < 0) {
		/* without the text itself: it may have a password */
		cli_note("not the URL of a stream (nats://HOST[,HOST...]/STREAM): %s", why);
		return false;
	}
	return true;
}

void ship_options_free(struct ship_options *options)
{
	stream_url_free(&options->url);
}

bool ship_parse_span(const char *text, uint64_t *ret_ms)
{
	static const char units[] = "smhd";
	static const uint64_t seconds[] = { 1, 60, 3600, 86400 };
	const char *rest, *unit;
	uint64_t number, factor = 1000;

	if (!cli_parse_number(text, &rest, &number))
		return false;
	if (*rest != '\0') {
		unit = strchr(units, *rest);
		if (!unit || rest[1] != '\0')
			return false;
		factor *= seconds[unit - units];
	}
	if (number == 0 || number > INT64_MAX / 1000000 / factor)
		return false;
	*ret_ms = number * factor;
	return true;
}
