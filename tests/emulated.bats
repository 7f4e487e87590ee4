#!/usr/bin/env bats
# The emulated machine: what runs in it, what becomes of those who die in it, and
# that the same run is the same.

# shellcheck disable=SC2016 # the shell in the machine is to expand it
# shellcheck disable=SC2030,SC2031 # each test has its own variables

bats_require_minimum_version 1.5.0

setup_file() {
	root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	tools=$("$root/emulator/machine/tools.sh")
	bochs=$("$root/emulator/bochs/build.sh")/bochs
	kernel=$("$root/emulator/machine/kernel.sh")
	bin=$BATS_FILE_TMPDIR/bin
	runner=${SEPT_RUNNER:-$root/build/bin/runner}
	export root tools bochs kernel bin runner
	mkdir -p "$bin/tests"
	cp "$runner" "$bin/runner"
	stand_in >"$bin/tests/dies"
	chmod +x "$bin/tests/dies"
	cp --preserve=links \
		"$root"/build/bin/tests/{allocation,contents,mapping,migration,numa,punch_hole,td_memory,td_race_setup,td_sanitizer,transient} "$bin/tests"
	spinner
	initramfs=$("$root/emulator/machine/initramfs.sh" --bin "$bin" --agent "$tools/agent")
	export initramfs dir=$BATS_FILE_TMPDIR/machine
	# Shorter than by default: a machine that spins takes its time.
	"$tools/machine" start --dir "$dir" --owner "$BATS_ROOT_PID" --hang 3 --bochs "$bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --tdx sanitizer=warn
}

teardown_file() {
	"$tools/machine" stop --dir "$dir" || :	# a test may have
}

# A test file whose cases do what their names say; it runs here for its list, and there.
stand_in() {
	cat <<-'END'
		#!/bin/sh
		if [ "$1" = --list ]; then
			for c in passes panics restarts waits; do
				printf 'dies.%s\t20\t-\n' $c
			done
			exit
		fi
		echo "doing $2"
		echo '{}' >>"$SEPT_RESULTS/notes.jsonl"
		case $2 in
		dies.panics)	echo c >/proc/sysrq-trigger ;;
		dies.restarts)	busybox reboot -f ;;
		dies.waits)	echo waits >/dev/kmsg
				while :; do :; done ;;
		esac
		printf '{"case":"%s","verdict":"PASS","reason":"","ms":1,"settle_ms":0,"checks":1,"seed":"%s"}\n' \
			"$2" "$SEPT_SEED" >&3
	END
}

# A program that leaves no processor to anybody else, not even to the agent.
spinner() {
	cat >"$BATS_FILE_TMPDIR/spin.c" <<-'END'
		#include <sched.h>
		#include <unistd.h>
		int main(void)
		{
			struct sched_param first = { .sched_priority = 99 };

			fork();
			fork();
			sched_setscheduler(0, SCHED_FIFO, &first);
			for (;;)
				;
		}
	END
	gcc -static -O1 -o "$bin/spin" "$BATS_FILE_TMPDIR/spin.c"
}

exec_in() {
	timeout 300 "$tools/machine" exec --dir "$dir" "$@"
}

# The emulators of the machine, the original and its copies.
emulators() {
	local p

	for p in /proc/[0-9]*; do
		[[ $(readlink "$p/exe") != "$bochs" || $(readlink "$p/cwd") != "$dir" ]] || echo "${p#/proc/}"
	done
}

original() {
	"$tools/machine" status --dir "$dir" | sed 's/.* emulator=\([0-9]*\) .*/\1/'
}

copy() {
	local all

	mapfile -t all < <(emulators)
	printf '%s\n' "${all[@]}" | grep -vx "$(original)"
}

# until_so COMMAND...: wait until it succeeds, for up to 60 s.
until_so() {
	for _ in {1..600}; do
		! "$@" || return 0
		sleep 0.1
	done
	echo "never so: $*"
	return 1
}

no_emulators() { [ -z "$(emulators)" ]; }
one_emulator() { [ "$(emulators | wc -l)" -eq 1 ]; }

# in_background ARGUMENT...: as exec_in, with what it says in $BATS_TEST_TMPDIR/out
in_background() {
	"$tools/machine" exec --dir "$dir" "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	until_so grep -q doing "$BATS_TEST_TMPDIR/out"
}

