#!/usr/bin/env bats
# run.sh: what it makes of its arguments, and what it refuses before it touches
# anything.

bats_require_minimum_version 1.5.0
load setup
clone=''  calls=''	# fake_clone() sets them

setup() {
	fake_clone
	run_sh=$clone/run.sh
}

# Nothing was installed, fetched or built.
untouched() {
	[ ! -s "$calls" ]
}

@test "an unknown option names the nearest known one" {
	fails_with 2 "unknown option '--plattform' (nearest: --platform)" "$run_sh" --plattform host
	fails_with 2 "invalid option -- 'x'" "$run_sh" -x
	fails_with 2 "option '--seed' requires an argument" "$run_sh" 'a.*' --seed
	untouched
}

@test "a wrong value" {
	fails_with 2 "--platform=moon: want one of auto, host, emulated, hardware" "$run_sh" --platform moon
	fails_with 2 "--vm-type=vax: want one of all, default" "$run_sh" --vm-type vax
	fails_with 2 "--rounds=many: want 'suite', or a number" "$run_sh" --rounds many
	fails_with 2 "--repeat=0: want 'until-fail' or a number" "$run_sh" --repeat 0
	fails_with 2 "--jobs=-1: want 'auto' or a number" "$run_sh" --jobs=-1
	fails_with 2 "--seed=0xyz: want 'random'" "$run_sh" --seed 0xyz
	fails_with 2 "--timeout=0: want 'own'" "$run_sh" --timeout 0
	fails_with 2 "--settle-ms=2h: want milliseconds" "$run_sh" --settle-ms 2h
	fails_with 2 "SEPT_JOBS=0: want 'auto' or a number" env SEPT_JOBS=0 "$run_sh"
	fails_with 2 "'a b' cannot match" "$run_sh" 'a b'
	untouched
}

@test "a results folder or a report that cannot be" {
	fails_with 2 "--results: $clone/run.sh is no folder" "$run_sh" --results "$clone/run.sh"
	fails_with 2 "is not a file in an existing folder" "$run_sh" --junit /nonexistent/x.xml
	untouched
}

@test "doctor refuses what it would ignore" {
	fails_with 2 "doctor takes no names, but got 'x'" "$run_sh" doctor x
	fails_with 2 "doctor takes no --seed" "$run_sh" doctor --seed 1
	fails_with 2 "doctor takes no --list" "$run_sh" doctor --list
	fails_with 2 "doctor takes no --kernel-patch" "$run_sh" doctor --kernel-patch "$run_sh"
	untouched
}

@test "the emulated platform: its parts are made, and reach the runner" {
	run "$run_sh" --platform emulated --cpus 4 --memory 2G --quantum 32 --schedule-seed 0x7 \
		--kernel-args 'a=1 b' --sanitizer fatal --trace --explore 9 'x.*'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *$'\n--platform\nemulated\n'* ]]
	[[ $output == *$'\n--jobs\n'"$(( $(nproc) < 4 ? $(nproc) : 4 ))"$'\n'* ]]
	expected=(--machine "$clone/tools" --bochs "$clone/emulator/bochs" --kernel "$clone/kernel/vmlinux.boot"
		--symbols "$clone/kernel/vmlinux" --initramfs "$clone/initramfs/cpio" --cpus 4 --memory 2048
		--quantum 32 --schedule-seed 0x7 --kernel-args 'a=1 b' --sanitizer fatal --trace --explore 9 --
		'x.*')
	printf -v expected '%s\n' "${expected[@]}"
	# shellcheck disable=SC2128 # all of it is in its first element
	[[ $output$'\n' == *"$expected" ]]
	grep -qx "deps --machine" "$calls"
	grep -qx "initramfs --bin $clone/built/bin --agent $clone/tools/agent" "$calls"
}

