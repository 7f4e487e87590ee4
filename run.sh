#!/bin/bash
# The one door: check options and host, prepare what is needed, hand over to the
# runner.

set -euo pipefail

self=$(realpath -- "${BASH_SOURCE[0]}")
root=${self%/*}
# shellcheck source=scripts/step.sh
. "$root/scripts/step.sh"
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"
# shellcheck source=scripts/config.sh
. "$root/scripts/config.sh"
step_name=run.sh

# The settings, in the order in which they are shown: each is an option
# --like-this, a variable SEPT_LIKE_THIS and a key of configs/run.conf.
settings=(platform vm_type repeat seed timeout settle_ms jobs results)
declare -A type=(
	[platform]='choice:auto host emulated hardware'
	[vm_type]='choice:all default sw_protected tdx'
	[repeat]=repeat
	[seed]=seed
	[timeout]=timeout
	[settle_ms]=ms
	[jobs]=jobs
	[results]=path
)
declare -A value=(
	[platform]=auto
	[vm_type]=all
	[repeat]=1
	[seed]=random
	[timeout]=own
	[settle_ms]=2000
	[jobs]=1
	[results]=$root/results
)
declare -A origin=()	# no entry: built-in
flags=(json list show-config no-install help)

usage() {
	cat <<'END'
Usage: ./run.sh [run] [OPTION...] [NAME-GLOB...]
       ./run.sh doctor [--json]

Runs the tests whose address matches a glob, or all of them.  An address is
file.variant.case, as --list shows it; a glob matches the whole address or its
first parts, so 'punch_hole' stands for all the cases of that file.

The first run installs packages (apt), fetches a kernel source package and
builds; all of it is kept in ${XDG_CACHE_HOME:-~/.cache}/tdx-sept-tests, and the
next run starts at once, without a network.

What runs:
  --list              print the addresses that match, and run nothing
  --platform WHERE    auto (default), host, hardware (real TDX) or emulated
  --vm-type TYPE      all (default), default, sw_protected or tdx
  --repeat N          run it N times; until-fail: until a run is not green
  --jobs N            cases at the same time (default 1)

How it runs:
  --seed S            what random choices start from; default: drawn, and printed
  --timeout T         per case: 90, 90s, 2m, 1h, or own (default): each test's own
  --settle-ms MS      how long a transient reference may stay (default 2000)

What it leaves:
  --results DIR       where the results of each run go (default: results/)
  --junit FILE        also write a JUnit XML report
  --json              print the report (or what doctor finds) as JSON, on stdout

And:
  --show-config       print each setting and where it comes from, and run nothing
  --no-install        stop if a package is missing, instead of installing it
  --help              this

A setting is taken from its option, else from the environment (SEPT_PLATFORM,
SEPT_VM_TYPE, SEPT_REPEAT, SEPT_JOBS, SEPT_SEED, SEPT_TIMEOUT, SEPT_SETTLE_MS,
SEPT_RESULTS), else from configs/run.conf.

  SEPT_CONFIGS=DIR    another folder instead of configs/
  KSRC=DIR            build against this kernel tree (it is never written to)

Examples:
  ./run.sh                              everything that this host can do
  ./run.sh doctor                       what this host can do, and what it lacks
  ./run.sh --list 'pins.*'              the cases of tdx_sept_tests/pins.c
  ./run.sh --repeat until-fail 'churn.*'
  SEPT_SEED=0x5eed ./run.sh churn.default.threads    again, as it was

Exit status:
  0  passed                         4    everything was skipped
  1  a case failed                  130  interrupted (Ctrl-C)
  2  wrong option, value or config  143  terminated
  3  the host or the infrastructure is not as it must be
END
}

unknown_option() {
	local name=$1

	config_nearest "${name#--}" "${settings[@]//_/-}" junit "${flags[@]}"
	die 2 "unknown option '$name' (nearest: --$REPLY); see ./run.sh --help"
}

# set_value NAME VALUE ORIGIN
set_value() {
	local name=$1 given=$2 from=$3

	config_value "${type[$name]}" "$given" ||
		die 2 "$from=$given: want $REPLY"
	value[$name]=$REPLY
	origin[$name]=$from
}

# What no option has set: from the environment, else from the file.
read_settings() {
	local name variable
	# shellcheck disable=SC2034 # config_read() fills it
	local -A in_file=() place=()

	config_read "${SEPT_CONFIGS:-$root/configs}/run.conf" in_file place type
	[[ ! -v in_file[results] || ${in_file[results]} == /* ]] ||
		in_file[results]=$root/${in_file[results]}
	for name in "${settings[@]}"; do
		variable=SEPT_${name^^}
		if [[ -v origin[$name] ]]; then
			continue
		elif [[ -n ${!variable-} ]]; then
			set_value "$name" "${!variable}" "$variable"
		elif [[ -v in_file[$name] ]]; then
			value[$name]=${in_file[$name]}
			origin[$name]=${place[$name]}
		fi
	done
}

# parse ARGUMENT...: sets value, flag, junit, command and globs.
parse() {
	local parsed error name long

	printf -v long '%s:,' "${settings[@]//_/-}" junit
	long+=$(IFS=,; echo "${flags[*]}")
	if ! parsed=$(env -u POSIXLY_CORRECT getopt -n run.sh -o h -l "$long" -- "$@" 2>/dev/null); then
		error=$(env -u POSIXLY_CORRECT LC_ALL=C getopt -n run.sh -o h -l "$long" -- "$@" 2>&1 >/dev/null) || :
		error=${error%%$'\n'*}
		[[ ! $error =~ unrecognized\ option\ \'(.*)\' ]] ||
			unknown_option "${BASH_REMATCH[1]}"
		die 2 "${error#run.sh: }; see ./run.sh --help"
	fi
	eval "set -- $parsed"	# getopt's own quoting; there is no other way to read it

	while [[ $1 != -- ]]; do
		name=${1#--}
		case $name in
		-h)	flag[help]=1 ;;
		junit)	shift
			junit=$1 ;;
		*)	if [[ " ${flags[*]} " == *" $name "* ]]; then
				flag[$name]=1
			else
				shift
				set_value "${name//-/_}" "$1" "--$name"
			fi ;;
		esac
		shift
	done
	shift
	case ${1-} in
	run | doctor)
		command=$1
		shift ;;
	esac
	globs=("$@")
}

check_arguments() {
	local name

	if [[ $command == doctor ]]; then
		(( ${#globs[@]} == 0 )) || die 2 "doctor takes no names, but got '${globs[0]}'"
		for name in "${settings[@]}"; do
			[[ ${origin[$name]-} != --* ]] || die 2 "doctor takes no ${origin[$name]}"
		done
		[[ -z $junit ]] || die 2 "doctor takes no --junit"
		(( ! flag[list] )) || die 2 "doctor takes no --list"
	fi
	for name in "${globs[@]}"; do
		[[ $name =~ ^[]A-Za-z0-9_.*?!^[-]+$ ]] ||
			die 2 "'$name' cannot match any test's address; see ./run.sh --list"
	done
	value[results]=$(realpath -m -s -- "${value[results]}")
	[[ ! -e ${value[results]} || -d ${value[results]} ]] ||
		die 2 "${origin[results]-results}: ${value[results]} is no folder"
	if [[ -n $junit ]]; then
		junit=$(realpath -m -s -- "$junit")
		[[ -d ${junit%/*}/ && ! -d $junit ]] ||
			die 2 "--junit: $junit is not a file in an existing folder"
	fi
}

show_config() {
	local name

	for name in "${settings[@]}"; do
		printf '%-10s %-12s %s\n' "$name" "${value[$name]}" "${origin[$name]-built-in}"
	done
}

# KVM clears this parameter when the TDX module could not be initialized.
host_has_tdx() {
	local parameter=/sys/module/kvm_intel/parameters/tdx

	[[ -r $parameter && $(<"$parameter") == [Y1] ]]
}

choose_platform() {
	case ${value[platform]} in
	emulated)
		die 3 "the emulated machine is not part of this version; --platform host runs what this kernel can do" ;;
	hardware)
		host_has_tdx ||
			die 3 "--platform hardware needs an initialized TDX module and kvm_intel.tdx=1; ./run.sh doctor tells what is missing" ;;
	auto)
		if host_has_tdx; then
			value[platform]=hardware
		else
			value[platform]=host
		fi ;;
	esac
}

our_commit() {
	# The clone may belong to somebody else than root.
	git -c safe.directory="$root" -C "$root" describe --always --dirty 2>/dev/null || echo unknown
}

# prepare: sets tree and bin.
prepare() {
	local -a options=()

	(( ! flag[no-install] )) || options=(--no-install)
	step_call "$root/scripts/linux.sh" --check || exit
	step_call "$root/scripts/deps.sh" "${options[@]}" || exit
	step_call "$root/scripts/linux.sh" || exit
	tree=$REPLY
	step_call "$root/scripts/build.sh" "$tree" || exit
	bin=$REPLY
	cache_use "${bin%/bin}"
}

main() {
	local command=run junit='' tree bin quoted
	local -a globs=() arguments
	local -A flag=([json]=0 [list]=0 [show-config]=0 [no-install]=0 [help]=0)

	parse "$@"
	if (( flag[help] )); then
		usage
		return
	fi
	read_settings
	check_arguments
	if (( flag[show-config] )); then
		show_config
		return
	fi
	if [[ $command == run ]]; then
		choose_platform
		(( EUID == 0 || flag[list] )) ||
			die 3 "run it as root: page frame numbers, BPF and the kernel log are for root alone (--list and doctor are not)"
	fi
	step_init
	prepare

	(( ! flag[json] )) || arguments+=(--json)
	[[ $command == run ]] || exec "$bin/doctor" "${arguments[@]}"

	printf -v quoted ' %q' "$@"
	[[ ${value[timeout]} != own ]] || value[timeout]=0
	[[ ${value[vm_type]} == all ]] || arguments+=(--vm-type "${value[vm_type]}")
	[[ -z $junit ]] || arguments+=(--junit "$junit")
	(( ! flag[list] )) || arguments+=(--list)
	exec "$bin/runner" --bin-dir "$bin" --results "${value[results]}" \
		--platform "${value[platform]}" --repeat "${value[repeat]}" \
		--seed "${value[seed]}" --timeout "${value[timeout]}" \
		--settle-ms "${value[settle_ms]}" --jobs "${value[jobs]}" \
		--commit "$(our_commit)" --command-line "$0${1+$quoted}" \
		--linux-origin "$tree/origin" --report "$root/scripts/report.py" \
		"${arguments[@]}" -- "${globs[@]}"
}

main "$@"
