#!/usr/bin/env bats
# The driver of the mutants, with stand-ins for kernel and machine; three mutants in the emulated
# machine, each noticed by another invariant, and nothing without them; and TDs with
# readings that are off by one.

bats_require_minimum_version 1.5.0

load faked

setup_file() {
	root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	export root
}

setup() {
	clone=$BATS_TEST_TMPDIR/clone
	told=$clone/results/mutants/mutants.jsonl
}

# stand_in PATH: a script, from stdin
stand_in() {
	mkdir -p "$(dirname "$clone/$1")"
	{ echo '#!/bin/bash'; cat; } >"$clone/$1"
	chmod +x "$clone/$1"
}

# mutant NAME WHAT [LINE]: a patch of which the machine's stand-in makes WHAT.  What
# needs a kernel of its own changes no function.
mutant() {
	local old='return a;' new='return a + 1;'

	[[ $2 != lone* ]] || old='#define M 1' new="#define M 2 /* $2 */"
	cat >"$clone/tests/mutants/$1.patch" <<-END
		$1

		Bug class: it stands for
		something.

		Test: a.tdx.named nothing.of.that.name
		${3-}

		What: $2

	END
	sed "s,$old,$new," "$clone/sources/virt/kvm/kvm_main.c" |
		diff -u --label a/virt/kvm/kvm_main.c --label b/virt/kvm/kvm_main.c \
			"$clone/sources/virt/kvm/kvm_main.c" - >>"$clone/tests/mutants/$1.patch" || :
}

