#!/bin/bash
# Which lines, branches and functions of KVM's TDX code the tests of TDs reach, in
# the emulated machine.
#
# Usage: tests/coverage.sh [--out DIR] [NAME-GLOB...]
#
# Runs each test file's cases of TDs one after the other in a single machine, as
# hardware would, on a kernel that counts.  Prints a table and the functions that
# were never called; DIR (default: build/coverage) receives gcov's annotated sources.

set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# shellcheck source=scripts/cache.sh
. scripts/cache.sh

# The counters of the kernel are files without a size; tar would take them for empty.
# shellcheck disable=SC2016 # for the shell in the machine
in_machine='
cd /tests || exit
tests=$(echo *)
set -f	# what globs has is for names of cases
for test in $tests; do
	set --
	for name in $(./$test --list | cut -f 1); do
		case $name in
		*.tdx*) for glob in $globs; do
				case $name in
				$glob) set -- "$@" -r $name
				       break ;;
				esac
			done ;;
		esac
	done
	[ $# = 0 ] || ./$test "$@" 2>&1 | grep -E "^(not )?ok " >&2
done
cd /sys/kernel/debug/gcov || exit
for file in $(find . -name "*.gcda"); do
	mkdir -p /tmp/gcov/${file%/*}
	cat $file >/tmp/gcov/$file
done
cd /tmp/gcov && tar -c -f - . | base64
'

# prepare: starts the machine; sets tools.
prepare() {
	local tree bochs kernel initramfs bin

	step_call scripts/linux.sh || exit
	tree=$REPLY
	step_call scripts/build.sh "$tree" || exit
	bin=$REPLY
	step_call emulator/bochs/build.sh || exit
	bochs=$REPLY
	step_call emulator/machine/tools.sh || exit
	tools=$REPLY
	step_call emulator/machine/kernel.sh --config gcov --patch tests/coverage/gcov.patch || exit
	kernel=$REPLY
	step_call emulator/machine/initramfs.sh --bin "$bin" --agent "$tools/agent" || exit
	initramfs=$REPLY
	"$tools/machine" start --dir "$tmp/machine" --owner $$ --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --rom "$tools/rom.bin" \
		--boot-image "$tools/boot_image" --msrs "$tools/msrs.def" --memory 2048 ||
		die 3 "the emulated machine does not start"
}

main() {
	local out=$root/build/coverage tmp tools globs='*' data
	local -a objects

	if [[ ${1-} == --out ]]; then
		out=$(realpath -m -- "${2:?}")
		shift 2
	fi
	(( $# == 0 )) || globs=$*
	cache_find
	step_init
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/coverage.XXXXXX")
	step_tmp+=("$tmp")
	prepare
	"$tools/machine" exec --dir "$tmp/machine" --env "globs=$globs" -- \
		/bin/sh -c "$in_machine" >"$tmp/data" 2>"$tmp/verdicts" ||
		die 1 "the tests did not get to their end: $(tail -n 1 "$tmp/verdicts")"
	"$tools/machine" stop --dir "$tmp/machine" || :	# it may have died
	mkdir "$tmp/gcov"
	tr -d '\r' <"$tmp/data" | base64 -d | tar -x -C "$tmp/gcov"
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
