# shellcheck shell=bash
# Shell functions shared by the programs in this folder; sourced, never run.

# The top of the source tree, whatever folder the caller stands in.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

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
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# meson_dir DIR OPTION...: brings build directory DIR to these options, setting it up when it is
# new. One left by another meson version or by a broken first setup is made afresh.
# Meson's long answer is shown only when it fails.
meson_dir() {
	local dir=$1 log
	shift
	mkdir -p "$dir"
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
