# SPDX-License-Identifier: Apache-2.0
"""A stream as chronq ship leaves it, published by the tests' own client: so that a test says which messages there are."""

import chronq
import equal
import jetstream
import wireform


class Published:
    """Makes a stream for the records of a queue, and publishes them as told."""

    def __init__(self, nats, queue, name="S", *, form="frames", replicas=1, segment=1 << 16, identity=None, **more):
        self.nats, self.queue, self.name = nats, queue, name
        if identity is None:
            with chronq.Queue(queue) as opened:
                identity = opened.info().identity.hex()
        about = f"chronq/1 identity={identity} format={form} first=0 segment={segment}"
        jetstream.make(nats, name, replicas, description=about, **more)
        self.subject = "chronq." + name
        self.next = 0
        self.form = form

    def message(self, headers, body, **options):
        return self.nats.store(self.subject, body, headers, **options)

    def records(self, first=None, upto=None):
        found = [pair for pair in equal.exported(self.queue) if pair[0].seq >= (self.next if first is None else first)]
        return [pair for pair in found if upto is None or pair[0].seq < upto]

    def ship(self, upto=None, size=20, first=None):
        """All records that the queue has (before `upto`), in frames of so many, or a message for each."""
        found = self.records(first, upto)
        while found:
            batch, found = found[:size], found[size:]
            if self.form == "record":
                for record, stream in batch:
                    self.message(*wireform.put_record(record, stream=stream))
            else:
                self.message(*wireform.put_frame([record for record, _ in batch], stream=batch[0][1]))
            self.next = batch[-1][0].seq + 1
        return self.next

    def parts(self, size):
        """The next record, in pieces."""
        record, stream = self.records()[0]
        for headers, piece in wireform.put_parts(record, size, stream=stream):
            self.message(headers, piece)
        self.next = record.seq + 1
