#!/bin/bash
# Which lines, branches and functions of KVM's TDX code the tests of TDs reach, in
# the emulated machine.
#
# Usage: tests/coverage.sh [--out DIR] [NAME-GLOB...]
#
# The cases of a test file run one after the other in a machine of their own, as on
# hardware, on a kernel that counts; one by one if some of them fail there, as what
# leaves a kernel broken spoils it for the next.  Prints a table and the functions that
# were never called; DIR (default: build/coverage) receives gcov's annotated sources.

set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# shellcheck source=scripts/cache.sh
. scripts/cache.sh

# Test file and cases are $0 and the arguments.  The counters of the kernel are files
# without a size; tar would take them for empty.
# shellcheck disable=SC2016 # for the shell in the machine
in_machine='
/tests/$0 $(printf -- "-r %s " "$@") 2>&1 | grep -E "^(not )?ok " >&2
cd /sys/kernel/debug/gcov || exit
for file in $(find . -name "*.gcda"); do
	mkdir -p /tmp/gcov/${file%/*}
	cat $file >/tmp/gcov/$file
done
cd /tmp/gcov && tar -c -f - . | base64
'

# prepare: starts the machine; sets tools and bin.
prepare() {
	local tree bochs kernel initramfs

	scripts/deps.sh --machine
	part tree scripts/linux.sh
	part bin scripts/build.sh "$tree"
	part bochs emulator/bochs/build.sh
	part tools emulator/machine/tools.sh
	part kernel emulator/machine/kernel.sh --config gcov --patch tests/coverage/gcov.patch
	part initramfs emulator/machine/initramfs.sh --bin "$bin" --agent "$tools/agent"
	"$tools/machine" start --dir "$tmp/machine" --owner $$ --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --memory 2048 ||
		die 3 "the emulated machine does not start"
}

# run_cases FILE CASE...: add what they reach to $tmp/gcov; their verdicts are in
# $tmp/said.  Fails unless each of them has one, and a good one.
run_cases() {
	echo "coverage: $1 ($(($# - 1)))" >&2
	"$tools/machine" exec --dir "$tmp/machine" --timeout 1200 -- /bin/sh -c "$in_machine" "$@" \
		>"$tmp/data" 2>"$tmp/said" || return
	rm -rf -- "$tmp/new"
	mkdir "$tmp/new"
	tr -d '\r' <"$tmp/data" | base64 -d | tar -x -C "$tmp/new" || return
	if [[ -d $tmp/gcov ]]; then
		gcov-tool merge -o "$tmp/sum" "$tmp/gcov" "$tmp/new" 2>/dev/null || return
		rm -r -- "$tmp/gcov"
		mv -- "$tmp/sum" "$tmp/gcov"
	else
		mv -- "$tmp/new" "$tmp/gcov"
	fi
	(( $(grep -c '^ok ' "$tmp/said") == $# - 1 ))
}

# names_of FILE: its cases of TDs that one of GLOBS names, one a line.
names_of() {
	local name glob

	while read -r name _; do
		[[ $name == *.tdx* ]] || continue
		for glob in "${globs[@]}"; do
			# shellcheck disable=SC2053 # a glob
			[[ $name != $glob ]] || { echo "$name"; break; }
		done
	done < <("$1" --list)
}

run_all() {
	local test name
	local -a names

	for test in "$bin"/tests/*; do
		mapfile -t names < <(names_of "$test")
		(( ${#names[@]} )) || continue
		if run_cases "${test##*/}" "${names[@]}"; then
			cat "$tmp/said" >>"$tmp/verdicts"
			continue
		fi
		for name in "${names[@]}"; do
			run_cases "${test##*/}" "$name" || grep -q '^not ok ' "$tmp/said" ||
				echo "not ok 1 $name # no verdict, or no counters" >>"$tmp/said"
			cat "$tmp/said" >>"$tmp/verdicts"
		done
	done
}

main() {
	local out=$root/build/coverage tmp tools bin data
	local -a objects globs=('*')

	if [[ ${1-} == --out ]]; then
		out=$(realpath -m -- "${2:?}")
		shift 2
	fi
	(( $# == 0 )) || globs=("$@")
	cache_find
	step_init
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/coverage.XXXXXX")
	step_tmp+=("$tmp")
	prepare
	run_all
	"$tools/machine" stop --dir "$tmp/machine" || :	# it may have died
	[[ -d $tmp/gcov ]] || die 1 "no case got to its end"
	rm -rf -- "$out"
	mkdir -p "$out"
	cp "$tmp/verdicts" "$out/verdicts"
	# The kernel names the counters like the objects, and gcov wants the notes beside them.
	mapfile -t objects < <(cd "$tmp/gcov" && find . -name '*.gcda' | sed 's/^\.//')
	(( ${#objects[@]} )) || die 1 "the kernel has counted nothing"
	for data in "${objects[@]}"; do
		cp "${data%.gcda}.gcno" "$tmp/gcov$data" "$tmp"
	done
	(cd "$out" && gcov -b -f "$tmp"/*.gcda) >"$out/gcov.txt" 2>"$out/gcov.err"
	printf '%s ok, %s not ok\n' "$(grep -c '^ok' "$out/verdicts")" \
		"$(grep -c '^not ok' "$out/verdicts" || :)"
	scripts/coverage.py "$out"
}

main "$@"
