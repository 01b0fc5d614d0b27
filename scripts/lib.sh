# shellcheck shell=bash
# Shell functions shared by the programs in this folder; sourced, never run.

# Where the running program and the source tree are, whatever folder the caller is in, also where the
# program is run by a symbolic link.
unset CDPATH
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
self=$root/scripts/$(basename "$(readlink -f "$0")")

# Everything that is built is below $build: where BUILD_DIR says, else in the source tree.
# shellcheck disable=SC2034 # for the programs
build=$(realpath -m -- "${BUILD_DIR:-$root/build}")

say() { printf '%s\n' "$*"; }

warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	warn "$*"
	exit 1
}

# Runs a command as root: directly when we are root, else through sudo.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root for: $* (no sudo here; run it as root)"
	fi
}

# The comment block at the head of the running script is its --help text.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$self"; }

# unknown ARGUMENT: ends the program, which does not know it.
unknown() {
	warn "unknown argument: $1 (see --help)"
	exit 2
}

# build_folder DIR: makes it, or says why nothing can be built there.
build_folder() {
	local dir=$1 other
	[ -f "$root/meson.build" ] || die "$root is not the source tree of chronfs"
	if ! mkdir -p "$dir" 2>/dev/null; then
		die "cannot make $dir; build elsewhere: BUILD_DIR=FOLDER $self"
	fi
	other=$(find "$dir" -type d ! -writable -printf '%p belongs to %u' -prune -quit 2>/dev/null)
	[ -z "$other" ] ||
		die "$other: remove it, or build elsewhere: BUILD_DIR=FOLDER $self"
}

# meson_dir DIR OPTION...: brings build directory DIR to these options, setting it up when it is
# new. One left by another meson version or by a broken first setup is made afresh.
# Meson's long answer is shown only when it fails.
meson_dir() {
	local dir=$1 log
	shift
	build_folder "$dir"
	say "building in $dir"
	log=$dir/setup.log
	# Asked to build build.ninja, ninja lets meson look at its files again if they changed.
	if [ -f "$dir/build.ninja" ] && {
		meson configure "$dir" "$@" && ninja -C "$dir" build.ninja
	} >"$log" 2>&1; then
		return 0
	fi
	rm -rf --one-file-system "$dir"
	mkdir -p "$dir"
	meson setup "$dir" "$root" "$@" >"$log" 2>&1 || {
		cat "$log"
		return 1
	}
}
