#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# scripts.sh - the programs in scripts/, as people run them: from any folder, by a link, without git, without a
# network, in a tree whose path has a blank and whose build directory is another user's
set -uo pipefail
export LC_ALL=C
unset BUILD_DIR

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../support/programs/tap.sh"

# refused STATUS TEXT DESCRIPTION COMMAND...: it ends with this, and says this in one line.
refused() {
	local wanted=$1 text=$2 what=$3 output status
	shift 3
	output=$("$@" 2>&1 </dev/null)
	status=$?
	[ "$status" -eq "$wanted" ] && [[ $output == *"$text"* && $output != *$'\n'* ]]
	check "$what" $? "status $status: $output"
}

dir=$(mktemp -d)
chmod 755 "$dir"
trap 'rm -rf "$dir"' EXIT
cd / || exit

# ---- arguments ----

for path in "$top"/scripts/*; do
	[[ -f $path && -x $path ]] || continue
	name=${path##*/}
	[ "$name" != fresh-system-inside ] || continue # scripts/fresh-system's own
	ln -s "$path" "$dir/link"
	for option in -h --help; do
		output=$("$dir/link" "$option" 2>&1 </dev/null)
		status=$?
		[ "$status" -eq 0 ] && [[ $output == "Usage: scripts/$name"* ]]
		check "$name $option" $? "status $status: $output"
	done
	refused 2 "--no-such-option" "$name: an unknown option" "$dir/link" --no-such-option
	rm "$dir/link"
done

# ---- figures of the benchmarks ----

refused 2 "no-such-benchmark" "bench: an unknown name" "$top/scripts/bench" no-such-benchmark
refused 1 "which benchmark" "bench without a name" "$top/scripts/bench"
refused 1 "which file" "bench --json without a file" "$top/scripts/bench" roll --json
refused 2 "too-much" "bench: a word too many" "$top/scripts/bench" roll "$dir" too-much
refused 1 "none: No such file" "bench --compare with a file that does not exist" "$top/scripts/bench" --compare "$dir/none"
echo '{"figures": [{"heading": "a"}]}' >"$dir/foreign.json"
refused 1 "not a file that scripts/bench --json has written" "bench --compare with a foreign file" \
	"$top/scripts/bench" --compare "$dir/foreign.json"

# figures FILE LATENCY... : a file of scripts/bench with these latencies, and a rate and another latency that are
# always the same.
results=$top/tests/bench/results.py
figures() {
	local file=$1
	shift
	printf 'an append\tp50\tus%s\n' "$(printf '\t%s' "$@")" >"$dir/figures/roll"
	printf 'a read\trate\tGB/s\t2\t2.1\t1.9\na read\tp50\tus\t7\n' >"$dir/figures/waiting"
	python3 "$results" json "$dir/figures" all "a machine" >"$file"
}
# compared CODE TEXT DESCRIPTION: --compare of old.json and new.json ends with CODE and its output has TEXT.
compared() {
	output=$("$top/scripts/bench" --compare "$dir/old.json" "$dir/new.json" 2>&1 </dev/null)
	status=$?
	[ "$status" -eq "$1" ] && [[ $output == *"$2"* ]]
	check "bench --compare: $3" $? "status $status: $output"
}
mkdir "$dir/figures"
figures "$dir/old.json" 10 11 12 10 11
python3 -c 'import json, sys
data = json.load(open(sys.argv[1]))
assert data["bench"] == "all" and data["machine"] == "a machine"
assert data["figures"][0] == {"bench": "roll", "heading": "an append", "name": "p50", "unit": "us", "runs": [10, 11, 12, 10, 11]}
assert len(data["figures"]) == 3' "$dir/old.json"
check "the JSON has every figure with all its runs" $?
cp "$dir/old.json" "$dir/new.json"
compared 0 "3 figures compared: 0 slower, 0 faster" "nothing changed"
figures "$dir/new.json" 11 12 13 11 12
compared 0 "3 figures compared: 0 slower, 0 faster" "runs that overlap are noise"
figures "$dir/new.json" 20 21 22 20 21
compared 1 "slower: an append: p50: 11.00 > 21.00 us (+91 %, median of 5 and 5 runs)" "a latency that grew"
figures "$dir/new.json" 5 6 5 6 5
compared 0 "faster: an append: p50: 11.00 > 5.00 us" "a latency that fell"
sed -i 's/1\.9/0.9/; s/2\.1/1.1/; s/2\.0/1.0/' "$dir/new.json"
compared 1 "slower: a read: rate: 2.00 > 1.00 GB/s" "a rate that fell"
sed 's/"heading": "/&other /' "$dir/old.json" >"$dir/new.json"
compared 1 "no figure in common" "files of different benchmarks"

# merge: lines of the same figure are its runs.
printf 'a cat\tchronfs\ts\t%s\n' 3 1 2 >"$dir/results"
output=$(env -u BENCH_RESULTS python3 "$results" merge "$dir/results")
[[ $output =~ ^a\ cat$'\n'\ +chronfs\ +min\ +1.00\ +median\ +2.00\ +max\ +3.00\ s$ ]]
check "the spread of three runs" $? "$output"

