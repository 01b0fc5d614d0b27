/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - messages that are not acknowledged, and what may be committed; see window.h. */
#include "window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int window_init(struct window *window, size_t messages, size_t bytes)
{
	struct window_message *ring = calloc(messages, sizeof *ring);

	if (!ring)
		return -ENOMEM;
	*window = (struct window){ .ring = ring, .size = messages, .most_bytes = bytes };
	return 0;
}

void window_free(struct window *window)
{
	free(window->ring);
	memset(window, 0, sizeof *window);
}

void window_reset(struct window *window, uint64_t next)
{
	window->first = window->end;
	window->bytes = 0;
	window->next = next;
}

bool window_has_room(const struct window *window, size_t bytes)
{
	if (window_is_empty(window))
		return true;
	return window->end - window->first < window->size && window->bytes <= window->most_bytes &&
	       bytes <= window->most_bytes - window->bytes;
}

uint64_t window_add(struct window *window, uint64_t sequence, uint64_t next, size_t bytes,
                    uint64_t now_ns)
{
	window->ring[window->end % window->size] = (struct window_message){
		.sequence = sequence,
		.next = next,
		.at_ns = now_ns,
		.bytes = bytes,
	};
	window->bytes += bytes;
	return window->end++;
}

int window_acknowledge(struct window *window, uint64_t index, uint64_t sequence, uint64_t now_ns)
{
	struct window_message *message = &window->ring[index % window->size];

	if (index < window->first || index >= window->end || message->acknowledged)
		return -ENOENT;
	if (message->sequence != sequence)
		return -EBADMSG;
	message->acknowledged = true;
	window->acknowledged_messages++;
	window->acknowledged_bytes += message->bytes;
	window->progress_ns = now_ns;
	while (!window_is_empty(window)) {
		message = &window->ring[window->first % window->size];
		if (!message->acknowledged)
			break;
		window->bytes -= message->bytes;
		window->next = message->next;
		window->first++;
	}
	return 0;
}

uint64_t window_age_ns(const struct window *window, uint64_t now_ns)
{
	uint64_t at;

	if (window_is_empty(window))
		return 0;
	at = window->ring[window->first % window->size].at_ns;
	return now_ns > at ? now_ns - at : 0;
}

uint64_t window_stalled_ns(const struct window *window, uint64_t now_ns)
{
	const uint64_t age = window_age_ns(window, now_ns);
	const uint64_t quiet = now_ns > window->progress_ns ? now_ns - window->progress_ns : 0;

	return age < quiet ? age : quiet;
}

/* Takes out what is due. */
static void mature(struct window_kept *kept, uint64_t now_ns)
{
	while (kept->count > 0) {
		const size_t slot = kept->first;

		if (now_ns < kept->slots[slot].at_ns ||
		    now_ns - kept->slots[slot].at_ns < kept->span_ns)
			break;
		kept->have_due = true;
		kept->due = kept->slots[slot].next;
		kept->first = (slot + 1) % WINDOW_KEPT_SLOTS;
		kept->count--;
	}
}

void window_kept_add(struct window_kept *kept, uint64_t next, uint64_t now_ns)
{
	/* Slots begin so far apart that all which are not due find room. */
	const uint64_t width = kept->span_ns / (WINDOW_KEPT_SLOTS - 2) + 1;
	size_t slot;

	mature(kept, now_ns);
	slot = (kept->first + kept->count - 1) % WINDOW_KEPT_SLOTS;
	if (kept->count > 0 ? kept->slots[slot].next == next : kept->have_due && kept->due == next)
		return; /* as before */
	if (kept->count == 0 || now_ns - kept->since_ns >= width) {
		kept->since_ns = now_ns;
		kept->count++;
	}
	slot = (kept->first + kept->count - 1) % WINDOW_KEPT_SLOTS;
	kept->slots[slot].at_ns = now_ns;
	kept->slots[slot].next = next;
}

void window_kept_cut(struct window_kept *kept, uint64_t next)
{
	for (size_t i = 0; i < kept->count; i++) {
		const size_t slot = (kept->first + i) % WINDOW_KEPT_SLOTS;

		if (kept->slots[slot].next > next)
			kept->slots[slot].next = next;
	}
	if (kept->have_due && kept->due > next)
		kept->due = next;
}

bool window_kept_due(struct window_kept *kept, uint64_t now_ns, uint64_t *ret_next)
{
	mature(kept, now_ns);
	if (kept->have_due)
		*ret_next = kept->due;
	return kept->have_due;
}
