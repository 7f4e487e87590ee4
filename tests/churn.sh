#!/bin/bash
# Let the cases on TDs run in an emulator under AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer, again and again: its own defects and leaks, not the
# kernel's.  What becomes of the cases is shown, and no verdict.
#
# Usage: tests/churn.sh [MINUTES]	60 unless said; each case does ROUNDS (6) rounds

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cache.sh
. scripts/cache.sh

dir=		# of the machine; removed if all was well
tools=
bin=		# the tests
owner=$$
ran=0		# cases
lost=0		# files of which the machine did not see the end

cleanup() {
	[[ -z $tools ]] || "$tools/machine" stop --dir "$dir/machine" >/dev/null 2>&1 || :	# never started
}

# Of all that an emulator has said; a machine that was stopped has said it by then.
reports() {
	cat "$dir"/log.* "$dir/machine/bochs.log" 2>/dev/null |
		sed -n -E '/ERROR: |SUMMARY: |runtime error/{s/^==[0-9]+==//; p}' | sort | uniq -c
}

boot() {
	local bochs kernel tree initramfs

	part bochs emulator/bochs/build.sh --sanitize
	part kernel emulator/machine/kernel.sh
	part tree scripts/linux.sh
	part bin scripts/build.sh "$tree"
	part initramfs emulator/machine/initramfs.sh --bin "$bin" --agent "$tools/agent"
	# Bochs registers a CPU's state, for SAVE, before that has been reset.
	printf 'bool:paramtree.cc\n' >"$dir/known"
	export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=suppressions=$dir/known
	say 'the machine boots, which takes a sanitized one a minute or two'
	"$tools/machine" start --dir "$dir/machine" --owner "$owner" --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" \
		--tdx sanitizer=warn --tdx "vmlinux=$kernel/vmlinux"
}

# run NAME NUMBER FILE [ARGUMENT...]: some cases of a file, in a copy of the machine
run() {
	local log=$dir/log.$1.$2 out=$dir/out.$1.$2 status=0 ok bad

	SEPT_SEED=$2 SEPT_ROUNDS=${ROUNDS:-6} SEPT_TIMEOUT=600 "$tools/machine" exec \
		--dir "$dir/machine" --log "$log" --timeout 3600 -- "/tests/$3" "${@:4}" \
		</dev/null >"$out" 2>&1 || status=$?
	ok=$(grep -c '^ok' "$out" || :)
	bad=$(grep -c '^not ok' "$out" || :)
	ran=$((ran + ok + bad))
	((status != 125)) || lost=$((lost + 1))
	say "$(printf '%(%T)T %-16s exit %3d  %3d ok %3d not ok' -1 "$1" "$status" "$ok" "$bad")"
}

main() {
	local end number=0 file address found
	local -a files

	files=(tdx_sept_tests/td_*.c)
	part tools emulator/machine/tools.sh
	dir=$(mktemp -d /tmp/sept-churn.XXXXXX)
	trap cleanup EXIT
	boot
	end=$(($(date +%s) + 60 * ${1:-60}))
	while :; do
		number=$((number + 1))
		for file in "${files[@]}"; do
			(($(date +%s) < end)) || break 2
			file=${file##*/}
			file=${file%.c}
			if [[ $file != td_order ]]; then
				run "$file" "$number" "$file"
				continue
			fi
			# Its kernel can be probed once (emulator/machine/README.md, Limits).
			while read -r address _; do
				run "${address##*.}" "$number" "$file" -r "$address"
			done < <("$bin/tests/$file" --list)
		done
	done
	cleanup
	found=$(reports)
	((lost == 0)) || found+=$'\n'"the machine was lost $lost times"
	((ran > 0)) || found+=$'\n''no case has run'
	if [[ -n $found ]]; then
		say "the emulator is not clean, see $dir:" "$found"
		exit 1
	fi
	say 'no report'
	rm -rf -- "$dir"
}

main "$@"