ends() {
	local rc=0

	wait "$pid" || rc=$?
	cat "$BATS_TEST_TMPDIR/out"
	echo "status $rc, want $1"
	[ "$rc" -eq "$1" ]
}

@test "a command's output, errors and status come out" {
	exec_in -- sh -c 'echo out; echo err >&2; cat; exit 5' >"$BATS_TEST_TMPDIR/1" 2>"$BATS_TEST_TMPDIR/2" && false
	[ "$(<"$BATS_TEST_TMPDIR/1")" = out ]
	[ "$(<"$BATS_TEST_TMPDIR/2")" = err ]
	run exec_in -- sh -c 'exit 5'
	[ "$status" -eq 5 ]
	run exec_in -- sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	run exec_in -- /nonexistent
	[[ $status -eq 125 && $output == *"cannot be run in the machine: No such file"* ]]
}

# The machine's time is its instructions, so that this host's load is no matter.
@test "the boot takes a second of the machine's time at most" {
	run exec_in -- cat /proc/uptime
	[[ $status -eq 0 && $output == 0.* ]]
}

@test "output keeps its order, and megabytes of it come whole" {
	[ "$(exec_in -- sh -c 'for i in 1 2 3 4; do echo $i; echo e$i >&2; done' 2>&1 | tr '\n' ' ')" = "1 e1 2 e2 3 e3 4 e4 " ]
	[ "$(exec_in -- dd if=/dev/zero bs=1M count=8 2>/dev/null | wc -c)" -eq $((8 << 20)) ]
}

@test "variables go in, results and the console come out while it runs" {
	mkdir "$BATS_TEST_TMPDIR/r"
	SEPT_SEED=0x7 exec_in --env A=b --results "$BATS_TEST_TMPDIR/r" --console "$BATS_TEST_TMPDIR/c" \
		-- sh -c 'echo "$A $SEPT_SEED $SEPT_RESULTS"; echo said >/dev/kmsg; echo 1 >$SEPT_RESULTS/f; echo 2 >>$SEPT_RESULTS/f' \
		>"$BATS_TEST_TMPDIR/out"
	[ "$(<"$BATS_TEST_TMPDIR/out")" = "b 0x7 /run/results" ]
	[ "$(<"$BATS_TEST_TMPDIR/r/f")" = $'1\n2' ]
	grep -q said "$BATS_TEST_TMPDIR/c"
	# And what was written before the end of the machine.
	run exec_in --results "$BATS_TEST_TMPDIR/r" -- sh -c 'echo 3 >>$SEPT_RESULTS/g; echo c >/proc/sysrq-trigger'
	[ "$status" -eq 124 ]
	[ "$(<"$BATS_TEST_TMPDIR/r/g")" = 3 ]
	# What cannot be kept is told.
	mkdir "$BATS_TEST_TMPDIR/r/d"
	run exec_in --results "$BATS_TEST_TMPDIR/r" -- sh -c 'echo 4 >$SEPT_RESULTS/d'
	[[ $status -eq 0 && $output == *"# machine: cannot write d: Is a directory"* ]]
}

@test "each command has a machine as it was after the boot" {
	exec_in -- sh -c 'echo here >/tmp/x; echo 0 >/proc/sys/kernel/printk'
	run exec_in -- cat /tmp/x
	[ "$status" -eq 1 ]
}

@test "a panic is the kernel's death, with its last lines" {
	run exec_in -- sh -c 'echo c >/proc/sysrq-trigger'
	echo "$output"
	[ "$status" -eq 124 ]
	[[ $output == *"# console: "*"sysrq_handle_crash"*"# machine: the kernel panicked: "*"sysrq triggered crash"* ]]
}

@test "a triple fault is the kernel's death" {
	run exec_in -- busybox reboot -f
	echo "$output"
	[[ $status -eq 124 && $output == *"# machine: triple fault"* ]]
}

@test "a machine that says nothing hangs, and tells where its processors are" {
	run exec_in -- spin
	echo "$output"
	[ "$status" -eq 124 ]
	[[ $output == *"# emulator: channel: CPU 1 running"*"# machine: the machine hangs"* ]]
}

