#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What `meson install` gives: one header, one shared library that shows what the header declares and
# nothing else, a pkg-config file that a stranger's program builds with; the programs, their manual
# pages, the module for Python, the helpers that mount(8) looks for, and a unit for systemd.
set -uo pipefail

build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../support/programs/tap.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

DESTDIR=$dir meson install -C "$build" --no-rebuild >"$dir/log" 2>&1
status=$?
[ "$status" -eq 0 ] || sed 's/^/# /' "$dir/log"
check "meson install" "$status"

# Everything is looked for where a system looks: below $dir as below /.
prefix=$(meson introspect --buildoptions "$build" | python3 -c '
import json, sys
print(*(option["value"] for option in json.load(sys.stdin) if option["name"] == "prefix"))')
root=$dir$prefix

headers=$(cd "$root/include" && echo *)
[ "$headers" = chronq.h ]
check "chronq.h is the only header installed (found: $headers)" $?

# Where pkg-config and the dynamic linker look by themselves; with another prefix they have to be told.
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
looks=$(pkg-config --variable pc_path pkg-config)
below=$dir${looks//:/:$dir}
case $prefix in
/usr | /usr/local) ;;
*) below=$root/lib/pkgconfig ;;
esac
package() { PKG_CONFIG_LIBDIR=$below:$looks PKG_CONFIG_SYSROOT_DIR=$dir pkg-config "$@"; }
version=$(package --modversion chronq 2>&1)
[ "$version" = "$("$CHRONQ" --version | sed 's/^chronq //; s/ .*//')" ]
check "pkg-config finds chronq: $version" $?

mkdir "$dir/etc"
cp -r /etc/ld.so.conf* "$dir/etc"
case $prefix in
/usr | /usr/local) ;;
*) echo "$prefix/lib" >>"$dir/etc/ld.so.conf" ;;
esac
PATH=$PATH:/sbin:/usr/sbin
ldconfig -r "$dir" 2>"$dir/log"
library=$dir$(ldconfig -r "$dir" -p | sed -n 's/.*libchronq\.so\.0 .* => //p')
[ -f "$library" ]
status=$?
[ "$status" -eq 0 ] || sed 's/^/# /' "$dir/log"
check "ldconfig finds libchronq.so.0: ${library#"$dir"}" "$status"

header=$root/include/chronq.h
declared=$(grep -v '^#' "$header" | tr '\n' ' ' | grep -o 'CQ_API [^;]*;' | grep -o '\bcq_[a-z_]*(' | tr -d '(' | sort -u)
# the marks of the linker and of a sanitizer are no API
exported=$(nm -D --defined-only "$library" | awk '$2 ~ /^[TDBR]$/ {print $3}' | grep -vE '^(_|__)' | sort -u)
unversioned=$(grep -v '@@CHRONQ_0$' <<<"$exported")
[ -z "$unversioned" ]
check "each of its symbols has the version CHRONQ_0 (${unversioned:-all of them})" $?
exported=${exported//@@CHRONQ_0/}
[ -n "$exported" ] && [ "$exported" = "$declared" ]
status=$?
[ "$status" -eq 0 ] || diff <(echo "$declared") <(echo "$exported") | sed 's/^/# /'
check "the library exports what chronq.h declares, and no more" "$status"

listed=$(sed -n 's/^ \(cq_[a-z_]*\)@.*/\1/p' "$source/scripts/debian/libchronq0.symbols" | sort)
[ "$listed" = "$exported" ]
check "so does scripts/debian/libchronq0.symbols" $? "$(diff <(echo "$listed") <(echo "$exported"))"

cat >"$dir/program.c" <<'C'
#include <chronq.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	cq_writer *writer;
	int r;

	printf("%d.%d.%d %s %s\n", CHRONQ_VERSION_MAJOR, CHRONQ_VERSION_MINOR, CHRONQ_VERSION_PATCH,
	       CHRONQ_VERSION, cq_version());
	r = cq_writer_open(argc > 1 ? argv[1] : "q", NULL, &writer);

	if (r == 0)
		r = cq_writer_append(writer, CQ_TYPE_DEFAULT, "built\n", 6, NULL);
	return r < 0 || cq_writer_close(writer) < 0;
}
C
# loader PROGRAM: the dynamic linker that the program asks for.
loader() { readelf -l "$1" | sed -n 's/.*program interpreter: \(.*\)]/\1/p'; }
# shellcheck disable=SC2046 # words are meant
cc $(package --cflags chronq) -o "$dir/program" "$dir/program.c" $(package --libs chronq) 2>"$dir/log" &&
	"$(loader "$dir/program")" --library-path "$(dirname "$library")" "$dir/program" "$dir/q" >"$dir/versions" 2>>"$dir/log" &&
	[ "$("$CHRONQ" cat "$dir/q")" = built ]
