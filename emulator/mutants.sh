#!/bin/bash
# Breaks one check of a part at a time, and sees whether its tests notice.
#
# Usage: mutants.sh PART BUILD_DIR [NAME...]     (make mutants in the part's folder)
#
# PART/test/mutants.tsv has a line for each: name, file, sed expression.  Exits 1 if
# the tests pass with one of them.

set -euo pipefail
cd "$(dirname "$0")"

try() {
	local part=$1 build=$2 name=$3 file=$4 expression=$5
	local others
	local mutant=$build/mutants/mutant.c object=$build/mutants/${file%.c}.o log=$build/mutants/log

	sed "$expression" "$part/$file" >"$mutant"
	if cmp -s "$part/$file" "$mutant"; then
		printf '%-26s the expression matches nothing in %s\n' "$name" "$file"
		return 1
	fi
	if ! cc -std=c11 -D_GNU_SOURCE -g -O1 -w -fsanitize=address,undefined -fno-sanitize-recover=all \
	     -iquote "$part" -c "$mutant" -o "$object"; then
		printf '%-26s does not compile\n' "$name"
		return 1
	fi
	mapfile -t others < <(find "$build/asan" -name "*.o" ! -name "${file%.c}.o" ! -name seamcalls.o)
	if ! cc -fsanitize=address,undefined -no-pie -Wl,--wrap=calloc -o "$build/mutants/unit" \
	     "$object" "${others[@]}" "${libs[@]}"; then
		printf '%-26s cannot be linked\n' "$name"
		return 1
	fi
	if timeout 120 "$build/mutants/unit" >"$log" 2>&1 </dev/null; then
		printf '%-26s NOT CAUGHT\n' "$name"
		return 1
	fi
	printf '%-26s %s\n' "$name" "$(grep -m 1 '^not ok' "$log" || printf 'unit tests cannot go on')"
}

main() {
	local part=$1 build name file expression
	local -i survivors=0 n=0

	build=$(realpath "$2")
	shift 2
	# What the part's Makefile links with.
	read -ra libs < <(make -s --no-print-directory -C "$part" libs "O=$build")
	mkdir -p "$build/mutants"
	if ! "$build/unit-asan" >"$build/mutants/log" 2>&1 </dev/null; then
		printf 'the tests fail without any mutant, see %s\n' "$build/mutants/log"
		exit 1
	fi
	while IFS=$'\t' read -r name file expression; do
		[[ -n $name && $name != \#* ]] || continue
		(($# == 0)) || [[ " $* " == *" $name "* ]] || continue
		n+=1
		try "$part" "$build" "$name" "$file" "$expression" || survivors+=1
	done <"$part/test/mutants.tsv"
	printf '%d mutants, %d survived\n' "$n" "$survivors"
	if ((n == 0)); then
		printf 'there is no mutant %s in %s/test/mutants.tsv\n' "$*" "$part" >&2
		return 1
	fi
	((survivors == 0))
}

main "$@"