@test "a command over its limit" {
	run exec_in --timeout 1 -- sh -c 'while :; do :; done'
	[[ $status -eq 124 && $output == *"it ran into its limit of 1 s"* ]]
	run exec_in -- sh -c 'sleep 1000 & echo x'
	[[ $status -eq 0 && $output == *"# ended 1 process that the command left running"* ]]
}

@test "what the sanitizer has seen of a command over its limit is told" {
	SEPT_VERDICT_FD=4 run exec_in --timeout 10 -- 4>"$BATS_TEST_TMPDIR/verdict" \
		sh -c '/tests/td_sanitizer -r td_sanitizer.tdx.sees_the_host_write; while :; do :; done'
	echo "$output"
	[ "$status" -eq 124 ]
	grep '"reports":\[.*"host-write"' "$BATS_TEST_TMPDIR/verdict"
}

@test "kill -9 of the emulator is an error of the infrastructure, for that command alone" {
	in_background -- sh -c 'echo doing; while :; do :; done'
	kill -KILL "$(copy)"
	ends 125
	grep -q "the emulator was ended by signal 9" "$BATS_TEST_TMPDIR/out"
	exec_in -- true
}

@test "a stopped emulator is noticed, and not left behind" {
	in_background -- sh -c 'echo doing; while :; do :; done'
	kill -STOP "$(copy)"
	ends 125
	grep -q "the emulator has been stopped" "$BATS_TEST_TMPDIR/out"
	until_so one_emulator
	[ "$(emulators)" = "$(original)" ]
}

@test "kill -9 of the original: the next command boots another" {
	kill -KILL "$(original)"
	exec_in -- true
	[[ $("$tools/machine" status --dir "$dir") == *"state=ready"*" boots=2 "* ]]
}

@test "who is killed leaves no emulator behind" {
	in_background -- sh -c 'echo doing; while :; do :; done'
	[ "$(emulators | wc -l)" -eq 2 ]
	kill -KILL "$pid"
	until_so one_emulator
}

@test "everything ends with the owner" {
	local own=$BATS_TEST_TMPDIR/own

	sleep 1000 3>&- &
	pid=$!
	"$tools/machine" start --dir "$own" --owner "$pid" --bochs "$bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs"
	supervisor=$("$tools/machine" status --dir "$own" | sed 's/.*supervisor=\([0-9]*\) .*/\1/')
	kill -KILL "$pid"
	until_so [ ! -e "/proc/$supervisor" ]
	run "$tools/machine" status --dir "$own"
	[[ $status -eq 3 && $output == *"no machine is running"* ]]
	# Nor does an emulator outlive its supervisor.
	dir=$own
	until_so no_emulators
}

# What a run comes to: output, console and how many instructions it took.
story() {
	: >"$BATS_TEST_TMPDIR/console"
	exec_in --progress --console "$BATS_TEST_TMPDIR/console" "$@" -- sh -c '
		for i in 1 2 3; do (dd if=/dev/urandom bs=512 count=2 2>/dev/null | sha1sum; date) & done; wait
		echo told >/dev/kmsg
		# The kernel writes to its console when it finds the time.
		sleep 1' 2>&1
	cat "$BATS_TEST_TMPDIR/console"
}

@test "the same seeds give the same run, to the instruction; others do not" {
	first=$(story --option schedule_seed=0)
	echo "$first"
	[[ $first == *ticks=*instructions=*told* ]]
	[ "$(story --option schedule_seed=0)" = "$first" ]
	random=$(story --option schedule_seed=5)
	[ "$random" != "$first" ]
	[ "$(story --option schedule_seed=5)" = "$random" ]
	[ "$(story --option schedule_seed=6)" != "$random" ]
	[ "$(story --option schedule_seed=0 --option seed=7)" != "$first" ]
}

# calls CASE [OPTION...]: the instructions that it took, and the digest of its SEAMCALLs.
calls() {
	local address=$1 trace=$BATS_TEST_TMPDIR/trace

	shift
	exec_in --progress --option trace="$trace" "$@" -- "/tests/${address%%.*}" -r "$address" 2>&1
	"$root/build/bin/seamcalls" --summary "$trace" | grep MNG.CREATE
	"$root/build/bin/seamcalls" --digest "$trace"
}

