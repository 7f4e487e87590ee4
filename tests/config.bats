#!/usr/bin/env bats
# What is wrong in configs/ is told by file and line, and never overlooked.

load setup
root=${root:?}

setup() {
	own_configs
	conf=$SEPT_CONFIGS/run.conf
}

show() {
	"$root/run.sh" --show-config
}

@test "the configs of the clone are right" {
	run show
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "platform      auto         $conf:"* ]]
	"$root/scripts/linux.sh" --check
	"$root/scripts/deps.sh" --no-install
}

@test "an unknown key names the nearest known one" {
	printf 'jobs = 1\nsetle_ms = 5\n' >"$conf"
	fails_with 2 "$conf:2: unknown key 'setle_ms' (nearest: settle_ms)" show
}

@test "a key that is set twice names the first place" {
	printf 'jobs = 1\n\njobs = 2\n' >"$conf"
	fails_with 2 "$conf:3: 'jobs' is already set at $conf:1" show
}

@test "a line without '='" {
	printf 'jobs 1\n' >"$conf"
	fails_with 2 "$conf:1: 'jobs 1' has no '='" show
}

@test "a wrong value, and a wrong unit" {
	printf 'jobs = many\n' >"$conf"
	fails_with 2 "$conf:1: jobs = many: want 'auto' or a number from 1 to 1024" show
	printf 'timeout = 5 parsecs\n' >"$conf"
	fails_with 2 "$conf:1: timeout = 5 parsecs: want 'own', or seconds" show
	printf 'settle_ms = 2m\n' >"$conf"
	fails_with 2 "$conf:1: settle_ms = 2m: want milliseconds" show
	printf 'seed =\n' >"$conf"
	fails_with 2 "$conf:1: seed = : want 'random'" show
}

@test "an unknown section, and a key outside of its section" {
	sed -i 's/^\[dnf\]/[dfn]/' "$SEPT_CONFIGS/packages"
	fails_with 2 "unknown section '[dfn]' (nearest: [dnf])" "$root/scripts/deps.sh"
	printf 'report = python3\n' >"$SEPT_CONFIGS/packages"
	fails_with 2 "packages:1: unknown key 'report'" "$root/scripts/deps.sh"
}

@test "a missing key" {
	sed -i '/^version/d' "$SEPT_CONFIGS/linux-source"
	fails_with 2 "linux-source lacks the key 'version'" "$root/scripts/linux.sh"
	cp "$root/configs/linux-source" "$SEPT_CONFIGS/"
	sed -i '/^\[dnf\]/,$ { /^kernel/d }' "$SEPT_CONFIGS/packages"
	fails_with 2 "packages lacks the key 'kernel' of [dnf]" "$root/scripts/deps.sh"
}

@test "a missing file" {
	rm "$conf"
	fails_with 2 "$conf cannot be read" show
}

@test "a carriage return" {
	printf 'jobs = 1\r\n' >"$conf"
	fails_with 2 "$conf:1: a control character" show
}

@test "every wrong line is told, not just the first" {
	printf 'jbos = 1\njobs = x\nseed\n' >"$conf"
	run show
	[ "$status" -eq 2 ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "comments, empty lines, no newline at the end" {
	printf '# jobs = 7\n\n  jobs=3 # of 4\nseed = 0x1f' >"$conf"
	run show
	[ "$status" -eq 0 ]
	[[ $output == *"jobs          3            $conf:3"* ]]
	[[ $output == *"seed          0x1f         $conf:4"* ]]
	[[ $output == *"repeat        1            built-in"* ]]
}

@test "a suite: its name, its lines and its globs" {
	local suite=$SEPT_CONFIGS/suites/fast

	emulated() {
		printf '%s\n' '[host]' 'run = *' '[hardware]' 'run = *' '[emulated]' "$@" >"$suite"
	}
	fails_with 2 "--suite: there is no suite 'fsat' (nearest: fast)" "$root/run.sh" --show-config --suite fsat
	fails_with 2 "--suite=.: want one name" "$root/run.sh" --show-config --suite .
	fails_with 2 "there is no suite 'kernel/base' (nearest: f" "$root/run.sh" --show-config --suite kernel/base
	emulated 'runs = *'
	fails_with 2 "$suite:6: unknown key 'runs' (nearest: run)" show
	emulated 'run = *' 'run = a;b'
	fails_with 2 "$suite:7: run = a;b: want patterns" show
	emulated 'run = *' 'rounds = 0'
	fails_with 2 "$suite:7: rounds = 0: want a number from 1" show
	emulated 'run = *' 'rounds_of = a=1' 'rounds_of = a 1'
	fails_with 2 "$suite:8: rounds_of = a 1: want a pattern" show
	emulated 'run = *' 'rounds = 1' 'rounds = 2'
	fails_with 2 "$suite:8: 'rounds' is already set at $suite:7" show
	emulated 'run = *' '[emulate]'
	fails_with 2 "$suite:7: unknown section '[emulate]' (nearest: [emulated])" show
	emulated
	fails_with 2 "$suite lacks the key 'run' of [emulated]" show
}

@test "units" {
	printf 'timeout = 2m\nsettle_ms = 007ms\n' >"$conf"
	run show
	[[ $output == *"timeout       120 "* && $output == *"settle_ms     7 "* ]]
}
