/* SPDX-License-Identifier: Apache-2.0 */
/* jet_own.h - what jet.c and jet_stream.c share */
#ifndef CHRONQ_JET_OWN_H
#define CHRONQ_JET_OWN_H

#include <pthread.h>

#include "jet/jet.h"

struct jet {
	struct jet_options options;
	natsOptions *nats_options;
	natsConnection *nc;
	jsCtx *js;
	char subject[sizeof "chronq." + STREAM_NAME_MAX];
	char why[JET_WHY_MAX];
	unsigned late; /* questions one after another that were not answered in time */
	jsOptions patience;
	bool have_version; /* of the server that we were connected to after so many losses */
	unsigned version_losses, version[3];
	pthread_mutex_t lock;
	struct jet_state state; /* under lock */
	char denial
		[JET_WHY_MAX]; /* under lock: the servers' words; empty once jet_why() has told it */
	bool last_call;        /* under lock: no handler will run any more */
	pthread_cond_t last_called;
};

/* jet_why() is this text from now on. */
void jet_say(struct jet *jet, const char *text);
/* What libnats says about this thread's last call, which has failed with s. */
const char *jet_text(natsStatus s);

#endif