# shellcheck disable=SC2016 # the stand-ins are to expand it
@test "what it runs on is pruned by no other run meanwhile" {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	cache=$XDG_CACHE_HOME/tdx-sept-tests
	mkdir -p "$cache"/{linux/1,build/1/bin,bochs/1,machine/1,kernel/1,initramfs/1} "$cache"/build/2
	echo "[[ \$# -gt 0 ]] || echo '$cache/linux/1'" >"$clone/scripts/linux.sh"
	printf '#!/bin/bash\necho "%s"\n' "$cache/build/1/bin" >"$clone/scripts/build.sh"
	emulator_part bochs/build bochs "$cache/bochs/1"
	emulator_part machine/tools tools "$cache/machine/1"
	emulator_part machine/kernel kernel "$cache/kernel/1"
	emulator_part machine/initramfs initramfs "$cache/initramfs/1/initramfs.cpio"
	printf '#!/bin/bash\nfor dir in %s/*/?; do flock -n "$dir" echo "free $dir"; done\n' "$cache" \
		>"$cache/build/1/bin/runner"
	chmod +x "$cache/build/1/bin/runner"
	run "$run_sh" --platform emulated
	echo "$output"
	[[ ${lines[*]} == "free $cache/build/2" ]]
}

@test "patches and configurations of the machine's kernel" {
	cd "$BATS_TEST_TMPDIR"
	: >'a b.patch'
	: >older
	run "$run_sh" --kernel-source older --kernel-patch 'a b.patch' --kernel-config lockdep --kernel-patch "$clone/run.sh" 'x.*'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *$'\n'--platform$'\n'emulated$'\n'* && $output != *$'\n'host$'\n'* ]]
	[[ $output == *--kernel-source$'\n'"$BATS_TEST_TMPDIR/older"$'\n'--kernel-patch$'\n'"$BATS_TEST_TMPDIR/a b.patch"$'\n'--kernel-config$'\n'lockdep$'\n'--kernel-patch$'\n'"$clone/run.sh"$'\n'--$'\n''x.*' ]]
	grep -qxF "kernel --source $BATS_TEST_TMPDIR/older --patch $BATS_TEST_TMPDIR/a b.patch --config lockdep --patch $clone/run.sh" "$calls"
	: >"$calls"
	fails_with 2 "--kernel-source: none is no file" "$run_sh" --kernel-source none
	fails_with 2 "--kernel-patch: none is no file" "$run_sh" --kernel-patch none
	fails_with 2 "/kernel/none.config" "$run_sh" --kernel-config none
	fails_with 2 "--kernel-patch is for --platform emulated, not for host" "$run_sh" --platform host --kernel-patch 'a b.patch'
	untouched
}

@test "decode gets its files, or what comes in; nothing else is made" {
	run "$run_sh" decode <<<"a line"
	[[ $status -eq 0 && $output == decode$'\n'"a line" ]]
	run "$run_sh" decode "$run_sh" "$calls" </dev/null
	[[ $output == decode$'\n'"$run_sh"$'\n'"$calls" ]]
	run ! grep -qE 'bochs|kernel|initramfs|tools' "$calls"
	: >"$calls"
	fails_with 2 "decode: cannot read none" "$run_sh" decode none
	fails_with 2 "decode takes no --seed" "$run_sh" decode --seed 1
	fails_with 2 "decode takes no options but" "$run_sh" decode --json
	untouched
}

