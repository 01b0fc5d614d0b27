/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jet.c - the connection: options, events and error texts; see jet.h
 *
 * libnats reconnects by itself, for ever, except when a server refuses the user twice: then it closes the connection,
 * and only jet_open() makes another one.  While it reconnects it would keep what is published and send it later; its
 * buffer for that is made as small as it can be, since the caller asks the stream and publishes again anyway.
 *
 * One thread of libnats calls the handlers, on_closed() last: jet_close() waits for that, as it frees what they use.  A
 * connection that was never made calls none.
 *
 * Invariant: what libnats' threads write is under `lock`; `why` belongs to the caller's thread.
 */
#include "jet/jet_own.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_MS 500
#define CONNECT_MS 2000 /* to one server */
#define WRITE_MS 5000   /* a server that takes nothing for so long is left */
#define PING_MS 5000    /* a server that answers no two of them is left */
#define WAIT_MIN_MS 100 /* between tries to reconnect, doubled */
#define WAIT_MAX_MS 5000

void jet_say(struct jet *jet, const char *text)
{
	cq_printable(jet->why, sizeof jet->why, text);
}

const char *jet_text(natsStatus s)
{
	const char *text = nats_GetLastError(NULL), *end;

	if (!text || !*text)
		return natsStatus_GetText(s);
	/* libnats names its own source file first: "(conn.c:123): text" */
	end = *text == '(' ? strstr(text, "): ") : NULL;
	return end ? end + 3 : text;
}

static void tell(struct jet *jet)
{
	if (jet->options.event)
		jet->options.event(jet->options.event_arg);
}

static void on_lost(natsConnection *nc, void *arg)
{
	struct jet *jet = arg;

	(void)nc;
	pthread_mutex_lock(&jet->lock);
	jet->state.connected = false;
	jet->state.losses++;
	pthread_mutex_unlock(&jet->lock);
	tell(jet);
}

static void on_reconnected(natsConnection *nc, void *arg)
{
	struct jet *jet = arg;

	(void)nc;
	pthread_mutex_lock(&jet->lock);
	jet->state.connected = true;
	pthread_mutex_unlock(&jet->lock);
	tell(jet);
}

static void on_closed(natsConnection *nc, void *arg)
{
	struct jet *jet = arg;

	(void)nc;
	pthread_mutex_lock(&jet->lock);
	jet->state.connected = false;
	jet->state.closed = true;
	pthread_mutex_unlock(&jet->lock);
	tell(jet);
	pthread_mutex_lock(&jet->lock);
	jet->last_call = true;
	pthread_cond_signal(&jet->last_called);
	pthread_mutex_unlock(&jet->lock);
}

/* What a server says without being asked, such as a violation of permissions. */
static void on_error(natsConnection *nc, natsSubscription *subscription, natsStatus status,
                     void *arg)
{
	const char *text = NULL;
	struct jet *jet = arg;

	(void)subscription;
	if (status != NATS_NOT_PERMITTED && status != NATS_CONNECTION_AUTH_FAILED)
		return;
	if (natsConnection_GetLastError(nc, &text) == NATS_OK || !text || !*text)
		text = natsStatus_GetText(status);
	pthread_mutex_lock(&jet->lock);
	jet->state.denials++;
	(void)snprintf(jet->denial, sizeof jet->denial, "%s", text);
	pthread_mutex_unlock(&jet->lock);
	tell(jet);
}

/* Milliseconds until the next try, when all servers have been tried. */
static int64_t reconnect_delay(natsConnection *nc, int attempts, void *arg)
{
	int64_t wait = WAIT_MIN_MS;

	(void)nc;
	(void)arg;
	while (attempts-- > 1 && wait < WAIT_MAX_MS)
		wait *= 2;
	if (wait > WAIT_MAX_MS)
		wait = WAIT_MAX_MS;
	return wait - wait / 10 + (int64_t)(nats_NowInNanoSeconds() / 1000) % (wait / 5);
}

/* libnats would tell of such a file at the first connection only, and not which one it is. */
static int check_file(const char *path, char why[JET_WHY_MAX])
{
	int error;
	char line[JET_WHY_MAX];

	if (!path || access(path, R_OK) == 0)
		return 0;
	error = -errno;
	(void)snprintf(line, sizeof line, "%s: %s", path, cq_strerror(error));
	cq_printable(why, JET_WHY_MAX, line);
	return error;
}

