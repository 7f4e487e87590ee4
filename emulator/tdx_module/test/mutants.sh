#!/bin/bash
# Breaks one check of the library at a time, and sees whether the tests notice.
#
# Usage: test/mutants.sh BUILD_DIR CORPUS_DIR [NAME...]
#
# Prints for each mutant what caught it: the unit tests, and the fuzzer's target on
# the inputs in CORPUS_DIR.  Exits 1 if nothing caught one of them.

set -euo pipefail
cd "$(dirname "$0")/.."

flags=(-std=c11 -O1 -w -I.)
work=

# objects FILE...: compile into the work folder.
objects() {
	local file

	for file; do
		cc "${flags[@]}" -c "$file" -o "$work/$(basename "$file" .c).o"
	done
}

link() {
	cc -Wl,--wrap=calloc -o "$work/unit" "$work"/{world,codes,operands,tap}.o "$work"/*_test.o \
		"${lib[@]}" -lnettle
	cc -o "$work/replay" "$work"/{fuzz,replay,world,codes}.o "${lib[@]}" -lnettle
}

# caught COMMAND...: does it fail, crash or hang?
caught() {
	! { timeout 120 "$@" >"$work/log" 2>&1 </dev/null; } 2>/dev/null
}

# why NUMBER: what the log says of the units, of which so many failed.
why() {
	if (($1)); then
		printf '%d unit tests' "$1"
	else
		printf 'unit tests cannot go on'
	fi
}

try() {
	local name=$1 file=$2 expression=$3 by=()

	sed "$expression" "$file" >"$work/mutant.c"
	if cmp -s "$file" "$work/mutant.c"; then
		printf '%-26s the expression matches nothing in %s\n' "$name" "$file"
		return 1
	fi
	if ! cc "${flags[@]}" -c "$work/mutant.c" -o "$work/$(basename "$file" .c).o"; then
		printf '%-26s does not compile\n' "$name"
		return 1
	fi
	link
	if caught "$work/unit"; then
		by+=("$(why "$(grep -c '^not ok' "$work/log" || true)")")
	fi
	if caught "$work/replay" "$corpus"/*; then
		by+=("fuzzer: $(grep -m 1 '^fuzz.c' "$work/log" || printf 'crash')")
	fi
	objects "$file"
	if ((${#by[@]} == 0)); then
		printf '%-26s NOT CAUGHT\n' "$name"
		return 1
	fi
	printf '%-26s %s\n' "$name" "$(IFS=','; printf '%s' "${by[*]}")"
}

main() {
	local build=$1 name file expression
	local -i survivors=0 n=0

	corpus=$(realpath "$2")
	shift 2
	work=$build/mutants
	mkdir -p "$work"
	objects ./*.c test/*.c
	lib=(./*.c)
	lib=("${lib[@]/#.\//$work/}")
	lib=("${lib[@]/%.c/.o}")
	link
	if caught "$work/unit" || caught "$work/replay" "$corpus"/*; then
		printf 'the tests fail without any mutant, see %s\n' "$work/log"
		exit 1
	fi
	while IFS=$'\t' read -r name file expression; do
		[[ -n $name && $name != \#* ]] || continue
		(($# == 0)) || [[ " $* " == *" $name "* ]] || continue
		n+=1
		try "$name" "$file" "$expression" || survivors+=1
	done <test/mutants.tsv
	printf '%d mutants, %d survived\n' "$n" "$survivors"
	((survivors == 0))
}

main "$@"
