#!/bin/bash
# Runs the suite against kernels that are wrong on purpose, and writes down who notices.
#
# Usage: tests/mutants.sh [OPTION...] [GLOB...]      (make mutants MUTANT=GLOB)
#
#   --whole             all cases of TDs, not just those that the patches name
#   --sanitizer MODE    off, warn or both (default: both, one after the other)
#   --apart             a kernel for each mutant, not one for all
#   --again             run also what has its line already
#   --results DIR       where lines and runs go (default: results/mutants)
#   --doc FILE          write the table of all mutants there
#
# GLOBs are names of tests/mutants/*.patch, on the pinned kernel with a conversion in
# place, so that there are mutants of that, too.  One kernel has them all and is told in
# each case which to be (scripts/mutants_together.py); it is built and booted once.  First it
# has to be green as none of them, as what is red there proves nothing.  A mutant that
# was run with the same patch, cases, tests and emulator is not run again, so after an
# interruption the same command goes on.
#
# Exit status: 0 if each mutant is caught, or its header says why it is not; 1 if not,
# or one could not be built; 2 usage; 3 the infrastructure; 130, 143 interrupted.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# What every mutant meets, besides the cases that its header names.
common=(
	td_memory.tdx.that_is_accepted_is_freed_by_a_punch
	td_memory.tdx.goes_before_its_td
	td_life.tdx.can_end_in_any_order
)

base=$root/configs/kernel/patches/in-place-conversion.patch
seed=0x5eed
case_seconds=40		# of the machine's time
more_seconds=120	# the same, of a mutant that wants more rounds
run_seconds=150		# of this host's, after which no other case of a mutant begins
whole_seconds=3600	# the same, of all cases, or of those that all mutants name

parse() {
	local parsed

	parsed=$(getopt -n mutants -o '' -l whole,again,apart,sanitizer:,results:,doc: -- "$@") || exit 2
	eval "set -- $parsed"	# getopt's own quoting; there is no other way to read it
	while [[ $1 != -- ]]; do
		case $1 in
		--whole)	whole=1 run_seconds=$whole_seconds ;;
		--again)	again=1 ;;
		--apart)	apart=1 ;;
		--results)	results=$(realpath -m -- "$2"); shift ;;
		--doc)		doc=$2; shift ;;
		--sanitizer)
			case $2 in
			both)		modes=(off warn) ;;
			off | warn)	modes=("$2") ;;
			*)		die 2 "--sanitizer=$2: want off, warn or both" ;;
			esac
			shift ;;
		esac
		shift
	done
	shift
	globs=("$@")
}