static bool wants_tls(const struct jet_options *options)
{
	if (options->tls_ca || options->cert)
		return true;
	for (int i = 0; i < options->url->count; i++)
		if (strncmp(options->url->servers[i], "tls://", 6) == 0)
			return true;
	return false;
}

static natsStatus set_tls(struct jet *jet)
{
	const struct jet_options *options = &jet->options;
	natsStatus s;

	if (!wants_tls(options))
		return NATS_OK;
	s = natsOptions_SetSecure(jet->nats_options, true);
	if (s == NATS_OK && options->tls_ca)
		s = natsOptions_LoadCATrustedCertificates(jet->nats_options, options->tls_ca);
	if (s == NATS_OK && options->cert)
		s = natsOptions_LoadCertificatesChain(jet->nats_options, options->cert,
		                                      options->key);
	return s;
}

static natsStatus set_options(struct jet *jet)
{
	const struct jet_options *options = &jet->options;
	const char *servers[STREAM_SERVERS_MAX];
	natsOptions *to;
	natsStatus s;

	for (int i = 0; i < options->url->count; i++)
		servers[i] = options->url->servers[i];
	s = natsOptions_Create(&jet->nats_options);
	if (s != NATS_OK)
		return s;
	to = jet->nats_options;
	/* each of these fails for a wrong value or for lack of memory only */
	s = natsOptions_SetServers(to, servers, options->url->count);
	s = s ? s : natsOptions_SetName(to, options->name);
	s = s ? s : natsOptions_SetTimeout(to, CONNECT_MS);
	s = s ? s : natsOptions_SetWriteDeadline(to, WRITE_MS);
	s = s ? s : natsOptions_SetPingInterval(to, PING_MS);
	s = s ? s : natsOptions_SetMaxPingsOut(to, 2);
	s = s ? s : natsOptions_SetMaxReconnect(to, -1);
	s = s ? s : natsOptions_SetReconnectBufSize(to, 1);
	s = s ? s : natsOptions_SetFailRequestsOnDisconnect(to, true);
	s = s ? s : natsOptions_SetSendAsap(to, true);
	s = s ? s : natsOptions_SetCustomReconnectDelay(to, reconnect_delay, NULL);
	s = s ? s : natsOptions_SetDisconnectedCB(to, on_lost, jet);
	s = s ? s : natsOptions_SetReconnectedCB(to, on_reconnected, jet);
	s = s ? s : natsOptions_SetClosedCB(to, on_closed, jet);
	s = s ? s : natsOptions_SetErrorHandler(to, on_error, jet);
	if (s == NATS_OK && options->creds)
		s = natsOptions_SetUserCredentialsFromFiles(to, options->creds, NULL);
	return s ? s : set_tls(jet);
}

static int error_of_connect(natsStatus s)
{
	switch ((int)s) {
	case NATS_NO_MEMORY:
		return -ENOMEM;
	case NATS_CONNECTION_AUTH_FAILED:
	case NATS_NOT_PERMITTED:
		return -EACCES;
	case NATS_SSL_ERROR:
	case NATS_SECURE_CONNECTION_REQUIRED:
	case NATS_SECURE_CONNECTION_WANTED:
		return -EPROTO;
	case NATS_INVALID_ARG:
	case NATS_ERR: /* of a file with credentials */
		return -EINVAL;
	default:
		return -EAGAIN;
	}
}

/* Says on which servers it was, of which libnats says nothing: a name may be misspelt.  No passwords. */
static void say_no_server(struct jet *jet, natsStatus s)
{
	const struct stream_url *url = jet->options.url;
	char line[JET_WHY_MAX];
	size_t used;

	(void)snprintf(line, sizeof line, "%s: ", jet_text(s));
	for (int i = 0; i < url->count; i++) {
		const char *host = strrchr(url->servers[i], '@');

		host = host ? host : strrchr(url->servers[i], '/');
		used = strlen(line);
		(void)snprintf(line + used, sizeof line - used, "%s%s", i > 0 ? ", " : "",
		               host + 1);
	}
	jet_say(jet, line);
}

/* A server refuses a certificate, or that there is none, when the handshake is over for the client: libnats then reports
 * that it has read nothing, or that the connection is closed. */
