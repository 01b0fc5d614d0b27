#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: page.sh PAGE
#
# page.sh - runs every command of a page, such as docs/USE.md, from the page itself: run.py
#
# The commands run as root in an empty directory, with the programs of this build on PATH, and the library where
# pkg-config, the linker and Python find it.  They have a mount namespace, a process namespace and a network of their
# own: /etc is a copy; /mnt, /var/spool and /var/log are empty.  Everything that a page mounts, starts, or changes
# there ends with the test.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../mount/lib/namespace.sh
. "$here/../mount/lib/namespace.sh"
# shellcheck source=../mount/lib/lib.sh
. "$here/../mount/lib/lib.sh"
# shellcheck source=cases.sh
. "$here/cases.sh"

page=${1:?names a page}
root=$(cd "$here/../.." && pwd)
build=$(cd "$(dirname "$CHRONQ")/../.." && pwd)

need_namespace
command -v python3 >/dev/null || skip_all "no python3"

# shellcheck disable=SC2317 # called by trap
leave() {
	local status=$? dir
	cd / || exit
	mapfile -t < <(awk -v top="$tmp/" 'index($2, top) == 1 { print $2 }' /proc/mounts)
	for dir in "${MAPFILE[@]}"; do
		printf -v dir %b "$dir"
		umount -l "$dir"
	done
	(exit "$status")
	cleanup
}
trap leave EXIT

# A copy, which the page may change; nothing outside of the namespace sees it.
# shellcheck disable=SC2154 # own is of namespace.sh
if ! { mkdir "$own/etc" "$own/spool" "$own/log" && cp -a /etc/. "$own/etc" && mount --bind "$own/etc" /etc &&
	mount --bind "$own/spool" /var/spool && mount --bind "$own/log" /var/log; }; then
	skip_all "no directories of its own"
fi
rm -f /etc/mtab && ln -s /proc/self/mounts /etc/mtab && : >/etc/fstab
mkdir "$tmp/bin" "$tmp/home" "$tmp/page" "$tmp/sbin"
cp "$CHRONFS" "$tmp/bin/chronfs"
cp "$CHRONQ" "$tmp/bin/chronq"
mkdir "$tmp/bin/ship" # where chronq looks for the programs of ship and fetch
find "${CHRONQ%/*}/ship" -maxdepth 1 -name 'chronq-*' -type f -exec cp {} "$tmp/bin/ship" \; 2>/dev/null
cp "$root/docs/monitoring/chronfs-textfile" "$tmp/bin"
output=$(DESTDIR=$tmp/root meson install -C "$build" --no-rebuild 2>&1)
check "meson install" $? "$output"
package=$(find "$tmp/root" -name chronq.pc) # it says where the library would be
prefix=$tmp/root$(sed -n 's/^prefix=//p' "$package")
sed -i "s|^prefix=.*|prefix=$prefix|" "$package"
for name in mount.chronfs mount.fuse.chronfs; do ln -s "$tmp/bin/chronfs" "$tmp/sbin/$name"; done
show_in /sbin "$tmp/sbin" || skip_all "no /sbin of its own"
[ "$own" = /mnt ] || mount -t tmpfs tmpfs /mnt

unset MAKEFLAGS NINJA_STATUS "${!MESON_@}" CHRONFS_TEST_NAMESPACE CHRONFS_TEST_OUTSIDE
export HOME=$tmp/home TZ=UTC LC_ALL=C.UTF-8 PATH=$tmp/bin:$PATH:/usr/sbin:/sbin:$tmp/bin/ship
export LD_LIBRARY_PATH=$prefix/lib PKG_CONFIG_PATH=${package%/*}
export PYTHONPATH=$root/core/python PYTHONDONTWRITEBYTECODE=1
export PATIENCE=$patience PAGES_NETWORK=own
cd "$tmp/page" || exit

cases_of_page run.py "$root" "$page"
finish
