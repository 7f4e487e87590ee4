# Loaded by the tests of run.sh and scripts/*.sh.

root=$(cd "${BATS_TEST_DIRNAME:?}/.." && pwd)

# The user's own cache, for what takes a network or minutes to make; else each
# test has one of its own.
export REAL_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}

# A copy of what run.sh needs, in which the slow scripts are stand-ins: they
# write their names to $calls.  The runner prints its arguments, one a line.
# shellcheck disable=SC2016 # $calls is for the stand-ins to expand
fake_clone() {
	local script

	clone=$BATS_TEST_TMPDIR/clone
	export calls=$BATS_TEST_TMPDIR/calls
	mkdir -p "$clone/built/bin/tests" "$clone/tree"
	: >"$calls"
	cp -r "$root/run.sh" "$root/configs" "$root/scripts" "$clone"
	for script in deps linux build; do
		printf '#!/bin/bash\necho "%s $*" >>"$calls"\n' "$script" >"$clone/scripts/$script.sh"
	done
	mkdir -p "$clone"/{tools,kernel,initramfs} "$clone"/emulator/{bochs,machine}
	emulator_part bochs/build bochs "$clone/emulator"
	emulator_part machine/tools tools "$clone/tools"
	emulator_part machine/kernel kernel "$clone/kernel"
	emulator_part machine/initramfs initramfs "$clone/initramfs/cpio"
	echo "[[ \$# -gt 0 ]] || echo '$clone/tree'" >>"$clone/scripts/linux.sh"
	echo "echo '$clone/built/bin'" >>"$clone/scripts/build.sh"
	printf '#!/bin/bash\nprintf "%%s\\n" "runner" "$@"\n' >"$clone/built/bin/runner"
	printf '#!/bin/bash\nprintf "%%s\\n" "doctor" "$@"\n' >"$clone/built/bin/doctor"
	printf '#!/bin/bash\nprintf "%%s\\n" "decode" "$@" "$(cat)"\n' >"$clone/built/bin/decode"
	chmod +x "$clone"/built/bin/*
}

# emulator_part SCRIPT NAME PATH: a stand-in that prints PATH.
emulator_part() {
	# shellcheck disable=SC2016 # $calls is for the stand-in to expand
	printf '#!/bin/bash\necho "%s $*" >>"$calls"\necho "%s"\n' "$2" "$3" >"$clone/emulator/$1.sh"
	chmod +x "$clone/emulator/$1.sh"
}

# Configs of the test's own.
own_configs() {
	export SEPT_CONFIGS=$BATS_TEST_TMPDIR/configs
	cp -r "$root/configs" "$SEPT_CONFIGS"
}

# Print a folder of the scripts where anybody can run them, wherever the clone is.
public_scripts() {
	local public=$BATS_TEST_TMPDIR/public

	mkdir -p "$public"
	cp -r "$root/scripts" "$root/configs" "$public"
	chmod -R a+rX "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR"
	printf '%s\n' "$public"
}

# Run a command as nobody, with a home of its own.
as_nobody() {
	mkdir -p "$BATS_TEST_TMPDIR/home"
	chown 65534:65534 "$BATS_TEST_TMPDIR/home"
	env -u XDG_CACHE_HOME HOME="$BATS_TEST_TMPDIR/home" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# fails_with CODE TEXT COMMAND...: it exits with CODE, and its one line has TEXT.
# shellcheck disable=SC2154 # bats sets status, output and lines
fails_with() {
	local code=$1 text=$2

	shift 2
	run "$@"
	printf '%s\n' "status $status (want $code):" "$output" "want: $text"
	[[ $status -eq $code && $output == *"$text"* && ${#lines[@]} -eq 1 ]]
}
