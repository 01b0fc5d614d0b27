# SPDX-License-Identifier: Apache-2.0
"""What a queue and its sinks have to do, in the simplest way: the reference for model.py."""

ALIGN = 64


class Reference:
    """All records that were ever appended, the segments they are in, and what is trimmed."""

    def __init__(self, segment_size, most_segments):
        self.size, self.most = segment_size, most_segments
        self.limit = segment_size - 2 * ALIGN
        self.stream = b""   # payloads of all records, trimmed ones included
        self.starts = []    # where in it each record begins
        self.segments = [[]]  # ids of the records of each segment
        self.used = [ALIGN]
        self.oldest = 0

    @property
    def current(self):
        return len(self.segments) - 1

    @property
    def next_seq(self):
        return len(self.starts)

    def payload(self, seq):
        end = self.starts[seq + 1] if seq + 1 < len(self.starts) else len(self.stream)
        return self.stream[self.starts[seq]:end]

    def may_roll(self):
        return not self.most or self.current + 1 - self.oldest < self.most

    def roll(self):
        """As the verb of ctl; False: the queue is full."""
        if not self.segments[-1]:
            return True
        if not self.may_roll():
            return False
        self.segments.append([])
        self.used.append(ALIGN)
        return True

    def append(self, payload):
        """False: the queue is full."""
        need = ALIGN + -(-len(payload) // ALIGN) * ALIGN
        if self.used[-1] + need > self.size and not self.roll():
            return False
        self.segments[-1].append(self.next_seq)
        self.used[-1] += need
        self.starts.append(len(self.stream))
        self.stream += payload
        return True

    def begin_of(self, segment):
        """Where in the stream a segment's payloads begin."""
        for records in self.segments[segment:]:
            if records:
                return self.starts[records[0]]
        return len(self.stream)

    def payloads_of(self, segment):
        end = self.begin_of(segment + 1) if segment < self.current else len(self.stream)
        return self.stream[self.begin_of(segment):end]

    def lines_of(self, segment):
        """What records/ has to hold for it, as without_times() leaves it."""
        return b"".join(b"%020d %s %20d %10d %5d\n" % (
            seq, b"t" * 30, self.starts[seq], len(self.payload(seq)), 1)
            for seq in self.segments[segment])

    def begin(self):
        return self.begin_of(self.oldest)

    def trim(self, seq):
        while self.oldest < self.current and self.segments[self.oldest][-1] < seq:
            self.oldest += 1


def without_times(data, offset):
    """Bytes of a file in records/ from `offset` on, in which each time is thirty letters."""
    return bytes(ord("t") if 21 <= at % 90 < 51 else byte for at, byte in enumerate(data, offset))


class Lines:
    """An open file of append.lines."""

    def __init__(self, queue):
        self.queue = queue
        self.open = b""

    def write(self, data, end=False):
        """How many bytes are taken; None: the queue is full and nothing is."""
        taken = 0
        while taken < len(data):
            rest = self.open + data[taken:taken + self.queue.limit]
            newline = rest.find(b"\n", len(self.open)) + 1
            length = min(newline or len(rest), self.queue.limit)
            if newline == 0 and length < self.queue.limit and not end:
                self.open = rest
                return len(data)
            if not self.queue.append(rest[:length]):
                return taken or None
            taken += length - len(self.open)
            self.open = b""
        return taken

    def commit(self):
        """False: the queue is full, the line is as open as before."""
        if self.open and not self.queue.append(self.open):
            return False
        self.open = b""
        return True
