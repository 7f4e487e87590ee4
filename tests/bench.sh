#!/bin/bash
# What the suite costs: prints ratios measured side by side, never a verdict.
#
# Usage: tests/bench.sh BUILD_DIR [ROUNDS]

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/timing.bash
. tests/timing.bash

results=		# removed on every way out

# The kernel's own tool, from the tree that the suite is built against.
build_page_types() {
	local out=$1 mm=$linux/tools/mm lib=$linux/tools/lib

	[[ -e $mm/page-types.c ]] || return 1
	cc -O2 -w -I"$linux/tools/include" -I"$lib" -I"$lib/api" -o "$out" \
		"$mm/page-types.c" "$lib/api/fs/fs.c" "$lib/api/debug.c" "$lib/str_error_r.c"
}

# time_runs NAME COMMAND...: median wall time of five runs after one more.
time_runs() {
	local name=$1 start
	local -a times=()

	shift
	"$@" >/dev/null 2>&1 || { say "bench: $* failed"; return 1; }
	for _ in 1 2 3 4 5; do
		start=$(now_ms)
		"$@" >/dev/null 2>&1
		times+=($(($(now_ms) - start)))
	done
	printf '  %-34s %8d   ms (%d to %d)\n' "$name" "$(median "${times[@]}")" \
		"$(printf '%s\n' "${times[@]}" | sort -n | head -n 1)" \
		"$(printf '%s\n' "${times[@]}" | sort -n | tail -n 1)"
}

main() {
	local build=$1 rounds=${2:-15} page_types

	linux=$(scripts/linux.sh)
	page_types=$build/page-types
	if build_page_types "$page_types" 2>/dev/null; then
		export PAGE_TYPES=$page_types
	else
		say "bench: tools/mm/page-types does not build from $linux; left out"
	fi
	"$build/bench" "$rounds"

	results=$(mktemp -d /tmp/sept-bench.XXXXXX)
	trap 'rm -rf -- "$results"' EXIT
	printf 'Start-up, warm, whole processes (median of 5)\n'
	time_runs './run.sh --list' ./run.sh --list
	time_runs 'one binary, --list' "$build/bin/tests/allocation" --list
	time_runs './run.sh with one short case' ./run.sh --platform host --results "$results" \
		allocation.default.of_one_page_creates_that_page
}

main "$@"
