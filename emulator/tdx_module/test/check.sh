#!/bin/bash
# Runs the unit tests, plain and sanitized, then the fuzzer; one TAP on stdout.
#
# Usage: test/check.sh BUILD_DIR [FUZZ_SECONDS CORPUS_DIR]    without: no fuzzer

set -euo pipefail

declare -i n=0 failed=0

# result OK NAME: one line.  OK is "ok" or "not ok".
result() {
	n+=1
	printf '%s %d %s\n' "$1" "$n" "$2"
	[[ $1 == ok ]] || failed+=1
}

# units BINARY PREFIX: pass its lines on, with numbers of ours.
units() {
	local binary=$1 prefix=$2 line
	local -i planned=0 told=0 before=failed status=0

	while IFS= read -r line; do
		case $line in
		"TAP version "*)
			;;
		1..*)
			planned=${line#1..}
			;;
		"ok "* | "not ok "*)
			told+=1
			result "${line%% [0-9]*}" "$prefix.${line#*ok +([0-9]) }"
			;;
		*)	# also what a sanitizer says
			printf '# %s\n' "${line#\# }"
			;;
		esac
	done < <("$binary" 2>&1)
	wait "$!" || status=$?
	((told && told == planned)) || result "not ok" "$prefix ended before its plan was done"
	# LeakSanitizer speaks behind the last test.
	((!status || failed > before)) || result "not ok" "$prefix exited with status $status"
}

fuzz() {
	local build=$1 seconds=$2 corpus=$3 log=$1/fuzz.log

	"$(dirname "$0")/seeds.sh" "$corpus"
	if "$build/fuzzer" -max_total_time="$seconds" -max_len=4096 -len_control=0 \
	   -verbosity=0 -artifact_prefix="$build/" "$corpus" >"$log" 2>&1; then
		printf '# %s\n' "$(tail -n 1 "$log")"
		result ok "fuzz for $seconds s"
	else
		sed 's/^/# /' "$log" | tail -n 30
		result "not ok" "fuzz, see $log; run the crash-* file beside it again"
	fi
}

main() {
	shopt -s extglob
	printf 'TAP version 13\n'
	units "$1/unit" plain
	units "$1/unit-asan" sanitized
	(($# == 1)) || fuzz "$1" "$2" "$3"
	printf '1..%d\n' "$n"
	((failed == 0))
}

main "$@"