status=$?
[ "$status" -eq 0 ] || sed 's/^/# /' "$dir/log"
check "a program builds with pkg-config chronq, appends, and its record is there" "$status"
[ "$(cat "$dir/versions")" = "$version $version $version" ]
check "the header, the library and the package are of one version: $(tr '\n' ' ' <"$dir/versions")" $?

[ -x "$root/bin/chronfs" ] && [ -x "$root/bin/chronq" ]
check "chronfs and chronq are installed" $?

# They are built where libnats is, and then chronq looks for them where they are.
libexec=$prefix/$(meson introspect --buildoptions "$build" | python3 -c '
import json, sys
print(*(option["value"] for option in json.load(sys.stdin) if option["name"] == "libexecdir"))')/chronq
programs=$(meson introspect --targets "$build" | python3 -c '
import json, sys
print(*sorted(target["name"] for target in json.load(sys.stdin) if target["name"] in ("chronq-fetch", "chronq-ship")))')
[ "$programs" = "$(cd "$dir$libexec" 2>/dev/null && echo *)" ] && grep -qF "$libexec" "$root/bin/chronq"
check "in $libexec: ${programs:-nothing: this build is without libnats}" $?
[ -z "$programs" ] || [[ $("$dir$libexec/chronq-fetch" --version) == *" $version"* ]]
check "chronq-fetch runs" $?

[[ $("$CHRONFS" --version) == "chronfs $version, "* ]]
check "so is chronfs: $("$CHRONFS" --version)" $?
for page in chronfs.1 chronq.1; do
	grep -qx "\.Os chronfs $version" "$root/share/man/man1/$page"
	check "man page $page of that version" $?
done
newest=$(sed -n 's/^## \([^ ]*\) (2[0-9]*-[0-9]*-[0-9]*)$/\1/p' "$source/docs/CHANGELOG.md" | head -n 1)
[ "$newest" = "$version" ]
check "the newest entry of docs/CHANGELOG.md is of that version: $newest" $?

program=$prefix/bin/chronfs
for name in mount.chronfs mount.fuse.chronfs; do
	case $prefix in
	/usr | /usr/local) [ "$(readlink "$dir/sbin/$name")" = "$program" ] ;;
	*) [ ! -e "$dir/sbin" ] ;;
	esac
	check "$name: where mount(8) looks, to the program (prefix $prefix)" $?
done

module=$(find "$dir" -path '*/chronq/__init__.py' -printf '%h\n')
if [ -n "$module" ]; then
	output=$(cd / && CHRONQ_LIBRARY=$library PYTHONPATH=${module%/*} PYTHONDONTWRITEBYTECODE=1 python3 -c 'import chronq, sys
assert [record.payload for record in chronq.Reader(sys.argv[1])] == [b"built\n"]
print(chronq.__version__)' "$dir/q" 2>&1)
	[ "$output" = "$version" ] && [ -f "$module/py.typed" ]
	check "the Python module, ${module#"$dir"}, with its types" $? "$output"
	searched=$(python3 -c 'import site; print(*site.getsitepackages(), sep="\n")' | grep "^$prefix/")
	if [ -n "$searched" ]; then
		grep -qxF "$(dirname "${module#"$dir"}")" <<<"$searched"
		check "is where python3 looks" $? "$searched"
	else
		skip "is where python3 looks" "this python3 searches nothing below $prefix"
	fi
else
	skip "the Python module" "it is not installed"
fi

for file in bash-completion/completions/chronq bash-completion/completions/chronfs zsh/site-functions/_chronq \
	zsh/site-functions/_chronfs fish/vendor_completions.d/chronq.fish fish/vendor_completions.d/chronfs.fish; do
	[ -f "$root/share/$file" ]
	check "completions: $file" $?
done

units=(chronfs)
# shellcheck disable=SC2206 # words are meant
[ -z "$programs" ] || units+=($programs)
[ "$(cd "$root/lib/systemd/system" && echo *@.service)" = "$(printf '%s@.service\n' "${units[@]}" | sort | paste -sd ' ')" ]
check "a unit for each program that is a service: ${units[*]}" $?
mkdir "$dir/unit"
for name in "${units[@]}"; do
	unit=$root/lib/systemd/system/$name@.service
	runs=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$unit")
	[ "$name" = "${runs##*/}" ] && [ -x "$dir$runs" ]
	check "$name@.service runs the installed program" $? "$runs"
	if command -v systemd-analyze >/dev/null; then
		sed "s|=$runs |=$CHRONFS |" "$unit" >"$dir/unit/$name@.service"
		output=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no --recursive-errors=no \
			"$dir/unit/$name@.service" 2>&1)
		status=$?
		[ "$status" -eq 0 ] && [ -z "$output" ]
		check "systemd has nothing to say about it" $? "$output"
	else
		skip "systemd has nothing to say about it" "no systemd-analyze here"
	fi
