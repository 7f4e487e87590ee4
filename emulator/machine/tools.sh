#!/bin/bash
# Print the folder with the programs around the emulated machine: machine, agent,
# boot_image, rom.bin and msrs.def; the only line on stdout.

set -euo pipefail

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# Without the variables of a make that called this one.
build() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES \
		make --no-print-directory -j "$(nproc)" -C "$here" "O=$1" all
}

main() {
	local dir tmp why

	(( $# == 0 )) || die 2 "unknown argument '$1'"
	cache_find
	step_init
	dir=$({ gcc --version; cat "$here"/Makefile "$here"/*.[chS] "$here/rom.lds" "$here/msrs.def"; } |
	      sha256sum)
	dir=$cache_dir/machine/${dir:0:16}
	if ! cache_whole "$dir"; then
		cache_open machine 50
		cache_whole "$dir" || {
			rm -rf -- "$cache_dir"/machine/.tmp.*
			tmp=$(mktemp -d "$cache_dir/machine/.tmp.XXXXXX")
			step_tmp+=("$tmp")
			step_run "build the machine's programs" build "$tmp" || {
				why=$(grep -m 1 -E 'error:|undefined reference|\*\*\* ' "$step_log" || :)
				die 3 "the build failed${why:+: $why}$(step_why "$tmp"); see $step_log"
			}
			rm -f -- "$tmp"/*.o "$tmp"/*.d "$tmp/rom.elf"
			cp -- "$here/msrs.def" "$tmp"
			cache_put "$tmp" "$dir" || die 3 "cannot write $dir$(step_why "$tmp")"
			cache_prune "$cache_dir/machine" '[0-9a-f]*' 6
		}
	fi
	touch -c -- "$dir" 2>/dev/null || :	# its rank in cache_prune(); not if read-only
	printf '%s\n' "$dir"
}

main "$@"
