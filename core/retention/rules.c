/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c - which segments may be deleted; see rules.h */
#include "retention/rules.h"

/* Alive, and not too far behind. */
static bool is_live(const struct cq_config *config, const struct cq_situation *situation,
                    const struct cq_reader_seen *reader)
{
	uint64_t behind;

	if (config->reader_ttl_ms > 0 &&
	    situation->now_ms - reader->changed_ms > config->reader_ttl_ms)
		return false;
	behind = reader->segment < situation->current ? situation->current - reader->segment : 0;
	return config->reader_max_lag_bytes == 0 ||
	       behind <= config->reader_max_lag_bytes / situation->segment_size;
}

bool cq_rules_reader_needs_oldest(const struct cq_config *config,
                                  const struct cq_situation *situation,
                                  const struct cq_reader_seen *reader)
{
	return reader->segment <= situation->oldest && is_live(config, situation, reader);
}

uint64_t cq_rules_needed_from(const struct cq_config *config, const struct cq_situation *situation)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < situation->reader_count; i++) {
		const struct cq_reader_seen *reader = &situation->readers[i];

		if (reader->segment < lowest && is_live(config, situation, reader))
			lowest = reader->segment;
	}
	return lowest;
}

bool cq_rules_any(const struct cq_config *config)
{
	return config->retain_segments > 0 || config->retain_bytes > 0 || config->retain_age_ms > 0;
}

/* By count, size and age, whatever readers still need. */
static uint64_t keep_by_limits(const struct cq_config *config, const struct cq_situation *situation)
{
	const uint64_t present = (uint64_t)situation->current - situation->oldest + 1;
	uint64_t keep = situation->oldest;
	uint64_t most = UINT64_MAX; /* segments to keep, the current one included */

	if (config->retain_segments > 0)
		most = config->retain_segments;
	if (config->retain_bytes > 0 && config->retain_bytes / situation->segment_size < most)
		most = config->retain_bytes / situation->segment_size;
	if (most < 1)
		most = 1;
	if (present > most)
		keep = situation->current - most + 1;
	if (config->retain_age_ms > 0 && situation->oldest_age_ms > config->retain_age_ms &&
	    keep == situation->oldest)
		keep = (uint64_t)situation->oldest + 1;
	return keep < situation->current ? keep : situation->current;
}

bool cq_rules_want_oldest_gone(const struct cq_config *config, const struct cq_situation *situation)
{
	return keep_by_limits(config, situation) > situation->oldest;
}

uint32_t cq_rules_keep_from(const struct cq_config *config, const struct cq_situation *situation)
{
	const uint64_t needed = cq_rules_needed_from(config, situation);
	uint64_t keep = keep_by_limits(config, situation);

	if (keep > needed)
		keep = needed > situation->oldest ? needed : situation->oldest;
	return (uint32_t)keep;
}
