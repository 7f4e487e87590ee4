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
settings=(
	platform suite vm_type repeat rounds seed timeout settle_ms expect_pin jobs results
	cpus memory quantum schedule_seed kernel_args sanitizer
)
declare -A type=(
	[platform]='choice:auto host emulated hardware'
	[suite]=name
	[vm_type]='choice:all default sw_protected tdx'
	[repeat]=repeat
	[rounds]=rounds
	[seed]=seed
	[timeout]=timeout
	[settle_ms]=ms
	[expect_pin]='choice:auto 0 1'
	[jobs]=jobs
	[results]=path
	[cpus]='count:64'
	[memory]=megabytes
	[quantum]='count:1000000'
	[schedule_seed]=number
	[kernel_args]=text
	[sanitizer]='choice:off warn fatal'
)
declare -A value=(
	[platform]=auto
	[suite]=fast
	[vm_type]=all
	[repeat]=1
	[rounds]=suite
	[seed]=random
	[timeout]=own
	[settle_ms]=2000
	[expect_pin]=auto
	[jobs]=auto
	[results]=$root/results
	[cpus]=2
	[memory]=768
	[quantum]=16
	[schedule_seed]=0
	[kernel_args]=''
	[sanitizer]=warn
)
# These are of the emulated machine alone.
machine_settings=(cpus memory quantum schedule_seed kernel_args sanitizer)
declare -A origin=()	# no entry: built-in
# What else takes a value, and what takes none.
plain_options=(junit explore kernel-source kernel-patch kernel-config)
flags=(json list trace show-config no-install help)

usage() {
	cat <<'END'
Usage: ./run.sh [run] [OPTION...] [NAME-GLOB...]
       ./run.sh doctor [--json]
       ./run.sh shell --platform emulated [OPTION...] [-- COMMAND...]
       ./run.sh decode [FILE...]

Runs the tests whose address matches a glob, or those of the suite.  An address is
file.variant.case, as --list shows it; a glob matches the whole address or its
first parts, so 'punch_hole' stands for all the cases of that file.

The first run installs packages (apt), fetches a kernel source package and
builds; all of it is kept in ${XDG_CACHE_HOME:-~/.cache}/tdx-sept-tests, and the
next run starts at once, without a network.

decode copies kernel logs (stdin, unless FILEs are named), and says below each line
about a failed SEAMCALL in words which it was, why it failed, and with what.

shell is a console in the emulated machine (Ctrl-] leaves), or one command there.

What runs:
  --list              print the addresses that match, and run nothing
  --platform WHERE    host, hardware (real TDX), emulated (a machine with TDX in an
                      emulator) or auto (default): hardware where there is real TDX,
                      else host and then, TDs only, emulated
  --suite NAME        a file of configs/suites: fast (default) or full
  --vm-type TYPE      all (default), default, sw_protected or tdx
  --repeat N          run it N times; until-fail: until a run is not green
  --jobs N            cases at the same time; auto (default): on host and hardware one,
                      in the emulated machine one for each processor, four at most

How it runs:
  --rounds N          how often tests do what they repeat (races, lives of TDs);
                      suite (default): as the suite says, else each test's own
  --seed S            what random choices start from; default: drawn, and printed
  --timeout T         per case: 90, 90s, 2m, 1h, or own (default): each test's own
  --settle-ms MS      how long a transient reference may stay (default 2000)
  --expect-pin N      references that a page must have for being mapped in the S-EPT:
                      0, 1 (Linux 6.16 to 6.18) or auto (default): as a control page
                      shows, which the summary tells

The emulated machine (docs/emulated.md):
  --cpus N            processors (default 2)
  --memory MB         memory (default 768)
  --kernel-args TEXT  more of its kernel's command line
  --kernel-source FILE
                      its kernel from this package instead, as configs/kernel/linux-7.2
  --kernel-patch FILE build its kernel with this patch; may be repeated
  --kernel-config NAME
                      and with configs/kernel/NAME.config; may be repeated
  --quantum N         instructions of a processor's turn (default 16)
  --schedule-seed S   turns of random length, from S; default 0: all the same
  --explore N         N interleavings, with schedule seeds made from the seed, until
                      a case fails
  --sanitizer MODE    off, warn (default: a report fails the case) or fatal (it also
                      ends the machine there and then)
  --trace             write the SEAMCALLs of each case to a file of the results

