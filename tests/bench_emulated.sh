#!/bin/bash
# How fast the emulated machine is, by this host's clock: prints figures, never a
# verdict.
#
# Usage: tests/bench_emulated.sh BUILD_DIR [ROUNDS]
#
# Each figure is the time of much work less that of none, in copies of one booted
# machine; with the sanitizer off and on in turn, so that a host whose speed drifts
# slows both alike.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cache.sh
. scripts/cache.sh
# shellcheck source=tests/timing.bash
. tests/timing.bash

dir=		# of the machine; removed on every way out
tools=

cleanup() {
	[[ -z $tools ]] || "$tools/machine" stop --dir "$dir/machine" >/dev/null 2>&1 || :	# never started
	[[ -z $dir ]] || rm -rf -- "$dir"
}

# in_machine SANITIZER COMMAND...: sets ms and said.
in_machine() {
	local mode=$1 start

	shift
	start=$(now_ms)
	said=$("$tools/machine" exec --dir "$dir/machine" --option "sanitizer=$mode" -- "$@" 2>"$dir/errors") || {
		say "bench: $* failed: $(tail -n 1 "$dir/errors")"
		return 1
	}
	ms=$(($(now_ms) - start))
}

# work NAME UNIT ROUNDS PER_ROUND
work() {
	local name=$1 unit=$2 nr=$3 per=$4 mode ms said empty calls
	local -A times=([off]='' [warn]='')

	for ((i = 0; i < rounds; i++)); do
		for mode in off warn; do
			in_machine "$mode" /bin/bench_td "$name" 0 || return 0
			empty=$ms
			in_machine "$mode" /bin/bench_td "$name" "$nr" || return 0
			calls=$said
			times[$mode]+=" $((ms - empty))"
		done
	done
	# shellcheck disable=SC2086 # a list of numbers
	awk -v off="$(median ${times[off]})" -v on="$(median ${times[warn]})" -v unit="$unit" \
		-v n="$((nr * per))" -v calls="$calls" 'BEGIN {
		printf "  %-28s %9.0f /s   %9.0f SEAMCALLs/s   %6.2f x with the sanitizer\n",
			unit, n * 1000 / off, calls * 1000 / off, on / off }'
}

main() {
	local build=$1 bochs kernel initramfs start
	rounds=${2:-3}

	part tools emulator/machine/tools.sh
	part bochs emulator/bochs/build.sh
	part kernel emulator/machine/kernel.sh
	dir=$(mktemp -d /tmp/sept-bench.XXXXXX)
	trap cleanup EXIT
	mkdir -p "$dir/bin/tests"
	cp "$build/bench_td" "$dir/bin/"
	part initramfs emulator/machine/initramfs.sh --bin "$dir/bin" --agent "$tools/agent"

	start=$(now_ms)
	"$tools/machine" start --dir "$dir/machine" --owner $$ --bochs "$bochs/bochs" --kernel "$kernel/vmlinux.boot" \
		--initramfs "$initramfs" --tdx sanitizer=off
	printf 'The emulated machine (medians of %d)\n' "$rounds"
	printf '  %-28s %9d ms\n' 'power-on to the first command' $(($(now_ms) - start))
	in_machine off /bin/true
	printf '  %-28s %9d ms\n' 'a command that does nothing' "$ms"
	work map 'pages mapped and unmapped' 20 512
	work enter 'TD entries (TDVMCALL)' 100 512
	work life 'TDs created and destroyed' 20 1
}

main "$@"
