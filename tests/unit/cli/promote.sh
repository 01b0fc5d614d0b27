#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# promote.sh - a replica refuses writers until chronq promote makes it an ordinary queue; prints TAP
. "$(dirname "$0")/cli_lib.sh"

chronq() {
	"$CHRONQ" "$@"
}
seq 100 | chronq append -s 4096 q || exit 1
of=0102030405060708090a0b0c0d0e0f10

identity() { chronq info "$1" | sed -n 's/^identity  *//p'; }
shown() { [[ $(identity q) =~ ^[0-9a-f]{32}$ ]] && ! chronq info q | grep replica; }
ok "info shows the identity" shown
copied() { cp -R q copy && [ "$(identity copy)" = "$(identity q)" ]; }
ok "a copy has the same" copied
durable() { chronq info q | grep -qx 'durable          the records below 100'; }
ok "info shows what is durable" durable

cp -R q r && make_replica r
marked() { [ "$(identity r)" = "$(identity q)" ] && chronq info r | grep -qx "replica of       $of"; }
ok "info shows of which queue it is a replica" marked
reads() { exits 0 chronq cat r && cmp exit.out <(seq 100) && exits 0 chronq verify r; }
ok "a replica is read as any queue" reads
refuses() {
	local before
	before=$(snapshot r)
	exits 3 chronq append r <<<more && grep -q "is a replica of queue $of" exit.err &&
		grep -q 'chronq promote' exit.err && [ "$before" = "$(snapshot r)" ]
}
ok "append is refused, and says what to do" refuses
repairs() {
	rm r/control.meta && exits 0 chronq repair r && chronq info r | grep -qx "replica of       $of"
}
ok "a repair leaves the mark" repairs
in_use() { exits 3 flock r/writer.lock "$CHRONQ" promote r && grep -q 'another writer has the queue' exit.err; }
ok "promote needs the queue for itself" in_use
promotes() {
	exits 0 chronq promote r && [ ! -s exit.out ] && [ "$(identity r)" = "$(identity q)" ] &&
		! chronq info r | grep replica && seq 101 200 | exits 0 chronq append r &&
		chronq cat r | cmp - <(seq 200) && exits 0 "$FORMAT_CHECK" --closed r
}
ok "promote makes it an ordinary queue, which goes on behind its last record" promotes
again() { exits 1 chronq promote r && grep -qx 'chronq: r: the queue is no replica' exit.err; }
ok "a queue that is no replica" again
usage() {
	exits 0 chronq promote --help && grep -q trust-files exit.out && exits 2 chronq promote &&
		exits 2 chronq promote --nothing r && exits 2 chronq promote a b && exits 3 chronq promote nowhere
}
ok "usage" usage
foreign() { mkdir files && : >files/file && exits 3 chronq promote files && exits 1 chronq promote -t r; }
ok "a directory without a queue" foreign
finish