# plot, with a gnuplot that only keeps its commands
mkdir "$dir/bin"
printf '#!/bin/sh\ncat >>%s/commands\n' "$dir" >"$dir/bin/gnuplot"
chmod +x "$dir/bin/gnuplot"
output=$(PATH=$dir/bin:$PATH python3 "$results" plot "$dir/old.json" "$dir/images")
[ "$output" = "$dir/images/roll.svg"$'\n'"$dir/images/waiting.svg" ]
check "an SVG file for each benchmark" $? "$output"
grep -qx 'set output ".*/roll.svg"' "$dir/commands" && grep -qx '"p50"[[:blank:]]11[[:blank:]]10[[:blank:]]12' "$dir/commands"
check "with the median, the least and the most of the runs" $? "$(cat "$dir/commands")"

# ---- a tree ----

tree="$dir/a tree"
mkdir "$tree"
tar -C "$top" --exclude=./build --exclude='./build-*' --exclude=./.git -c . | tar -C "$tree" -x
output=$(PATH=$dir/none:/usr/bin:/bin "$tree/scripts/check" 2>&1 </dev/null)
[[ $output == *"no git"* ]]
check "check without git looks at every file, and says so" $? "$output"
# ---- includes ----

output=$("$top/scripts/layers" 2>&1 </dev/null)
check "layers finds nothing in this tree" $? "$output"

