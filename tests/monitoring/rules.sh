#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# rules.sh - the alerts of docs/monitoring without a Prometheus: promtool takes them, each has a test in which it
# fires and one in which it does not, README.md has each, and each metric that they and the dashboard name exists
set -uo pipefail
export LC_ALL=C

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../support/programs/tap.sh"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
docs=$top/docs/monitoring
cp "$docs/chronfs.rules.yml" "$top/tests/monitoring/rules_test.yml" "$dir"
mapfile -t alerts < <(sed -n 's/^ *- alert: //p' "$docs/chronfs.rules.yml")

if command -v promtool >/dev/null; then
	output=$(promtool check rules "$dir/chronfs.rules.yml" 2>&1)
	[[ $? -eq 0 && $output == *"${#alerts[@]} rules found"* ]]
	check "promtool check rules: ${#alerts[@]} alerts" $? "$output"
	output=$(cd "$dir" && promtool test rules rules_test.yml 2>&1)
	check "promtool test rules" $? "$output"
	# A rule that never fires, and one that always does, fail that test.
	for change in 's/^\( *expr:\) .*/\1 vector(0) > 1/' 's/^\( *expr:\) .*/\1 vector(1)/'; do
		sed "$change" "$docs/chronfs.rules.yml" >"$dir/chronfs.rules.yml"
		output=$(cd "$dir" && promtool test rules rules_test.yml 2>&1)
		[[ $? -ne 0 && $(grep -c 'alertname: ' <<<"$output") -ge ${#alerts[@]} ]]
		check "which fails for each alert with ${change##*\\1 }" $? "$output"
	done
else
	skip "promtool check rules, promtool test rules" "no promtool here (package prometheus)"
fi

lost=
for alert in "${alerts[@]}"; do
	grep -q "^| \`$alert\` |" "$docs/README.md" || lost+="$alert "
	grep -qE "eval_time: [0-9]+m, alertname: $alert}" "$dir/rules_test.yml" || lost+="$alert(quiet) "
	grep -q "^ *alertname: $alert\$" "$dir/rules_test.yml" || lost+="$alert(firing) "
done
[ "${#alerts[@]}" -gt 0 ] && [ -z "$lost" ]
check "each alert is in README.md, and has tests of both kinds${lost:+ (not: $lost)}" $?

unknown=
mapfile -t metrics < <(grep -ohE 'chronfs_[a-z_]+' "$docs/chronfs.rules.yml" "$docs/dashboard.json" | sort -u)
for metric in "${metrics[@]}"; do
	case $metric in
	chronfs_ | chronfs_up) continue ;; # of names of files; of chronfs-textfile
	esac
	name=$(sed -E 's/_(bucket|count|sum)$//' <<<"$metric")
	grep -qE "\"($metric|$name)\"" "$top"/fs/status/*.c || unknown+="$metric "
done
mapfile -t shipped < <(grep -ohE 'chronq_(ship|fetch)_[a-z_]+' "$docs/chronfs.rules.yml" "$docs/dashboard.json" | sort -u)
for metric in "${shipped[@]}"; do
	grep -q "\"${metric#chronq_*_}\"" "$top"/core/cli/wire/status.c || unknown+="$metric "
done
metrics+=("${shipped[@]}")
[ "${#metrics[@]}" -gt 20 ] && [ -z "$unknown" ]
check "each of ${#metrics[@]} metrics exists${unknown:+ (not: $unknown)}" $?

# ---- chronfs-textfile, without a mount ----

mkdir "$dir/out" "$dir/m_1" "$dir/m \"2\""
printf '# HELP a b {c} d\n# TYPE a gauge\na 1\nb{c="{ \\"x\\"",d="e"} 2.5\n' >"$dir/m_1/metrics"
output=$("$docs/chronfs-textfile" "$dir/out" "$dir/m_1" "$dir/m \"2\"" "$dir/none" 2>&1)
check "chronfs-textfile of one mount and two that are none" $? "$output"
name=$dir/out/chronfs$(sed 's/_/__/g; s,/,_,g' <<<"$dir/m_1").prom
wanted='# HELP chronfs_up 1 if the mount answers.
# TYPE chronfs_up gauge
chronfs_up{mount="DIR/m_1"} 1
# HELP a b {c} d
# TYPE a gauge
a{mount="DIR/m_1"} 1
b{mount="DIR/m_1",c="{ \"x\"",d="e"} 2.5'
output=$(sed "s,$dir,DIR,g" "$name")
[ "$output" = "$wanted" ]
check "each sample has the label" $? "$output"
output=$(cat "$dir/out/"*'m "2".prom')
[ "$(tail -n 1 <<<"$output")" = "chronfs_up{mount=\"$dir/m \\\"2\\\"\"} 0" ] && [ "$(wc -l <<<"$output")" -eq 3 ]
check "of what is no mount there is chronfs_up 0 alone" $? "$output"
[ "$(find "$dir/out" -type f | wc -l)" -eq 3 ] && [ "$(find "$dir/out" -name '*.prom' -perm 644 | wc -l)" -eq 3 ]
check "nothing else is left, and others may read it" $? "$(ls -la "$dir/out")"
output=$("$docs/chronfs-textfile" "$dir/out/none" "$dir/m_1" 2>&1)
[ $? -eq 1 ] && [ -n "$output" ]
check "no such directory: status 1" $? "$output"
output=$("$docs/chronfs-textfile" "$dir/out" 2>&1)
[ $? -eq 2 ] && [[ $output == Usage:* ]]
check "no mount point: usage" $? "$output"

finish