# A clone in which kernels, tests and machine are told by the patch.
# shellcheck disable=SC2016 # the stand-ins are to expand it
fake() {
	local name

	mkdir -p "$clone"/{scripts,tests/mutants,configs/kernel,built/bin/tests,sources/virt/kvm}
	cp "$root"/scripts/{step.sh,cache.sh,mutants.py,mutants_together.py,report.py} "$clone/scripts"
	cp "$root/tests/mutants.sh" "$clone/tests"
	touch "$clone/configs/linux-source" "$clone/configs/kernel/base.config" "$clone/built/bin/tests/a"
	echo '[]' >"$clone/configs/errata.json"
	cat >"$clone/sources/virt/kvm/kvm_main.c" <<-'END'
		#include <linux/mutex.h>

		DEFINE_MUTEX(kvm_lock);

		#define M 1

		int f(int a)
		{
			return a;
		}
	END
	# What mutants are made of: the conversion in place, in short.
	mkdir "$clone/configs/kernel/patches"
	sed '1a#define IN_PLACE' "$clone/sources/virt/kvm/kvm_main.c" |
		diff -u --label a/virt/kvm/kvm_main.c --label b/virt/kvm/kvm_main.c "$clone/sources/virt/kvm/kvm_main.c" - \
		>"$clone/configs/kernel/patches/in-place-conversion.patch" || :
	for name in scripts/deps.sh scripts/linux.sh emulator/bochs/build.sh emulator/machine/initramfs.sh; do
		stand_in "$name" <<<'echo x'
	done
	stand_in scripts/build.sh <<<"echo '$clone/built/bin'"
	stand_in emulator/machine/tools.sh <<<"echo '$clone/tools'"
	stand_in built/bin/runner <<<'printf "%s\n" a.tdx.first a.tdx.named b.tdx.other'
	stand_in emulator/machine/kernel.sh <<-'END'
		root=${0%/*}/../..
		if [[ ${1-} == --copy ]]; then
			cp -r "$root/sources/." "$2"
			echo "$2"
			exit
		fi
		[[ ${2-} == */in-place-conversion.patch ]] || { echo 'kernel: not what mutants are made of' >&2; exit 3; }
		shift 2
		echo "build ${2##*/}" >>"$root/calls"
		! grep -qs 'What: lone-unbuildable' "${2-}" || { echo 'kernel: no' >&2; exit 3; }
		kernel=$(mktemp -d "$root/kernel.XXXXXX")
		echo 'linux = 7.3.4' >"$kernel/origin"
		[[ -z ${2-} ]] || cp "$2" "$kernel/patch"
		echo "$kernel"
	END
	stand_in tools/machine <<-'END'
		root=${0%/*}/.. what=none
		verb=$1
		while [[ $# -gt 0 && $1 != -- ]]; do
			case $1 in
			--dir)			dir=$2 ;;
			--kernel)		kernel=${2%/*} ;;
			--results)		results=$2 ;;
			--option=sanitizer=*)	mode=${1##*=} ;;
			--tdx)			[[ $2 != lenient=* ]] || echo "module $2" >>"$root/calls" ;;
			--kernel-args)		echo "arguments $2" >>"$root/calls" ;;
			esac
			shift
		done
		case $verb in
		start)
			said='machine: the machine did not boot: the emulator ended with status 0'
			! grep -qs 'What: lone-dies' "$kernel/patch" ||
				{ echo "$said; its console says: Kernel panic - not syncing: x; see $dir" >&2; exit 3; }
			! grep -qs 'What: lone-killed' "$kernel/patch" || { echo "$said; see $dir" >&2; exit 3; }
			echo "$kernel" >"$dir/kernel"
			exit ;;
		stop)	exit ;;
		esac
		shift
		patch=$(<"$dir/kernel")/patch
		if [[ $1 == sh ]]; then
			patch=$root/tests/mutants/$(sed -n "s/^$4 //p" "$root/results/mutants/numbers").patch
		fi
		[[ ! -e $patch ]] || what=$(sed -n 's/^What: //p' "$patch")
		case=${*: -1}
		echo "${what:-none} $mode $case${SEPT_ROUNDS:+ $SEPT_ROUNDS}" >>"$root/calls"
		if [[ $what == stuck ]]; then
			echo $$ >"$root/at_work"
			exec sleep 100
		fi
		verdict=PASS
		[[ $what != *red && ( $what != seen || $mode == off ) ]] || verdict=FAIL
		[[ $what != broken ]] || verdict=ERROR
		[[ $what != garbled ]] || verdict='PASS" or not'
		[[ ! -e $root/sick || $case != a.tdx.first ]] || verdict=FAIL
		if [[ $verdict == FAIL && $what == seen ]]; then
			echo "{\"case\":\"$case\",\"where\":\"sanitizer\",\"invariant\":\"host-read\",\"text\":\"so\"}" >>"$results/findings.jsonl"
		elif [[ $verdict == FAIL ]]; then
			echo "{\"case\":\"$case\",\"where\":\"a.c:1\",\"invariant\":\"freed\",\"text\":\"so\"}" >>"$results/findings.jsonl"
		fi
		if [[ $what == loud* && $case == a.tdx.first ]]; then
			echo "{\"case\":\"$case\",\"where\":\"kernel log\",\"invariant\":\"kmsg\",\"text\":\"WARN\"}" >>"$results/findings.jsonl"
		fi
		echo "{\"case\":\"$case\",\"verdict\":\"$verdict\",\"reason\":\"a.c:1: so\"}" >&"$SEPT_VERDICT_FD"
	END
	sed -i '/^common=/,/^)/c common=(a.tdx.first)' "$clone/tests/mutants.sh"
}

# outcome NAME MODE: "verdict case invariant red/cases rules"
outcome() {
	python3 - "$told" "$1" "$2" <<-'END'
		import json, sys
		line = [l for l in map(json.loads, open(sys.argv[1]))
		        if (l["mutant"], l["sanitizer"]) == (sys.argv[2], sys.argv[3])][-1]
		print(line["verdict"], line.get("case"), line.get("invariant"),
		      f'{len(line.get("red", []))}/{line.get("cases", 0)}', *line.get("rules", []))
	END
}

@test "what is caught, by which case and invariant, and by the sanitizer" {
	fake
	mutant red red
	mutant seen seen 'Rule: host-read
Survives: nothing else can see it.'
	run "$clone/tests/mutants.sh" --doc "$clone/doc.md"
	echo "$output"; cat "$told" "$clone/calls"
	[ "$status" -eq 0 ]
	# One kernel for all.
	[ "$(grep -c build "$clone/calls")" -eq 1 ]
	[ "$(outcome none off)" = "survived None None 0/2" ]
	# The case that it names, not the one that they all meet.
	[ "$(outcome red off)" = "caught a.tdx.named freed 2/2" ]
	[ "$(outcome seen off)" = "survived None None 0/2" ]
	[ "$(outcome seen warn)" = "survived None None 2/2 host-read" ]
	# shellcheck disable=SC2016 # Markdown
	grep -E '\[red\]\(../tests/mutants/red.patch\) \| it stands for something. \| `a.tdx.named`: freed, [0-9.]+ s, 2 of 2 cases red \| no \|' "$clone/doc.md"
	grep -E '\| \*\*survived\*\*: nothing else can see it. \| host-read: [0-9.]+ s \|' "$clone/doc.md"
}

@test "a mutant that cannot be one of many has a kernel of its own, and all have with --apart" {
	fake
	mutant lone lone-red
	mutant red red
	"$clone/tests/mutants.sh"
	[ "$(grep build "$clone/calls")" = $'build together.patch\nbuild lone.patch' ]
	[ "$(outcome lone off)" = "caught a.tdx.named freed 2/2" ]
	rm "$clone/calls"
	"$clone/tests/mutants.sh" --again --apart
	[ "$(grep build "$clone/calls")" = $'build \nbuild lone.patch\nbuild red.patch' ]
	[ "$(outcome red warn)" = "caught a.tdx.named freed 2/2" ]
}

@test "a mutant that wants another TDX module has a machine of its own" {
	fake
	mutant odd red 'Module: lenient=1'
	mutant red red
	"$clone/tests/mutants.sh" --sanitizer off
	[ "$(grep -E 'build|module' "$clone/calls")" = \
		$'build together.patch\nbuild odd.patch\nmodule lenient=1' ]
	[ "$(outcome odd off)" = "caught a.tdx.named freed 2/2" ]
}

@test "a mutant that wants another command line has a machine of its own, and a control in it" {
	fake
	mutant odd red 'Arguments: numa=fake=2'
	mutant red red
	"$clone/tests/mutants.sh" --sanitizer off
	[ "$(grep -E 'build|arguments' "$clone/calls")" = $'build together.patch\narguments numa=fake=2' ]
	[ "$(sed '0,/^arguments/d' "$clone/calls")" = "$(printf '%s\n' \
		none\ off\ a.tdx.{named,first} red\ off\ a.tdx.{named,first})" ]
	[ "$(outcome odd off)" = "caught a.tdx.named freed 2/2" ]
	[ "$(outcome red off)" = "caught a.tdx.named freed 2/2" ]
}

@test "what is not built or does not boot is told, and the others are run" {
	fake
	mutant a_bad lone-unbuildable
	mutant b_boot lone-dies
	mutant c_red lone-red
	mutant d_boot lone-killed
	run "$clone/tests/mutants.sh"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"a_bad: kernel: no"* && $output != *"b_boot: "* ]]
	[[ $(outcome a_bad off) == error* ]]
	[[ $(outcome b_boot off) == "caught  boot"* ]]
	[[ $(outcome c_red off) == caught* ]]
	# The emulator's end alone says nothing of the kernel.
	[[ $(outcome d_boot off) == error* && $output == *"d_boot: machine: the machine did not boot"* ]]
}

@test "who survives without a word fails, and so does who is caught against his word" {
	fake
	mutant quiet green
	mutant wrong red 'Survives: so it said.'
	mutant unseen red 'Rule: dma'
	run "$clone/tests/mutants.sh"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"quiet: survived, and its header does not say why"* ]]
	[[ $output == *"wrong: caught by a.tdx.named, and its header says that it survives"* ]]
	[[ $output == *"unseen: the sanitizer did not report dma"* ]]
}

@test "a case that is red without a mutant catches none" {
	fake
	touch "$clone/sick"
	mutant quiet green
	run "$clone/tests/mutants.sh"
	echo "$output"
	[[ $status -eq 1 && $output == *"without a mutant, sanitizer off: a.c:1: so"* ]]
	[ "$(outcome quiet off)" = "survived None None 0/1" ]
	# One that has no other case has not been looked at.
	sed -i 's/^Test: .*/Test: a.tdx.first/' "$clone/tests/mutants/quiet.patch"
	run "$clone/tests/mutants.sh"
	[[ $status -eq 1 && $output == *"quiet: none of its cases is green without it"* ]]
	[[ $(outcome quiet off) == error* ]]
}

