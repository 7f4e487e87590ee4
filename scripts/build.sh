#!/bin/bash
# Print the folder of the built binaries; the only line on stdout.
#
#   build.sh TREE
#
# TREE is what linux.sh printed.  Builds in build/ of the clone, step by step as
# the sources change, and keeps what comes out in the cache, where a fresh clone
# of the same sources finds it.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

source_files() {
	# What lib/seamcall.c shares with the emulated module, too.
	find lib include tdx_sept_tests scripts \
		emulator/tdx_module/{status.c,internal.h,tdx_module.h} -type f \
		'(' -name '*.[chS]' -o -name '*.ld' -o -path 'tdx_sept_tests/*' ')' -print0 | LC_ALL=C sort -z
}

# What the sources make; build/bin may also have what older ones made.
programs() {
	find tdx_sept_tests -name '*.c' -printf 'tests/%f\n'
	find scripts -maxdepth 1 -name '*.c' -printf '%f\n'
}

# Without the variables of a make that called this one.
run_make() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u SANITIZE \
		make --no-print-directory -j "$(nproc)" "LINUX=$tree" "O=$objects" "$@"
}

# make(1) goes by times, the cache by content.  A source that changed without being newer
# than what was made of it (rsync -a; another clone with the same objects) has
# everything made again.
forget_stale() {
	local file

	while read -r _ file; do
		[[ $file -nt $objects/sums ]] || rm -f -- "$objects/inputs"
	done < <(printf '%s\n' "$sums" | grep -vxFf "$objects/sums" 2>/dev/null)
	[[ -e $objects/sums ]] || rm -f -- "$objects/inputs"
}

build() {
	local tmp=$1
	local -a programs

	# A clone that belongs to somebody else is as good as one's own.
	{ mkdir -p build && [[ -w build ]]; } 2>/dev/null || objects=$cache_dir/build/objects
	forget_stale
	step_run "build (${#sources[@]} sources)" run_make all ||
		die 3 "the build failed$(step_error)$(step_why "$objects"); see $step_log"
	if [[ $(sha256sum -- "${sources[@]}") != "$sums" ]]; then
		rm -f -- "$objects/inputs"
		die 3 "the sources changed while they were built; try again"
	fi
	printf '%s\n' "$sums" >"$objects/sums" || die 3 "cannot write to $objects$(step_why "$objects")"
	mkdir -p "$tmp/made/bin/tests"
	mapfile -t programs < <(programs)
	# All tests are one file, and stay one.
	(cd "$objects/bin" && cp --parents --preserve=links -- "${programs[@]%.c}" "$tmp/made/bin") ||
		die 3 "cannot write to $tmp$(step_why "$tmp")"
}

main() {
	local tree=${1-} objects=build outside sums dir
	local -a sources

	[[ $# -eq 1 && -d $tree/usr/include ]] || die 2 "want one argument: a tree, as linux.sh prints it"
	cache_find
	cd "$root"
	outside=$(run_make -s inputs) || die 3 "make, or a compiler, does not work"
	mapfile -d '' sources < <(source_files)
	sums=$(sha256sum -- "${sources[@]}")
	dir=$(printf '%s\n' "$sums" "$outside" | sha256sum)
	dir=$cache_dir/build/${dir:0:16}

	step_init
	cache_make "$dir" 200 6 build
	printf '%s\n' "$dir/bin"
}

main "$@"
