#!/bin/bash
# Print the folder with the programs around the emulated machine: machine, agent,
# boot_image, rom.bin and msrs.def; the only line on stdout.

set -euo pipefail

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# Without the variables of a make that called this one.
run_make() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES \
		make --no-print-directory -j "$(nproc)" -C "$here" "O=$1" all
}

# Sets REPLY to the name of what comes of the sources as they are.
key() {
	REPLY=$({ gcc --version; cat "$here"/Makefile "$here"/*.[chS] "$here/rom.lds" "$here/msrs.def"; } |
		sha256sum)
	REPLY=${REPLY:0:16}
}

# build KEY TMP
build() {
	local made=$2/made

	step_run "build the machine's programs" run_make "$made" ||
		die 3 "the build failed$(step_error)$(step_why "$made"); see $step_log"
	rm -f -- "$made"/*.o "$made"/*.d "$made/rom.elf"
	cp -- "$here/msrs.def" "$made"
	key
	[[ $REPLY == "$1" ]] || die 3 "the sources changed while they were built; try again"
}

main() {
	local dir

	(( $# == 0 )) || die 2 "unknown argument '$1'"
	cache_find
	step_init
	key
	dir=$cache_dir/machine/$REPLY
	cache_make "$dir" 50 6 build "$REPLY"
	printf '%s\n' "$dir"
}

main "$@"