@test "a case that is known to be red without a mutant catches it by what else it finds" {
	fake
	touch "$clone/sick"
	mutant loud loud
	mutant quiet green
	known() {	# KERNELS [MORE]
		printf '[{"id": "B1", "cases": "a.tdx.first", "reason": "c:1: so$", "kernels": %s%s}]\n' \
			"$1" "${2-}" >"$clone/configs/errata.json"
		run "$clone/tests/mutants.sh" --sanitizer off
		echo "$output"
	}
	known '{"from": "7.2"}'
	[[ $status -eq 1 && $output == *"quiet: survived"* && $output != *"without a mutant"* ]]
	[ "$(outcome none off)" = "survived None None 0/2" ]
	[ "$(outcome quiet off)" = "survived None None 0/2" ]
	[ "$(outcome loud off)" = "caught a.tdx.first kmsg 1/2" ]
	# Unless that is known, too; and of another kernel nothing is.
	known '{"from": "7.2"}' ', "also": "WARN"'
	[ "$(outcome loud off)" = "survived None None 0/2" ]
	known '{"from": "7.2", "before": "7.3.4"}' ', "also": "WARN"'
	[[ $output == *"without a mutant, sanitizer off: a.c:1: so"* ]]
}

@test "a line that was cut short costs that one, and no other" {
	fake
	mutant one red
	"$clone/tests/mutants.sh"
	printf '{"mutant": "one", "sani' >>"$told"
	mutant two red
	run --separate-stderr "$clone/tests/mutants.sh"
	# shellcheck disable=SC2154 # bats sets it
	[[ $status -eq 0 && $stderr == *"$told:5: passed over"* ]]
	[ "$(grep -c '^{"mutant": "two"' "$told")" -eq 2 ]
	grep -q '"verdict": "caught"' < <(tail -n 1 "$told")
	# A disk that is full is told in a sentence.
	run "$clone/scripts/mutants.py" record /dev/full --key x --sanitizer off --patch "$clone/tests/mutants/one.patch" \
		--control "$clone/results/mutants/none-off" --run "$clone/results/mutants/one-off"
	[[ $status -eq 3 && $output == "mutants.py: "*"No space left"* ]]
}