@test "a suite says for each platform what is run, and how often; names choose in its stead" {
	printf '[host]\nrun = a* b.*\nrun = c\nskip = a.x\nrounds = 7\nrounds_of = a*=8\nrounds_of = b.*=9\n[hardware]\nrun = *\n[emulated]\nrun = *.tdx\nlimits = 3\n' \
		>"$clone/configs/suites/own"
	run without_tdx "$run_sh" --suite own
	echo "$output"
	[[ ${output%%--platform$'\n'emulated*} == *--suite$'\n'own$'\n'--run$'\n''a*'$'\n'--run$'\n''b.*'$'\n'--run$'\n'c$'\n'--skip$'\n'a.x$'\n'--rounds-of$'\n''a*=8'$'\n'--rounds-of$'\n''b.*=9'$'\n'--rounds$'\n'7$'\n'--limits$'\n'1$'\n'* ]]
	[[ ${output#*--platform$'\n'emulated} == *--suite$'\n'own$'\n'--run$'\n''*.tdx'$'\n'--rounds$'\n'0$'\n'--limits$'\n'3$'\n'* ]]
	run "$run_sh" --platform host --suite own 'x*'
	[[ $output == *--suite$'\n'own$'\n'--rounds-of$'\n'*--rounds$'\n'7$'\n'* && $output == *--$'\n''x*' ]]
	SEPT_ROUNDS=4 run "$run_sh" --platform host --suite own
	[[ $output == *--rounds$'\n'4$'\n'* && $output != *--rounds-of* ]]
	SEPT_SUITE=own run "$run_sh" --platform host --rounds 5
	[[ $output == *--suite$'\n'own$'\n'*--rounds$'\n'5$'\n'* ]]
	run "$run_sh" --platform host
	[[ $output == *--suite$'\n'fast$'\n'* ]]
}

@test "nobody but the emulated platform has the emulator made" {
	run "$run_sh" --platform host
	[[ $status -eq 0 && $output != *--machine* ]]
	run "$run_sh" --platform emulated --list
	[[ $status -eq 0 && $output != *--machine* ]]
	run "$run_sh" doctor
	run "$run_sh" --list
	run ! grep -qE 'bochs|kernel|initramfs|tools' "$calls"
}

@test "what is for the emulated platform alone" {
	fails_with 2 "--cpus is for --platform emulated, not for host" "$run_sh" --platform host --cpus 3
	fails_with 2 "--explore is for --platform emulated" "$run_sh" --platform host --explore 3
	fails_with 2 "--trace is for --platform emulated" "$run_sh" --platform hardware --trace
	fails_with 2 "--explore and --repeat exclude each other" "$run_sh" --explore 3 --repeat 2
	fails_with 2 "--cpus=0: want a number from 1 to 64" "$run_sh" --cpus 0
	fails_with 2 "--memory=9G: want megabytes from 256 to 2048" "$run_sh" --memory 9G
	fails_with 2 "--schedule-seed=random: want up to 18" "$run_sh" --schedule-seed random
	fails_with 2 "shell is for --platform emulated" "$run_sh" shell
	fails_with 2 "shell runs no tests" "$run_sh" shell --platform emulated --json
	untouched
}

# Without TDX, wherever this is.
without_tdx() {
	exec unshare -m bash -c 'mount -t tmpfs none /sys/module; exec "$@"' bash "$@"
}

@test "auto: the host and then the emulated machine; the worst status counts" {
	run without_tdx "$run_sh" --json
	[ "$status" -eq 0 ]
	[ "$(grep -A 1 -x -e --platform <<<"$output" | grep -v -e - | tr '\n' ' ')" = "host emulated " ]
	status_of() {
		printf '#!/bin/bash\n[[ $* != *platform\ host* ]] || exit %d\nexit %d\n' "$1" "$2" >"$clone/built/bin/runner"
		run without_tdx "$run_sh"
		echo "$1 and $2: $status"
		[ "$status" -eq "$3" ]
	}
	status_of 0 1 1
	status_of 1 0 1
	status_of 3 1 1
	status_of 0 3 3
	status_of 4 0 0
	status_of 4 4 4
	status_of 130 0 130
	status_of 137 0 3
	[[ ${lines[0]} == *"the runner ended with status 137"* ]]
	status_of 0 127 3
}

@test "auto: one JUnit report of both, and nothing of another run" {
	local report=$BATS_TEST_TMPDIR/x.xml

	# shellcheck disable=SC2016 # the stand-in is to expand it
	printf '#!/bin/bash\n[[ $* != *"platform $dies"* ]] || exit 3\n[[ $* == *--junit-append* ]] || : >"%s"\n%s\n' \
		"$report" "echo \"\$@\" >>\"$report\"" >"$clone/built/bin/runner"
	echo old >"$report"
	dies=none run without_tdx "$run_sh" --junit "$report"
	[ "$(wc -l <"$report")" -eq 2 ]
	[ "$(grep -c -e --junit-append "$report")" -eq 1 ]
	# The first one came to no report.
	dies=host run without_tdx "$run_sh" --junit "$report"
	[ "$(wc -l <"$report")" -eq 1 ]
	[[ $(<"$report") == *"platform emulated"* ]]
	dies=emulated run without_tdx "$run_sh" --junit "$report"
	[ "$(wc -l <"$report")" -eq 1 ]
	[[ $(<"$report") == *"platform host"* ]]
}

# shellcheck disable=SC2016 # the stand-in is to expand it
@test "auto: interrupted, it ends the run that goes on and begins no other" {
	printf '#!/bin/bash\necho "$@" >>"$calls"\ntrap "echo ended >>\"$calls\"; exit 143" TERM\ntouch "$BATS_TEST_TMPDIR/at_work"\nsleep 20 & wait\n' \
		>"$clone/built/bin/runner"
	export BATS_TEST_TMPDIR
	without_tdx "$run_sh" >/dev/null 2>&1 3>&- &
	pid=$!
	until [ -e "$BATS_TEST_TMPDIR/at_work" ]; do sleep 0.05; done
	kill -TERM "$pid"
	rc=0
	wait "$pid" || rc=$?
	[ "$rc" -eq 143 ]
	grep -qx ended "$calls"
	grep -q 'platform host' "$calls"
	run ! grep -q 'platform emulated' "$calls"
}

# shellcheck disable=SC2016 # the stand-in is to expand it
@test "shell: a machine of its own, for a console or a command" {
	printf '#!/bin/bash\nprintf "%%s\\n" "machine $*" >>"$calls"\n[[ $1 != exec ]] || exit 7\n' >"$clone/tools/machine"
	chmod +x "$clone/tools/machine"
	run "$run_sh" shell --platform emulated --seed 5
	[ "$status" -eq 0 ]
	grep -q "machine start .* --owner [0-9]* --bochs $clone/emulator/bochs " "$calls"
	grep -q 'machine shell .* --option seed=5' "$calls"
	grep -q 'machine stop' "$calls"
	run "$run_sh" shell --platform emulated -- uname -a
	[ "$status" -eq 7 ]
	grep -q 'machine exec .* -- uname -a' "$calls"
}

@test "hardware wants an initialized TDX module; auto takes it where it is" {
	# shellcheck disable=SC2016 # for the inner shell to expand
	sysfs() {
		unshare -m bash -c '
			mount -t tmpfs none /sys/module
			mkdir -p /sys/module/kvm_intel/parameters
			echo "$0" >/sys/module/kvm_intel/parameters/tdx
			exec "$@"' "$@"
	}
	fails_with 3 "needs an initialized TDX module" sysfs N "$run_sh" --platform hardware
	untouched
	run sysfs Y "$run_sh" --platform hardware
	[[ $output == *--platform$'\n'hardware* ]]
	run sysfs Y "$run_sh"
	[[ $output == *--platform$'\n'hardware* ]]
}

# shellcheck disable=SC2016 # the stand-ins are to expand it
@test "what the environment sets reaches the runner as options alone" {
	printf '#!/bin/bash\necho "$* timeout ${SEPT_TIMEOUT-unset} settle ${SEPT_SETTLE_MS-unset}"\n' \
		>"$clone/built/bin/runner"
	run env SEPT_TIMEOUT=2m SEPT_SETTLE_MS=20 "$run_sh" --platform host --timeout 3m
	echo "$output"
	[[ $output == *"--timeout 180 --settle-ms 20"*" timeout unset settle unset" ]]
	printf '#!/bin/bash\necho "looks at $SEPT_RESULTS"\n' >"$clone/built/bin/doctor"
	run env SEPT_RESULTS="$BATS_TEST_TMPDIR/not/yet" "$run_sh" doctor
	[ "$output" = "looks at $BATS_TEST_TMPDIR" ]
}

@test "only root runs tests; anybody lists them and asks the doctor" {
	chmod -R a+rX "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR"
	chmod a+w "$calls"
	fails_with 3 "run it as root" as_nobody "$run_sh"
	untouched
	run as_nobody "$run_sh" --list
	[[ $status -eq 0 && ${lines[0]} == runner ]]
	run as_nobody "$run_sh" doctor
	[[ $status -eq 0 && ${lines[0]} == doctor ]]
}

@test "the command line goes before the environment, it before the file, it before the built-in" {
	printf 'jobs = 2\nseed = 2\nrepeat = 2\n' >"$clone/configs/run.conf"
	run env SEPT_SEED=3 SEPT_REPEAT=3 "$run_sh" --show-config --repeat 4
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"repeat        4            --repeat"* ]]
	[[ $output == *"seed          3            SEPT_SEED"* ]]
	[[ $output == *"jobs          2            $clone/configs/run.conf:1"* ]]
	[[ $output == *"timeout       own          built-in"* ]]
	untouched
}

@test "options and names go in any order, and reach the runner" {
	cd "$BATS_TEST_TMPDIR"
	run "$run_sh" run 'a.*' --platform host --seed 0x5 --json 'b?[x]' --vm-type=tdx --junit j.xml --repeat until-fail \
		--timeout 2m --settle-ms 9 --jobs 3 --results r
	echo "$output"
	[ "$status" -eq 0 ]
	expected=(runner --bin-dir "$clone/built/bin" --results "$BATS_TEST_TMPDIR/r" --platform host
		--repeat until-fail --seed 0x5 --timeout 120 --settle-ms 9 --expect-pin auto --jobs 3)
	for i in "${!expected[@]}"; do
		[ "${lines[i]}" = "${expected[i]}" ]
	done
	[[ $output == *--linux-origin$'\n'"$clone/tree/origin"$'\n'* ]]
	[[ $output == *$'\n'--json$'\n'--vm-type$'\n'tdx$'\n'--junit$'\n'"$BATS_TEST_TMPDIR/j.xml"$'\n'--$'\n''a.*'$'\n''b?[x]' ]]
	[[ $output == *--command-line$'\n'"$run_sh run a.\\* --platform host --seed"* ]]
	[ "$(<"$calls")" = "linux --check"$'\n'"deps "$'\n'"linux "$'\n'"build $clone/tree" ]
}

@test "defaults leave the choice to the runner" {
	run "$run_sh" --platform host
	[[ $output == *--seed$'\n'random$'\n'--timeout$'\n'0$'\n'* ]]
	[[ $output != *--vm-type* && $output == *$'\n'-- ]]
}

@test "auto has the emulated machine run TDs, unless told otherwise" {
	run "$run_sh"
	[[ ${output%%--platform$'\n'emulated*} != *--vm-type* ]]
	[[ ${output#*--platform$'\n'emulated} == *--vm-type$'\n'tdx* ]]
	run "$run_sh" --vm-type default
	[[ $output != *--vm-type$'\n'tdx* ]]
}

@test "the commit is recorded, whoever the clone belongs to" {
	run "$run_sh"
	[[ $output == *--commit$'\n'unknown$'\n'* ]]
	git -C "$clone" init -q
	git -C "$clone" -c user.name=x -c user.email=x commit -q --allow-empty -m x
	chown -R 65534 "$clone"
	run "$run_sh"
	[[ $output == *--commit$'\n'"$(git -C "$clone" -c safe.directory="$clone" describe --always --dirty)"$'\n'* ]]
	[[ $output != *unknown* ]]
}

@test "--no-install reaches deps.sh, and doctor gets --json" {
	run "$run_sh" --no-install doctor --json
	[ "$output" = doctor$'\n'--json ]
	grep -qx 'deps --no-install' "$calls"
}

@test "a step's status is run.sh's" {
	for code in 2 3; do
		printf '#!/bin/bash\nexit %d\n' "$code" >"$clone/scripts/deps.sh"
		run "$run_sh"
		[[ $status -eq $code && $output != *runner* ]]
	done
}

@test "--help is the manual and needs nothing" {
	rm -r "$clone/configs"
	run "$run_sh" --help
	[[ $status -eq 0 && $output == *Usage:* && $output == *Examples:* && $output == *"Exit status:"* ]]
	for option in platform suite vm-type repeat rounds jobs seed timeout settle-ms expect-pin results junit json list show-config no-install \
		cpus memory kernel-args kernel-source kernel-patch kernel-config quantum schedule-seed explore sanitizer trace; do
		[[ $output == *"--$option"* ]]
	done
	untouched
}

@test "through a symbolic link, from elsewhere" {
	ln -s "$run_sh" "$BATS_TEST_TMPDIR/suite"
	cd /
	run "$BATS_TEST_TMPDIR/suite" --list
	[[ $status -eq 0 && $output == *$'\n'--list$'\n'* ]]
}

# interrupt SIGNAL: send it to run.sh alone, while a step's child is at work.
interrupt() {
	local pid

	mkfifo "$BATS_TEST_TMPDIR/at_work"
	cat >"$clone/scripts/deps.sh" <<-'END'
		#!/bin/bash
		set -euo pipefail
		. "${0%/*}/step.sh"
		work() {
			echo "$BASHPID" >"$BATS_TEST_TMPDIR/child"
			echo go >"$BATS_TEST_TMPDIR/at_work"
			exec sleep 100
		}
		step_init
		step_open_log "$BATS_TEST_TMPDIR/log"
		step_run "work" work
	END
	export BATS_TEST_TMPDIR
	# With its own signals: what runs in the background of a script ignores SIGINT.
	env --default-signal=INT "$run_sh" 2>"$BATS_TEST_TMPDIR/stderr" >/dev/null 3>&- &
	pid=$!
	read -r _ <"$BATS_TEST_TMPDIR/at_work"
	kill -"$1" "$pid"
	status=0
	wait "$pid" || status=$?
	# It was told to end, which on a busy host takes a moment.  A zombie has ended too:
	# nobody is in a hurry to reap an orphan.
	child=$(<"$BATS_TEST_TMPDIR/child")
	for _ in {1..100}; do
		[[ $(cat "/proc/$child/stat" 2>/dev/null) == *') '[!Z]' '* ]] || return 0
		sleep 0.1
	done
	return 1
}

@test "Ctrl-C ends the children, and exits 130" {
	interrupt INT
	[ "$status" -eq 130 ]
	[ "$(grep -c interrupted "$BATS_TEST_TMPDIR/stderr")" -eq 1 ]
}

@test "SIGTERM ends the children, and exits 143" {
	interrupt TERM
	[ "$status" -eq 143 ]
}

@test "no control characters where there is no terminal; progress where there is" {
	cat >"$clone/scripts/deps.sh" <<-'END'
		#!/bin/bash
		set -euo pipefail
		. "${0%/*}/step.sh"
		step_init
		step_open_log "$BATS_TEST_TMPDIR/log"
		step_run "work" echo "a line"
	END
	export BATS_TEST_TMPDIR
	"$run_sh" >"$BATS_TEST_TMPDIR/out" 2>&1
	[ "$(tr -d '\r\033' <"$BATS_TEST_TMPDIR/out")" = "$(<"$BATS_TEST_TMPDIR/out")" ]
	grep -q 'deps: work: done in' "$BATS_TEST_TMPDIR/out"
	script -qec "$run_sh" "$BATS_TEST_TMPDIR/typescript" </dev/null
	grep -q $'\r\033\\[Kdeps: work, [0-9]* s: a line' "$BATS_TEST_TMPDIR/typescript"
}