@test "the same seeds give the same SEAMCALLs of a TD, and of a race" {
	local td=td_memory.tdx.that_is_accepted_is_there_and_zeroed
	local race=td_race_setup.tdx.initialises_a_vcpu_once

	export SEPT_ROUNDS=2
	first=$(calls "$td")
	echo "$first"
	[[ $first == *"ok 1 "*instructions=*MNG.CREATE* ]]
	[ "$(calls "$td")" = "$first" ]
	# The module has the copy's seed, too, and the trace says so.
	calls "$td" --option seed=7
	[ "$(od -An -t u8 -j 24 -N 8 "$BATS_TEST_TMPDIR/trace" | tr -d ' ')" -eq 7 ]
	random=$(calls "$race" --option schedule_seed=5)
	echo "$random"
	[[ $random == *"ok 1 "*instructions=*MNG.CREATE* ]]
	[ "$(calls "$race" --option schedule_seed=5)" = "$random" ]
	other=$(calls "$race" --option schedule_seed=6)
	[ "${other##*$'\n'}" != "${random##*$'\n'}" ]
}

@test "a second boot is the same as the first" {
	first=$(story --option schedule_seed=5)
	cp "$dir/console.log" "$BATS_TEST_TMPDIR/first"
	kill -KILL "$(original)"
	[ "$(story --option schedule_seed=5)" = "$first" ]
	cmp "$dir/console.log" "$BATS_TEST_TMPDIR/first"
}

@test "the shell has a terminal, and Ctrl-] leaves it" {
	# shellcheck disable=SC2094 # it waits for what is written there
	(printf 'stty size; tty\n'; until_so grep -q /dev/pts/0 "$BATS_TEST_TMPDIR/out"; printf '\035') |
		timeout 120 script -qec "$tools/machine shell --dir $dir" /dev/null >"$BATS_TEST_TMPDIR/out"
	cat "$BATS_TEST_TMPDIR/out"
	grep -q /dev/pts/0 "$BATS_TEST_TMPDIR/out"
	grep -q 'left the machine' "$BATS_TEST_TMPDIR/out"
}

@test "wrong arguments" {
	run "$tools/machine" exec --dir /nonexistent -- true
	[[ $status -eq 125 && $output == *"no machine is running in /nonexistent"* ]]
	run exec_in --option nonsense=1 -- true
	[ "$status" -eq 125 ]
	run "$tools/machine" start --dir "$dir" --bochs "$bochs" --kernel "$kernel/vmlinux.boot" \
		--initramfs "$initramfs"
	[[ $status -eq 2 && $output == *"there is a machine in $dir already"* ]]
	run "$tools/machine" fly
	[[ $status -eq 2 && $output == *"is none of start, exec"* ]]
}

# Sets command: the runner with the machine's options.
runner_command() {
	command=(
		"$runner" --bin-dir "$bin" --results "$BATS_TEST_TMPDIR/results" --platform emulated
		--machine "$tools" --bochs "$bochs" --kernel "$kernel/vmlinux.boot"
		--symbols "$kernel/vmlinux" --initramfs "$initramfs"
		--report "$root/scripts/report.py" --seed 0x5 "$@"
	)
}

runner() {
	local -a command

	runner_command "$@"
	# Cases have limits of their own, in the machine's time.
	timeout 1800 "${command[@]}"
}

# The runner in the background, and its machine's folder in dir.
start_runner() {
	local -a command

	runner_command "$@"
	"${command[@]}" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	until_so waits 1
	dir=$(echo "$BATS_TEST_TMPDIR"/results/20*/machine)
}

# waits N: the case that waits does so for the Nth time.
waits() {
	[ "$(cat "$BATS_TEST_TMPDIR"/results/20*/dies/kmsg 2>/dev/null | grep -c waits)" -ge "$1" ]
}

