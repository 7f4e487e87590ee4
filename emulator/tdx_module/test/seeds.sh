#!/bin/bash
# Fills an empty corpus with inputs that are random, but always the same.
#
# Usage: test/seeds.sh CORPUS_DIR
#
# From nothing, libFuzzer would take long to find inputs that reach a TD that runs.

set -euo pipefail

# What the first byte of an input asks for: module ready, then one to three TDs,
# with one vCPU or two, finalized or not; or nothing.
preludes=(49 69 51 59 71 79 39 19 01 00 c9 f9)

main() {
	local dir=$1 i bytes

	mkdir -p "$dir"
	[[ -z $(find "$dir" -type f -print -quit) ]] || return 0
	for ((i = 0; i < 48; i++)); do
		bytes=$(shuf -r -i 0-255 -n 3000 --random-source=<(seq "$i" 9000) |
			awk '{ printf "\\x%02x", $1 }')
		printf '%b' "\\x${preludes[i % ${#preludes[@]}]}$bytes" >"$dir/seed-$i"
	done
}

main "$@"
