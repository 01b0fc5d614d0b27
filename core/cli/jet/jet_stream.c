/* SPDX-License-Identifier: Apache-2.0 */
/* jet_stream.c - asks for a stream, makes it, and reads one message of it; see jet.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jet/jet_own.h"

#define QUICK_MS \
	1000 /* for an answer; a leader that dies drops a question, and the next one is asked again */
#define QUICK_TRIES 4              /* then JET_WAIT_MS, as the servers may just be slow */
#define DUPLICATES_NS 120000000000 /* JetStream's own default */

static bool is_denied_since(struct jet *jet, unsigned denials)
{
	struct jet_state state;

	jet_state(jet, &state);
	return state.denials != denials;
}

static int error_of_code(int code)
{
	switch (code) {
	case JSStreamNotFoundErr:
	case JSNoMessageFoundErr:
		return -ENOENT;
	case JSStreamNameExistErr:
		return -EEXIST;
	case JSClusterIncompleteErr:
	case JSClusterNoPeersErr:
	case JSClusterNotActiveErr:
	case JSClusterNotAssignedErr:
	case JSClusterNotAvailErr:
	case JSClusterNotLeaderErr:
	case JSInsufficientResourcesErr:
	case JSMemoryResourcesExceededErr:
	case JSStorageResourcesExceededErr:
	case JSNotEnabledErr:
	case JSStreamOfflineErr:
		return -EAGAIN;
	default:
		return -EPROTO;
	}
}

/* For the next question. */
static jsOptions *patience(struct jet *jet)
{
	(void)jsOptions_Init(&jet->patience);
	jet->patience.Wait = jet->late < QUICK_TRIES ? QUICK_MS : JET_WAIT_MS;
	return &jet->patience;
}

/* The error of a call that a server has answered so, or has not. */
static int error_of(struct jet *jet, natsStatus s, jsErrCode code, unsigned denials)
{
	jet_say(jet, jet_text(s));
	if (s == NATS_TIMEOUT)
		jet->late++;
	else
		jet->late = 0;
	if (code != 0)
		return error_of_code((int)code);
	switch ((int)s) {
	case NATS_NO_MEMORY:
		return -ENOMEM;
	case NATS_CONNECTION_CLOSED:
		return -ENOTCONN;
	case NATS_NO_RESPONDERS:
		jet_say(jet, "JetStream does not answer: no quorum, or not enabled");
		return -EAGAIN;
	case NATS_NOT_PERMITTED:
	case NATS_CONNECTION_AUTH_FAILED:
		return -EACCES;
	case NATS_ERR: /* an answer that libnats does not understand */
	case NATS_INVALID_ARG:
		return -EPROTO;
	default:
		return is_denied_since(jet, denials) ? -EACCES : -EAGAIN;
	}
}

/* Asked once for each connection. */
static void ask_version(struct jet *jet, unsigned losses, unsigned ret_version[3])
{
	char url[512];

	if (!jet->have_version || jet->version_losses != losses) {
		memset(jet->version, 0, sizeof jet->version);
		if (natsConnection_GetConnectedUrl(jet->nc, url, sizeof url) == NATS_OK)
			(void)jet_server_version(url, jet->version);
		jet->have_version = true;
		jet->version_losses = losses;
	}
	memcpy(ret_version, jet->version, sizeof jet->version);
}

int jet_info(struct jet *jet, struct jet_info *ret_info)
{
	struct jet_state before;
	jsStreamInfo *info;
	jsErrCode code = 0;
	natsStatus s;

	jet_state(jet, &before);
	s = js_GetStreamInfo(&info, jet->js, jet->options.url->name, patience(jet), &code);
	if (s != NATS_OK)
		return error_of(jet, s, code, before.denials);
	*ret_info = (struct jet_info){
		.first_sequence = info->State.FirstSeq,
		.last_sequence = info->State.LastSeq,
		.messages = info->State.Msgs,
		.bytes = info->State.Bytes,
		.replicas = (int)info->Config->Replicas,
		.max_payload = natsConnection_GetMaxPayload(jet->nc),
	};
	(void)snprintf(ret_info->description, sizeof ret_info->description, "%s",
	               info->Config->Description ? info->Config->Description : "");
	if (info->Config->MaxMsgSize > 0 && info->Config->MaxMsgSize < ret_info->max_payload)
		ret_info->max_payload = info->Config->MaxMsgSize;
	jsStreamInfo_Destroy(info);
	jet->late = 0;
	ask_version(jet, before.losses, ret_info->server_version);
	return 0;
}

int jet_create(struct jet *jet, const struct jet_create *create)
{
	const char *subjects[] = { jet->subject };
	struct jet_state before;
	jsStreamConfig config;
	jsErrCode code = 0;
	natsStatus s;

	jet_state(jet, &before);
	s = jsStreamConfig_Init(&config);
	if (s != NATS_OK)
		return -EINVAL;
	config.Name = jet->options.url->name;
	config.Description = create->description;
	config.Subjects = subjects;
	config.SubjectsLen = 1;
	config.Storage = js_FileStorage;
	config.Retention = js_LimitsPolicy;
	config.Discard = js_DiscardNew;
	config.Replicas = create->replicas;
	config.DenyDelete = true;
	config.DenyPurge = true;
	if (create->max_bytes > 0)
		config.MaxBytes = create->max_bytes;
	if (create->max_message > 0)
		config.MaxMsgSize = (int32_t)create->max_message;
	if (create->max_age_ns > 0) {
		config.MaxAge = create->max_age_ns;
		/* servers want a span of duplicates that is no longer than this */
		config.Duplicates =
			create->max_age_ns < DUPLICATES_NS ? create->max_age_ns : DUPLICATES_NS;
	}
	s = js_AddStream(NULL, jet->js, &config, NULL, &code);
	return s == NATS_OK ? 0 : error_of(jet, s, code, before.denials);
}

int jet_message(struct jet *jet, uint64_t sequence, natsMsg **ret_message)
{
	struct jet_state before;
	jsErrCode code = 0;
	natsStatus s;

	jet_state(jet, &before);
	s = js_GetMsg(ret_message, jet->js, jet->options.url->name, sequence, patience(jet), &code);
	return s == NATS_OK ? 0 : error_of(jet, s, code, before.denials);
}