done

# The same with other options.  Only what has the tag `system` is installed, so nothing is built.
# installed OPTION...: what that is.
installed() {
	rm -rf "$dir/other"
	for program in usr opt/here; do # what the links lead to has to be there
		mkdir -p "$dir/other/$program/bin"
		: >"$dir/other/$program/bin/chronfs"
	done
	local again=()
	[ ! -d "$dir/build" ] || again=(--reconfigure)
	if ! meson setup "${again[@]}" "$dir/build" "$source" "$@" >"$dir/log" 2>&1 ||
		! DESTDIR=$dir/other meson install -C "$dir/build" --no-rebuild --tags system \
			>>"$dir/log" 2>&1; then
		sed 's/^/# /' "$dir/log" >&2
	fi
	(cd "$dir/other" && find . ! -type d ! -name chronfs | sort | tr '\n' ' ')
}
# with_nats PREFIX UNITS: the files for the programs that are built only where libnats is.
with_nats() {
	[ -z "$programs" ] || printf '%s ' "$2/chronq-fetch@.service" "$2/chronq-ship@.service" "$1/lib/sysusers.d/chronq-nats.conf"
}
# same FOUND WANTED...: in any order.
same() { [ "$(xargs -n 1 <<<"$1" | sort)" = "$(xargs -n 1 <<<"${*:2}" | sort)" ]; }
found=$(installed --prefix=/usr -Dsystemd_unit_dir=/units)
same "$found" ./sbin/mount.chronfs ./sbin/mount.fuse.chronfs ./units/chronfs@.service ./usr/lib/sysusers.d/chronfs.conf \
	"$(with_nats ./usr ./units)" &&
	[ "$(readlink "$dir/other/sbin/mount.chronfs")" = /usr/bin/chronfs ]
check "prefix /usr: $found" $?
found=$(installed --prefix=/opt/here -Dsystemd_unit_dir=auto)
same "$found" ./opt/here/lib/systemd/system/chronfs@.service ./opt/here/lib/sysusers.d/chronfs.conf \
	"$(with_nats ./opt/here ./opt/here/lib/systemd/system)"
check "another prefix: $found" $?
found=$(installed -Dmount_helper_dir= -Dsystemd_unit_dir=)
[ -z "$found" ]
check "none wanted: $found" $?
found=$(installed -Dmount_helper_dir=/helpers)
[ "$found" = './helpers/mount.chronfs ./helpers/mount.fuse.chronfs ' ]
check "another directory: $found" $?
found=$(installed -Dnats=disabled -Dmount_helper_dir= -Dsystemd_unit_dir=/units)
[[ $(meson introspect --targets "$dir/build") != *'"chronq-fetch"'* ]] &&
	same "$found" ./units/chronfs@.service ./opt/here/lib/sysusers.d/chronfs.conf
check "-Dnats=disabled: no programs for NATS: $found" $?
installed -Dpython_dir=/modules >/dev/null
DESTDIR=$dir/modules meson install -C "$dir/build" --no-rebuild --tags python >"$dir/log" 2>&1
[ -f "$dir/modules/modules/chronq/_reader.py" ]
check "the Python module in another folder" $? "$(cat "$dir/log")"
installed -Dpython_dir= >/dev/null
DESTDIR=$dir/no-modules meson install -C "$dir/build" --no-rebuild --tags python >"$dir/log" 2>&1
[ ! -e "$dir/no-modules" ]
check "and nowhere" $?

finish