@test "a case that is an ERROR catches none either, and is no survival" {
	fake
	mutant odd broken
	mutant odder garbled
	run "$clone/tests/mutants.sh"
	echo "$output"
	[[ $status -eq 1 && $output == *"odd: a.tdx.named: a.c:1: so"* ]]
	[[ $output == *"odder: a.tdx.named: its verdict record cannot be read"* ]]
	[[ $(outcome odd off) == error* && $(outcome odder off) == error* ]]
	run "$clone/scripts/mutants.py" record "$clone/empty" --key x --sanitizer off \
		--patch "$clone/tests/mutants/odd.patch" --run "$clone/results/mutants/odd-off"
	[[ $status -eq 3 && $output == *"does not tell which cases are green without a mutant"* ]]
}

@test "a mutant that needs more rounds has a control of as many" {
	fake
	mutant red red 'Rounds: 7'
	"$clone/tests/mutants.sh" --sanitizer off
	grep -x 'none off a.tdx.named 7' "$clone/calls"
	grep -x 'red off a.tdx.named 7' "$clone/calls"
	[ "$(outcome red off)" = "caught a.tdx.named freed 2/2" ]
}

@test "a mutant that takes too long has not survived" {
	fake
	mutant quiet green
	sed -i 's/^run_seconds=[0-9]*/run_seconds=-1/' "$clone/tests/mutants.sh"
	run "$clone/tests/mutants.sh"
	echo "$output"
	[[ $status -eq 1 && $output == *"quiet: no case was run"* ]]
	[[ $(outcome quiet off) == error* ]]
}