name_of() {
	REPLY=${1##*/}
	REPLY=${REPLY%.patch}
}

# Sets patches: those whose names match.
choose() {
	local glob file found

	for glob in "${globs[@]:-*}"; do
		found=
		for file in "$root"/tests/mutants/*.patch; do
			name_of "$file"
			# shellcheck disable=SC2053 # a glob is meant to be one
			[[ $REPLY == $glob ]] || continue
			found=1
			[[ " ${patches[*]} " == *" $file "* ]] || patches+=("$file")
		done
		[[ -n $found ]] || die 2 "no mutant is named $glob"
	done
	"$root/scripts/mutants.py" tests "${patches[@]}" >/dev/null || exit
}

# Sets what the machine is made of, but for its kernel, and addresses and of_tds.
prepare() {
	local tree

	step_call "$root/scripts/deps.sh" --machine || exit
	part tree "$root/scripts/linux.sh"
	part bin "$root/scripts/build.sh" "$tree"
	part bochs "$root/emulator/bochs/build.sh"
	part tools "$root/emulator/machine/tools.sh"
	part initramfs "$root/emulator/machine/initramfs.sh" --bin "$bin" --agent "$tools/agent"
	mapfile -t addresses < <("$bin/runner" --bin-dir "$bin" --list)
	mapfile -t of_tds < <("$bin/runner" --bin-dir "$bin" --vm-type tdx --list)
	(( ${#of_tds[@]} )) || die 3 "there are no cases of TDs"
}

# Whether ADDRESS matches GLOB, as the runner has it: by file, file.variant or in whole.
address_matches() {
	local address=$1 glob=$2

	# shellcheck disable=SC2053 # a glob is meant to be one
	[[ $address == $glob || ${address%.*} == $glob || ${address%%.*} == $glob ]]
}

# cases_of PATCH...: sets cases, the addresses that they name and that exist, and behind
# them the common ones.
cases_of() {
	local address glob
	local -a named
	local -A have=()

	cases=()
	if (( whole )); then
		cases=("${of_tds[@]}")
		return
	fi
	mapfile -t named < <("$root/scripts/mutants.py" tests "$@")
	for glob in "${named[@]}" "${common[@]}"; do
		for address in "${addresses[@]}"; do
			if [[ ! -v have[$address] ]] && address_matches "$address" "$glob"; then
				cases+=("$address")
				have[$address]=1
			fi
		done
	done
}

# key_of PATCH MODE: sets key of a run of cases, which changes with whatever may change
# the outcome.
key_of() {
	local address
	local -A files=()

	for address in "${cases[@]}"; do
		files["$bin/tests/${address%%.*}"]=1
	done
	key=$({ cat "$base" ${1:+"$1"} "$root/configs/"{kernel/base.config,linux-source,errata.json}
		declare -p cases seed case_seconds more_seconds run_seconds
		echo "$2 $bochs $tools"
		sha256sum "${!files[@]}"; } | sha256sum)
	key=${key:0:16}
}

# look_what_to_do PATCH: sets cases, and todo to the modes in which it is to be run.
look_what_to_do() {
	local mode key

	cases_of "$1"
	todo=()
	for mode in "${modes[@]}"; do
		key_of "$1" "$mode"
		(( ! again )) && "$root/scripts/mutants.py" find "$lines" "$key" || todo+=("$mode")
	done
}

# record PATCH MODE ARGUMENT...: a line; of no PATCH, for the control
record() {
	local patch=$1 mode=$2 key

	shift 2
	key_of "$patch" "$mode"
	(( ! whole )) || set -- --whole "$@"
	[[ -z $patch ]] || set -- --patch "$patch" "$@"
	"$root/scripts/mutants.py" record "$lines" --key "$key" --sanitizer "$mode" \
		--commit "$(our_commit)" "$@"
}

# run_cases FOLDER NUMBER MODE LIMIT ROUNDS
run_cases() {
	local seconds=$case_seconds

	[[ -z $5 ]] || seconds=$more_seconds
	rm -rf -- "$1"
	step_call "$root/scripts/mutants.py" run "$1" --machine "$tools/machine" --dir "$dir" \
		--linux "$linux" --number "$2" --sanitizer "$3" --seed "$seed" \
		--seconds "$seconds" --limit "$4" --rounds "$5" -- "${cases[@]}"
}

# run PATCH NUMBER: in the machine that runs, in the modes of todo
run() {
	local patch=$1 number=$2 name=none folder mode limit=$whole_seconds rounds='' arguments=''
	local -a more=()

	if [[ -n $patch ]]; then
		name_of "$patch"
		name=$REPLY limit=$run_seconds
		rounds=$("$root/scripts/mutants.py" rounds "$patch")
		arguments=$("$root/scripts/mutants.py" arguments "$patch")
	fi
	for mode in "${todo[@]}"; do
		folder=$results/$name-$mode
		# The control has not had so many rounds, nor such a machine.
		if [[ -n $rounds$arguments && $number != 0 ]]; then
			run_cases "$folder-control" 0 "$mode" "$limit" "$rounds"
			more=(--control "$folder-control")
		fi
		run_cases "$folder" "$number" "$mode" "$limit" "$rounds"
		record "$patch" "$mode" --run "$folder" "${more[@]}"
	done
}

# build [PATCH]: sets kernel and linux.  Return: whether it could be built.
build() {
	step_call "$root/emulator/machine/kernel.sh" --patch "$base" ${1:+--patch "$1"} \
		2>"$results/said" || return
	kernel=$REPLY
	linux=$(sed -n 's/^linux = //p' "$kernel/origin")
}

# boot [MODULE [ARGUMENTS]]: sets dir.  Return: whether it came up.
boot() {
	dir=$(mktemp -d)
	step_tmp+=("$dir")
	step_call "$tools/machine" start --dir "$dir" --owner $$ --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --tdx sanitizer=warn \
		--tdx "vmlinux=$kernel/vmlinux" ${1:+--tdx "$1"} ${2:+--kernel-args "$2"} \
		2>"$results/said"
}

halt() {
	"$tools/machine" stop --dir "$dir" >"$results/said" 2>&1 || :	# it may have died
}

# run_alone PATCH NUMBER: in a machine of its own; with a kernel of its own, too, if NUMBER
# is "-", as it is not in that of all.
run_alone() {
	local which=$2 kernel=${kernel-} linux=${linux-} mode module arguments verdict=not-built

	module=$("$root/scripts/mutants.py" module "$1")
	arguments=$("$root/scripts/mutants.py" arguments "$1")
	if [[ $which != - ]] || build "$1"; then
		if boot "$module" "$arguments"; then
			run "$1" "${which/#-/0}"
			halt
			return
		fi
		verdict=not-booted
	fi
	for mode in "${todo[@]}"; do
		record "$1" "$mode" --"$verdict" "$results/said"
	done
}

# Sets number: what to tell the kernel of all mutants, by name; "-" if one cannot be one
# of them.  All, not just those that are waiting, so that the kernel is the same for
# whoever asks.  Return: whether it could be built.
build_together() {
	local sources=$results/sources n name
	local -a files all=("$root"/tests/mutants/*.patch)

	mapfile -t files < <("$root/scripts/mutants_together.py" files "$base" "${all[@]}")
	rm -rf -- "$sources"
	mkdir "$sources"
	step_call "$root/emulator/machine/kernel.sh" --copy "$sources" "${files[@]}" || exit
	patch -s -p1 -d "$sources" <"$base" >"$results/said" 2>&1 || return
	"$root/scripts/mutants_together.py" patch "$sources" "$results/together.patch" \
		"${all[@]}" >"$results/numbers" && build "$results/together.patch" || return
	while read -r n name; do
		number[$name]=$n
	done <"$results/numbers"
}

main() {
	local whole=0 again=0 apart=0 results=$root/results/mutants doc=''
	local lines lock bin bochs tools initramfs kernel linux dir patch rc=0
	local -a modes=(off warn) globs=() patches=() addresses=() of_tds=() cases=() todo=()
	local -a waiting=() alone=()
	local -A number=()

	parse "$@"
	[[ -z ${KSRC-} ]] || die 2 "KSRC=$KSRC: mutants are of the pinned kernel; unset it"
	choose
	lines=$results/mutants.jsonl
	mkdir -p "$results"
	exec {lock}<"$results"
	flock -n "$lock" || die 3 "another run writes to $results; wait for it, or give --results another folder"
	step_init
	prepare

	for patch in "${patches[@]}"; do
		look_what_to_do "$patch"
		(( ${#todo[@]} == 0 )) || waiting+=("$patch")
	done
	if (( ${#waiting[@]} )); then
		if (( ! apart )) && ! build_together; then
			say "there is no kernel of all mutants: $(tail -n 1 "$results/said"); each gets its own"
			apart=1
		fi
		(( ! apart )) || build || die 3 "the kernel cannot be built; see $results/said"
		cache_use "$kernel"	# for hours; that of one mutant alone is for minutes
		boot || die 3 "the machine does not boot: $(tail -n 1 "$results/said")"
		cases_of "${waiting[@]}"
		todo=("${modes[@]}")
		run '' 0
		for patch in "${waiting[@]}"; do
			name_of "$patch"
			if [[ ${number[$REPLY]--} != - &&
			      -z $("$root/scripts/mutants.py" arguments "$patch") ]]; then
				look_what_to_do "$patch"
				run "$patch" "${number[$REPLY]}"
			else
				alone+=("$patch")
			fi
		done
		halt
		for patch in "${alone[@]}"; do
			name_of "$patch"
			look_what_to_do "$patch"
			run_alone "$patch" "${number[$REPLY]--}"
		done
	fi

	"$root/scripts/mutants.py" verdict "$lines" "${patches[@]}" || rc=$?
	if [[ -n $doc ]]; then
		"$root/scripts/mutants.py" table "$lines" "$root"/tests/mutants/*.patch >"$doc.new"
		mv -- "$doc.new" "$doc"
	fi
	return "$rc"
}

main "$@"