@test "the runner: verdicts of cases that end, panic and restart, each with its console" {
	run runner --jobs 2 --junit "$BATS_TEST_TMPDIR/x.xml" dies.passes dies.panics dies.restarts
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"PASS  dies.passes"* && $output == *"FAIL  dies.panics"*"the kernel panicked"* ]]
	[[ $output == *"FAIL  dies.restarts"*"triple fault"* ]]
	[[ $output == *"on emulated, Linux $(sed -n 's/.*Linux version \([^ ]*\) .*/\1/p' "$BATS_TEST_TMPDIR/results/latest/machine/console.log"): 1 passed, 2 failed"* ]]
	[[ $output == *"again: ./run.sh --seed 0x"*" --platform emulated dies.panics"* ]]
	grep -q 'sysrq triggered crash' "$BATS_TEST_TMPDIR/results/latest/dies/kmsg"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/results/latest/dies/notes.jsonl")" -eq 3 ]
	"$root/scripts/report.py" validate "$BATS_TEST_TMPDIR/results/latest"
	grep -q '"platform": *"emulated"' "$BATS_TEST_TMPDIR/results/latest/run.json"
	# What it is the runner is told by itself, run in there.
	grep -q '"config_crc32"' "$BATS_TEST_TMPDIR/results/latest/run.json"
	[[ $output != *"does not say what it is"* ]]
	grep -q 'again: ./run.sh --seed 0x.* --platform emulated --schedule-seed 0x0' "$BATS_TEST_TMPDIR/x.xml"
}

@test "the runner: an emulator killed in a case is an ERROR, and the next case has another" {
	start_runner dies.waits dies.passes --repeat 2
	kill -KILL "$(copy)"
	until_so waits 2
	kill -INT "$pid"
	ends 130
	[[ $(<"$BATS_TEST_TMPDIR/out") == *"ERROR dies.waits"*"the emulator was ended by signal 9"* ]]
	grep -q 'PASS  dies.passes' "$BATS_TEST_TMPDIR/out"
	until_so no_emulators
}

@test "the runner: what the sanitizer reported is a finding, also if the machine died of it" {
	run runner --sanitizer fatal td_sanitizer.tdx.sees_the_host_write
	echo "$output"
	[[ $status -eq 1 && $output == *"the sanitizer ended the machine"* ]]
	grep -q '"invariant":"host-write".*"where":"sanitizer"' \
		"$BATS_TEST_TMPDIR/results/latest/td_sanitizer/findings.jsonl"
	"$root/scripts/report.py" validate "$BATS_TEST_TMPDIR/results/latest"
}

@test "the runner: a machine of two NUMA nodes runs what others skip" {
	run runner --kernel-args numa=fake=2 numa 'transient.default.isolation_*' \
		'migration.default_mapped.*_pages' 'migration.default_mapped.*_mbind' \
		'migration.default_mapped.*_balancing' \
		'migration.*_in_guest.*_migrate_pages' 'migration.*_in_guest.*_balancing'
	echo "$output"
	[[ $status -eq 0 && $output == *"16 passed, 0 failed, 0 skipped"* ]]
}

@test "the runner: a machine whose free memory is not clear shows that new pages are" {
	run runner --kernel-args page_poison=1 'allocation.*.gives_*_to_the_guest' \
		allocation.default.gives_zeroed_pages_to_user_space \
		'punch_hole.*.takes_it_from_the_guest' 'mapping.default.goes_with_*' \
		contents.default contents.tdx
	echo "$output"
	[[ $status -eq 0 && $output == *"10 passed, 0 failed, 0 skipped"* ]]
}

@test "the runner: kill -9 of it leaves no emulator" {
	start_runner dies.waits
	[ "$(emulators | wc -l)" -eq 2 ]
	kill -KILL "$pid"
	until_so no_emulators
}

@test "the runner: --explore changes the schedule alone, and stops at the first failure" {
	run runner --explore 3 dies.passes
	echo "$output"
	[[ $status -eq 0 && $output == *"3 passed"* ]]
	python3 - "$BATS_TEST_TMPDIR/results/latest/cases.jsonl" <<-'END'
		import json, sys
		ends = [c for c in map(json.loads, open(sys.argv[1])) if c["event"] == "end"]
		assert len({c["seed"] for c in ends}) == 1 and len({c["schedule_seed"] for c in ends}) == 3, ends
	END
	run runner --explore 3 dies.panics
	[[ $status -eq 1 && $output == *"1 failed"*"again: ./run.sh --seed 0x5 --platform emulated --schedule-seed 0x"* ]]
}
