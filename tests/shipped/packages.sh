#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# packages.sh - a fresh system builds the Debian packages, another one uses them: installs, mounts, ships to a server,
# runs the services if systemd can be started, purges.  It changes the system: scripts/fresh-system runs it
# (scripts/test fresh).  Output: TAP.
set -uo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/support/programs/tap.sh
. "$top/tests/support/programs/tap.sh"
# shellcheck source=tests/shipped/boot.sh
. "$top/tests/shipped/boot.sh"
# shellcheck source=tests/shipped/service.sh
. "$top/tests/shipped/service.sh"
# shellcheck source=tests/shipped/nats.sh
. "$top/tests/shipped/nats.sh"

export DEBIAN_FRONTEND=noninteractive
systems=/var/tmp/systems
mkdir -p "$systems"
# shellcheck disable=SC2317 # called by trap
leave() {
	[ -z "${server-}" ] || kill "$server"
	boot_end
	awk -v top="$systems/" 'index($2, top) == 1 { print $2 }' /proc/self/mounts | tac | xargs -r umount -l
	rm -rf --one-file-system "$systems"
}
trap leave EXIT

# new_system NAME: a copy of this system, as fresh as it is, without the source tree.
new_system() {
	local root=$systems/$1
	mkdir "$root"
	tar -C / --one-file-system --exclude=./root/* --exclude=".$systems" -c . | tar -C "$root" --numeric-owner -x
	mount --bind "$root" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount --rbind /sys "$root/sys"
	mount --bind /var/cache/apt/archives "$root/var/cache/apt/archives" # each package comes once
}
# in_system NAME COMMAND...
in_system() { chroot "$systems/$1" /usr/bin/env -C / "${@:2}"; }

# works DESCRIPTION COMMAND...: passes if the command succeeds; otherwise shows the end of what it printed.
works() {
	local what=$1 status
	shift
	"$@" >"$systems/log" 2>&1 </dev/null
	status=$?
	check "$what" "$status" "$(tail -n 40 "$systems/log")"
}

apt-get -qq update
new_system build
new_system use
apt=(apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends)

# ---- build ----

in_system build useradd --create-home builder
cp -r "$top" "$systems/build/home/builder/source tree"
cp -r "$top" "$systems/build/root/other"
in_system build chown -R builder: /home/builder
works "scripts/package builds the packages, with their tests, and installs what it needs for that" \
	in_system build /root/other/scripts/package --output /root/packages
packages=$systems/build/root/packages
# The same as an ordinary user, without a network, elsewhere, later, in another language and time zone; on one of the
# Debians, where two builds differ if they do on the other.  Meanwhile the other system uses the packages.
second=
if grep -q '^VERSION_CODENAME=trixie$' /etc/os-release; then
	# shellcheck disable=SC2016 # sh expands it
	unshare --net chroot "$systems/build" setpriv --reuid builder --regid builder --init-groups \
		env -i PATH=/usr/bin:/bin HOME=/home/builder LC_ALL=C TZ=Asia/Tokyo DEB_BUILD_OPTIONS=nocheck \
		sh -c 'umask 077; cd "$HOME/source tree" && exec scripts/package --output ../packages' \
		>"$systems/second" 2>&1 </dev/null &
	second=$!
fi
for name in libchronq0 libchronq-dev chronq chronq-nats chronfs python3-chronq; do
	set -- "$packages/${name}"_*.deb
	[ -f "$1" ] && [ "$(dpkg-deb -f "$1" Version)" = "$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$top/meson.build")" ]
	check "the package $name" $?
done

# ---- the programs, in the other system ----

debs() { (cd "$packages" && printf '/root/packages/%s ' "$@"); }
mkdir "$systems/use/root/packages"
cp "$packages"/*.deb "$systems/use/root/packages"
# shellcheck disable=SC2046 # words are meant
works "chronfs, chronq and chronq-nats are installed" in_system use "${apt[@]}" install man-db systemd dbus nats-server \
	$(cd "$packages" && debs chronfs_*.deb chronq_*.deb chronq-nats_*.deb)
installed=$(in_system use dpkg-query -L chronfs chronq chronq-nats)
# The server's own service would listen on every address.
works "its service is not for this test" in_system use systemctl mask nats-server
[ "$(in_system use id -nu chronfs 2>&1)" = chronfs ]
check "there is a user chronfs" $?
for page in "1 chronfs" "1 chronq" "1 chronq-ship" "1 chronq-fetch" "8 mount.chronfs"; do
	# shellcheck disable=SC2086 # words are meant
	output=$(in_system use env LC_ALL=C.UTF-8 MANPAGER=cat man $page 2>&1)
	[[ $output == *"message queue"*SYNOPSIS* || $output == *"of a queue"*SYNOPSIS* ]]
	check "man $page" $? "$output"
done
mkdir "$systems/use/mnt/queue"
echo "/var/spool/queue /mnt/queue chronfs noauto,segment_size=1M 0 0" >>"$systems/use/etc/fstab"
ok "mount, of a line in fstab" in_system use mount /mnt/queue
ok "echo" in_system use sh -c 'echo hello >/mnt/queue/append'
[ "$(cat "$systems/use/mnt/queue/stream")" = hello ]
check "cat" $?
passthrough=$(grep '"passthrough"' "$systems/use/mnt/queue/stats.json")
ok "umount" in_system use umount /mnt/queue
[ "$(in_system use chronq tail /var/spool/queue)" = hello ]
check "chronq tail" $?

# ---- ship and fetch ----

try_programs use

# ---- the services ----

try_service use "$passthrough"
try_nats_services use

# ---- purge ----

# In the started system, if there is one.
# shellcheck disable=SC2317 # works calls it
inside() { if [ -n "$boot_first" ]; then booted "$@"; else in_system use "$@"; fi; }
works "purge" inside env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 purge chronfs chronq chronq-nats
mounted=$(inside cat /proc/mounts)
[ -n "$mounted" ] && [[ $mounted != *fuse.chronfs* ]]
check "nothing is mounted any more" $?
left=$(while IFS= read -r file; do
	[ -d "$systems/use$file" ] || [ ! -e "$systems/use$file" ] || echo "$file"
done <<<"$installed")
left+=$(find "$systems/use"/{usr,etc/systemd} -name '*chronfs*' -o -name '*chronq*' | head)
[ -n "$installed" ] && [ -z "$left" ]
check "no file is left" $? "$left"
[ -f "$systems/use/var/spool/queue/000000000.q" ]
check "but the queue" $?
boot_end

# ---- the second build ----

if [ -n "$second" ]; then
	wait "$second"
	check "scripts/package builds them again, without root and a network" $? "$(tail -n 40 "$systems/second")"
	different=$(cd "$packages" && for file in *.deb *.dsc *.tar.*; do
		cmp -s "$file" "../../home/builder/packages/$file" || echo "$file"
	done)
	[ -z "$different" ] && [ "$(find "$packages" -name '*.deb' | wc -l)" -ge 10 ]
	check "both builds gave the same bytes" $? "different: $different; $(ls "$packages")"
fi

# ---- the packages as such ----

works "lintian is installed" in_system build "${apt[@]}" install lintian
# No Standards-Version is the newest for both Debians.
output=$(in_system build sh -c 'lintian --allow-root -I --fail-on none \
	--suppress-tags out-of-date-standards-version,newer-standards-version /root/packages/*.changes' 2>&1)
[ -z "$output" ]
check "lintian has nothing to say" $? "$output"

# ---- the library, in the system that has a compiler ----

# shellcheck disable=SC2046 # words are meant
works "libchronq0, libchronq-dev and python3-chronq are installed" in_system build "${apt[@]}" install \
	$(cd "$packages" && debs libchronq0_*.deb libchronq-dev_*.deb python3-chronq_*.deb)
cat >"$systems/build/root/program.c" <<'C'
#include <chronq.h>

int main(void)
{
	cq_writer *writer;

	return cq_writer_open("/root/queue", NULL, &writer) < 0 ||
	       cq_writer_append(writer, CQ_TYPE_DEFAULT, "built\n", 6, NULL) < 0 || cq_writer_close(writer) < 0;
}
C
# shellcheck disable=SC2016 # sh expands it
ok "a program builds with them, and runs" in_system build \
	sh -c 'cd /root && gcc program.c -o program $(pkg-config --cflags --libs chronq) && ./program'

[ "$(in_system build python3 -c 'import chronq; print([record.payload for record in chronq.Reader("/root/queue")])')" = "[b'built\\n']" ]
check "the Python module reads its record" $?
finish