static const char *text_of_connect(const struct jet *jet, natsStatus s)
{
	const char *text = jet_text(s);

	if (!wants_tls(&jet->options) || (s != NATS_CONNECTION_CLOSED && !strstr(text, "'PONG'")))
		return text;
	return jet->options.cert ? "the server hangs up: it may not accept this certificate"
	                         : "the server hangs up: it may want a certificate (--cert, --key)";
}

/* With all signals blocked, as libnats' threads inherit that.  Returns a negative errno after a text in `why`. */
static int connect_quietly(struct jet *jet)
{
	sigset_t all, before;
	jsOptions options;
	natsStatus s;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s = set_options(jet);
	if (s == NATS_SSL_ERROR) /* of a file; no server was asked */
		r = -EINVAL;
	if (s == NATS_OK)
		s = natsConnection_Connect(&jet->nc, jet->nats_options);
	if (s == NATS_OK)
		s = jsOptions_Init(&options);
	if (s == NATS_OK) {
		options.Wait = JET_WAIT_MS;
		s = natsConnection_JetStream(&jet->js, jet->nc, &options);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (s == NATS_NO_SERVER)
		say_no_server(jet, s);
	else if (s != NATS_OK)
		jet_say(jet, text_of_connect(jet, s));
	return s == NATS_OK || r < 0 ? r : error_of_connect(s);
}

int jet_open(const struct jet_options *options, struct jet **ret_jet, char why[JET_WHY_MAX])
{
	const char *const files[] = { options->creds, options->tls_ca, options->cert,
		                      options->key };
	struct jet *jet;
	int r = 0;

	for (size_t i = 0; i < sizeof files / sizeof files[0] && r == 0; i++)
		r = check_file(files[i], why);
	if (r < 0)
		return r;
	jet = calloc(1, sizeof *jet);
	if (!jet) { /* GCOV_EXCL_BR_LINE: no memory */
		(void)snprintf(why, JET_WHY_MAX, "%s", cq_strerror(ENOMEM));
		return -ENOMEM;
	}
	jet->options = *options;
	jet->state.connected = true;
	pthread_mutex_init(&jet->lock, NULL);
	pthread_cond_init(&jet->last_called, NULL);
	(void)snprintf(jet->subject, sizeof jet->subject, "chronq.%s", options->url->name);
	r = connect_quietly(jet);
	if (r < 0) {
		memcpy(why, jet->why, JET_WHY_MAX);
		jet_close(jet);
		return r;
	}
	*ret_jet = jet;
	return 0;
}

void jet_close(struct jet *jet)
{
	if (!jet)
		return;
	jsCtx_Destroy(jet->js);
	if (jet->nc) {
		natsConnection_Close(jet->nc);
		pthread_mutex_lock(&jet->lock);
		while (!jet->last_call)
			pthread_cond_wait(&jet->last_called, &jet->lock);
		pthread_mutex_unlock(&jet->lock);
	}
	natsConnection_Destroy(jet->nc);
	natsOptions_Destroy(jet->nats_options);
	pthread_cond_destroy(&jet->last_called);
	pthread_mutex_destroy(&jet->lock);
	free(jet);
}

void jet_unsubscribe(natsConnection *nc, natsSubscription *subscription)
{
	if (!subscription)
		return;
	(void)natsSubscription_Unsubscribe(subscription);
	/* libnats 3.4's reading thread may have looked the subscription up for a message, without a reference to it: when
	 * the server's answer to this has come, the thread is past all such messages */
	(void)natsConnection_FlushTimeout(nc, FLUSH_MS);
	natsSubscription_Destroy(subscription);
}

natsConnection *jet_connection(struct jet *jet)
{
	return jet->nc;
}

jsCtx *jet_js(struct jet *jet)
{
	return jet->js;
}

const char *jet_subject(const struct jet *jet)
{
	return jet->subject;
}

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	pthread_mutex_lock(&jet->lock);
	*ret_state = jet->state;
	pthread_mutex_unlock(&jet->lock);
}

const char *jet_why(struct jet *jet)
{
	char denial[JET_WHY_MAX];

	pthread_mutex_lock(&jet->lock);
	memcpy(denial, jet->denial, sizeof denial);
	jet->denial[0] = '\0';
	pthread_mutex_unlock(&jet->lock);
	if (denial[0])
		jet_say(jet, denial);
	return jet->why;
}
