/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.h - inside of recover.c: what a recovery looks at, and what it decides
 *
 * recover_look.c looks and recover_decide.c decides; neither changes anything.  recover.c acts.
 */
#ifndef CQ_RECOVERY_H
#define CQ_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"
#include "durable.h"
#include "segment.h"
#include "survey.h"

/* What a segment file is, by its first bytes. */
enum cq_kind {
	CQ_KIND_FRESH,     /* published, no record yet */
	CQ_KIND_OPEN,      /* holds records, not sealed */
	CQ_KIND_SEALED,
	CQ_KIND_UNWRITTEN, /* its name is there, its first bytes never reached the disk */
	CQ_KIND_BAD,       /* anything else: wrong size, header, ... */
};

/* What is to be done with it. */
enum cq_act { CQ_ACT_KEEP, CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE, CQ_ACT_SET_ASIDE };

struct cq_candidate {
	uint32_t id;
	enum cq_kind kind;
	enum cq_act act;
	struct cq_segment_header header;
	struct cq_active *segment; /* opened and counted; CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE */
	struct cq_survey survey;
};

struct cq_recovery {
	int dirfd;
	const struct cq_config *config;
	uint64_t segment_size;
	uint32_t *ids; /* all that are published */
	size_t count;
	bool marked;   /* the watermark is known */
	struct cq_durable_slot mark;
	uint64_t epoch; /* highest seen */

	struct cq_candidate *candidates; /* from the watermark on */
	size_t candidate_count;

	/* the plan */
	uint32_t active_id;
	uint64_t tail;    /* where the queue ends, in active_id */
	bool hole;        /* something before a later segment is missing */
	uint64_t end_seq; /* next sequence number at that point, where known */
	bool end_seq_known;
};

/* Finds v->segment_size: what the files agree on, else control.meta, else the caller's wish. */
int cq_recover_geometry(struct cq_recovery *v);

/* Tells what segment c->id is, by its header and its first commit word. */
int cq_recover_look_at(struct cq_recovery *v, struct cq_candidate *c);

/* The same for all segments from the watermark on: v->candidates.  Reports missing ids. */
int cq_recover_look(struct cq_recovery *v);

/* Opens a segment and counts what it holds. */
int cq_recover_survey(struct cq_recovery *v, struct cq_candidate *c);

/* What to do with each candidate, and where the queue ends. */
int cq_recover_decide(struct cq_recovery *v);

/* By that end, something that was durable is gone. */
bool cq_recover_is_loss(const struct cq_recovery *v);

#endif