What it leaves:
  --results DIR       where the results of each run go (default: results/)
  --junit FILE        also write a JUnit XML report
  --json              print the report (or what doctor finds) as JSON, on stdout

And:
  --show-config       print each setting and where it comes from, and run nothing
  --no-install        stop if a package is missing, instead of installing it
  --help              this

A setting is taken from its option, else from the environment (SEPT_PLATFORM,
SEPT_SUITE, SEPT_VM_TYPE, SEPT_REPEAT, SEPT_ROUNDS, SEPT_JOBS, SEPT_SEED,
SEPT_TIMEOUT, SEPT_SETTLE_MS, SEPT_EXPECT_PIN, SEPT_RESULTS, SEPT_CPUS, SEPT_MEMORY, SEPT_QUANTUM,
SEPT_SCHEDULE_SEED, SEPT_KERNEL_ARGS, SEPT_SANITIZER), else from configs/run.conf.

  SEPT_CONFIGS=DIR    another folder instead of configs/
  KSRC=DIR            build against this kernel tree (it is never written to)

Examples:
  ./run.sh                              all that this host's KVM can do, then TDs emulated
  dmesg | ./run.sh decode               which SEAMCALLs failed, and why
  ./run.sh doctor                       what this host can do, and what it lacks
  ./run.sh --suite full                 all cases of both, for longer
  ./run.sh --list 'pins.*'              the cases of tdx_sept_tests/pins.c
  ./run.sh --platform host --repeat until-fail 'pins.*'
  ./run.sh --platform emulated --jobs 2 'punch_hole.tdx.*'
  ./run.sh --platform emulated --explore 200 td_shootdown.tdx
  SEPT_SEED=0x5eed ./run.sh transient.default       again, as it was

Exit status:
  0  passed                         4    everything was skipped
  1  a case failed                  129  hung up
  2  wrong option, value or config  130  interrupted (Ctrl-C)
  3  the host or the infrastructure 143  terminated
     is not as it must be
END
}

unknown_option() {
	local name=$1

	config_nearest "${name#--}" "${settings[@]//_/-}" "${plain_options[@]}" "${flags[@]}"
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
			:
		elif [[ -n ${!variable-} ]]; then
			set_value "$name" "${!variable}" "$variable"
		elif [[ -v in_file[$name] ]]; then
			value[$name]=${in_file[$name]}
			origin[$name]=${place[$name]}
		fi
		# The runner is told by options, and would not know "2m".
		unset "$variable"
	done
}

# parse ARGUMENT...: sets value, flag, junit, explore, kernel, command and globs.
parse() {
	local parsed error name long

	printf -v long '%s:,' "${settings[@]//_/-}" "${plain_options[@]}"
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
		explore)
			shift
			config_value 'count:1000000' "$1" || die 2 "--explore=$1: want $REPLY"
			explore=$REPLY ;;
		kernel-source | kernel-patch)
			shift
			[[ -f $1 ]] || die 2 "--$name: $1 is no file"
			kernel+=("--$name" "$(realpath -- "$1")") ;;
		kernel-config)
			shift
			[[ -f ${SEPT_CONFIGS:-$root/configs}/kernel/$1.config ]] ||
				die 2 "--kernel-config: there is no ${SEPT_CONFIGS:-$root/configs}/kernel/$1.config"
			kernel+=("--$name" "$1") ;;
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
	run | doctor | shell | decode)
		command=$1
		shift ;;
	esac
	globs=("$@")
}

