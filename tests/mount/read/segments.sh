#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# segments.sh - segments/ shows the published segment files, byte for byte, and nothing else
. "$(dirname "$0")/../lib/lib.sh"

start_mount -o segment_size=64K
seq 1 6000 | while IFS= read -r line; do echo "$line"; done >>"$m/append"
backing() { (cd "$q" && find . -maxdepth 1 -regextype egrep -regex '\./[0-9]{9}\.q' -printf '%f\n' | sort); }

# 511 records of 128 bytes fill a segment, the worker makes one more: then all is at rest.
ok "segments 0 to 11, and a spare one" wait_for [ -e "$m/segments/000000012.q" ]
is "listed are the segments" "$(ls "$m/segments")" "$(backing)"
ok "their bytes are the files'" diff <(cd "$m/segments" && md5sum ./*) \
	<(cd "$q" && md5sum ./*.q)
is "mode, links, size, blocks" "$(stat -c '%a %h %s %b' "$m/segments/000000000.q")" \
	"444 1 65536 $(stat -c %b "$q/000000000.q")"
is "directories" "$(stat -c '%A' "$m" "$m/segments" | tr '\n' ' ')" "dr-xr-xr-x dr-xr-xr-x "
ok "tar finds nothing that changes while it reads" tar -cf "$tmp/all.tar" -C "$m" segments
is "an inode number for each, whatever asks" \
	"$(cd "$m/segments" && stat -c '%i %n' ./*.q)" "$(cd "$m/segments" && ls -i ./*.q | sed 's/^ *//')"
what="lsattr: sealed ones are immutable, sinks append-only"
if command -v lsattr >/dev/null; then
	is "$what" "$(lsattr "$m/segments/000000000.q" "$m/append" 2>&1 | cut -d' ' -f1 |
		tr -d '-' | tr '\n' ' ')" "i a "
else
	skip "$what" "no lsattr here"
fi
is "statfs is the backing file system's" "$(stat -f -c '%S %b' "$m")" "$(stat -f -c '%S %b' "$q")"

# What is not a published segment is not there.
cp "$q/000000000.q" "$q/000000900.q.tmp"
cp "$q/000000000.q" "$q/000000900.q.new.tmp"
cp "$q/000000000.q" "$q/000000901.q"     # another id in its header
head -c 65536 /dev/zero >"$q/000000902.q" # no header
head -c 100 "$q/000000000.q" >"$q/000000903.q"
mkdir "$q/000000904.q"
ln -s 000000000.q "$q/000000905.q"
cp "$q/000000000.q" "$q/0000000.q"
cp "$q/000000000.q" "$q/0000000000.q"
cp "$q/000000000.q" "$q/00000000x.q"
cp "$q/000000000.q" "$q/000000000.q.corrupt"
for name in 000000900.q.tmp 000000900.q.new.tmp 000000901.q 000000902.q 000000903.q 000000904.q \
	000000905.q 0000000.q 0000000000.q 00000000x.q 00000000:.q 00000001..q 000000000.q.corrupt control.meta index.meta \
	durable.meta writer.lock readers 000000000.idx 999999999.q 0.q .q; do
	refused "$name is not found" "No such file" stat "$m/segments/$name"
done
is "nor listed" "$(ls "$m/segments")" "$(backing | grep -v '^0000009')"
rm -rf "$q"/0000009* "$q"/0000000.q "$q"/0000000000.q "$q"/00000000x.q "$q"/*.corrupt
refused "a name of the queue is not one of the root" "No such file" stat "$m/control.meta"

# A live segment is never remembered: what was written is read at once, where it was read before.
stale=0
for ((i = 0; i < 50; i++)); do
	echo "mark $i" >>"$m/append"
	grep -qa "mark $i\$" "$m"/segments/0000000{11,12}.q || stale=$((stale + 1))
done
is "what was written can be read at once" "$stale" 0

# Holes: what a sealed segment has not used.
cases_of python3 - "$m/segments" <<'PYTHON'
import os, sys
path = sys.argv[1] + "/000000000.q"
fd = os.open(path, os.O_RDONLY)
data = os.pread(fd, 1 << 20, 0)
hole = os.lseek(fd, 0, os.SEEK_HOLE)
print("ok - " if 64 < hole <= len(data) and not any(data[hole:]) else "not ok - ",
      "SEEK_HOLE is where the unused part begins", sep="")
print("ok - " if os.lseek(fd, 5, os.SEEK_DATA) == 5 else "not ok - ", "SEEK_DATA in data", sep="")
fd = os.open(sys.argv[1], os.O_RDONLY)
names = [e.name for e in os.scandir(fd)]
print("ok - " if names == sorted(names) and len(names) > 3 else "not ok - ",
      "in ascending order", sep="")
PYTHON

# Reading while the writer goes on: a copy of a file may lag behind, but what it holds is right.
before=$(stat -c '%Y %Z' "$m/segments/000000000.q")
until_stopped() { while [ ! -e "$tmp/stop" ]; do echo "more and more"; done >>"$m/append"; }
until_stopped &
writer=$!
status=0
for round in 1 2 3 4 5 6 7 8; do
	rm -rf "$tmp/copy" && mkdir "$tmp/copy"
	for name in $(ls "$m/segments" | tail -n 3); do
		cp "$m/segments/$name" "$tmp/copy" || status=1
	done
	# What was committed when it was copied stays as it is.
	python3 "$here/prefix.py" "$tmp/copy" "$q" || status=1
done
: >"$tmp/stop"
wait "$writer"
is "the writer has written all the time, $round rounds" $? 0
is "what was read is in the files" "$status" 0
ok "the next segment is prepared" wait_for spare_is_there
is "all of them at rest" "$(cd "$m/segments" && md5sum ./*)" "$(cd "$q" && md5sum ./*.q)"
is "sealed ones have the times that they had" "$(stat -c '%Y %Z' "$m/segments/000000000.q")" "$before"
stop_mount

# A scan of the directory goes on at the right place while segments come and go.
q=$tmp/trimmed
start_mount -o segment_size=4K,retain_segments=100
cases_of python3 "$lib/scan.py" "$m" segments 100 256
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# chronq is given the mount in place of the queue.
start_mount -o passthrough=off
for dir in "$m" "$m/segments"; do
	not "$CHRONQ" cat "$dir" >/dev/null 2>"$tmp/said" || fail "chronq cat $dir"
	ok "chronq cat ${dir#"$tmp"/}: it names what to do" grep -qF "name the queue that is mounted" "$tmp/said"
done
stop_mount
finish
