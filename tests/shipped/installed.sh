#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: installed.sh
#
# installed.sh - README's way on a system on which nothing of this is: quickstart, `meson install`, and then
# everything is found where a system looks by itself.  It changes the system: scripts/fresh-system runs
# it (scripts/test fresh).  Output: TAP.
set -uo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$top/tests/support/programs/tap.sh"
# shellcheck source=tests/pages/cases.sh
. "$top/tests/pages/cases.sh"

unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR LD_LIBRARY_PATH LIBRARY_PATH CPATH
dir=$(mktemp -d)
trap 'umount -l "$dir/mnt" "$dir"/*/mnt* "$top/build/demo/mnt" 2>/dev/null; rm -rf --one-file-system "$dir"' EXIT
cd "$dir" || exit

ok "scripts/quickstart" "$top/scripts/quickstart"
ok "and again" "$top/scripts/quickstart"
ok "umount" umount "$top/build/demo/mnt"
ok "meson install" meson install -C "$top/build/release"

cat >program.c <<'C'
#include <chronq.h>

int main(void)
{
	cq_writer *writer;

	return cq_writer_open("queue", NULL, &writer) < 0 ||
	       cq_writer_append(writer, CQ_TYPE_DEFAULT, "built\n", 6, NULL) < 0 || cq_writer_close(writer) < 0;
}
C
ok "pkg-config finds chronq" pkg-config --print-errors --exists chronq
# shellcheck disable=SC2046 # words are meant
ok "a program builds" gcc program.c -o program $(pkg-config --cflags --libs chronq)
ok "and runs" ./program
ok "chronq finds its record" test "$(chronq cat queue)" = built
mkdir mnt
ok "mount -t chronfs" mount -t chronfs queue mnt
ok "shows it" test "$(cat mnt/stream)" = built
ok "umount" umount mnt

# The pages that a reader begins with, with all that they ask for but hours.
for page in README.md docs/USE.md docs/LIBRARY.md; do
	mkdir "$dir/${page//\//_}"
	cd "$dir/${page//\//_}" || exit
	PAGES_HAVE=fresh cases_of_page run.py "$top" "$page"
done

cd "$dir" || exit
ok "uninstall" ninja -C "$top/build/release" uninstall
left=$(find /usr/local /sbin/ ! -type d -name '*chron*')
[ -z "$left" ]
check "no file is left" $? "$left"
finish
