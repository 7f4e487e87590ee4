#!/bin/bash
# Tests this project's own code, and ends with "N passed, N failed, N skipped".
#
# Usage: tests/check.sh [GLOB...]   only the parts whose names match
#
# The parts: style (shellcheck, the README's tables), claims (docs/claims.md), units
# (tests/*_test.c), sanitized (the same under ASan and UBSan), tdx_module (the emulated
# TDX module, with a minute of fuzzing, or SEPT_FUZZ_SECONDS), sanitizer, trace and
# control (what looks on at that module), and every tests/*.bats by its name;
# suite.bats runs the suite itself, also with faked readings, when it has to fail
# wherever it asserts references.

set -euo pipefail
cd "$(dirname "$0")/.."

log=
passed=0 failed=0 skipped=0
declare -a red=() red_logs=()

say() { printf '%s\n' "$*" >&2; }

# count TAP_FILE PART: add up its test lines; tell the failed ones.
count() {
	local file=$1 part=$2 line
	local p f s planned before=${#red[@]}

	# Nested lines of the harness are indented or start with "#".
	p=$(grep -cE '^ok ' "$file" || true)		# grep -c exits 1 on zero
	f=$(grep -cE '^not ok ' "$file" || true)
	s=$(grep -cE '^ok .*# (SKIP|skip)' "$file" || true)
	planned=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$file" | head -n 1)
	((passed += p - s)) || true			# (( )) is false on zero
	((failed += f)) || true
	((skipped += s)) || true
	while IFS= read -r line; do
		red+=("$part: $line")
	done < <(grep -E '^not ok ' "$file" || true)
	# What was planned but never told has not passed.
	if [[ -z $planned ]] || ((p + f < planned)); then
		((failed += 1))
		red+=("$part: ended before its plan was done, see $file")
	elif ((planned == 0)); then
		((skipped += 1))
	fi
	((${#red[@]} == before)) || red_logs+=("$file")
	say "  $part: $((p - s)) passed, $f failed, $s skipped"
}

# What a log says of its failed tests, or its end if it is none of TAP.
excerpt() {
	if grep -q '^not ok ' "$1"; then
		# The harness tells before the verdict, bats behind it.
		awk '/^ok /	{ before = ""; red = 0; next }
		     /^not ok /	{ printf "%s%s\n", before, $0; before = ""; red = 1; next }
		     red	{ print; next }
				{ before = before $0 "\n" }' "$1"
	else
		cat "$1"
	fi | cut -c 1-300 | tail -n 60
}

# verdict PART STATUS: one result for a part that is no TAP producer.
verdict() {
	if (($2 == 0)); then
		((passed += 1))
		say "  $1: passed"
	else
		((failed += 1))
		red+=("$1: see $log/$1.log")
		red_logs+=("$log/$1.log")
		say "  $1: FAILED, see $log/$1.log"
	fi
}

wanted() {
	local name=$1 glob

	((${#globs[@]})) || return 0
	for glob in "${globs[@]}"; do
		# shellcheck disable=SC2053	# a glob is meant to be one
		[[ $name == $glob ]] && return 0
	done
	return 1
}

any_wanted() {
	local name

	for name; do
		! wanted "$name" || return 0
	done
	return 1
}

style() {
	local files=(run.sh .ci/run scripts/*.sh tests/*.sh emulator/*.sh emulator/*/*.sh emulator/*/test/*.sh)

	shellcheck -x "${files[@]}" && shellcheck -s bats tests/*.bats &&
		in_readme && by_mutants
}

# The README's tables are made by hand, and have every test.
in_readme() {
	local test rc=0

	for test in tdx_sept_tests/*.c; do
		test=${test##*/}
		grep -q "\`${test%.c}\`" README.md || {
			echo "README.md does not say what ${test%.c} is for"
			rc=1
		}
	done
	return $rc
}

# A mutant that a test says to be for it names the test.
by_mutants() {
	local test mutant rc=0
	# Up to the full stop, on however many lines.
	local list='/^ \* Mutants: /{:a;/\.$/!{N;ba};s/^ \* Mutants: //;s/\n \*//g;p}'

	for test in tdx_sept_tests/*.c; do
		for mutant in $(sed -n "$list" "$test" | tr -d ',.'); do
			scripts/mutants.py tests "tests/mutants/$mutant.patch" |
				grep "^$(basename "$test" .c)\([.*]\|$\)" >/dev/null || {
				echo "$test is said to notice $mutant, whose patch does not name it"
				rc=1
			}
		done
	done
	return $rc
}

build() {
	make -k -j"$(nproc)" O="$1" LINUX="$linux" "${@:2}"
}

units() {
	local dir=$1 part=$2 name status

	for name in "${tests[@]}"; do
		wanted "$part" || wanted "$name" || continue
		status=0
		"$dir/units/$name" >"$log/$part.$name.tap" 2>&1 </dev/null || status=$?
		# A sanitizer may speak behind the last test.  Status 4 is a skip of all.
		((status == 0 || status == 4)) || grep -q '^not ok ' "$log/$part.$name.tap" ||
			echo "not ok - it exited with status $status" >>"$log/$part.$name.tap"
		count "$log/$part.$name.tap" "$part $name"
	done
}

main() {
	local bats file part
	local -a bats_files=(tests/*.bats) tests=(tests/*_test.c)

	globs=("$@")
	bats_files=("${bats_files[@]##*/}")
	tests=("${tests[@]##*/}")
	tests=("${tests[@]%.c}")
	((EUID == 0)) || { say "make check: the tests need root; run it as root"; exit 3; }
	scripts/deps.sh
	linux=$(scripts/linux.sh)
	log=${SEPT_CHECK_LOG:-$(mktemp -d /tmp/sept-check.XXXXXX)}
	mkdir -p "$log"
	say "make check: logs are in $log"

	if wanted style; then
		local status=0
		style >"$log/style.log" 2>&1 || status=$?
		verdict style $status
	fi
	if wanted claims; then
		local status=0
		scripts/claims.py check >"$log/claims.log" 2>&1 || status=$?
		verdict claims $status
	fi
	# Some *.bats use what is built, too, and it may be older than the sources.
	if any_wanted build units "${tests[@]}" "${bats_files[@]}"; then
		local status=0
		build build all units >"$log/build.log" 2>&1 || status=$?
		verdict build $status
		units build units
	fi
	if wanted sanitized; then
		local status=0
		build build/sanitized units SANITIZE=1 >"$log/sanitized.log" 2>&1 || status=$?
		verdict sanitized $status
		units build/sanitized sanitized
	fi
	if wanted tdx_module; then
		make -C emulator/tdx_module "O=$PWD/build/tdx_module" check \
			"FUZZ_SECONDS=${SEPT_FUZZ_SECONDS:-60}" >"$log/tdx_module.tap" 2>&1 || true
		count "$log/tdx_module.tap" tdx_module
	fi
	for part in sanitizer trace control; do
		wanted "$part" || continue
		make -C "emulator/$part" "O=$PWD/build/$part" check >"$log/$part.tap" 2>&1 || true
		count "$log/$part.tap" "$part"
	done
	for bats in "${bats_files[@]}"; do
		wanted "$bats" || continue
		bats --tap "tests/$bats" >"$log/$bats.tap" 2>&1 </dev/null || true
		count "$log/$bats.tap" "$bats"
	done

	# On a machine that is gone afterwards, as CI's, this is all that is left of them.
	for file in "${red_logs[@]}"; do
		say "--- $file"
		excerpt "$file" >&2
	done
	if ((${#red[@]})); then
		say "Not passed:"
		printf '  %s\n' "${red[@]}" >&2
	fi
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	((failed == 0 && passed > 0))
}

main "$@"