# What is said for the emulated machine is not to be ignored without a word.
check_machine_options() {
	local name

	[[ ${value[platform]} == host || ${value[platform]} == hardware ]] || return 0
	for name in "${machine_settings[@]}"; do
		[[ ${origin[$name]-} != --* ]] ||
			die 2 "${origin[$name]} is for --platform emulated, not for ${value[platform]}"
	done
	[[ -z $explore ]] || die 2 "--explore is for --platform emulated, not for ${value[platform]}"
	(( ${#kernel[@]} == 0 )) ||
		die 2 "${kernel[0]} is for --platform emulated, not for ${value[platform]}"
	(( ! flag[trace] )) || die 2 "--trace is for --platform emulated, not for ${value[platform]}"
}

# Sets in_suite: what the suite says, as "platform.key".
read_suite() {
	local dir=${SEPT_CONFIGS:-$root/configs}/suites name platform
	local -a known
	# shellcheck disable=SC2034 # config_read() uses them
	local -A types=() place=()

	name=${value[suite]}
	if [[ $name == */* || ! -f $dir/$name ]]; then
		mapfile -t known < <(find "$dir" -maxdepth 1 -type f ! -name '.*' -printf '%f\n' | sort)
		config_nearest "$name" "${known[@]}"
		die 2 "${origin[suite]-suite}: there is no suite '$name'${REPLY:+ (nearest: $REPLY)}"
	fi
	for platform in host emulated hardware; do
		types+=([$platform.run]=globs+ [$platform.skip]=globs+
			[$platform.rounds]=count:1000000 [$platform.rounds_of]=rounds_of+
			[$platform.limits]=count:1000)
	done
	config_read "$dir/$name" in_suite place types
	config_need "$dir/$name" in_suite {host,emulated,hardware}.run
}

# suite_arguments PLATFORM: sets selection to the runner's options.  Names on the
# command line choose in the suite's stead, but how it runs is still the suite's.
suite_arguments() {
	local platform=$1 key glob rounds=${value[rounds]}
	local -a words

	selection=(--suite "${value[suite]}")
	for key in run skip; do
		(( ${#globs[@]} == 0 )) || break
		read -r -a words <<<"${in_suite[$platform.$key]-}"
		for glob in "${words[@]}"; do
			selection+=("--$key" "$glob")
		done
	done
	if [[ $rounds == suite ]]; then
		rounds=${in_suite[$platform.rounds]-0}
		read -r -a words <<<"${in_suite[$platform.rounds_of]-}"
		for glob in "${words[@]}"; do
			selection+=(--rounds-of "$glob")
		done
	fi
	selection+=(--rounds "$rounds" --limits "${in_suite[$platform.limits]-1}")
}

check_shell() {
	[[ ${value[platform]} == emulated ]] || die 2 "shell is for --platform emulated"
	[[ ${flag[list]}${flag[json]}$junit$explore == 00 ]] ||
		die 2 "shell runs no tests: it takes no --list, --json, --junit or --explore"
}

check_decode() {
	local name

	[[ ${flag[list]}${flag[json]}${flag[trace]}$junit$explore == 000 && ${#kernel[@]} -eq 0 ]] ||
		die 2 "decode takes no options but --no-install"
	for name in "${settings[@]}"; do
		[[ ${origin[$name]-} != --* ]] || die 2 "decode takes no ${origin[$name]}"
	done
	for name in "${globs[@]}"; do
		[[ -r $name && ! -d $name ]] || die 2 "decode: cannot read $name"
	done
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
		(( ${#kernel[@]} == 0 )) || die 2 "doctor takes no ${kernel[0]}"
	fi
	if [[ $command == shell ]]; then
		check_shell
		return
	fi
	if [[ $command == decode ]]; then
		check_decode
		return
	fi
	check_machine_options
	[[ -z $explore || -z ${origin[repeat]-} || ${value[repeat]} == 1 ]] ||
		die 2 "--explore and --repeat exclude each other"
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
		printf '%-13s %-12s %s\n' "$name" "${value[$name]}" "${origin[$name]-built-in}"
	done
}

# KVM clears this parameter when the TDX module could not be initialized.
host_has_tdx() {
	local parameter=/sys/module/kvm_intel/parameters/tdx

	[[ -r $parameter && $(<"$parameter") == [Y1] ]]
}

# Sets platforms: where to run, one after the other.
choose_platforms() {
	platforms=("${value[platform]}")
	case ${value[platform]} in
	hardware)
		host_has_tdx ||
			die 3 "--platform hardware needs an initialized TDX module and kvm_intel.tdx=1; ./run.sh doctor tells what is missing" ;;
	auto)
		if [[ -n $explore || ${#kernel[@]} -ne 0 ]]; then
			platforms=(emulated)
		elif host_has_tdx; then
			platforms=(hardware)
		elif (( flag[list] )); then
			platforms=(host)	# the same cases everywhere
		else
			platforms=(host emulated)
		fi ;;
	esac
}

# prepare: sets tree and bin.
prepare() {
	local -a options=()

	(( ! with_machine )) || options+=(--machine)
	(( ! flag[no-install] )) || options+=(--no-install)
	step_call "$root/scripts/linux.sh" --check || exit
	step_call "$root/scripts/deps.sh" "${options[@]}" || exit
	part tree "$root/scripts/linux.sh"
	part bin "$root/scripts/build.sh" "$tree"
}

# Sets machine, the runner's options for the emulated machine, and its parts: bochs,
# tools, vmlinux and initramfs.
prepare_machine() {
	local -a contents

	part bochs "$root/emulator/bochs/build.sh"
	part tools "$root/emulator/machine/tools.sh"
	part vmlinux "$root/emulator/machine/kernel.sh" "${kernel[@]/#--kernel-/--}"
	contents=(--bin "$bin" --agent "$tools/agent")
	# Who looks around by hand finds more to try.
	[[ $command != shell ]] || contents+=(--selftests "$tree" --stress)
	part initramfs "$root/emulator/machine/initramfs.sh" "${contents[@]}"
	machine=(
		--machine "$tools" --bochs "$bochs/bochs" --kernel "$vmlinux/vmlinux.boot"
		--symbols "$vmlinux/vmlinux" --initramfs "$initramfs"
		--cpus "${value[cpus]}" --memory "${value[memory]}"
		--quantum "${value[quantum]}" --schedule-seed "${value[schedule_seed]}"
		--kernel-args "${value[kernel_args]}" --sanitizer "${value[sanitizer]}" "${kernel[@]}"
	)
	(( ! flag[trace] )) || machine+=(--trace)
	[[ -z $explore ]] || machine+=(--explore "$explore")
}

# The disk that it looks at is that of the results, whose folder may not be there yet.
doctor() {
	local dir

	dir=$(realpath -m -- "${value[results]}")
	until [[ -d $dir ]]; do
		dir=$(dirname -- "$dir")
	done
	SEPT_RESULTS=$dir exec "$bin/doctor" "${arguments[@]}"
}

# A machine for one shell; it ends with this process, however that ends.
shell() {
	local dir rc=0
	local -a options=()

	dir=$(mktemp -d)
	step_tmp+=("$dir")
	options=(--option "schedule_seed=${value[schedule_seed]}")
	[[ ${value[seed]} == random ]] || options+=(--option "seed=${value[seed]}")
	say "the machine boots"
	"$tools/machine" start --dir "$dir" --owner $$ --bochs "$bochs/bochs" \
		--kernel "$vmlinux/vmlinux.boot" --initramfs "$initramfs" \
		--cpus "${value[cpus]}" --memory "${value[memory]}" \
		--quantum "${value[quantum]}" --kernel-args "${value[kernel_args]}" \
		--tdx "sanitizer=${value[sanitizer]}" --tdx "vmlinux=$vmlinux/vmlinux" || exit
	if (( ${#globs[@]} )); then
		"$tools/machine" exec --dir "$dir" "${options[@]}" -- "${globs[@]}" || rc=$?
	else
		say "Ctrl-] leaves"
		"$tools/machine" shell --dir "$dir" "${options[@]}" || rc=$?
	fi
	"$tools/machine" stop --dir "$dir" || :	# it may have died
	exit "$rc"
}

# runner_command PLATFORM [ARGUMENT...]: sets runner.
runner_command() {
	local platform=$1 jobs=${value[jobs]}
	local -a selection

	shift
	if [[ $jobs == auto ]]; then
		jobs=1
		# Of a few hundred MB each, and as much in its cases.
		[[ $platform != emulated ]] || jobs=$(nproc)
		(( jobs <= 4 )) || jobs=4
	fi
	suite_arguments "$platform"
	runner=(
		"$bin/runner" --bin-dir "$bin" --results "${value[results]}"
		--platform "$platform" --repeat "${value[repeat]}"
		--seed "${value[seed]}" --timeout "${value[timeout]}"
		--settle-ms "${value[settle_ms]}" --expect-pin "${value[expect_pin]}" --jobs "$jobs"
		--commit "$(our_commit)" --command-line "$0$quoted"
		--linux-origin "$tree/origin" --report "$root/scripts/report.py"
		--errata "${SEPT_CONFIGS:-$root/configs}/errata.json"
		"${selection[@]}" "${arguments[@]}"
	)
	[[ $platform != emulated ]] || runner+=("${machine[@]}")
	runner+=("$@" -- "${globs[@]}")
}

# Run the runner as a child.  Sets rc.
run_runner() {
	local pid

	# The terminal interrupts all of its processes, a kill(1) just this one.
	trap : INT
	"${runner[@]}" <&0 &
	pid=$!
	# shellcheck disable=SC2064 # it is this one
	trap "kill -TERM $pid 2>/dev/null || :" TERM
	rc=0
	wait "$pid" || rc=$?
	while kill -0 "$pid" 2>/dev/null; do
		rc=0
		wait "$pid" || rc=$?
	done
	step_init
}

# One platform after the other; the exit status is the worst.
run_platforms() {
	local platform rc status=4
	local -a more=()

	[[ -z $junit ]] || rm -f -- "$junit"
	for platform in "${platforms[@]}"; do
		# What the host has done on its own KVM, many times as fast, is not done again.
		[[ $platform != emulated || ${value[vm_type]} != all ]] || more+=(--vm-type tdx)
		runner_command "$platform" "${more[@]}"
		run_runner
		case $rc in
		0 | 1 | 2 | 3 | 4 | 129 | 130 | 143)	;;
		*)	say "the runner ended with status $rc; what it had found is in ${value[results]}"
			rc=3 ;;
		esac
		worse "$status" "$rc"
		status=$REPLY
		(( rc < 128 )) || break
		more=()
		[[ ! -e $junit ]] || more=(--junit-append)
	done
	exit "$status"
}

# worse A B: sets REPLY to the exit status that two runs have together.  One that the
# runner does not have is how the system ended it, or did not even start it.
worse() {
	for REPLY in 143 130 129 2 1 3 0 4; do
		(( $1 != REPLY && $2 != REPLY )) || return 0
	done
}

main() {
	local command=run junit='' explore='' tree bin quoted='' with_machine=0
	local bochs tools vmlinux initramfs
	local -a globs=() arguments=() kernel=() machine=() platforms=() runner=()
	local -A in_suite=()
	local -A flag=([json]=0 [list]=0 [trace]=0 [show-config]=0 [no-install]=0 [help]=0)

	parse "$@"
	if (( flag[help] )); then
		usage
		return
	fi
	read_settings
	check_arguments
	read_suite
	if (( flag[show-config] )); then
		show_config
		return
	fi
	if [[ $command == run ]]; then
		choose_platforms
		[[ $EUID -eq 0 || ${flag[list]} -eq 1 || ${platforms[*]} == emulated ]] ||
			die 3 "run it as root: page frame numbers, BPF and the kernel log are for root alone (--list, doctor and --platform emulated are not)"
	fi
	# Only where it runs, not where its cases are listed.
	[[ $command != shell && ( ${platforms[*]} != *emulated* || ${flag[list]} -eq 1 ) ]] ||
		with_machine=1
	step_init
	prepare

	(( ! flag[json] )) || arguments+=(--json)
	[[ $command != doctor ]] || doctor
	[[ $command != decode ]] || exec "$bin/decode" "${globs[@]}"
	(( ! with_machine )) || prepare_machine
	[[ $command != shell ]] || shell

	(( ! $# )) || printf -v quoted ' %q' "$@"
	[[ ${value[timeout]} != own ]] || value[timeout]=0
	[[ ${value[vm_type]} == all ]] || arguments+=(--vm-type "${value[vm_type]}")
	[[ -z $junit ]] || arguments+=(--junit "$junit")
	(( ! flag[list] )) || arguments+=(--list)
	(( ${#platforms[@]} == 1 )) || run_platforms
	runner_command "${platforms[0]}"
	exec "${runner[@]}"
}

main "$@"
