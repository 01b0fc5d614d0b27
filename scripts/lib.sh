# shellcheck shell=bash
# Shell functions shared by the programs in this folder; sourced, never run.

# The running program and the source tree, from any folder of the caller, and also when a symbolic link
# leads to the program.
unset CDPATH
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
self=$root/scripts/$(basename "$(readlink -f "$0")")

# All builds go below $build: BUILD_DIR if it is set, else a folder of the source tree.
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

# Prints the comment block at the head of the running script: its --help text.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$self"; }

# unknown ARGUMENT: ends the program with the message that it does not know this argument.
unknown() {
	warn "unknown argument: $1 (see --help)"
	exit 2
}

# build_folder DIR: makes the folder, or ends the program with the reason why it cannot build there.
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

# meson_dir DIR OPTION...: gives build directory DIR these options, and sets it up when it is
# new. It replaces one that another meson version or a broken first setup has left.
# It shows meson's long output only on failure.
meson_dir() {
	local dir=$1 log interrupt good=no
	shift
	build_folder "$dir"
	say "building in $dir"
	log=$dir/setup.log
	# Ctrl-C ends meson like an error, and must not remove a good build directory.
	interrupt=$(trap -p INT)
	trap 'exit 130' INT
	# When ninja builds build.ninja, it runs meson again if meson's files have changed.
	if [ -f "$dir/build.ninja" ] && {
		meson configure "$dir" "$@" && ninja -C "$dir" build.ninja
	} >"$log" 2>&1; then
		good=yes
	fi
	eval "${interrupt:-trap - INT}"
	[ "$good" = no ] || return 0
	rm -rf --one-file-system "$dir"
	mkdir -p "$dir"
	meson setup "$dir" "$root" "$@" >"$log" 2>&1 || {
		cat "$log"
		return 1
	}
}

# Writes a tar of the source tree to standard output: the files as the developer sees them now, without those that
# git ignores (build directories). Further arguments are tar's.
source_tree() {
	if git -C "$root" -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		# A file deleted but still in the index is listed too; tar must not trip over it.
		git -C "$root" -c safe.directory='*' ls-files -coz --exclude-standard |
			(cd "$root" && while IFS= read -r -d '' file; do
				if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
			done) |
			tar -C "$root" --null --no-recursion -T - "$@" -c
	else
		tar -C "$root" --exclude=./build --exclude=./.git "$@" -c .
	fi
}
