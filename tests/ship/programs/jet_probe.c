/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jet_probe.c - what ship and fetch see of a server, for tests
 *
 * Usage: jet_probe [--creds F] [--tls-ca F] [--cert F] [--key F] SERVER STREAM [create DESCRIPTION | message SEQUENCE]
 *
 * Prints what jet_info() says, or the answer to the request.  Exit code: 0, 1 after a refusal (with its text), 2.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jet/jet.h"

static int refuse(int error, const char *why)
{
	printf("%s: %s\n", strerrorname_np(-error), why);
	return 1;
}

static int print_info(struct jet *jet)
{
	struct jet_info info;
	int r = jet_info(jet, &info);

	if (r < 0)
		return refuse(r, jet_why(jet));
	printf("description=%s first=%" PRIu64 " last=%" PRIu64 " messages=%" PRIu64
	       " replicas=%d max_payload=%" PRId64 " version=%u.%u.%u\n",
	       info.description, info.first_sequence, info.last_sequence, info.messages,
	       info.replicas, info.max_payload, info.server_version[0], info.server_version[1],
	       info.server_version[2]);
	return 0;
}

static int make(struct jet *jet, const char *description)
{
	const struct jet_create create = { .description = description,
		                           .replicas = 1,
		                           .max_age_ns = 60000000000 };
	int r = jet_create(jet, &create);

	return r < 0 ? refuse(r, jet_why(jet)) : 0;
}

static int print_message(struct jet *jet, uint64_t sequence)
{
	natsMsg *message;
	int r = jet_message(jet, sequence, &message);

	if (r < 0)
		return refuse(r, jet_why(jet));
	printf("%.*s\n", natsMsg_GetDataLength(message), natsMsg_GetData(message));
	natsMsg_Destroy(message);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "creds", required_argument, NULL, 'C' },
		{ "tls-ca", required_argument, NULL, 'A' },
		{ "cert", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ 0 },
	};
	struct jet_options options = { .name = "jet_probe" };
	struct stream_url url = { .count = 1 };
	char why[JET_WHY_MAX];
	struct jet *jet;
	int option, r;

	while ((option = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		const char **to = option == 'C'   ? &options.creds
		                  : option == 'A' ? &options.tls_ca
		                  : option == 'c' ? &options.cert
		                                  : &options.key;

		if (option == '?')
			return 2;
		*to = optarg;
	}
	argv += optind;
	argc -= optind;
	if (argc != 2 && argc != 4)
		return 2;
	url.servers[0] = argv[0];
	(void)snprintf(url.name, sizeof url.name, "%s", argv[1]);
	options.url = &url;
	r = jet_open(&options, &jet, why);
	if (r < 0)
		return refuse(r, why);
	if (argc == 2)
		r = print_info(jet);
	else if (strcmp(argv[2], "create") == 0)
		r = make(jet, argv[3]);
	else
		r = print_message(jet, strtoull(argv[3], NULL, 10));
	jet_close(jet);
	nats_Close();
	return r;
}
