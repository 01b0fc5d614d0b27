#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# repair.sh - chronq repair, as users call it; prints TAP
#
# Each case damages a copy of a small queue.  A dry run must change nothing and print the steps that the
# repair then prints and does; after the repair chronq verify and the second implementation of the format
# must find nothing.

# A queue is copied and synced some hundred times: in memory, if possible.
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"

chronq() {
	"$CHRONQ" "$@"
}

# poke FILE OFFSET TEXT
poke() {
	printf '%s' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# said LINE...: the output consists of these lines and a summary.
said() {
	diff <(head -n -1 exit.out) <([ $# = 0 ] || printf '%s\n' "$@")
}

sound() {
	exits 0 chronq repair d && said && exits 0 chronq verify d
}
sound_format() {
	sound && exits 0 "$FORMAT_CHECK" --closed d
}

# holds EXPRESSION...: the queue's records are the lines that sed prints, and an append works.
holds() {
	chronq cat d 2>/dev/null | cmp - <(sed -n "$@" lines) && echo more | chronq append d &&
		[ "$(chronq cat d 2>/dev/null | tail -n 1)" = more ] && exits 0 chronq verify d &&
		exits 0 "$FORMAT_CHECK" --closed d
}

# 200 records: 31 in each of the segments 0 to 5, 14 in segment 6.  Record N is line N + 1.
seq 1001 1200 >lines
chronq append -s 4096 q <lines || exit 1

# repaired DAMAGE LINE...: no durable record is lost; these are the steps.
repaired() {
	local damage=$1 before
	shift
	rm -rf d && cp -R q d && (cd d && "$damage") || return 1
	before=$(snapshot d)
	exits 1 chronq repair --dry-run d && said "$@" && tail -n 1 exit.out | grep -q '^would be' &&
		[ "$before" = "$(snapshot d)" ] && exits 0 chronq repair d && said "$@" &&
		tail -n 1 exit.out | grep -q '^repaired: ' && sound
}

# lost DAMAGE LINE...: records are lost; without --accept-loss nothing changes.
lost() {
	local damage=$1 before
	shift
	rm -rf d && cp -R q d && (cd d && "$damage") || return 1
	before=$(snapshot d)
	exits 1 chronq repair d && said "$@" && tail -n 1 exit.out | grep -q '^not repaired: ' &&
		grep -q 'nothing was changed' exit.err && [ "$before" = "$(snapshot d)" ] &&
		exits 1 chronq repair -n -a d && said "$@" && [ "$before" = "$(snapshot d)" ] &&
		exits 0 chronq repair --accept-loss d && said "$@" && sound_format
}

nothing() {
	local before queue
	before=$(snapshot q)
	exits 0 chronq repair q && said && grep -q '^sound: steps 0' exit.out &&
		[ "$before" = "$(snapshot q)" ] || return 1
	for queue in v1-small v2-small v2-reopened v2-mixed v2-reader; do
		rm -rf g && cp -R "$GOLDEN/$queue" g && chmod -R u+w g || return 1
		before=$(snapshot g)
		exits 0 chronq repair g && said && [ "$before" = "$(snapshot g)" ] || return 1
	done
}
ok "a sound queue stays unchanged, chronicle-rs's too" nothing

# ---- no loss ----

control() {
	repaired no_control "rewrite: control.meta: it is missing" &&
		repaired bad_control "rewrite: control.meta: it is damaged" &&
		repaired odd_control "rewrite: control.meta: it was left in the middle of a roll" &&
		repaired sized_control "rewrite: control.meta: it says another size of segments" &&
		repaired short_control "rewrite: control.meta: it is damaged" && holds p
}
no_control() { rm control.meta; }
bad_control() { poke control.meta 0 XXXX; }
odd_control() { poke control.meta 128 7; }
sized_control() { poke control.meta 25 XX; }
short_control() { truncate -s 100 control.meta; }
ok "control.meta" control

position() {
	repaired no_position "rewrite: index.meta: it is missing" &&
		repaired short_position "rewrite: index.meta: it is damaged" &&
		repaired other_position "rewrite: index.meta: it does not say where the queue ends" &&
		holds p
}
no_position() { rm index.meta; }
short_position() { truncate -s 3 index.meta; }
other_position() { poke index.meta 0 X; }
ok "index.meta" position

mark() {
	repaired no_mark "rewrite: durable.meta: it is missing" &&
		repaired one_slot "rewrite: durable.meta: slot 0 is damaged" &&
		repaired other_slot "rewrite: durable.meta: slot 1 is damaged" &&
		repaired both_slots "rewrite: durable.meta: slot 0 is damaged" &&
		repaired short_mark "rewrite: durable.meta: it is cut short" && holds p
}
no_mark() { rm durable.meta; }
one_slot() { poke durable.meta 0 XXXX; }
other_slot() { poke durable.meta 40 XXXX; }
both_slots() { one_slot && other_slot; }
short_mark() { truncate -s 41 durable.meta; }
ok "durable.meta, one slot or both" mark

indexes() {
	repaired bad_indexes "index: 000000000.idx: it is missing, or not of its segment" \
		"index: 000000002.idx: it is missing, or not of its segment" \
		"index: 000000004.idx: it is missing, or not of its segment" &&
		diff -r --exclude=writer.lock --exclude='*.meta' --exclude=000000007.q q d && holds p
}
bad_indexes() {
	: >000000000.idx
	rm 000000002.idx
	poke 000000004.idx 56 X # the lowest time
}
ok "indexes are rebuilt" indexes

temp_files() {
	touch 000000003.idx.tmp 000000008.q.new.tmp 000000008.q.tmp control.tmp
}

# In a directory, names come in no order.
temps() {
	rm -rf d && cp -R q d && (cd d && temp_files && touch notes.tmp) && exits 1 chronq repair -n d &&
		[ "$(grep -c '^remove: .*: a dead writer left it half prepared$' exit.out)" = 4 ] &&
		[ "$(wc -l <exit.out)" = 5 ] && [ -e d/control.tmp ] && exits 0 chronq repair d &&
		[ "$(find d -name '*.tmp')" = d/notes.tmp ] && rm d/notes.tmp && sound && holds p
}
ok "temp files" temps

residue() {
	repaired residue_behind "cut: 000000006.q from offset 3000 on, 7 bytes: they are behind the last sound record" &&
		[ "$(tail -c 7 d/000000006.q.broken)" = residue ] &&
		repaired residue_sealed "cut: 000000002.q from offset 4088 on, 1 bytes: they are behind the last sound record" \
			"seal: 000000002.q: its summary is not right" \
			"index: 000000002.idx: it is missing, or not of its segment" &&
		[ "$(tail -c 1 d/000000002.q.broken)" = r ] && holds p
}
residue_behind() { poke 000000006.q 3000 residue; }
residue_sealed() { poke 000000002.q 4088 r; }
ok "bytes behind the last record are set aside" residue

unsealed() {
	repaired unseal "seal: 000000004.q: others follow it" \
		"index: 000000004.idx: it is missing, or not of its segment" &&
		repaired bad_summary "seal: 000000001.q: its summary is not right" \
			"index: 000000001.idx: it is missing, or not of its segment" && holds p
}
# flags, and the header's extension
unseal() { dd if=/dev/zero of=000000004.q bs=1 seek=12 count=52 conv=notrunc status=none; }
bad_summary() { poke 000000001.q 40 X; }
ok "a segment that others follow is sealed, a bad summary is rewritten" unsealed

killed() {
	rm -rf d && cp -R "$GOLDEN/v2-killed" d && chmod -R u+w d && exits 0 chronq repair d &&
		exits 0 chronq verify d && exits 0 "$FORMAT_CHECK" d &&
		chronq cat d | cmp - <(tr -d '\n' <"$GOLDEN/v2-killed.txt")
}
ok "a queue of chronicle-rs whose writer was killed" killed

# ---- losses ----

sealed_damage() {
	lost flip_sealed "set aside: 000000002.q, 4096 bytes: it does not hold all of its records" \
		"stand in: 000000002.q: others follow it, and it is gone" \
		"lost: records 62 to 92, 155 payload bytes, in the segment 000000002" && cmp d/000000002.q.corrupt flipped &&
		exits 1 chronq cat d && grep -q '0 segments, 31 records' exit.err &&
		exits 0 chronq append d <<<more && chronq cat d 2>/dev/null | sed '$d' | cmp - <(sed 63,93d lines)
}
flip_sealed() { poke 000000002.q 640 X && cp 000000002.q ../flipped; }
ok "a damaged sealed segment is set aside whole" sealed_damage

two_and_missing() {
	lost several "set aside: 000000001.q, 1000 bytes: it is not a sound segment" \
		"stand in: 000000001.q: others follow it, and it is gone" \
		"stand in: 000000002.q: others follow it, and it is gone" \
		"stand in: 000000004.q: others follow it, and it is gone" \
		"lost: records 31 to 92, 310 payload bytes, in the segments 000000001 to 000000002" \
		"lost: records 124 to 154, 155 payload bytes, in the segment 000000004" && holds -e 1,31p -e 94,124p -e "156,\$p"
}
several() { truncate -s 1000 000000001.q && rm 000000002.q 000000004.q 000000004.idx; }
ok "missing segments in the middle, and one cut short" two_and_missing

oldest() {
	lost flip_oldest "set aside: 000000000.q, 4096 bytes: it does not hold all of its records" \
		"lost: records 0 to 30, 155 payload bytes, in the segment 000000000" && [ ! -e d/000000000.q ] && holds "32,\$p"
}
flip_oldest() { poke 000000000.q 128 X; }
ok "the oldest segment needs no placeholder" oldest

active_damage() {
	lost flip_active "cut: 000000006.q from offset 704 on, 1093 bytes: they are behind the last sound record" \
		"rewrite: control.meta: it does not say where the queue ends" \
		"rewrite: index.meta: it does not say where the queue ends" \
		"rewrite: durable.meta: it says that more was durable than there is" \
		"lost: records 191 to 199 in the segment 000000006" && holds 1,191p
}
flip_active() { poke 000000006.q 768 X; }
ok "the segment in use" active_damage

unmarked() {
	lost flip_unmarked "set aside: 000000003.q, 4096 bytes: it does not hold all of its records" \
		"stand in: 000000003.q: others follow it, and it is gone" \
		"rewrite: durable.meta: it is missing" "lost: records 93 to 123, 155 payload bytes, in the segment 000000003"
}
flip_unmarked() { poke 000000003.q 640 X && rm durable.meta; }
ok "the same without a watermark" unmarked

everything() {
	rm -rf d && cp -R q d && (cd d && flip_sealed && several && residue_behind && bad_indexes &&
		temp_files && both_slots && no_control && short_position) &&
		exits 1 chronq repair d && exits 0 chronq repair -a d && sound_format && holds -e 1,31p -e 94,124p \
		-e "156,\$p"
}
ok "everything at once" everything

# The numbers of lost records, as far as they are known: chronicle-rs's segments do not have them.
unknown_numbers() {
	rm -rf d && cp -R q d && rm d/000000006.q d/durable.meta && (cd d && poke 000000005.q 640 X) &&
		exits 1 chronq repair -n d && grep -qx 'lost: records from 155 on in the segment 000000005' exit.out &&
		rm -rf d && cp -R "$GOLDEN/v1-small" d && chmod -R u+w d && poke d/000000000.q 512 RECORD &&
		exits 1 chronq repair -n d &&
		grep -qx 'lost: records of unknown number in the segment 000000000' exit.out &&
		exits 1 chronq repair -n --json d &&
		grep -q '"action":"lost".*"first_seq":null,"last_seq":null,"why"' exit.out &&
		rm -rf d && cp -R "$GOLDEN/v1-small" d && chmod -R u+w d && python3 - >d/durable.meta <<'PY' &&
import struct, sys, zlib
slot = struct.pack("<QQQII", 1, 64 + 10 * 128, 41, 1, 2)
sys.stdout.buffer.write(slot + struct.pack("<II", zlib.crc32(slot), 0) + bytes(40))
PY
		exits 1 chronq repair -n d && grep -qx 'lost: records up to 40 in the segment 000000001' exit.out
}
ok "losses of unknown numbers" unknown_numbers

# A repair leaves a damaged reader's file to its reader: verification reports it.
others() {
	rm -rf d && cp -R q d && mkdir d/readers && head -c 80 /dev/zero | tr '\0' x >d/readers/name.meta &&
		exits 1 chronq repair d && said && grep -q '^damaged: steps 0' exit.out &&
		grep -q 'cannot be repaired' exit.err && rm d/index.meta && exits 1 chronq repair d &&
		said "rewrite: index.meta: it is missing" && grep -q '^still damaged: steps 1' exit.out &&
		grep -q 'cannot be repaired' exit.err
}
ok "damage that a repair does not correct" others

# ---- usage ----

json() {
	rm -rf d && cp -R q d && (cd d && flip_sealed && residue_behind) &&
		exits 1 chronq repair --json -n d && python3 - exit.out <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert rows[:4] == [
    {"action": "set aside", "file": "000000002.q", "bytes": 4096,
     "why": "it does not hold all of its records"},
    {"action": "cut", "file": "000000006.q", "offset": 3000, "bytes": 7,
     "why": "they are behind the last sound record"},
    {"action": "stand in", "file": "000000002.q", "why": "others follow it, and it is gone"},
    {"action": "lost", "file": "000000002.q", "first_seq": 62, "last_seq": 92, "bytes": 155,
     "why": "in the segment 000000002"}], rows
assert rows[4:] == [{"outcome": "not repaired", "steps": 3, "losses": 1, "bytes": 4103,
                     "damage": 0}], rows
PY
}
ok "--json" json
busy() {
	local pid before r
	mkfifo hold
	rm -rf d && cp -R q d && rm d/000000002.q
	"$CHRONQ" append d <hold &
	pid=$!
	exec 9>hold
	echo first >&9
	until chronq tail d 2>/dev/null | grep -q first; do :; done # it has opened the queue
	until [ -e d/000000007.q ]; do kill -0 "$pid" || return 1; done # its next segment
	before=$(sha256sum d/*.q) # the writer may change other files at any time
	exits 3 chronq repair -a d && grep -q "process $pid" exit.err && exits 3 chronq repair -n d &&
		[ "$before" = "$(sha256sum d/*.q)" ]
	r=$?
	exec 9>&-
	wait "$pid" && return $r
}
ok "a running writer: refused" busy
refusals() {
	mkdir empty foreign && : >foreign/file && exits 0 chronq repair empty && [ -z "$(ls empty)" ] &&
		exits 3 chronq repair foreign && exits 3 chronq repair none && [ ! -e none ] &&
		exits 2 chronq repair && exits 2 chronq repair q q && exits 2 chronq repair --nonsense q &&
		exits 0 chronq repair --help && grep -q '^Usage: chronq repair ' exit.out
}
ok "no queue, and usage" refusals
everybody_may_write() {
	rm -rf d && cp -R q d && printf x >>d/000000001.idx && chmod 666 d/control.meta && before=$(snapshot d) &&
		exits 3 chronq repair d && grep -q 'control.meta is not written to: everybody' exit.err &&
		exits 3 chronq append d <lines && [ "$before" = "$(snapshot d)" ] &&
		exits 0 chronq repair --trust-files d && exits 0 chronq append -t d <lines && exits 0 chronq verify d
}
ok "files that everybody may write to" everybody_may_write
lock_gone() {
	rm -rf d && cp -R q d && rm d/writer.lock && : >d/000000001.idx && exits 1 chronq repair -n d &&
		[ ! -e d/writer.lock ] && exits 0 chronq repair d && sound
}
ok "a dry run makes no lock" lock_gone
finish