# layers_finds DESCRIPTION FILE LINE TEXT: with this line in this file it fails, and says this.
layers_finds() {
	cp "$tree/$2" "$dir/kept"
	echo "$3" >>"$tree/$2"
	output=$("$tree/scripts/layers" 2>&1 </dev/null)
	[ $? -eq 1 ] && [[ $output == *"$4"* ]]
	check "layers finds $1" $? "$output"
	mv "$dir/kept" "$tree/$2"
}
layers_finds "an include of a higher room" core/os/io.c '#include "write/writer.h"' "os may not use write"
layers_finds "one of a room beside" core/read/wait.c '#include "stream/stream.h"' "read may not use stream"
layers_finds "a circle" core/meta/boot.h '#include "meta/control.h"' "circle: core/meta/boot core/meta/control"
touch "$tree"/core/os/{1..16}.txt
output=$("$tree/scripts/layers" 2>&1 </dev/null)
[ $? -eq 1 ] && [[ $output == "core/os: "*" files; a folder has at most 16" ]]
check "layers finds a folder with too many files" $? "$output"
rm "$tree"/core/os/*.txt

mkdir "$dir/empty"
cp -r "$tree/scripts" "$dir/empty"
refused 1 "not the source tree" "a copy of scripts/ alone" "$dir/empty/scripts/fuzz"

# What is installed does not matter here.
printf '#!/bin/sh\nexit 0\n' >"$dir/bin/install-deps"
chmod +x "$dir/bin/install-deps"
cp "$dir/bin/install-deps" "$tree/scripts/install-deps"

user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if [ "$(id -u)" -eq 0 ] && "${user[@]}" test -x "$dir"; then
	mkdir -p "$tree/build/release/fs"
	for name in quickstart bench fuzz soak test; do
		mkdir -p "$tree/build/$([ "$name" = quickstart ] && echo release || echo "$name")/sub"
	done
	for command in quickstart "bench throughput" fuzz "soak kill" "test native"; do
		read -ra words <<<"$command"
		refused 1 "belongs to root: remove it, or build elsewhere: BUILD_DIR=" \
			"$command: a build directory of another user" \
			"${user[@]}" "$tree/scripts/${words[0]}" "${words[@]:1}"
	done
	rm -r "$tree/build"
	refused 1 "cannot make $tree/build" "a tree that is read-only" "${user[@]}" "$tree/scripts/quickstart"
	mkdir "$dir/elsewhere"
	chown 65534:65534 "$dir/elsewhere"
	# shellcheck disable=SC2016 # for that bash
	output=$(BUILD_DIR="$dir/elsewhere/b d" HOME=$dir/elsewhere "${user[@]}" bash -c '
		. "$0/scripts/lib.sh"
		meson_dir "$build/one" -Dbuildtype=debug' "$tree" 2>&1) && [ -f "$dir/elsewhere/b d/one/build.ninja" ] && [ ! -e "$tree/build" ]
	check "BUILD_DIR= builds a tree that is read-only" $? "$output"
else
	skip "build directories of other users" "needs root"
fi

# ---- Ctrl-C ----

# The terminal sends it to the script and to meson, which ends as after an error.
mkdir -p "$dir/interrupted/one" "$dir/meson"
touch "$dir/interrupted/one/build.ninja"
# shellcheck disable=SC2016 # for that shell
printf '#!/bin/sh\nkill -INT $PPID\nexit 1\n' >"$dir/meson/meson"
chmod +x "$dir/meson/meson"
# shellcheck disable=SC2016 # for that bash
output=$(PATH=$dir/meson:$PATH BUILD_DIR=$dir/interrupted env --default-signal=INT bash -c '
	. "$0/scripts/lib.sh"
	meson_dir "$build/one" -Dbuildtype=debug' "$tree" 2>&1)
status=$?
[ "$status" -eq 130 ] && [ -f "$dir/interrupted/one/build.ninja" ]
check "Ctrl-C while meson runs ends a script, and the build directory stays" $? "status $status: $output"

# ---- without cmocka ----

# The build before it knew cmocka: a pkg-config that does not, and nothing else is changed.
pkg_config=$(command -v pkg-config)
printf '#!/bin/sh\ncase "$*" in *cmocka*) exit 1 ;; esac\nexec %s "$@"\n' "$pkg_config" >"$dir/bin/pkg-config"
chmod +x "$dir/bin/pkg-config"
if CMAKE=$dir/none PKG_CONFIG=$dir/bin/pkg-config meson setup "$dir/no cmocka" "$top" >"$dir/log" 2>&1; then
	grep -q 'none: no cmocka (scripts/install-deps --test)' "$dir/log"
	check "meson says that there are no tests without cmocka" $? "$(tail -n 20 "$dir/log")"
	for suite in unit mount faults; do
		! meson test -C "$dir/no cmocka" --no-rebuild --suite "$suite" >"$dir/log" 2>&1
		check "and meson test of $suite fails" $? "$(cat "$dir/log")"
	done
	grep -q bench-throughput "$dir/no cmocka/build.ninja"
	check "the benchmarks are there" $?
else
	check "a build without cmocka" 1 "$(cat "$dir/log")"
fi

# ---- without a network ----

# apt itself, with an address without a server and directories of the test's own.
if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/parts" "$dir/cache/archives/partial"
	echo 'deb [trusted=yes] http://127.0.0.1:9/debian none main' >"$dir/apt/sources.list"
	cat >"$dir/apt/conf" <<TXT
Dir::Etc::sourcelist "$dir/apt/sources.list";
Dir::Etc::sourceparts "$dir/apt/parts";
Dir::State::lists "$dir/apt/lists";
Dir::Cache "$dir/cache";
TXT
	printf '#!/bin/sh\nexit 1\n' >"$dir/bin/dpkg-query" # nothing is installed
	chmod +x "$dir/bin/dpkg-query"
	output=$(APT_CONFIG=$dir/apt/conf PATH=$dir/bin:$PATH "$top/scripts/install-deps" 2>&1)
	status=$?
	[ "$status" -eq 1 ] && [[ ${output##*$'\n'} == "install-deps: no network: "*127.0.0.1*"missing: gcc "* ]] &&
		[[ $output == "installing: gcc "* ]] && [ "$(wc -l <<<"$output")" -le 4 ]
	check "install-deps without a network says so" $? "status $status: $output"
	# apt-get update of another program
	mkfifo "$dir/held"
	python3 -c 'import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()' "$dir/apt/lists/lock" <"$dir/held" >"$dir/holder" &
	exec 7>"$dir/held"
	until grep -q held "$dir/holder"; do sleep 0.1; done
	APT_CONFIG=$dir/apt/conf PATH=$dir/bin:$PATH "$top/scripts/install-deps" >"$dir/log" 2>&1 7>&- &
	begin=$SECONDS
	until grep -q 'another program reads them now' "$dir/log" || [ $((SECONDS - begin)) -ge 60 ]; do sleep 0.1; done
	exec 7>&-
	wait
	[[ $(tail -n 1 "$dir/log") == "install-deps: no network: "*127.0.0.1*"missing: gcc "* ]] &&
		[ "$(grep -c 'another program reads them now' "$dir/log")" -eq 1 ]
	check "install-deps waits for another program that reads the lists" $? "$(cat "$dir/log")"
else
	skip "install-deps without a network says so" "needs apt-get and root"
	skip "install-deps waits for another program that reads the lists" "needs apt-get and root"
fi

# ---- count-tests ----

refused 1 "there is none" "count-tests of a directory that is not there" "$top/scripts/count-tests" "$dir/nowhere"
refused 2 "Usage: scripts/count-tests" "count-tests without an argument" "$top/scripts/count-tests"
refused 2 "Usage: scripts/count-tests" "count-tests --text without one" "$top/scripts/count-tests" --text
refused 2 "Usage: scripts/count-tests" "count-tests --slowest without one" "$top/scripts/count-tests" --slowest
refused 1 "there is none" "nor of its slowest" "$top/scripts/count-tests" --slowest "$dir/nowhere"
mkdir -p "$dir/run/meson-logs"
for i in {1..12}; do
	echo '{"name": "chronfs:unit / test'"$i"'", "result": "OK", "duration": '"$i"'.04}'
done >"$dir/run/meson-logs/testlog.json"
output=$("$top/scripts/count-tests" --slowest "$dir/run")
[ "$(sed -n '1p;2p;$p' <<<"$output" | tr -s ' ' | tr '\n' ,)" = \
	"78 s in 12 tests; the slowest:, 12.0 s test12, 3.0 s test3," ]
check "the slowest tests of a run" $? "$output"

finish
