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
		'(' -name '*.[ch]' -o -path 'tdx_sept_tests/*' ')' -print0 | LC_ALL=C sort -z
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

first_error() {
	grep -m 1 -E 'error:|undefined reference|\*\*\* ' "$step_log" || :	# or nothing to tell
}

build() {
	local tmp why
	local -a programs

	# A clone that belongs to somebody else is as good as one's own.
	{ mkdir -p build && [[ -w build ]]; } 2>/dev/null || objects=$cache_dir/build/objects
	step_run "build (${#sources[@]} sources)" run_make all || {
		why=$(first_error)
		die 3 "the build failed${why:+: $why}$(step_why "$objects"); see $step_log"
	}
	rm -rf -- "$cache_dir"/build/.tmp.*
	tmp=$(mktemp -d "$cache_dir/build/.tmp.XXXXXX")
	step_tmp+=("$tmp")
	mkdir -p "$tmp/bin/tests"
	mapfile -t programs < <(programs)
	# All tests are one file, and stay one.
	(cd "$objects/bin" && cp --parents --preserve=links -- "${programs[@]%.c}" "$tmp/bin") ||
		die 3 "cannot write to $tmp$(step_why "$tmp")"
	cache_put "$tmp" "$dir" ||
		die 3 "cannot write $dir$(step_why "$tmp")"
	cache_prune "$cache_dir/build" '[0-9a-f]*' 6
}

main() {
	local tree=${1-} objects=build outside dir
	local -a sources

	[[ $# -eq 1 && -d $tree/usr/include ]] || die 2 "want one argument: a tree, as linux.sh prints it"
	cache_find
	cd "$root"
	outside=$(run_make -s inputs) || die 3 "make, or a compiler, does not work"
	mapfile -d '' sources < <(source_files)
	dir=$(sha256sum -- "${sources[@]}" - <<<"$outside" | sha256sum)
	dir=$cache_dir/build/${dir:0:16}

	step_init
	if ! cache_whole "$dir"; then
		cache_open build 200
		cache_whole "$dir" || build
	fi
	touch -c -- "$dir" 2>/dev/null || :	# its rank in cache_prune(); not if read-only
	printf '%s\n' "$dir/bin"
}

main "$@"