@test "what is done is not done again, unless something of it has changed" {
	fake
	mutant one red
	mutant two red
	"$clone/tests/mutants.sh"
	[ "$(grep -c red "$clone/calls")" -eq 8 ]
	"$clone/tests/mutants.sh"
	[ "$(grep -c red "$clone/calls")" -eq 8 ]
	mutant one red 'Rule: freed'
	"$clone/tests/mutants.sh" || :
	[ "$(grep -c red "$clone/calls")" -eq 12 ]
	"$clone/tests/mutants.sh" --again --sanitizer off two
	[ "$(grep -c red "$clone/calls")" -eq 14 ]
	echo >"$clone/built/bin/tests/a"
	"$clone/tests/mutants.sh" --sanitizer off 't*'
	[ "$(grep -c red "$clone/calls")" -eq 16 ]
}

@test "two runs do not write to one folder" {
	fake
	mutant one red
	mkdir -p "$clone/results/mutants"
	exec 8<"$clone/results/mutants"
	flock 8
	run "$clone/tests/mutants.sh"
	[[ $status -eq 3 && $output == *"another run writes to"* ]]
	exec 8<&-
	"$clone/tests/mutants.sh"
}

@test "interrupted in a case, it ends at once" {
	fake
	mutant slow stuck
	mkfifo "$clone/at_work"
	"$clone/tests/mutants.sh" >/dev/null 2>&1 3>&- &
	pid=$!
	read -r child <"$clone/at_work"
	kill -TERM "$pid"
	rc=0
	SECONDS=0
	wait "$pid" || rc=$?
	kill "$child"		# the machine's own, which goes with it
	[[ $rc -eq 143 && $SECONDS -lt 50 ]]
}

@test "wrong arguments" {
	fake
	mutant one red
	KSRC=/src/linux run "$clone/tests/mutants.sh"
	[[ $status -eq 2 && $output == *"KSRC=/src/linux"* && ! -e $clone/calls ]]
	run "$clone/tests/mutants.sh" 'three*'
	[[ $status -eq 2 && $output == *"no mutant is named three*"* ]]
	run "$clone/tests/mutants.sh" --sanitizer loud
	[[ $status -eq 2 && $output == *"--sanitizer=loud"* ]]
	sed -i '/^Test:/d' "$clone/tests/mutants/one.patch"
	run "$clone/tests/mutants.sh"
	[[ $status -eq 3 && $output == *'has no "Test:"'* ]]
}

@test "in the machine: four mutants are caught, each by another invariant, and nothing is red without" {
	told=$BATS_TEST_TMPDIR/results/mutants.jsonl
	run "$root/tests/mutants.sh" --sanitizer off --results "${told%/*}" \
		ref_leaked_aug uncharge_missed conversion_without_zap in_place_unchecked
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $(outcome none off) == "survived None None 0/"* ]]
	[[ $(outcome ref_leaked_aug off) == "caught "*" freed "* ]]
	[[ $(outcome uncharge_missed off) == "caught "*" counter "* ]]
	[[ $(outcome conversion_without_zap off) == "caught "*" result "* ]]
	[[ $(outcome in_place_unchecked off) == "caught "*"waits_for_who_holds_a_page"* ]]
}

@test "in the machine: with every reading off by one, no reference assertion of TDs stays green" {
	results=$BATS_TEST_TMPDIR/results
	export SEPT_FAKE_REFS=1
	run "$root/run.sh" --platform emulated --vm-type tdx --settle-ms 30 --results "$results" \
		td_memory punch_hole mapping lifetime
	printf '%s\n' "$output" | grep -A 2 ' ERROR ' || :
	[ "$status" -eq 1 ]
	[ "$(verdicts "$results" FAIL | wc -l)" -ge 30 ]

	# A frame that somebody else took at once is freed, however faked the reading.
	verdicts "$results" PASS >"$BATS_TEST_TMPDIR/passed"
	mapfile -t passed < <(unexpected <"$BATS_TEST_TMPDIR/passed")
	(( ${#passed[@]} == 0 )) || {
		run "$root/run.sh" --platform emulated --settle-ms 30 --results "$results" --repeat 5 "${passed[@]}"
		printf '%s\n' "$output"
		[ "$(verdicts "$results" FAIL | sort -u | wc -l)" -eq "${#passed[@]}" ]
	}
}
